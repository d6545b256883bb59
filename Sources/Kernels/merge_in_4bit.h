// Moving codes by an update on the scales that they have, and in the same pass the sums of what comes of it; part of
// portable_kernels.h.

// A block's scale, and its reciprocal if that serves for dividing.
typedef struct {
    vfloat absmax, reciprocal;
    bool divides_easily;
} block_scale;

INLINE block_scale scale_of(float absmax) {
    return (block_scale){broadcast(absmax), broadcast(1.0f / absmax), divides_easily(absmax)};
}

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

// Lengths are in units of 2^-22, which is what an update must be away from the point that decides to be sure of it.
#define UNITS 0x1p+22f

// By the lower of two neighbouring ranks: 2^-32 of the gap between their levels, and the longest update that is clearly shorter
// than the gap. 15 stands for what is beyond the outermost levels, where every update ends at the level it started from: a gap so
// wide that no random part of it is reached.
typedef struct {
    set_table gaps, limits;
    float gaps_by_rank[16], limits_by_rank[16];
    // The least of the limits.
    float limit;
} neighbours;

INLINE void make_neighbours(neighbours *result, const rounder *rounder) {
    result->gaps_by_rank[15] = 0x1p+8f * UNITS;
    result->limits_by_rank[15] = result->limit = UNITS;
    for (int i = 0; i < 15; i++) {
        const float limit = rounder->gaps_by_rank[i] * 0.99f * UNITS;
        result->gaps_by_rank[i] = rounder->gaps_by_rank[i] * 0x1p-32f * UNITS;
        result->limits_by_rank[i] = limit;
        result->limit = limit < result->limit ? limit : result->limit;
    }
    result->gaps = make_set_table(result->gaps_by_rank);
    result->limits = make_set_table(result->limits_by_rank);
}

// MARK: Sums

// With the base value b, the update d and the change x that was made: Σ b², b·d, d², b·x, d·x, x², from which all sums of a report
// follow.
enum { BASE_BASE, BASE_UPDATE, UPDATE_UPDATE, BASE_CHANGE, UPDATE_CHANGE, CHANGE_CHANGE, MERGE_MOMENTS };

// Elements whose random bits are made together.
enum { RANDOM_VECTORS = 8, RANDOM_STEP = RANDOM_VECTORS * QCONV_LANES };

// What there is of each element of a run: random bits, made before they are needed, as each is a long chain of steps; and
// the base value and the change that was made, added up afterwards, when all registers are free for sums.
typedef struct {
    uint32_t random[SUM_RUN + RANDOM_STEP];
    float base[SUM_RUN], change[SUM_RUN];
    // The lanes in which a scale or an update was no number, in this run or one before.
    vint not_finite;
} merge_run;

INLINE vint not_finite(vfloat values) { return ((vint)values & INT32_MAX) >= 0x7F800000; }

// Adds up the whole groups of a run.
static __attribute__((noinline)) void QCONV_NAME(sum_merge_run)(
    run_sums *sums, const float *base, const float *update, const float *change, size_t count
) {
    run_sums run = {.largest_error = sums->largest_error, .lanes = sums->lanes};
#if QCONV_LANES == 8
    // With 16 registers there is none left for the mask, nor for terms of two vectors at once.
    const vint without_sign = (vint){0} + INT32_MAX;
    const vint *mask = &without_sign;
    __asm__("" : "+r"(mask) : : "memory");
#endif
    for (size_t i = 0; i < count; i += GROUP) {
#pragma clang loop unroll(full)
        for (int v = 0; v < GROUP_VECTORS; v++) {
            const size_t place = i + (size_t)(v * QCONV_LANES);
            const vfloat b = load(base + place), d = load(update + place), x = load(change + place);
            add_product(&run, BASE_BASE, v, b, b);
            add_product(&run, BASE_UPDATE, v, b, d);
            add_product(&run, BASE_CHANGE, v, b, x);
            add_product(&run, UPDATE_UPDATE, v, d, d);
            add_product(&run, UPDATE_CHANGE, v, d, x);
            add_product(&run, CHANGE_CHANGE, v, x, x);
#if QCONV_LANES == 8
            const vint error = (vint)(x - d) & *mask;
            run.largest_error = (vfloat)__builtin_elementwise_max((vint)run.largest_error, error);
            __asm__ volatile("" : : : "memory");
#else
            add_error(&run, x - d);
#endif
        }
    }
    end_run(&run, MERGE_MOMENTS);
    sums->largest_error = run.largest_error;
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
    set_table levels_by_set;
    uint64_t key;
    uint8_t zero_code;
} merger;

