// The inner loops of qconv, in portable C.
//
// One source (portable_kernels.h) is compiled for several instruction sets; the best one that the processor has is chosen
// at the first call. All of them give the same bytes: no reassociation, fixed orders of summation, and no fused
// multiply-add where it would show but in low_rank_update and in sums that are made along with codes, where it is the rule and
// emulated where the processor has none.
// scripts/test-instruction-sets.sh compares them all, on emulated processors where there are no real ones.
// Counts are in elements. Pointers to float need the alignment of float; pointers to void need none.

#ifndef QCONV_KERNELS_H
#define QCONV_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A 4-bit codebook and what searching it needs.
typedef struct {
    // The 16 levels by code (bit pattern).
    float levels[16];
    // The levels in ascending order; FP4 has two zeros.
    float sorted_levels[16];
    // Midpoints of neighbouring sorted levels, rounded to float32.
    float midpoints[15];
    // The code of each sorted level under nearest rounding.
    uint8_t nearest_codes[16];
    // The code of each sorted level under stochastic rounding: both of FP4's zeros are code 0.
    uint8_t stochastic_codes[16];
    // Whether codes are ranks, so that both tables above are the identity.
    bool codes_are_ranks;
    // The code of 0.0, which pads an odd count.
    uint8_t zero_code;
} qconv_codebook;

extern const qconv_codebook qconv_nf4;
extern const qconv_codebook qconv_fp4;

// Dense element types that convert from and to float32.
typedef enum {
    QCONV_F64,
    QCONV_F32,
    QCONV_F16,
    QCONV_BF16,
    QCONV_F8E4M3,
    QCONV_F8E5M2,
    QCONV_F8E8M0,
    QCONV_F8E4M3FNUZ,
    QCONV_F8E5M2FNUZ,
} qconv_float_type;

// Elements as sum_errors and compare_elements take them: float32 values; where `values` is NULL the codes that stand for them; and
// where `codes` is NULL too, dense elements as they are stored. What is no float32 is decoded on the way.
typedef struct {
    const float *values;
    const uint8_t *codes;
    const float *absmax;
    size_t blocksize;
    const qconv_codebook *codebook;
    const void *dense;
    qconv_float_type type;
} qconv_elements;

// Sums for error figures; see ErrorSums.swift for what each means.
typedef struct {
    double squared_error, squared_exact, squared_written, written_dot_exact;
    double squared_base, squared_update, change_dot_update;
    double max_abs_error;
    size_t non_finite_exact, non_finite_written;
} qconv_error_sums;

// The buckets of a histogram of magnitudes: float32 bit patterns without sign, cut to their 16 upper bits (bfloat16's); and the
// counters that compare_elements needs to fill one, those behind the buckets being zero before and after.
enum { QCONV_MAGNITUDE_BUCKETS = 32768, QCONV_MAGNITUDE_COUNTERS = QCONV_MAGNITUDE_BUCKETS + 16 };

// What two runs of values differ in.
typedef struct {
    // Elements that are not the same number. A NaN is the same as any other NaN, -0 the same as 0.
    size_t changed;
    size_t nan_a, infinite_a, nan_b, infinite_b;
    // Changed elements that are not finite on at least one side.
    size_t non_finite_mismatches;
} qconv_difference_counts;

// The right factor of a low-rank update is laid out as panels of so many columns, each [rank, QCONV_PANEL_COLUMNS], the last one
// padded: what a tile of the update needs lies together, in the order in which it is needed.
#define QCONV_PANEL_COLUMNS 64

