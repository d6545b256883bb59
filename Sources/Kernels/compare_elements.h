// Comparing two runs of elements in one pass: the sums of their errors, how large the errors are, and what else they differ
// in; part of portable_kernels.h.
//
// Counting an error means writing to memory, and a processor writes to one place a cycle. Everything else that there is to do
// about an element fits beside that, so it is done in the same loop, which decodes both sides in registers.

// MARK: What is counted

// The bucket of a magnitude: its upper 16 bits.
INLINE uint32_t magnitude_bucket(float difference) { return (bits_of_float(difference) & INT32_MAX) >> 16; }

// Whether an element is the same is told by counters behind those of the buckets, one for each lane of a group: in models that
// are much alike nearly all are the same, and adding to one counter again and again is slow.
INLINE vint same_element_buckets(int v) {
    vint buckets;
    for (int lane = 0; lane < QCONV_LANES; lane++) {
        buckets[lane] = QCONV_MAGNITUDE_BUCKETS + v * QCONV_LANES + lane;
    }
    return buckets;
}

INLINE void count_group(const uint32_t *buckets, uint32_t *counters) {
#pragma clang loop unroll(full)
    for (int i = 0; i < GROUP; i++) {
        uint32_t sum = counters[buckets[i]];
        // Keeps compilers for x86-64 from putting load, addition and store into one instruction, for which Intel's processors
        // need more of their slots than for three.
        __asm__("" : "+r"(sum));
        counters[buckets[i]] = sum + 1;
    }
}

// Any elements, one at a time. Those that are not finite are in no bucket.
INLINE void count_any_differences(
    const float *a, const float *b, size_t count, uint32_t *counters, qconv_difference_counts *counts
) {
    for (size_t i = 0; i < count; i++) {
        const bool nan_a = a[i] != a[i], nan_b = b[i] != b[i];
        const bool infinite_a = __builtin_isinf(a[i]), infinite_b = __builtin_isinf(b[i]);
        counts->nan_a += nan_a;
        counts->nan_b += nan_b;
        counts->infinite_a += infinite_a;
        counts->infinite_b += infinite_b;
        const bool changed = a[i] != b[i] && !(nan_a && nan_b);
        counts->changed += changed;
        if (nan_a || nan_b || infinite_a || infinite_b) {
            counts->non_finite_mismatches += changed;
        } else {
            counters[magnitude_bucket(b[i] - a[i])]++;
        }
    }
}

// MARK: The two sides

// How the inner loop gets at elements: it decodes codes and bfloat16 itself, anything else is decoded to a buffer first. The loop
// is compiled for the pairs of forms that models are usually stored in.
typedef enum { FROM_CODES, FROM_BF16, FROM_BUFFER } element_form;

typedef struct {
    const qconv_elements *elements;
    table16 levels;
    // Where FROM_BUFFER finds the elements of a run; with zeros behind the last one of a short run.
    float buffer[SUM_RUN];
} compared_side;

INLINE element_form form_of(const qconv_elements *elements) {
    if (elements->values != NULL) return FROM_BUFFER;
    if (elements->codes == NULL) return elements->type == QCONV_BF16 ? FROM_BF16 : FROM_BUFFER;
    // Blocks of which some make a run or the other way round.
    const size_t blocksize = elements->blocksize;
    return blocksize >= GROUP && (blocksize & (blocksize - 1)) == 0 ? FROM_CODES : FROM_BUFFER;
}

INLINE void make_side(compared_side *side, const qconv_elements *elements) {
    side->elements = elements;
    side->levels = load_table(elements->codebook != NULL ? elements->codebook->levels : qconv_nf4.levels);
}

// Brings elements of a run into the buffer.
INLINE void fill_buffer(compared_side *side, size_t start, size_t count) {
    const float *values = stretch_of(side->elements, start, count, side->buffer);
    if (values != side->buffer) memcpy(side->buffer, values, count * sizeof(float));
    memset(side->buffer + count, 0, (SUM_RUN - count) * sizeof(float));
}

