// Moving codes by an update on the scales that they have, and in the same pass the sums of what comes of it; part of
// portable_kernels.h.

// A block's scale, and its reciprocal if that serves for dividing.
typedef struct {
    vfloat absmax, reciprocal;
    bool divides_easily;
} block_scale;

// MARK: Any update

INLINE vint requantize_lanes(
    vint base, vfloat update, block_scale scale, table16 levels, const rounder *rounder, rounding_rule rule,
    bool is_plain, uint64_t key, uint32_t index
) {
    const vfloat base_level = look_up(levels, base);
    vfloat scaled_update;
    if (__builtin_expect(scale.divides_easily && all_divide_easily(update), true)) {
        scaled_update = divide_by_reciprocal(update, scale.absmax, scale.reciprocal);
    } else {
        scaled_update = update / scale.absmax;
    }
    const vfloat merged = base_level + scaled_update;
    const vint chosen = round_to_codes(rounder, rule, is_plain, merged, key, index);
    vint keep = (vint)(merged != merged);
    // Where codes are ranks no two of them have the same level.
    if (!is_plain) keep |= (vint)(look_up(levels, chosen) == base_level);
    return choose(keep, base, chosen);
}

// MARK: Updates that point between two neighbouring levels

// By the lower of two neighbouring ranks: the gap between their levels in units of 2^-24, and the longest update that is clearly
// shorter. 15 stands for what is beyond the outermost levels, where every update ends at the level it started from.
typedef struct {
    table16 gaps, limits;
    float gaps_by_rank[16], limits_by_rank[16];
} neighbours;

INLINE void make_neighbours(neighbours *result, const rounder *rounder) {
    for (int i = 0; i < 15; i++) {
        result->gaps_by_rank[i] = rounder->gaps_by_rank[i] * 0x1p-24f;
        result->limits_by_rank[i] = rounder->gaps_by_rank[i] * 0.99f;
    }
    result->gaps_by_rank[15] = result->limits_by_rank[15] = __builtin_inff();
    result->gaps = load_table(result->gaps_by_rank);
    result->limits = load_table(result->limits_by_rank);
}

// Stochastic rounding of levels plus updates, where codes are ranks: most updates are shorter than the gap to the neighbour
// that they point to, and reach it if they are longer than a random part of the gap. That needs no search and no division.
//
// requantize_lanes rounds the quotient, the sum, the distance to the lower level and the probability; all of that moves the point
// at which it decides otherwise by less than 2^-23. Updates within twice that distance of the point are `doubtful`, and so are
// all that are not clearly shorter than the gap, NaN included.
INLINE vint move_to_neighbours(
    vint base, vfloat update, vfloat reciprocal, const neighbours *neighbours, uint64_t key, uint32_t index,
    vint *doubtful
) {
    const float doubt = 0x1p-22f;
    const vfloat step = update * reciprocal;
    const vint points_down = (vint)(step < 0.0f);
    const vint lower = base + points_down;
    const vfloat length = (vfloat)((vint)step & INT32_MAX);
    // Rounding goes up where the random number is less than the distance to the lower level.
    const vint random = random_bits(key, index);
    const vint part = choose(points_down, (1 << 24) - random, random);
    const vfloat gap = look_up(neighbours->gaps, lower);
    // NaN or -infinity beyond the outermost levels.
    const vfloat reached = __builtin_convertvector(part, vfloat);
#if QCONV_HAS_FMA
    const vfloat excess = __builtin_elementwise_fma(-reached, gap, length);
#else
    const vfloat excess = length - reached * gap;
#endif
    const vint moves = (vint)(excess > doubt);
    *doubtful = (~moves & (vint)(excess > -doubt)) | ~(vint)(length <= look_up(neighbours->limits, lower));
    return base + (moves & (points_down | 1));
}

// MARK: Sums

// With the base value b, the update d and the change x that was made: Σ b², b·d, d², b·x, d·x, x², from which all sums of a report
// follow.
enum { BASE_BASE, BASE_UPDATE, UPDATE_UPDATE, BASE_CHANGE, UPDATE_CHANGE, CHANGE_CHANGE, MERGE_MOMENTS };

