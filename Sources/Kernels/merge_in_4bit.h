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
    bool is_plain, vuint random
) {
    const vfloat base_level = look_up(levels, base);
    vfloat scaled_update;
    if (__builtin_expect(scale.divides_easily && all_divide_easily(update), true)) {
        scaled_update = divide_by_reciprocal(update, scale.absmax, scale.reciprocal);
    } else {
        scaled_update = update / scale.absmax;
    }
    const vfloat merged = base_level + scaled_update;
    const vint chosen = round_to_codes(rounder, rule, is_plain, merged, random);
    vint keep = (vint)(merged != merged);
    // Where codes are ranks no two of them have the same level.
    if (!is_plain) keep |= (vint)(look_up(levels, chosen) == base_level);
    return choose(keep, base, chosen);
}

// MARK: Updates that point between two neighbouring levels

// By the lower of two neighbouring ranks: the gap between their levels in units of 2^-32, and the longest update that is clearly
// shorter. 15 stands for what is beyond the outermost levels, where every update ends at the level it started from: a gap so wide
// that no random part of it is reached.
typedef struct {
    table16 gaps, limits;
    float gaps_by_rank[16], limits_by_rank[16];
    // The least of the limits.
    float limit;
} neighbours;

INLINE void make_neighbours(neighbours *result, const rounder *rounder) {
    result->gaps_by_rank[15] = 0x1p+8f;
    result->limits_by_rank[15] = result->limit = 1;
    for (int i = 0; i < 15; i++) {
        const float limit = rounder->gaps_by_rank[i] * 0.99f;
        result->gaps_by_rank[i] = rounder->gaps_by_rank[i] * 0x1p-32f;
        result->limits_by_rank[i] = limit;
        result->limit = limit < result->limit ? limit : result->limit;
    }
    result->gaps = load_table(result->gaps_by_rank);
    result->limits = load_table(result->limits_by_rank);
}

// MARK: Sums

// With the base value b, the update d and the change x that was made: Σ b², b·d, d², b·x, d·x, x², from which all sums of a report
// follow.
enum { BASE_BASE, BASE_UPDATE, UPDATE_UPDATE, BASE_CHANGE, UPDATE_CHANGE, CHANGE_CHANGE, MERGE_MOMENTS };

// Takes in vector `v` of a group.
INLINE void measure_merged(run_sums *sums, int v, vfloat base, vfloat update, vfloat change) {
    add_product(sums, BASE_BASE, v, base, base);
    add_product(sums, BASE_UPDATE, v, base, update);
    add_product(sums, UPDATE_UPDATE, v, update, update);
    add_product(sums, BASE_CHANGE, v, base, change);
    add_product(sums, UPDATE_CHANGE, v, update, change);
    add_product(sums, CHANGE_CHANGE, v, change, change);
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

// The vectors of elements that are moved together; and for how many such stretches that is not tried after it failed, which it
// does time and again where updates are long.
enum { STRETCH_VECTORS = 4, STRETCH = STRETCH_VECTORS * QCONV_LANES, RETRY_AFTER = 16 };

// Stochastic rounding of levels plus updates, where codes are ranks: most updates are shorter than the gap to the neighbour
// that they point to, and reach it if they are longer than a random part of the gap. That needs no search and no division.
//
// requantize_lanes rounds the quotient, the sum, the distance to the lower level and the probability; all of that moves the point
// at which it decides otherwise by less than 2^-23, and so does what is rounded here. Updates within the sum of both of the
// point are doubtful, and so are all that are not clearly shorter than the gap: than the narrowest one, or `by_lane` than their
// own. A NaN moves nothing here as there.
//
// Moves `vectors` vectors; or false, with nothing done, if one element is doubtful.
INLINE bool move_to_neighbours(
    const merger *merger, const uint8_t *base_codes, const float *update, int vectors, bool by_lane, block_scale scale,
    const vuint *random, uint8_t *codes, run_sums *sums
) {
    const float doubt = 0x1p-22f;
    vint bases[STRETCH_VECTORS], moves[STRETCH_VECTORS], is_long = {0};
    vfloat steps[STRETCH_VECTORS], gaps[STRETCH_VECTORS], longest = {0}, closest = broadcast(1.0f);
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
        const int i = v * QCONV_LANES;
        bases[v] = load_codes(base_codes + i / 2);
        steps[v] = load(update + i) * scale.reciprocal;
        const vint lower = bases[v] + ((vint)steps[v] >> 31);
        gaps[v] = look_up(merger->neighbours.gaps, lower);
        // Rounding goes up where the random number is less than the distance to the lower level: an update must be longer than
        // that part of the gap if it points up, and than the rest of the gap if it points down. With the random number less 1/2
        // both are one condition: |step - random * gap| > gap / 2.
        const vfloat part = __builtin_convertvector((vint)(random[v] ^ 0x80000000), vfloat);
        const vfloat reached = add_product_loosely(-part, gaps[v], steps[v]);
        const vfloat excess = add_product_loosely(gaps[v], broadcast(-0x1p+31f), magnitude(reached));
        moves[v] = (vint)(excess > 0.0f);
        closest = smaller_magnitude(closest, excess);
        longest = larger_magnitude(longest, steps[v]);
        if (by_lane) is_long |= (vint)(magnitude(steps[v]) > look_up(merger->neighbours.limits, lower));
    }
    if (!by_lane) is_long = (vint)(longest > merger->neighbours.limit);
    if (__builtin_expect(bits_of_mask(is_long | (vint)(closest <= doubt)) != 0, false)) return false;
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
        const int i = v * QCONV_LANES;
        const uint32_t moving = bits_of_mask(moves[v]), pointing_down = bits_of_mask((vint)steps[v] >> 31);
        shift_codes(codes + i / 2, base_codes + i / 2, moving & ~pointing_down, moving & pointing_down);
        if (sums == NULL) continue;
        const vfloat base = look_up(merger->levels, bases[v]) * scale.absmax;
        const vfloat gap = (vfloat)((vint)gaps[v] | ((vint)steps[v] & INT32_MIN)) * (scale.absmax * 0x1p+32f);
        measure_merged(sums, v % GROUP_VECTORS, base, load(update + i), (vfloat)((vint)gap & moves[v]));
    }
    if (sums != NULL) end_groups(sums, MERGE_MOMENTS, vectors / GROUP_VECTORS);
    return true;
}