// The kernels: return type, name, parameters, arguments. Written once as a list, from which the declarations, the tables
// of each instruction set and the dispatching functions are made.
#define QCONV_KERNEL_LIST(KERNEL)                                                                                       \
    /* max |x| of every block; NaN if the block has one; at least 1e-38 for a short last block. */                      \
    KERNEL(void, absmax, (const float *values, size_t count, size_t blocksize, float *absmax),                          \
           (values, count, blocksize, absmax))                                                                          \
    /* The same for QCONV_F16 or QCONV_BF16 elements. */                                                                 \
    KERNEL(void, absmax_16,                                                                                             \
           (qconv_float_type type, const void *source, size_t count, size_t blocksize, float *absmax),                  \
           (type, source, count, blocksize, absmax))                                                                    \
    /* sums: of the values that the codes will stand for, on the scales that will be written, against the given ones; both  \
       may be NULL. */                                                                                                   \
    KERNEL(void, quantize_nearest,                                                                                      \
           (const float *values, const float *absmax, size_t count, size_t blocksize, const qconv_codebook *codebook,   \
            uint8_t *codes, const float *written_absmax, qconv_error_sums *sums),                                       \
           (values, absmax, count, blocksize, codebook, codes, written_absmax, sums))                                   \
    /* first_index: index in the tensor of the first value, a multiple of blocksize. */                                 \
    KERNEL(void, quantize_stochastic,                                                                                   \
           (const float *values, const float *absmax, size_t count, size_t blocksize, const qconv_codebook *codebook,   \
            uint64_t key, uint64_t first_index, uint8_t *codes, const float *written_absmax, qconv_error_sums *sums),   \
           (values, absmax, count, blocksize, codebook, key, first_index, codes, written_absmax, sums))                 \
    KERNEL(void, dequantize,                                                                                            \
           (const uint8_t *codes, const float *absmax, size_t count, size_t blocksize, const qconv_codebook *codebook,  \
            float *values),                                                                                             \
           (codes, absmax, count, blocksize, codebook, values))                                                         \
    /* sums: of the values that the new codes stand for, against those of the old ones plus the update; may be NULL.      \
       codes may be base_codes only without sums. Return whether all scales and updates are numbers. */                  \
    KERNEL(bool, requantize_nearest,                                                                                    \
           (const uint8_t *base_codes, const float *absmax, const float *update, size_t count, size_t blocksize,        \
            const qconv_codebook *codebook, uint8_t *codes, qconv_error_sums *sums),                                    \
           (base_codes, absmax, update, count, blocksize, codebook, codes, sums))                                       \
    KERNEL(bool, requantize_stochastic,                                                                                 \
           (const uint8_t *base_codes, const float *absmax, const float *update, size_t count, size_t blocksize,        \
            const qconv_codebook *codebook, uint64_t key, uint64_t first_index, uint8_t *codes,                         \
            qconv_error_sums *sums),                                                                                    \
           (base_codes, absmax, update, count, blocksize, codebook, key, first_index, codes, sums))                     \
    KERNEL(size_t, changed_codes, (const uint8_t *a, const uint8_t *b, size_t count), (a, b, count))                    \
    /* codes_by_grid_index: 65536 entries. */                                                                           \
    KERNEL(void, quantize_scales,                                                                                       \
           (const float *absmax, size_t count, float offset, const uint8_t *codes_by_grid_index, uint8_t *codes,        \
            float *nested_absmax),                                                                                      \
           (absmax, count, offset, codes_by_grid_index, codes, nested_absmax))                                          \
    KERNEL(void, dequantize_scales,                                                                                     \
           (const uint8_t *codes, const float *nested_absmax, size_t count, size_t blocksize, float offset,             \
            const float *codebook, float *absmax),                                                                      \
           (codes, nested_absmax, count, blocksize, offset, codebook, absmax))                                          \
    /* update[i - first] (+)= scaling * sum over k of left[row, k] * right[k, column], for i in first ..< first + count. */ \
    /* Every product is added to the sum with one rounding, in the order of k. panels: the right factor, see below. */   \
    KERNEL(void, low_rank_update,                                                                                       \
           (const float *left, const float *panels, size_t rank, size_t columns, float scaling, size_t first,           \
            size_t count, bool accumulate, float *update),                                                              \
           (left, panels, rank, columns, scaling, first, count, accumulate, update))                                    \
    /* update may be NULL. */                                                                                           \
    KERNEL(void, sum_errors,                                                                                            \
           (const qconv_elements *base, const float *update, const qconv_elements *written, size_t count,               \
            qconv_error_sums *sums),                                                                                    \
           (base, update, written, count, sums))                                                                        \
    /* sums: of the errors of b against a. Adds |b - a|, rounded to float32, of elements that are finite on both sides to   \
       QCONV_MAGNITUDE_COUNTERS counters, and what else they differ in to `counts`. */                                  \
    KERNEL(void, compare_elements,                                                                                      \
           (const qconv_elements *a, const qconv_elements *b, size_t count, uint32_t *counters,                         \
            qconv_difference_counts *counts, qconv_error_sums *sums),                                                   \
           (a, b, count, counters, counts, sums))                                                                       \
    KERNEL(void, decode_floats, (qconv_float_type type, const void *source, size_t count, float *destination),          \
           (type, source, count, destination))                                                                          \
    KERNEL(void, encode_floats, (const float *source, size_t count, qconv_float_type type, void *destination),          \
           (source, count, type, destination))                                                                          \
    KERNEL(void, encode_doubles, (const double *source, size_t count, qconv_float_type type, void *destination),        \
           (source, count, type, destination))                                                                          \
    /* addends: added to what has been rounded; may be NULL. */                                                         \
    KERNEL(void, round_floats, (float *values, size_t count, qconv_float_type type, const float *addends),              \
           (values, count, type, addends))

#define QCONV_DECLARE(type, name, parameters, arguments) type qconv_##name parameters;
QCONV_KERNEL_LIST(QCONV_DECLARE)
#undef QCONV_DECLARE

// The instruction sets the kernels are compiled for, in ascending order of preference.
typedef enum {
    QCONV_BASELINE,  // SSE2 on x86-64, NEON on arm64
    QCONV_AVX2,
    QCONV_AVX512,
} qconv_instruction_set;

// Whether this build has kernels for the instruction set and this processor can run them.
bool qconv_is_supported(qconv_instruction_set set);

// The instruction set in use. By default the best supported one; the environment variable QCONV_KERNELS (baseline, avx2,
// avx512) may name a lesser one.
qconv_instruction_set qconv_active_instruction_set(void);

// Chooses the instruction set for all later calls, for tests and benchmarks. Returns false, and changes nothing, if it is
// not supported.
bool qconv_select_instruction_set(qconv_instruction_set set);

#endif
