// The kernels for every processor of the architecture: SSE2 on x86-64, NEON on arm64.

#define QCONV_LANES 4
#define QCONV_NAME(name) name##_baseline

#include "portable_kernels.h"
