// Prints what every kernel makes of the same inputs, as a digest a line, with each instruction set that this processor has. On all
// processors the lines must be the same: scripts/test-instruction-sets.sh compares them.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

enum { MOST = 5003 };

static const size_t counts[] = {1, 2, 7, 64, 127, 513, 1024, MOST};
static const size_t blocksizes[] = {32, 64, 4096};
static const float sigmas[] = {1e-6f, 0.001f, 0.02f, 3.0f};
enum { COUNTS = 8, BLOCKSIZES = 3, SIGMAS = 4 };

// MARK: - Inputs

static uint64_t state;

// SplitMix64.
static uint64_t next_random(void) {
    uint64_t z = (state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

// Mostly small values, few large ones.
static float random_value(float sigma) {
    const float x = (float)((int64_t)(next_random() >> 40) - (1 << 23)) * 0x1p-23f;
    return x * x * x * sigma;
}

static float *values_of(size_t count, float sigma) {
    float *values = malloc((count + 1) * sizeof(float));
    for (size_t i = 0; i < count; i++) values[i] = random_value(sigma);
    return values;
}

static uint8_t *bytes_of(size_t count) {
    uint8_t *bytes = malloc(count + 1);
    for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)next_random();
    return bytes;
}

// MARK: - Digests

static uint64_t digest;

static void add(const void *bytes, size_t count) {
    const uint8_t *next = bytes;
    for (size_t i = 0; i < count; i++) digest = (digest ^ next[i]) * UINT64_C(0x100000001B3);
}

// A NaN counts as any other: which one comes of an operation is the processor's choice.
static void add_floats(const float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const float value = values[i] == values[i] ? values[i] : 12345.0f;
        add(&value, sizeof(value));
    }
}

static void print(const char *kernel) {
    printf("%-24s %016llx\n", kernel, (unsigned long long)digest);
    digest = UINT64_C(0xCBF29CE484222325);
}

// MARK: - Kernels

// What a kernel of blocks is called with.
typedef struct {
    const qconv_codebook *codebook;
    size_t count, blocksize;
    float *values, *absmax, *update;
    uint8_t *base_codes, *codes;
    qconv_error_sums sums;
} block_case;

static void for_each_block_case(void (*body)(block_case *)) {
    state = 1;
    for (int i = 0; i < 2 * COUNTS * BLOCKSIZES * SIGMAS; i++) {
        block_case c = {
            .codebook = i % 2 == 0 ? &qconv_nf4 : &qconv_fp4,
            .count = counts[i / 2 % COUNTS],
            .blocksize = blocksizes[i / 2 / COUNTS % BLOCKSIZES],
        };
        const float sigma = sigmas[i / 2 / COUNTS / BLOCKSIZES];
        c.values = values_of(c.count, 0.05f);
        c.update = values_of(c.count, sigma);
        c.base_codes = bytes_of(c.count / 2 + 1);
        c.codes = calloc(c.count / 2 + 1, 1);
        c.absmax = calloc(c.count / c.blocksize + 1, sizeof(float));
        qconv_absmax(c.values, c.count, c.blocksize, c.absmax);
        body(&c);
        free(c.values), free(c.update), free(c.base_codes), free(c.codes), free(c.absmax);
    }
}

static void add_codes(const block_case *c) { add(c->codes, (c->count + 1) / 2); }

static void scales(block_case *c) { add_floats(c->absmax, (c->count + c->blocksize - 1) / c->blocksize); }

static void scales_of_16_bits(block_case *c) {
    uint16_t *narrow = malloc(2 * c->count);
    for (int type = QCONV_F16; type <= QCONV_BF16; type++) {
        qconv_encode_floats(c->values, c->count, type, narrow);
        qconv_absmax_16(type, narrow, c->count, c->blocksize, c->absmax);
        scales(c);
    }
    free(narrow);
}

static void nearest(block_case *c) {
    qconv_quantize_nearest(c->values, c->absmax, c->count, c->blocksize, c->codebook, c->codes, NULL, NULL);
    add_codes(c);
}