// Whether updates keep their signs when they are divided by a scale, and divide easily.
INLINE bool has_sign_of_updates(float absmax) { return absmax > 0 && divides_easily(absmax); }

// For how many sets moving them at once is not tried after it failed, which it does time and again where updates are long.
enum { RETRY_AFTER = 4 };

// Levels plus updates, where codes are ranks: most updates are shorter than the gap to the neighbour that they point to, and reach
// it if they are longer than half of the gap, or in stochastic rounding a random part of it. That needs no search and no
// division.
//
// requantize_lanes rounds the quotient, the sum, the midpoint or the distance to the lower level and the probability; all of that
// moves the point at which it decides otherwise by less than 2^-23, and so does what is rounded here. Updates within a unit, the
// sum of both, of the point are doubtful, and so are all that are not clearly shorter than the gap: than the narrowest one, or
// `by_lane` than their own. A NaN moves nothing here as there.
//
// Moves `vectors` vectors of a block with a scale that has_sign_of_updates; or false, with nothing done, if one element is
// doubtful.
INLINE bool move_to_neighbours(
    const merger *merger, const uint8_t *base_codes, const float *update, int vectors, bool by_lane, block_scale scale,
    rounding_rule rule, uint8_t *codes, merge_run *run, size_t place, bool measured
) {
    vint is_long = {0};
    vfloat updates[SET_VECTORS], gaps[SET_VECTORS], limits[SET_VECTORS], excess[SET_VECTORS], longest = {0};
    const vfloat units = scale.reciprocal * UNITS;
    for (int v = 0; v < vectors; v++) updates[v] = load(update + v * QCONV_LANES);
    const code_set bases = load_code_set(base_codes, vectors), signs = signs_of(updates, vectors);
    const code_set lower = add_code_sets(bases, signs, vectors);
    look_up_set(&merger->neighbours.gaps, lower, vectors, gaps);
    if (by_lane) look_up_set(&merger->neighbours.limits, lower, vectors, limits);
    // Read again rather than kept: there are not so many registers.
    const float *again = update;
    __asm__("" : "+r"(again));
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
        const vfloat step = load(again + v * QCONV_LANES) * units;
        vfloat reached = step;
        if (rule == STOCHASTIC) {
            // Rounding goes up where the random number is less than the distance to the lower level: an update must be longer
            // than that part of the gap if it points up, and than the rest of the gap if it points down. With the random number
            // less 1/2 both are one condition: |step - random * gap| > gap / 2.
            const vuint random = load_bits(run->random + place + v * QCONV_LANES);
            const vfloat part = __builtin_convertvector((vint)(random ^ 0x80000000), vfloat);
            reached = add_product_loosely(-part, gaps[v], step);
        }
        excess[v] = add_product_loosely(gaps[v], broadcast(-0x1p+31f), magnitude(reached));
        longest = larger_magnitude(longest, step);
        if (by_lane) is_long |= (vint)(magnitude(step) > limits[v]);
    }
    // Not the other way around: the longest of some that NaN is among may be NaN.
    if (!by_lane) is_long = ~(vint)(longest <= merger->neighbours.limit);
    if (!store_moved_set(codes, base_codes, bases, signs, excess, is_long, vectors)) return false;
    if (!measured) return true;
    vfloat levels[SET_VECTORS];
    look_up_set(&merger->levels_by_set, bases, vectors, levels);
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
        const size_t element = place + (size_t)(v * QCONV_LANES);
        const vint sign = (vint)load(again + v * QCONV_LANES) & INT32_MIN;
        const vfloat gap = (vfloat)((vint)gaps[v] | sign) * (scale.absmax * (0x1p+32f / UNITS));
        store(run->base + element, levels[v] * scale.absmax);
        store(run->change + element, (vfloat)((vint)gap & (vint)(excess[v] > 0.0f)));
    }
    return true;
}

