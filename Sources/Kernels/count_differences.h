// Counting in what two runs of values differ: a part of portable_kernels.h.

// The bucket of a magnitude: its upper 16 bits.
INLINE uint16_t magnitude_bucket(float difference) {
    return (uint16_t)((bits_of_float(difference) & 0x7FFFFFFF) >> 16);
}

// Any elements, one at a time.
INLINE void count_any_differences(
    const float *a, const float *b, size_t count, uint32_t *histogram, qconv_difference_counts *counts
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
            histogram[magnitude_bucket(b[i] - a[i])]++;
        }
    }
}

INLINE bool all_finite(const float *values, size_t count) {
    int32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        const int32_t magnitude = (int32_t)(bits_of_float(values[i]) & 0x7FFFFFFF);
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest < 0x7F800000;
}

static void QCONV_NAME(count_differences)(
    const float *a, const float *b, size_t count, uint32_t *histogram, qconv_difference_counts *counts
) {
    // Elements looked at together: their buckets stay in the nearest cache until they are counted.
    enum { STRETCH = 1024 };
    uint16_t buckets[STRETCH];
    for (size_t start = 0; start < count; start += STRETCH) {
        const size_t length = smaller(STRETCH, count - start);
        const float *stretch_a = a + start, *stretch_b = b + start;
        if (!all_finite(stretch_a, length) || !all_finite(stretch_b, length)) {
            count_any_differences(stretch_a, stretch_b, length, histogram, counts);
            continue;
        }
        uint32_t changed = 0;
        for (size_t i = 0; i < length; i++) {
            const float difference = stretch_b[i] - stretch_a[i];
            changed += difference != 0;
            buckets[i] = magnitude_bucket(difference);
        }
        counts->changed += changed;
        if (changed == 0) {
            histogram[0] += (uint32_t)length;
            continue;
        }
        for (size_t i = 0; i < length; i++) histogram[buckets[i]]++;
    }
}