// Takes in vector `v` of a group.
INLINE void measure_merged(
    run_sums *sums, int v, vint codes, vint merged, vfloat update, vfloat absmax, table16 levels
) {
    const vfloat base = look_up(levels, codes) * absmax;
    const vfloat change = look_up(levels, merged) * absmax - base;
    sums->run[BASE_BASE][v] += base * base;
    sums->run[BASE_UPDATE][v] += base * update;
    sums->run[UPDATE_UPDATE][v] += update * update;
    sums->run[BASE_CHANGE][v] += base * change;
    sums->run[UPDATE_CHANGE][v] += update * change;
    sums->run[CHANGE_CHANGE][v] += change * change;
    add_error(sums, change - update);
}

// False if float32 was too narrow for an element, and the sums mean nothing.
INLINE bool finish_merge_sums(run_sums *sums, qconv_error_sums *result) {
    double moments[MERGE_MOMENTS];
    fold_runs(sums, MERGE_MOMENTS, moments);
    const double base = moments[BASE_BASE], update = moments[UPDATE_UPDATE], change = moments[CHANGE_CHANGE];
    if (!is_in_range(base) || !is_in_range(update) || !(change == 0 || is_in_range(change))) return false;
    memset(result, 0, sizeof(*result));
    result->squared_base = base;
    result->squared_update = update;
    result->change_dot_update = moments[UPDATE_CHANGE];
    result->squared_error = not_negative((change - moments[UPDATE_CHANGE]) + (update - moments[UPDATE_CHANGE]));
    result->squared_exact = not_negative((base + moments[BASE_UPDATE]) + (update + moments[BASE_UPDATE]));
    result->squared_written = not_negative((base + moments[BASE_CHANGE]) + (change + moments[BASE_CHANGE]));
    result->written_dot_exact =
        (base + moments[BASE_CHANGE]) + (moments[BASE_UPDATE] + moments[UPDATE_CHANGE]);
    result->max_abs_error = largest_lane(sums->largest_error);
    return true;
}

// MARK: Blocks

// What moving codes needs that stays the same from block to block.
typedef struct {
    table16 levels;
    rounder rounder;
    neighbours neighbours;
    uint64_t key;
    uint8_t zero_code;
} merger;

INLINE vint merge_lanes(
    const merger *merger, vint base, vfloat update, block_scale scale, rounding_rule rule, bool is_plain, uint64_t key,
    uint32_t index
) {
    if (rule == STOCHASTIC && is_plain && scale.divides_easily) {
        vint doubtful;
        const vint moved =
            move_to_neighbours(base, update, scale.reciprocal, &merger->neighbours, key, index, &doubtful);
        if (__builtin_expect(__builtin_reduce_or(doubtful) == 0, true)) return moved;
    }
    return requantize_lanes(base, update, scale, merger->levels, &merger->rounder, rule, is_plain, key, index);
}

// The next group of a block.
INLINE void merge_group(
    const merger *merger, const uint8_t *base_codes, const float *update, block_scale scale, bool is_zero,
    rounding_rule rule, bool is_plain, uint64_t key, uint32_t index, uint8_t *codes, run_sums *sums
) {
    for (int v = 0; v < GROUP_VECTORS; v++) {
        const int i = v * QCONV_LANES;
        const vint base = load_codes(base_codes + i / 2);
        const vfloat lanes = load(update + i);
        vint merged = base;
        if (!is_zero) merged = merge_lanes(merger, base, lanes, scale, rule, is_plain, key, index + (uint32_t)i);
        store_codes(codes + i / 2, merged);
        if (sums != NULL) measure_merged(sums, v, base, merged, lanes, scale.absmax, merger->levels);
    }
    if (sums != NULL) end_group(sums, MERGE_MOMENTS);
}

// The last elements of a short block, made a whole group by zeros.
INLINE void merge_last_group(
    const merger *merger, const uint8_t *base_codes, const float *update, size_t count, block_scale scale, bool is_zero,
    rounding_rule rule, bool is_plain, uint64_t key, uint32_t index, uint8_t *codes, run_sums *sums
) {
    const size_t bytes = (count + 1) / 2;
    float padded_update[GROUP] = {0};
    uint8_t padded[GROUP / 2];
    memset(padded, merger->zero_code << 4 | merger->zero_code, sizeof(padded));
    memcpy(padded, base_codes, bytes);
    memcpy(padded_update, update, count * sizeof(float));
    // The padding of an odd count stays what it is, but is no element.
    const uint8_t last = padded[bytes - 1];
    if (count % 2 != 0) padded[bytes - 1] = (uint8_t)((last & 0xF0) | merger->zero_code);
    merge_group(merger, padded, padded_update, scale, is_zero, rule, is_plain, key, index, padded, sums);
    if (count % 2 != 0) padded[bytes - 1] = (uint8_t)((padded[bytes - 1] & 0xF0) | (last & 0x0F));
    memcpy(codes, padded, bytes);
}

