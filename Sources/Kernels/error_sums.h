// Sums from which error figures follow; part of portable_kernels.h.

// Element i is added to lane i % 8 of every sum; at the end lanes are added in halves.
#define SUM_LANES 8
// How many vectors hold the lanes of one sum.
#define SUM_VECTORS (SUM_LANES / (QCONV_LANES / 2))

typedef struct {
    double squared_error[SUM_LANES], squared_exact[SUM_LANES], squared_written[SUM_LANES];
    double written_dot_exact[SUM_LANES], squared_base[SUM_LANES], squared_update[SUM_LANES];
    double change_dot_update[SUM_LANES], max_abs_error[SUM_LANES];
} error_lanes;

INLINE vdouble load_widened(const float *source) {
    vfloat_half value;
    memcpy(&value, source, sizeof(value));
    return __builtin_convertvector(value, vdouble);
}

INLINE vdouble load_lanes(const double *lanes) {
    vdouble sums;
    memcpy(&sums, lanes, sizeof(sums));
    return sums;
}

INLINE void store_lanes(double *lanes, vdouble sums) { memcpy(lanes, &sums, sizeof(sums)); }

// a * b + c for a and b that were float32, whose product is exact: fused or not, the same.
INLINE vdouble add_exact_product(vdouble a, vdouble b, vdouble c) {
#if QCONV_HAS_FMA
    return __builtin_elementwise_fma(a, b, c);
#else
    return a * b + c;
#endif
}

// Whole groups of 8 finite elements. A pass for each vector of lanes, so that all its sums fit into registers.
INLINE void sum_finite_errors(
    const float *base, const float *update, const float *written, size_t count, error_lanes *lanes
) {
    for (int first = 0; first < SUM_LANES; first += SUM_LANES / SUM_VECTORS) {
        vdouble squared_error = load_lanes(lanes->squared_error + first);
        vdouble squared_exact = load_lanes(lanes->squared_exact + first);
        vdouble squared_written = load_lanes(lanes->squared_written + first);
        vdouble written_dot_exact = load_lanes(lanes->written_dot_exact + first);
        vdouble squared_base = load_lanes(lanes->squared_base + first);
        vdouble squared_update = load_lanes(lanes->squared_update + first);
        vdouble change_dot_update = load_lanes(lanes->change_dot_update + first);
        vdouble max_abs_error = load_lanes(lanes->max_abs_error + first);
        for (size_t i = (size_t)first; i < count; i += SUM_LANES) {
            const vdouble b = load_widened(base + i), w = load_widened(written + i);
            vdouble e = b;
            squared_written = add_exact_product(w, w, squared_written);
            if (update != NULL) {
                const vdouble d = load_widened(update + i);
                e = b + d;
                squared_base = add_exact_product(b, b, squared_base);
                squared_update = add_exact_product(d, d, squared_update);
                change_dot_update += (w - b) * d;
                squared_exact += e * e;
                written_dot_exact += w * e;
            } else {
                squared_exact = add_exact_product(b, b, squared_exact);
                written_dot_exact = add_exact_product(w, b, written_dot_exact);
            }
            const vdouble error = w - e;
            squared_error += error * error;
            const vdouble magnitude = (vdouble)((vlong)error & INT64_MAX);
            const vlong is_larger = (vlong)(magnitude > max_abs_error);
            max_abs_error = (vdouble)(((vlong)magnitude & is_larger) | ((vlong)max_abs_error & ~is_larger));
        }
        store_lanes(lanes->squared_error + first, squared_error);
        store_lanes(lanes->squared_exact + first, squared_exact);
        store_lanes(lanes->squared_written + first, squared_written);
        store_lanes(lanes->written_dot_exact + first, written_dot_exact);
        store_lanes(lanes->squared_base + first, squared_base);
        store_lanes(lanes->squared_update + first, squared_update);
        store_lanes(lanes->change_dot_update + first, change_dot_update);
        store_lanes(lanes->max_abs_error + first, max_abs_error);
    }
}