// The next group of a block.
INLINE void merge_group(
    const merger *merger, const uint8_t *base_codes, const float *update, block_scale scale, bool is_zero,
    rounding_rule rule, bool is_plain, uint8_t *codes, merge_run *run, size_t place, bool measured
) {
    run->not_finite |= not_finite(scale.absmax);
    for (int v = 0; v < GROUP_VECTORS; v++) run->not_finite |= not_finite(load(update + v * QCONV_LANES));
    if (is_plain && has_sign_of_updates(scale.absmax[0])
        && move_to_neighbours(
            merger, base_codes, update, GROUP_VECTORS, true, scale, rule, codes, run, place, measured)) {
        return;
    }
    for (int v = 0; v < GROUP_VECTORS; v++) {
        const int i = v * QCONV_LANES;
        const vint base = load_codes(base_codes + i / 2);
        vint moved = base;
        if (!is_zero) {
            vuint random = {0};
            if (rule == STOCHASTIC) random = load_bits(run->random + place + i);
            moved = requantize_lanes(
                base, load(update + i), scale, merger->levels, &merger->rounder, rule, is_plain, random);
        }
        store_codes(codes + i / 2, moved);
        if (!measured) continue;
        const vfloat level = look_up(merger->levels, base);
        const vfloat change = look_up(merger->levels, moved) - level;
        store(run->base + place + i, level * scale.absmax);
        store(run->change + place + i, change * scale.absmax);
    }
}

// The last elements of a short block, made a whole group by zeros.
INLINE void merge_last_group(
    const merger *merger, const uint8_t *base_codes, const float *update, size_t count, block_scale scale, bool is_zero,
    rounding_rule rule, bool is_plain, uint8_t *codes, merge_run *run, size_t place, bool measured
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
    merge_group(merger, padded, padded_update, scale, is_zero, rule, is_plain, padded, run, place, measured);
    if (count % 2 != 0) padded[bytes - 1] = (uint8_t)((padded[bytes - 1] & 0xF0) | (last & 0x0F));
    memcpy(codes, padded, bytes);
}

// Elements of one block, group by group, the first of them at `place` of the run.
INLINE void merge_groups(
    const merger *merger, const uint8_t *base_codes, const float *update, size_t count, float absmax,
    rounding_rule rule, bool is_plain, uint8_t *codes, merge_run *run, size_t place, bool measured
) {
    const block_scale scale = scale_of(absmax);
    const bool is_zero = absmax == 0;
    size_t i = 0;
    for (; i + GROUP <= count; i += GROUP) {
        merge_group(
            merger, base_codes + i / 2, update + i, scale, is_zero, rule, is_plain, codes + i / 2, run, place + i,
            measured);
    }
    if (i == count) return;
    merge_last_group(
        merger, base_codes + i / 2, update + i, count - i, scale, is_zero, rule, is_plain, codes + i / 2, run,
        place + i, measured);
}

// What a call merges.
typedef struct {
    const uint8_t *base_codes;
    const float *absmax, *update;
    size_t blocksize;
    uint8_t *codes;
} merge_arguments;