INLINE vfloat bf16_vector(const uint8_t *source) {
    typedef uint16_t vhalfwords __attribute__((vector_size(QCONV_LANES * 2)));
    vhalfwords bits;
    memcpy(&bits, source, sizeof(bits));
    return (vfloat)(__builtin_convertvector(bits, vuint) << 16);
}

// A vector of elements: `offset` within the run that starts at `start`, in a block of a given scale.
INLINE vfloat compared_vector(
    const compared_side *side, element_form form, size_t start, size_t offset, vfloat scale
) {
    switch (form) {
    case FROM_CODES:
        return look_up(side->levels, load_codes(side->elements->codes + (start + offset) / 2)) * scale;
    case FROM_BF16:
        return bf16_vector((const uint8_t *)side->elements->dense + 2 * (start + offset));
    case FROM_BUFFER:
        return load(side->buffer + offset);
    }
}

// Elements from `index` on that have one scale, of those in a run.
INLINE size_t scale_span(const compared_side *side, element_form form) {
    return form == FROM_CODES ? smaller(SUM_RUN, side->elements->blocksize) : SUM_RUN;
}

INLINE vfloat scale_at(const compared_side *side, element_form form, size_t index) {
    return broadcast(form == FROM_CODES ? side->elements->absmax[index / side->elements->blocksize] : 0);
}

// MARK: Runs

// Buckets of a run that has been added up and of the one before, which is being counted.
typedef struct {
    uint32_t *now, *before;
    // Entries of either that stand for no element.
    size_t idle;
} bucket_runs;

// The processor counts one run's buckets while it finds those of the next: it never waits for what it has just written.
INLINE void compare_run(
    const compared_side *a, element_form form_a, const compared_side *b, element_form form_b, size_t start,
    run_sums *sums, vint *largest_error, bucket_runs buckets, uint32_t *counters
) {
    const size_t span = smaller(scale_span(a, form_a), scale_span(b, form_b));
    for (size_t first = 0; first < SUM_RUN; first += span) {
        const vfloat scale_a = scale_at(a, form_a, start + first), scale_b = scale_at(b, form_b, start + first);
        for (size_t i = first; i < first + span; i += GROUP) {
            for (int v = 0; v < GROUP_VECTORS; v++) {
                const size_t offset = i + (size_t)(v * QCONV_LANES);
                const vfloat value = compared_vector(a, form_a, start, offset, scale_a);
                const vfloat written = compared_vector(b, form_b, start, offset, scale_b);
                const vfloat error = written - value;
                const vint bits = (vint)magnitude(error);
                add_product(sums, VALUE_VALUE, v, value, value);
                add_product(sums, WRITTEN_WRITTEN, v, written, written);
                add_product(sums, ERROR_ERROR, v, error, error);
                // As integers, of which a NaN is larger than all numbers.
                *largest_error = __builtin_elementwise_max(*largest_error, bits);
                const vint bucket = choose((vint)(error == 0), same_element_buckets(v), bits >> 16);
                memcpy(buckets.now + offset, &bucket, sizeof(bucket));
            }
            count_group(buckets.before + i, counters);
        }
    }
    end_run(sums, QUANTIZE_MOMENTS);
}

INLINE void stand_for_none(uint32_t *buckets) {
    for (int i = 0; i < SUM_RUN; i++) buckets[i] = QCONV_MAGNITUDE_BUCKETS + (uint32_t)(i % GROUP);
}

// Looks closer at a run if it needs that. The error of an element that is not finite is NaN or infinite.
INLINE void settle_run(
    compared_side *a, compared_side *b, size_t start, size_t length, vint largest_error, bucket_runs *buckets,
    uint32_t *counters, qconv_difference_counts *counts
) {
    if (__builtin_reduce_max(largest_error) < 0x7F800000) {
        buckets->idle += SUM_RUN - length;
    } else {
        fill_buffer(a, start, length);
        fill_buffer(b, start, length);
        count_any_differences(a->buffer, b->buffer, length, counters, counts);
        stand_for_none(buckets->now);
        buckets->idle += SUM_RUN;
    }
    uint32_t *const counted = buckets->before;
    buckets->before = buckets->now;
    buckets->now = counted;
}

