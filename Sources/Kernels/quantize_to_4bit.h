// Rounding values to codes on given scales, and in the same pass the sums of what comes of it; part of portable_kernels.h.

// MARK: Sums

// With the value b, the written value w and the error e: Σ b², w², e², from which all sums of a report follow.
enum { VALUE_VALUE, WRITTEN_WRITTEN, ERROR_ERROR, QUANTIZE_MOMENTS };

// Takes in vector `v` of a group.
INLINE void measure_quantized(run_sums *sums, int v, vfloat value, vfloat written) {
    const vfloat error = written - value;
    add_product(sums, VALUE_VALUE, v, value, value);
    add_product(sums, WRITTEN_WRITTEN, v, written, written);
    add_product(sums, ERROR_ERROR, v, error, error);
    add_error(sums, error);
}

// False if float32 was too narrow for an element, and the sums mean nothing.
INLINE bool finish_quantize_sums(run_sums *sums, qconv_error_sums *result) {
    double moments[QUANTIZE_MOMENTS];
    fold_runs(sums, QUANTIZE_MOMENTS, moments);
    if (!is_in_range(moments[VALUE_VALUE]) || !is_in_range(moments[WRITTEN_WRITTEN])) return false;
    memset(result, 0, sizeof(*result));
    result->max_abs_error = largest_lane(sums->largest_error);
    if (result->max_abs_error > 0 && !is_in_range(moments[ERROR_ERROR])) return false;
    result->squared_base = result->squared_exact = moments[VALUE_VALUE];
    result->squared_written = moments[WRITTEN_WRITTEN];
    result->squared_error = moments[ERROR_ERROR];
    result->written_dot_exact =
        ((moments[VALUE_VALUE] + moments[WRITTEN_WRITTEN]) - moments[ERROR_ERROR]) / 2;
    return true;
}

// MARK: Blocks

// What rounding to codes needs that stays the same from block to block.
typedef struct {
    table16 levels;
    rounder rounder;
    set_table levels_by_set;
    set_search search;
    bool searches_sets;
    uint64_t key;
    uint8_t zero_code;
} quantizer;

// A block's scale: whole blocks are multiplied by the reciprocal, short ones divided, as in bitsandbytes.
typedef struct {
    vfloat divisor, reciprocal, written;
    bool is_whole;
} quantized_block;

// The next group of a block.
INLINE void quantize_group(
    const quantizer *quantizer, const float *values, quantized_block block, rounding_rule rule, bool is_plain,
    uint64_t key, uint32_t index, uint8_t *codes, run_sums *sums
) {
    vuint random[GROUP_VECTORS] = {{0}};
    if (rule == STOCHASTIC) random_bits(key, index, GROUP_VECTORS, random);
    for (int v = 0; v < GROUP_VECTORS; v++) {
        const int i = v * QCONV_LANES;
        const vfloat value = load(values + i);
        const vfloat scaled = block.is_whole ? value * block.reciprocal : value / block.divisor;
        const vint rounded = round_to_codes(&quantizer->rounder, rule, is_plain, scaled, random[v]);
        store_codes(codes + i / 2, rounded);
        if (sums == NULL) continue;
        measure_quantized(sums, v, value, look_up(quantizer->levels, rounded) * block.written);
    }
    if (sums != NULL) end_groups(sums, QUANTIZE_MOMENTS, 1);
}

// The next set of a whole block, rounded to the nearest levels, where codes are ranks.
INLINE void quantize_set(
    const quantizer *quantizer, const float *values, quantized_block block, uint8_t *codes, run_sums *sums
) {
    vfloat scaled[SET_VECTORS], levels[SET_VECTORS];
    for (int v = 0; v < SET_VECTORS; v++) scaled[v] = load(values + v * QCONV_LANES) * block.reciprocal;
    const code_set rounded = nearest_set(&quantizer->search, scaled, SET_VECTORS);
    store_code_set(codes, rounded, SET_VECTORS);
    if (sums == NULL) return;
    look_up_set(&quantizer->levels_by_set, rounded, SET_VECTORS, levels);
#pragma clang loop unroll(full)
    for (int v = 0; v < SET_VECTORS; v++) {
        measure_quantized(sums, v % GROUP_VECTORS, load(values + v * QCONV_LANES), levels[v] * block.written);
    }
    end_groups(sums, QUANTIZE_MOMENTS, SET_VECTORS / GROUP_VECTORS);
}

