// The kernels for processors with AVX2 and FMA.

#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)

#define QCONV_LANES 8
#define QCONV_NAME(name) name##_avx2

#include "portable_kernels.h"

#pragma clang attribute pop

#endif