// Moves sets of so many vectors, from element `i` on, in the run start ..< end. Returns where it stopped: at a set with a
// doubtful element (all that are not finite are), at a block whose scale makes all of them so, or at what is less than a set.
INLINE size_t move_sets(
    const merger *merger, const merge_arguments *call, size_t start, size_t i, size_t end, int vectors, rounding_rule rule,
    merge_run *run, bool measured
) {
    const size_t set = (size_t)vectors * QCONV_LANES;
    const float *absmax = call->absmax + i / call->blocksize;
    size_t block_end = i - i % call->blocksize + call->blocksize;
    while (i + set <= end) {
        if (!has_sign_of_updates(*absmax)) return i;
        const block_scale scale = scale_of(*absmax++);
        for (const size_t stop = smaller(block_end, end); i + set <= stop; i += set) {
            if (!move_to_neighbours(
                    merger, call->base_codes + i / 2, call->update + i, vectors, false, scale, rule, call->codes + i / 2,
                    run, i - start, measured)) {
                return i;
            }
        }
        if (i < block_end) return i;
        block_end += call->blocksize;
    }
    return i;
}

// Functions of their own, which leave all registers to their loops. The smallest blocks are half a set; with 4 lanes, two.
#define DEFINE_MOVE_SETS(name, rule)                                                                                    \
    static __attribute__((noinline)) size_t QCONV_NAME(name)(                                                           \
        const merger *merger, const merge_arguments *call, size_t start, size_t i, size_t end, merge_run *run,          \
        bool measured                                                                                                   \
    ) {                                                                                                                 \
        if (call->blocksize < SET) {                                                                                    \
            return move_sets(merger, call, start, i, end, SET_VECTORS / 2, rule, run, measured);                        \
        }                                                                                                               \
        if (measured) return move_sets(merger, call, start, i, end, SET_VECTORS, rule, run, true);                      \
        return move_sets(merger, call, start, i, end, SET_VECTORS, rule, run, false);                                   \
    }
DEFINE_MOVE_SETS(move_sets_to_nearest, NEAREST)
DEFINE_MOVE_SETS(move_sets_at_random, STOCHASTIC)
#undef DEFINE_MOVE_SETS

// The random bits of a run whose first element has this index in its tensor.
static __attribute__((noinline)) void QCONV_NAME(fill_random)(
    uint64_t tensor_key, uint64_t index, size_t count, uint32_t *random
) {
    for (size_t i = 0; i < count;) {
        const uint64_t key = segment_key(tensor_key, index + i);
        const uint64_t left = UINT64_C(0x100000000) - (uint32_t)(index + i);
        const size_t stop = left < count - i ? i + (size_t)left : count;
        // The last step may go beyond.
        for (; i < stop; i += RANDOM_STEP) {
            vuint bits[RANDOM_VECTORS];
            start_random_bits(key, (uint32_t)(index + i), RANDOM_VECTORS, bits);
            for (int v = 0; v < RANDOM_VECTORS; v++) {
                // Finished one by one, as stores had better not follow each other.
                const vuint finished = finish_random_bits(bits[v]);
                memcpy(random + i + v * QCONV_LANES, &finished, sizeof(finished));
            }
        }
        i = stop;
    }
}