INLINE void quantize_block(
    const quantizer *quantizer, const float *values, size_t count, quantized_block block, rounding_rule rule,
    bool is_plain, uint64_t first_index, uint8_t *codes, run_sums *sums
) {
    const uint64_t key = segment_key(quantizer->key, first_index);
    const uint32_t index = (uint32_t)first_index;
    size_t i = 0;
    if (rule == NEAREST && is_plain && block.is_whole && quantizer->searches_sets) {
        for (; i + SET <= count; i += SET) quantize_set(quantizer, values + i, block, codes + i / 2, sums);
    }
    for (; i + GROUP <= count; i += GROUP) {
        quantize_group(
            quantizer, values + i, block, rule, is_plain, key, index + (uint32_t)i, codes + i / 2, sums);
    }
    if (i == count) return;
    // Made a whole group by zeros.
    float padded[GROUP] = {0};
    uint8_t packed[GROUP / 2];
    memcpy(padded, values + i, (count - i) * sizeof(float));
    quantize_group(quantizer, padded, block, rule, is_plain, key, index + (uint32_t)i, packed, sums);
    const size_t bytes = (count - i + 1) / 2;
    if (count % 2 != 0) packed[bytes - 1] = (uint8_t)((packed[bytes - 1] & 0xF0) | quantizer->zero_code);
    memcpy(codes + i / 2, packed, bytes);
}

INLINE void quantize_blocks(
    const quantizer *quantizer, const float *values, const float *absmax, size_t count, size_t blocksize,
    rounding_rule rule, bool is_plain, uint64_t first_index, uint8_t *codes, const float *written_absmax,
    run_sums *sums
) {
    size_t start = 0;
    for (; start + blocksize <= count; start += blocksize) {
        const float divisor = *absmax < 1e-38f ? 1e-38f : *absmax;
        absmax++;
        const quantized_block block = {
            broadcast(divisor), broadcast(1.0f / divisor), broadcast(sums != NULL ? *written_absmax++ : 0), true};
        quantize_block(
            quantizer, values + start, blocksize, block, rule, is_plain, first_index + start, codes + start / 2, sums);
    }
    if (start == count) return;
    const float divisor = *absmax < 1e-38f ? 1e-38f : *absmax;
    const quantized_block block = {
        broadcast(divisor), broadcast(1.0f / divisor), broadcast(sums != NULL ? *written_absmax : 0), false};
    quantize_block(
        quantizer, values + start, count - start, block, rule, is_plain, first_index + start, codes + start / 2, sums);
}

INLINE void quantize(
    const float *values, const float *absmax, size_t count, size_t blocksize, const qconv_codebook *codebook,
    rounding_rule rule, uint64_t key, uint64_t first_index, uint8_t *codes, const float *written_absmax,
    run_sums *sums
) {
    quantizer quantizer;
    make_rounder(&quantizer.rounder, codebook, rule);
    quantizer.levels = load_table(codebook->levels);
    quantizer.levels_by_set = make_set_table(codebook->levels);
    quantizer.searches_sets =
        rule == NEAREST && make_set_search(&quantizer.search, &quantizer.rounder, codebook->midpoints);
    quantizer.key = key;
    quantizer.zero_code = codebook->zero_code;
    if (quantizer.rounder.is_plain) {
        quantize_blocks(
            &quantizer, values, absmax, count, blocksize, rule, true, first_index, codes, written_absmax, sums);
    } else {
        quantize_blocks(
            &quantizer, values, absmax, count, blocksize, rule, false, first_index, codes, written_absmax, sums);
    }
}

INLINE void quantize_and_sum(
    const float *values, const float *absmax, size_t count, size_t blocksize, const qconv_codebook *codebook,
    rounding_rule rule, uint64_t key, uint64_t first_index, uint8_t *codes, const float *written_absmax,
    qconv_error_sums *sums
) {
    if (sums == NULL) {
        quantize(values, absmax, count, blocksize, codebook, rule, key, first_index, codes, NULL, NULL);
        return;
    }
    double lanes[QUANTIZE_MOMENTS][GROUP] = {{0}};
    run_sums quantize_sums = {.lanes = in_memory(lanes)};
    quantize(
        values, absmax, count, blocksize, codebook, rule, key, first_index, codes, written_absmax, &quantize_sums);
    if (finish_quantize_sums(&quantize_sums, sums)) return;
    const qconv_elements base = {.values = values};
    const qconv_elements written = {NULL, codes, written_absmax, blocksize, codebook};
    QCONV_NAME(sum_errors)(&base, NULL, &written, count, sums);
}

static void QCONV_NAME(quantize_nearest)(
    const float *values, const float *absmax, size_t count, size_t blocksize, const qconv_codebook *codebook,
    uint8_t *codes, const float *written_absmax, qconv_error_sums *sums
) {
    quantize_and_sum(
        values, absmax, count, blocksize, codebook, NEAREST, 0, 0, codes, written_absmax, sums);
}

static void QCONV_NAME(quantize_stochastic)(
    const float *values, const float *absmax, size_t count, size_t blocksize, const qconv_codebook *codebook,
    uint64_t key, uint64_t first_index, uint8_t *codes, const float *written_absmax, qconv_error_sums *sums
) {
    quantize_and_sum(
        values, absmax, count, blocksize, codebook, STOCHASTIC, key, first_index, codes, written_absmax, sums);
}