// Any elements, the first of them for lane 0.
INLINE void sum_any_errors(
    const float *base, const float *update, const float *written, size_t count, error_lanes *lanes,
    qconv_error_sums *sums
) {
    for (size_t i = 0; i < count; i++) {
        const size_t lane = i % SUM_LANES;
        const double b = base[i], w = written[i], d = update != NULL ? update[i] : 0.0;
        const double e = b + d;
        if (!__builtin_isfinite(e)) {
            sums->non_finite_exact++;
            continue;
        }
        if (!__builtin_isfinite(w)) {
            sums->non_finite_written++;
            continue;
        }
        const double error = w - e;
        const double magnitude = __builtin_fabs(error);
        if (update != NULL) {
            lanes->squared_base[lane] += b * b;
            lanes->squared_update[lane] += d * d;
            lanes->change_dot_update[lane] += (w - b) * d;
        }
        lanes->squared_error[lane] += error * error;
        lanes->squared_exact[lane] += e * e;
        lanes->squared_written[lane] += w * w;
        lanes->written_dot_exact[lane] += w * e;
        if (magnitude > lanes->max_abs_error[lane]) lanes->max_abs_error[lane] = magnitude;
    }
}

// Whether all values were finite: squares of finite float32 values do not overflow.
INLINE bool are_finite(const error_lanes *lanes, bool has_update) {
    const double *base = has_update ? lanes->squared_base : lanes->squared_exact;
    double sum = 0;
    for (int lane = 0; lane < SUM_LANES; lane++) {
        sum += base[lane] + lanes->squared_written[lane] + (has_update ? lanes->squared_update[lane] : 0);
    }
    return __builtin_isfinite(sum);
}

