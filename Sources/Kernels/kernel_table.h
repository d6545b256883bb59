// The table of function pointers that each instruction set fills in.

#ifndef QCONV_KERNEL_TABLE_H
#define QCONV_KERNEL_TABLE_H

#include "kernels.h"

typedef struct {
#define QCONV_MEMBER(type, name, parameters, arguments) type(*name) parameters;
    QCONV_KERNEL_LIST(QCONV_MEMBER)
#undef QCONV_MEMBER
} qconv_kernel_table;

extern const qconv_kernel_table qconv_kernels_baseline;

#if defined(__x86_64__)
extern const qconv_kernel_table qconv_kernels_avx2;
extern const qconv_kernel_table qconv_kernels_avx512;
#endif

// By a byte: eight 4-bit numbers in the order of codes, 1 where the bit is set, the lowest bit's first.
extern const uint32_t qconv_nibbles[256];

// The order of code_sets.h for 8 lanes: by element, which of 16 bytes has its code. Not where it is used, for the compiler makes
// something slower of a shuffle that it knows.
extern const uint8_t qconv_order_in_sets[32];

#endif
