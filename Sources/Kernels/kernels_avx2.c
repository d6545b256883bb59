// The kernels for processors with AVX2.

#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)

#define QCONV_LANES 8
#define QCONV_NAME(name) name##_avx2

#include "portable_kernels.h"

#pragma clang attribute pop

#endif