// The next group of a block.
INLINE void merge_group(
    const merger *merger, const uint8_t *base_codes, const float *update, block_scale scale, bool is_zero,
    rounding_rule rule, bool is_plain, uint64_t key, uint32_t index, uint8_t *codes, run_sums *sums
) {
    vuint random[GROUP_VECTORS] = {{0}};
    if (rule == STOCHASTIC) random_bits(key, index, GROUP_VECTORS, random);
    if (rule == STOCHASTIC && is_plain && scale.divides_easily
        && move_to_neighbours(merger, base_codes, update, GROUP_VECTORS, true, scale, random, codes, sums)) {
        return;
    }
    for (int v = 0; v < GROUP_VECTORS; v++) {
        const int i = v * QCONV_LANES;
        const vint base = load_codes(base_codes + i / 2);
        const vfloat lanes = load(update + i);
        vint merged = base;
        if (!is_zero) {
            merged = requantize_lanes(
                base, lanes, scale, merger->levels, &merger->rounder, rule, is_plain, random[v]);
        }
        store_codes(codes + i / 2, merged);
        if (sums == NULL) continue;
        const vfloat level = look_up(merger->levels, base);
        const vfloat change = look_up(merger->levels, merged) - level;
        measure_merged(sums, v, level * scale.absmax, lanes, change * scale.absmax);
    }
    if (sums != NULL) end_groups(sums, MERGE_MOMENTS, 1);
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
    uint64_t key = segment_key(merger->key, first_index);
    size_t retry_at = 0;
    for (size_t start = 0; start < count; start += blocksize) {
        const size_t length = smaller(blocksize, count - start);
        const block_scale scale = {broadcast(*absmax), broadcast(1.0f / *absmax), divides_easily(*absmax)};
        const bool is_zero = *absmax++ == 0;
        const uint32_t index = (uint32_t)(first_index + start);
        if (index == 0) key = segment_key(merger->key, first_index + start);
        const uint8_t *block_base = base_codes + start / 2;
        uint8_t *block = codes + start / 2;
        size_t i = 0;
        while (i + GROUP <= length) {
            if (rule == STOCHASTIC && is_plain && scale.divides_easily && i % STRETCH == 0 && i + STRETCH <= length
                && start + i >= retry_at) {
                vuint random[STRETCH_VECTORS];
                random_bits(key, index + (uint32_t)i, STRETCH_VECTORS, random);
                if (move_to_neighbours(
                        merger, block_base + i / 2, update + start + i, STRETCH_VECTORS, false, scale, random,
                        block + i / 2, sums)) {
                    i += STRETCH;
                    continue;
                }
                retry_at = start + i + RETRY_AFTER * STRETCH;
            }
            merge_group(
                merger, block_base + i / 2, update + start + i, scale, is_zero, rule, is_plain, key,
                index + (uint32_t)i, block + i / 2, sums);
            i += GROUP;
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
    run_sums merge_sums = {.lanes = in_memory(lanes)};
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