INLINE void requantize_blocks(
    const merger *merger, const uint8_t *base_codes, const float *absmax, const float *update, size_t count,
    size_t blocksize, rounding_rule rule, bool is_plain, uint64_t first_index, uint8_t *codes, run_sums *sums
) {
    for (size_t start = 0; start < count; start += blocksize) {
        const size_t length = smaller(blocksize, count - start);
        const block_scale scale = {broadcast(*absmax), broadcast(1.0f / *absmax), divides_easily(*absmax)};
        const bool is_zero = *absmax++ == 0;
        const uint64_t key = segment_key(merger->key, first_index + start);
        const uint32_t index = (uint32_t)(first_index + start);
        const uint8_t *block_base = base_codes + start / 2;
        uint8_t *block = codes + start / 2;
        size_t i = 0;
        for (; i + GROUP <= length; i += GROUP) {
            merge_group(
                merger, block_base + i / 2, update + start + i, scale, is_zero, rule, is_plain, key,
                index + (uint32_t)i, block + i / 2, sums);
        }
        if (i == length) continue;
        merge_last_group(
            merger, block_base + i / 2, update + start + i, length - i, scale, is_zero, rule, is_plain, key,
            index + (uint32_t)i, block + i / 2, sums);
    }
}

INLINE void requantize(
    const uint8_t *base_codes, const float *absmax, const float *update, size_t count, size_t blocksize,
    const qconv_codebook *codebook, rounding_rule rule, uint64_t key, uint64_t first_index, uint8_t *codes,
    run_sums *sums
) {
    merger merger;
    make_rounder(&merger.rounder, codebook, rule);
    make_neighbours(&merger.neighbours, &merger.rounder);
    merger.levels = load_table(codebook->levels);
    merger.key = key;
    merger.zero_code = codebook->zero_code;
    if (merger.rounder.is_plain) {
        requantize_blocks(
            &merger, base_codes, absmax, update, count, blocksize, rule, true, first_index, codes, sums);
    } else {
        requantize_blocks(
            &merger, base_codes, absmax, update, count, blocksize, rule, false, first_index, codes, sums);
    }
}

INLINE void requantize_and_sum(
    const uint8_t *base_codes, const float *absmax, const float *update, size_t count, size_t blocksize,
    const qconv_codebook *codebook, rounding_rule rule, uint64_t key, uint64_t first_index, uint8_t *codes,
    qconv_error_sums *sums
) {
    if (sums == NULL) {
        requantize(base_codes, absmax, update, count, blocksize, codebook, rule, key, first_index, codes, NULL);
        return;
    }
    double lanes[MERGE_MOMENTS][GROUP] = {{0}};
    run_sums merge_sums = {.lanes = lanes};
    requantize(base_codes, absmax, update, count, blocksize, codebook, rule, key, first_index, codes, &merge_sums);
    if (finish_merge_sums(&merge_sums, sums)) return;
    const qconv_elements base = {NULL, base_codes, absmax, blocksize, codebook};
    const qconv_elements written = {NULL, codes, absmax, blocksize, codebook};
    QCONV_NAME(sum_errors)(&base, update, &written, count, sums);
}

static void QCONV_NAME(requantize_nearest)(
    const uint8_t *base_codes, const float *absmax, const float *update, size_t count, size_t blocksize,
    const qconv_codebook *codebook, uint8_t *codes, qconv_error_sums *sums
) {
    requantize_and_sum(base_codes, absmax, update, count, blocksize, codebook, NEAREST, 0, 0, codes, sums);
}

static void QCONV_NAME(requantize_stochastic)(
    const uint8_t *base_codes, const float *absmax, const float *update, size_t count, size_t blocksize,
    const qconv_codebook *codebook, uint64_t key, uint64_t first_index, uint8_t *codes, qconv_error_sums *sums
) {
    requantize_and_sum(base_codes, absmax, update, count, blocksize, codebook, STOCHASTIC, key, first_index, codes, sums);
}