// Whether all scales and updates are numbers.
INLINE bool requantize_blocks(
    const merger *merger, const merge_arguments *call, size_t count, rounding_rule rule, bool is_plain,
    uint64_t first_index, run_sums *sums
) {
    merge_run run;
    run.not_finite = (vint){0};
    for (size_t start = 0; start < count; start += SUM_RUN) {
        const size_t end = smaller(count, start + SUM_RUN);
        if (rule == STOCHASTIC) QCONV_NAME(fill_random)(merger->key, first_index + start, end - start, run.random);
        int left_out = 0;
        for (size_t i = start; i < end;) {
            if (is_plain && left_out-- == 0) {
                i = rule == STOCHASTIC
                        ? QCONV_NAME(move_sets_at_random)(merger, call, start, i, end, &run, sums != NULL)
                        : QCONV_NAME(move_sets_to_nearest)(merger, call, start, i, end, &run, sums != NULL);
                if (i == end) break;
                left_out = RETRY_AFTER;
            }
            size_t length = smaller(end - i, call->blocksize - i % call->blocksize);
            if (is_plain) length = smaller(length, SET);
            merge_groups(
                merger, call->base_codes + i / 2, call->update + i, length, call->absmax[i / call->blocksize], rule,
                is_plain, call->codes + i / 2, &run, i - start, sums != NULL);
            i += length;
        }
        if (sums == NULL) continue;
        const size_t length = end - start, padded_length = (length + GROUP - 1) / GROUP * GROUP;
        if (length == padded_length) {
            QCONV_NAME(sum_merge_run)(sums, run.base, call->update + start, run.change, length);
        } else {
            float padded[SUM_RUN] = {0};
            memcpy(padded, call->update + start, length * sizeof(float));
            QCONV_NAME(sum_merge_run)(sums, run.base, padded, run.change, padded_length);
        }
    }
    return bits_of_mask(run.not_finite) == 0;
}

INLINE bool requantize(
    const uint8_t *base_codes, const float *absmax, const float *update, size_t count, size_t blocksize,
    const qconv_codebook *codebook, rounding_rule rule, uint64_t key, uint64_t first_index, uint8_t *codes,
    run_sums *sums
) {
    const merge_arguments call = {base_codes, absmax, update, blocksize, codes};
    merger merger;
    make_rounder(&merger.rounder, codebook, rule);
    make_neighbours(&merger.neighbours, &merger.rounder);
    merger.levels = load_table(codebook->levels);
    merger.levels_by_set = make_set_table(codebook->levels);
    merger.key = key;
    merger.zero_code = codebook->zero_code;
    if (merger.rounder.is_plain) {
        return requantize_blocks(&merger, &call, count, rule, true, first_index, sums);
    }
    return requantize_blocks(&merger, &call, count, rule, false, first_index, sums);
}

INLINE bool requantize_and_sum(
    const uint8_t *base_codes, const float *absmax, const float *update, size_t count, size_t blocksize,
    const qconv_codebook *codebook, rounding_rule rule, uint64_t key, uint64_t first_index, uint8_t *codes,
    qconv_error_sums *sums
) {
    if (sums == NULL) {
        return requantize(base_codes, absmax, update, count, blocksize, codebook, rule, key, first_index, codes, NULL);
    }
    double lanes[MERGE_MOMENTS][GROUP] = {{0}};
    run_sums merge_sums = {.lanes = in_memory(lanes)};
    const bool are_finite =
        requantize(base_codes, absmax, update, count, blocksize, codebook, rule, key, first_index, codes, &merge_sums);
    if (finish_merge_sums(&merge_sums, sums)) return are_finite;
    const qconv_elements base = {NULL, base_codes, absmax, blocksize, codebook};
    const qconv_elements written = {NULL, codes, absmax, blocksize, codebook};
    QCONV_NAME(sum_errors)(&base, update, &written, count, sums);
    return are_finite;
}

static bool QCONV_NAME(requantize_nearest)(
    const uint8_t *base_codes, const float *absmax, const float *update, size_t count, size_t blocksize,
    const qconv_codebook *codebook, uint8_t *codes, qconv_error_sums *sums
) {
    return requantize_and_sum(base_codes, absmax, update, count, blocksize, codebook, NEAREST, 0, 0, codes, sums);
}

static bool QCONV_NAME(requantize_stochastic)(
    const uint8_t *base_codes, const float *absmax, const float *update, size_t count, size_t blocksize,
    const qconv_codebook *codebook, uint64_t key, uint64_t first_index, uint8_t *codes, qconv_error_sums *sums
) {
    return requantize_and_sum(
        base_codes, absmax, update, count, blocksize, codebook, STOCHASTIC, key, first_index, codes, sums);
}