// False if float32 was too narrow for an element, and the sums mean nothing.
INLINE bool compare_runs(
    compared_side *a, element_form form_a, compared_side *b, element_form form_b, size_t count, uint32_t *counters,
    qconv_difference_counts *counts, qconv_error_sums *result
) {
    double lanes[QUANTIZE_MOMENTS][GROUP] = {{0}};
    run_sums sums = {.lanes = lanes};
    vint largest_of_all = {0};
    uint32_t memory[2][SUM_RUN];
    bucket_runs buckets = {memory[0], memory[1], SUM_RUN};
    stand_for_none(buckets.before);
    size_t start = 0;
    for (; start + SUM_RUN <= count; start += SUM_RUN) {
        if (form_a == FROM_BUFFER) fill_buffer(a, start, SUM_RUN);
        if (form_b == FROM_BUFFER) fill_buffer(b, start, SUM_RUN);
        vint largest_error = {0};
        compare_run(a, form_a, b, form_b, start, &sums, &largest_error, buckets, counters);
        settle_run(a, b, start, SUM_RUN, largest_error, &buckets, counters, counts);
        largest_of_all = __builtin_elementwise_max(largest_of_all, largest_error);
    }
    if (start < count) {
        fill_buffer(a, start, count - start);
        fill_buffer(b, start, count - start);
        vint largest_error = {0};
        compare_run(a, FROM_BUFFER, b, FROM_BUFFER, start, &sums, &largest_error, buckets, counters);
        settle_run(a, b, start, count - start, largest_error, &buckets, counters, counts);
        largest_of_all = __builtin_elementwise_max(largest_of_all, largest_error);
    }
    for (size_t i = 0; i < SUM_RUN; i += GROUP) count_group(buckets.before + i, counters);

    size_t same = 0;
    for (int lane = 0; lane < GROUP; lane++) {
        same += counters[QCONV_MAGNITUDE_BUCKETS + lane];
        counters[QCONV_MAGNITUDE_BUCKETS + lane] = 0;
    }
    counts->changed += (count + SUM_RUN - 1) / SUM_RUN * SUM_RUN + SUM_RUN - same;
    counters[0] += (uint32_t)(same - buckets.idle);
    sums.largest_error = (vfloat)largest_of_all;
    return finish_quantize_sums(&sums, result);
}

// Of fewer elements the roundings of float32 sums hardly cancel out, and float64 costs nothing.
enum { LEAST_FOR_RUNS = 4096 };

static void QCONV_NAME(compare_elements)(
    const qconv_elements *a, const qconv_elements *b, size_t count, uint32_t *counters, qconv_difference_counts *counts,
    qconv_error_sums *sums
) {
    const element_form form_a = form_of(a), form_b = form_of(b);
    compared_side side_a, side_b;
    make_side(&side_a, a);
    make_side(&side_b, b);
#define COMPARE(form_of_a, form_of_b)                                                                                   \
    compare_runs(&side_a, form_of_a, &side_b, form_of_b, count, counters, counts, sums)
    bool is_done;
    if (form_a == FROM_BF16 && form_b == FROM_CODES) {
        is_done = COMPARE(FROM_BF16, FROM_CODES);
    } else if (form_a == FROM_CODES && form_b == FROM_BF16) {
        is_done = COMPARE(FROM_CODES, FROM_BF16);
    } else if (form_a == FROM_CODES && form_b == FROM_CODES) {
        is_done = COMPARE(FROM_CODES, FROM_CODES);
    } else if (form_a == FROM_BF16 && form_b == FROM_BF16) {
        is_done = COMPARE(FROM_BF16, FROM_BF16);
    } else {
        is_done = COMPARE(FROM_BUFFER, FROM_BUFFER);
    }
#undef COMPARE
    if (!is_done || count < LEAST_FOR_RUNS) QCONV_NAME(sum_errors)(a, NULL, b, count, sums);
}
