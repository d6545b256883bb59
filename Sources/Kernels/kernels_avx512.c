// The kernels for processors with AVX-512.

#if defined(__x86_64__)

#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl,avx512dq"))), apply_to = function)

#define QCONV_LANES 16
#define QCONV_NAME(name) name##_avx512

#include "portable_kernels.h"

#pragma clang attribute pop

#endif
