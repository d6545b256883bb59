// Chooses the instruction set once, and passes every call on.

#include "kernels.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_table.h"

static const qconv_kernel_table *table_of(qconv_instruction_set set) {
    switch (set) {
    case QCONV_BASELINE:
        return &qconv_kernels_baseline;
#if defined(__x86_64__)
    case QCONV_AVX2:
        return &qconv_kernels_avx2;
    case QCONV_AVX512:
        return &qconv_kernels_avx512;
#endif
    default:
        return NULL;
    }
}

bool qconv_is_supported(qconv_instruction_set set) {
    switch (set) {
    case QCONV_BASELINE:
        return true;
#if defined(__x86_64__)
    case QCONV_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case QCONV_AVX512:
        return qconv_is_supported(QCONV_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
    default:
        return false;
    }
}

static qconv_instruction_set preferred_instruction_set(void) {
    static const struct {
        const char *name;
        qconv_instruction_set set;
    } names[] = {{"baseline", QCONV_BASELINE}, {"avx2", QCONV_AVX2}, {"avx512", QCONV_AVX512}};

    const char *wanted = getenv("QCONV_KERNELS");
    for (size_t i = 0; wanted != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(wanted, names[i].name) == 0 && qconv_is_supported(names[i].set)) return names[i].set;
    }
    if (qconv_is_supported(QCONV_AVX512)) return QCONV_AVX512;
    if (qconv_is_supported(QCONV_AVX2)) return QCONV_AVX2;
    return QCONV_BASELINE;
}

// The instruction set in use plus one; zero until the first call. Threads that race for the first call choose the same.
static _Atomic int active_plus_one;

qconv_instruction_set qconv_active_instruction_set(void) {
    int active = atomic_load_explicit(&active_plus_one, memory_order_relaxed);
    if (active == 0) {
        active = (int)preferred_instruction_set() + 1;
        int none = 0;
        if (!atomic_compare_exchange_strong(&active_plus_one, &none, active)) active = none;
    }
    return (qconv_instruction_set)(active - 1);
}

bool qconv_select_instruction_set(qconv_instruction_set set) {
    if (!qconv_is_supported(set)) return false;
    atomic_store(&active_plus_one, (int)set + 1);
    return true;
}

#define QCONV_DISPATCH(type, name, parameters, arguments)                                                               \
    type qconv_##name parameters { return table_of(qconv_active_instruction_set())->name arguments; }
QCONV_KERNEL_LIST(QCONV_DISPATCH)