static void nearest_with_sums(block_case *c) {
    qconv_quantize_nearest(c->values, c->absmax, c->count, c->blocksize, c->codebook, c->codes, c->absmax, &c->sums);
    add_codes(c);
    add(&c->sums, sizeof(c->sums));
}

static void stochastic(block_case *c) {
    qconv_quantize_stochastic(
        c->values, c->absmax, c->count, c->blocksize, c->codebook, 42, UINT64_C(0xFFFFF000), c->codes, NULL, NULL);
    add_codes(c);
}

static void stochastic_with_sums(block_case *c) {
    qconv_quantize_stochastic(
        c->values, c->absmax, c->count, c->blocksize, c->codebook, 42, 0, c->codes, c->absmax, &c->sums);
    add_codes(c);
    add(&c->sums, sizeof(c->sums));
}

static void dequantized(block_case *c) {
    qconv_dequantize(c->base_codes, c->absmax, c->count, c->blocksize, c->codebook, c->values);
    add_floats(c->values, c->count);
}

static bool move(block_case *c, bool at_random, const float *update, qconv_error_sums *sums) {
    return at_random ? qconv_requantize_stochastic(
                           c->base_codes, c->absmax, update, c->count, c->blocksize, c->codebook, 42, UINT64_C(0xFFFFF000),
                           c->codes, sums)
                     : qconv_requantize_nearest(
                           c->base_codes, c->absmax, update, c->count, c->blocksize, c->codebook, c->codes, sums);
}

static void moved(block_case *c, bool at_random) {
    const bool are_finite = move(c, at_random, c->update, NULL);
    add(&are_finite, sizeof(are_finite));
    add_codes(c);
    const bool are_finite_again = move(c, at_random, c->update, &c->sums);
    add(&are_finite_again, sizeof(are_finite_again));
    add_codes(c);
    add(&c->sums, sizeof(c->sums));
    const size_t changed = qconv_changed_codes(c->base_codes, c->codes, c->count);
    add(&changed, sizeof(changed));
    // One update that is no number, among others that are.
    for (int i = 0; i < 3; i++) {
        static const float bad[] = {NAN, INFINITY, -INFINITY};
        const size_t place = next_random() % c->count;
        const float good = c->update[place];
        c->update[place] = bad[i];
        const bool is_overlooked = move(c, at_random, c->update, NULL);
        add(&is_overlooked, sizeof(is_overlooked));
        add_codes(c);
        c->update[place] = good;
    }
}

static void moved_to_nearest(block_case *c) { moved(c, false); }

static void moved_at_random(block_case *c) { moved(c, true); }

static void error_sums(block_case *c) {
    const qconv_elements base = {NULL, c->base_codes, c->absmax, c->blocksize, c->codebook};
    const qconv_elements written = {.values = c->values};
    qconv_sum_errors(&base, c->update, &written, c->count, &c->sums);
    add(&c->sums, sizeof(c->sums));
    uint32_t *counters = calloc(QCONV_MAGNITUDE_COUNTERS, sizeof(uint32_t));
    qconv_difference_counts differences = {0};
    qconv_compare_elements(&base, &written, c->count, counters, &differences, &c->sums);
    add(counters, QCONV_MAGNITUDE_BUCKETS * sizeof(uint32_t));
    add(&differences, sizeof(differences));
    add(&c->sums, sizeof(c->sums));
    free(counters);
}

static void double_quantization(void) {
    state = 2;
    uint8_t *codes_by_grid_index = bytes_of(65536), codes[MOST];
    float *codebook = values_of(256, 1), nested[MOST / 256 + 1], decoded[MOST];
    for (int i = 0; i < COUNTS; i++) {
        float *absmax = values_of(counts[i], 0.1f);
        qconv_quantize_scales(absmax, counts[i], 0.01f, codes_by_grid_index, codes, nested);
        add(codes, counts[i]);
        add_floats(nested, (counts[i] + 255) / 256);
        qconv_dequantize_scales(codes, nested, counts[i], 256, 0.01f, codebook, decoded);
        add_floats(decoded, counts[i]);
        free(absmax);
    }
    free(codes_by_grid_index), free(codebook);
}