INLINE double fold_lanes(const double *lanes) {
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// Elements added up as if all were finite; if they were not, they are looked at one by one.
enum { ERROR_STRETCH = 1024 };

static void QCONV_NAME(decode_floats)(
    qconv_float_type type, const void *restrict source, size_t count, float *restrict destination);

INLINE size_t float_type_size(qconv_float_type type) {
    switch (type) {
    case QCONV_F64:
        return 8;
    case QCONV_F32:
        return 4;
    case QCONV_F16:
    case QCONV_BF16:
        return 2;
    default:
        return 1;
    }
}

// Values of a stretch: where they stand, or decoded into `buffer`, which stays in the nearest cache.
INLINE const float *stretch_of(const qconv_elements *elements, size_t start, size_t count, float *buffer) {
    if (elements->values != NULL) return elements->values + start;
    if (elements->codes == NULL) {
        const uint8_t *dense = elements->dense;
        QCONV_NAME(decode_floats)(elements->type, dense + start * float_type_size(elements->type), count, buffer);
        return buffer;
    }
    dequantize_range(
        elements->codes, elements->absmax, start, count, elements->blocksize, elements->codebook,
        load_table(elements->codebook->levels), buffer);
    return buffer;
}

INLINE void sum_errors(
    const qconv_elements *base, const float *update, const qconv_elements *written, size_t count,
    qconv_error_sums *sums
) {
    float base_buffer[ERROR_STRETCH], written_buffer[ERROR_STRETCH];
    error_lanes lanes;
    memset(&lanes, 0, sizeof(lanes));
    memset(sums, 0, sizeof(*sums));
    for (size_t start = 0; start < count; start += ERROR_STRETCH) {
        const size_t length = smaller(ERROR_STRETCH, count - start);
        const float *stretch_base = stretch_of(base, start, length, base_buffer);
        const float *stretch_written = stretch_of(written, start, length, written_buffer);
        const float *stretch_update = update != NULL ? update + start : NULL;
        size_t grouped = length - length % SUM_LANES;
        const error_lanes before = lanes;
        sum_finite_errors(stretch_base, stretch_update, stretch_written, grouped, &lanes);
        if (!are_finite(&lanes, update != NULL)) {
            lanes = before;
            grouped = 0;
        }
        sum_any_errors(
            stretch_base + grouped, update != NULL ? stretch_update + grouped : NULL, stretch_written + grouped,
            length - grouped, &lanes, sums);
    }
    sums->squared_error = fold_lanes(lanes.squared_error);
    sums->squared_exact = fold_lanes(lanes.squared_exact);
    sums->squared_written = fold_lanes(lanes.squared_written);
    sums->written_dot_exact = fold_lanes(lanes.written_dot_exact);
    sums->squared_base = update != NULL ? fold_lanes(lanes.squared_base) : sums->squared_exact;
    sums->squared_update = fold_lanes(lanes.squared_update);
    sums->change_dot_update = fold_lanes(lanes.change_dot_update);
    for (int lane = 0; lane < SUM_LANES; lane++) {
        if (lanes.max_abs_error[lane] > sums->max_abs_error) sums->max_abs_error = lanes.max_abs_error[lane];
    }
}

static void QCONV_NAME(sum_errors)(
    const qconv_elements *base, const float *update, const qconv_elements *written, size_t count,
    qconv_error_sums *sums
) {
    if (update != NULL) {
        sum_errors(base, update, written, count, sums);
    } else {
        sum_errors(base, NULL, written, count, sums);
    }
}

// MARK: Sums in runs

// Sums of what kernels have in hand while they make codes: element i is added to lane i % 16, in float32 over a run of elements
// and in float64 from run to run.
#define GROUP 16
#define GROUP_VECTORS (GROUP / QCONV_LANES)
enum { SUM_RUN = 512, MOST_MOMENTS = 6 };

// Sums of products of two terms of each element, and the largest error, as bits. All but what `lanes` points to stays in
// registers.
typedef struct {
    vfloat run[MOST_MOMENTS][GROUP_VECTORS];
    vfloat largest_error;
    size_t in_run;
    double (*lanes)[GROUP];
} run_sums;

// Lanes as they are, but kept out of registers, which the sums of the run need: the compiler is not told that this is the same.
INLINE double (*in_memory(double (*lanes)[GROUP]))[GROUP] {
    __asm__("" : "+r"(lanes) : : "memory");
    return lanes;
}

// Adds a product of two terms to vector `v` of a sum, rounded once.
INLINE void add_product(run_sums *sums, int moment, int v, vfloat a, vfloat b) {
    sums->run[moment][v] = multiply_add(a, b, sums->run[moment][v]);
}

INLINE void add_error(run_sums *sums, vfloat error) {
    sums->largest_error = larger_magnitude(sums->largest_error, error);
}

INLINE void end_run(run_sums *sums, int moments) {
    // Unrolled: only by constant indices are the sums of a run so many variables.
#pragma clang loop unroll(full)
    for (int moment = 0; moment < moments; moment++) {
#pragma clang loop unroll(full)
        for (int v = 0; v < GROUP_VECTORS; v++) {
            float run[QCONV_LANES];
            store(run, sums->run[moment][v]);
            for (int half = 0; half < QCONV_LANES; half += QCONV_LANES / 2) {
                double *lanes = sums->lanes[moment] + v * QCONV_LANES + half;
                store_lanes(lanes, load_lanes(lanes) + load_widened(run + half));
            }
            sums->run[moment][v] = (vfloat){0};
        }
    }
    sums->in_run = 0;
}

// So many groups have been added, all to the same run.
INLINE void end_groups(run_sums *sums, int moments, int groups) {
    sums->in_run += (size_t)groups * GROUP;
    if (sums->in_run == SUM_RUN) end_run(sums, moments);
}

// The sums of all lanes.
INLINE void fold_runs(run_sums *sums, int moments, double *result) {
    end_run(sums, moments);
    for (int moment = 0; moment < moments; moment++) {
        double halves[SUM_LANES];
        for (int lane = 0; lane < SUM_LANES; lane++) {
            halves[lane] = sums->lanes[moment][lane] + sums->lanes[moment][SUM_LANES + lane];
        }
        result[moment] = fold_lanes(halves);
    }
}

// Whether the squares of this sum were neither too small nor too large for float32, in which they were made: NaN is not, and 0
// may come from squares that were too small.
INLINE bool is_in_range(double sum) { return sum > 0x1p-80 && sum < 0x1p+120; }

INLINE double not_negative(double sum) { return sum < 0 ? 0 : sum; }

// The largest of magnitudes.
INLINE double largest_lane(vfloat magnitudes) {
    float largest = 0;
    for (int lane = 0; lane < QCONV_LANES; lane++) {
        if (magnitudes[lane] > largest) largest = magnitudes[lane];
    }
    return largest;
}