static void low_rank_updates(void) {
    static const size_t ranks[] = {1, 3, 8, 16, 64, 130}, columns[] = {1, 5, 63, 64, 65, 130, 576, 1000};
    state = 3;
    for (int i = 0; i < 6 * 8; i++) {
        const size_t rank = ranks[i / 8], width = columns[i % 8], rows = MOST / width + 1;
        const size_t panels = (width + QCONV_PANEL_COLUMNS - 1) / QCONV_PANEL_COLUMNS * QCONV_PANEL_COLUMNS * rank;
        float *left = values_of(rows * rank, 1), *right = values_of(panels, 1), *update = values_of(MOST, 1);
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            const size_t first = width / 3;
            qconv_low_rank_update(left, right, rank, width, 0.7f, first, MOST - first, accumulate, update);
            add_floats(update, MOST);
        }
        free(left), free(right), free(update);
    }
}

static const size_t widths[] = {8, 4, 2, 2, 1, 1, 1, 1, 1};

static void float_types(void) {
    state = 4;
    enum { PATTERNS = 65536 };
    static float values[PATTERNS];
    static double doubles[PATTERNS];
    static uint16_t patterns[PATTERNS];
    static uint8_t encoded[PATTERNS * 8];
    for (int i = 0; i < PATTERNS; i++) patterns[i] = (uint16_t)i;
    for (int type = QCONV_F64; type <= QCONV_F8E5M2FNUZ; type++) {
        // All numbers of 8 and of 16 bits, and some of the others.
        const size_t count = sizeof(patterns) / (widths[type] == 1 ? 2 : widths[type]);
        qconv_decode_floats(type, patterns, count, values);
        add_floats(values, count);
    }
    static const qconv_float_type written[] = {QCONV_F32, QCONV_F16, QCONV_BF16, QCONV_F8E4M3, QCONV_F8E5M2};
    for (int i = 0; i < PATTERNS; i++) {
        uint32_t bits = (uint32_t)next_random();
        memcpy(&values[i], &bits, sizeof(bits));
        if (values[i] != values[i]) values[i] = random_value(1);
        doubles[i] = (double)values[i] * (1 + 0x1p-30 * (double)(i % 7));
    }
    for (int i = 0; i < 5; i++) {
        qconv_encode_floats(values, PATTERNS, written[i], encoded);
        add(encoded, PATTERNS * widths[written[i]]);
        qconv_encode_doubles(doubles, PATTERNS, written[i], encoded);
        add(encoded, PATTERNS * widths[written[i]]);
        float rounded[MOST];
        memcpy(rounded, values, sizeof(rounded));
        qconv_round_floats(rounded, MOST, written[i], NULL);
        add_floats(rounded, MOST);
        qconv_round_floats(rounded, MOST, written[i], values + MOST);
        add_floats(rounded, MOST);
    }
}

int main(void) {
    for (int set = QCONV_BASELINE; set <= QCONV_AVX512; set++) {
        if (!qconv_select_instruction_set(set)) continue;
        digest = UINT64_C(0xCBF29CE484222325);
        for_each_block_case(scales), print("absmax");
        for_each_block_case(scales_of_16_bits), print("absmax_16");
        for_each_block_case(nearest), print("quantize_nearest");
        for_each_block_case(nearest_with_sums), print("  with sums");
        for_each_block_case(stochastic), print("quantize_stochastic");
        for_each_block_case(stochastic_with_sums), print("  with sums");
        for_each_block_case(dequantized), print("dequantize");
        for_each_block_case(moved_to_nearest), print("requantize_nearest");
        for_each_block_case(moved_at_random), print("requantize_stochastic");
        for_each_block_case(error_sums), print("sum_errors");
        double_quantization(), print("quantize_scales");
        low_rank_updates(), print("low_rank_update");
        float_types(), print("float types");
    }
    return 0;
}
