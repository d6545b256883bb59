// The codes of several vectors of elements in hand at once; part of portable_kernels.h.

#if QCONV_LANES == 8

// With 8 lanes looking up float32 takes long and looking up bytes does not: codes are bytes, and a table of 16 float32 is four
// tables of 16 bytes. The bytes of four vectors are in the order that packing leaves, which works on halves of vectors, and that
// unpacking starts from: the first four elements of each vector in turn, then the last four of each.
enum { SET_VECTORS = 8, SET = SET_VECTORS * QCONV_LANES, PACKED_VECTORS = 4 };

typedef struct {
    __m256i bytes[SET_VECTORS / PACKED_VECTORS];
} code_set;

typedef struct {
    __m256i planes[4];
} set_table;

INLINE set_table make_set_table(const float entries[16]) {
    set_table table;
    for (int plane = 0; plane < 4; plane++) {
        uint8_t bytes[16];
        for (int i = 0; i < 16; i++) bytes[i] = (uint8_t)(bits_of_float(entries[i]) >> (8 * plane));
        table.planes[plane] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)bytes));
    }
    return table;
}

// So many of the vectors from `v` on are packed together: all four, or two, which are then there twice.
INLINE int packed_from(int v, int vectors) { return vectors - v < PACKED_VECTORS ? 2 : PACKED_VECTORS; }

// Of each lane a byte with the same sign, 0 if it is 0.
INLINE __m256i pack_lanes(const vint *vectors, int count) {
    const __m256i first = _mm256_packs_epi32((__m256i)vectors[0], (__m256i)vectors[1]);
    const __m256i second = count < PACKED_VECTORS ? first : _mm256_packs_epi32((__m256i)vectors[2], (__m256i)vectors[3]);
    return _mm256_packs_epi16(first, second);
}

INLINE code_set load_code_set(const uint8_t *source, int vectors) {
    code_set set;
    for (int v = 0; v < vectors; v += PACKED_VECTORS) {
        uint8_t pairs[16] = {0};
        memcpy(pairs, source + v * 4, (size_t)packed_from(v, vectors) * 4);
        const __m256i packed = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)pairs));
        // Each byte for the first and the second of its codes.
        const __m256i twice = _mm256_shuffle_epi8(packed, _mm256_loadu_si256((const __m256i *)qconv_order_in_sets));
        const __m256i first = _mm256_and_si256(_mm256_srli_epi16(twice, 4), _mm256_set1_epi16(0x000F));
        const __m256i second = _mm256_and_si256(twice, _mm256_set1_epi16(0x0F00));
        set.bytes[v / PACKED_VECTORS] = _mm256_or_si256(first, second);
    }
    return set;
}

// -1 for negative values (-0, too), else 0.
INLINE code_set signs_of(const vfloat *values, int vectors) {
    code_set set;
    for (int v = 0; v < vectors; v += PACKED_VECTORS) {
        const __m256i packed = pack_lanes((const vint *)values + v, packed_from(v, vectors));
        set.bytes[v / PACKED_VECTORS] = _mm256_cmpgt_epi8(_mm256_setzero_si256(), packed);
    }
    return set;
}

// The sums modulo 16.
INLINE code_set add_code_sets(code_set a, code_set b, int vectors) {
    for (int i = 0; i * PACKED_VECTORS < vectors; i++) {
        a.bytes[i] = _mm256_and_si256(_mm256_add_epi8(a.bytes[i], b.bytes[i]), _mm256_set1_epi8(15));
    }
    return a;
}

// Four bytes each to float32.
INLINE void unpack_planes(const __m256i planes[4], int count, vfloat *result) {
    const __m256i lower = _mm256_unpacklo_epi8(planes[0], planes[1]);
    const __m256i upper = _mm256_unpacklo_epi8(planes[2], planes[3]);
    result[0] = (vfloat)_mm256_unpacklo_epi16(lower, upper);
    result[1] = (vfloat)_mm256_unpackhi_epi16(lower, upper);
    if (count < PACKED_VECTORS) return;
    const __m256i next_lower = _mm256_unpackhi_epi8(planes[0], planes[1]);
    const __m256i next_upper = _mm256_unpackhi_epi8(planes[2], planes[3]);
    result[2] = (vfloat)_mm256_unpacklo_epi16(next_lower, next_upper);
    result[3] = (vfloat)_mm256_unpackhi_epi16(next_lower, next_upper);
}

INLINE void look_up_set(const set_table *table, code_set codes, int vectors, vfloat *result) {
    for (int v = 0; v < vectors; v += PACKED_VECTORS) {
        __m256i planes[4];
        for (int i = 0; i < 4; i++) planes[i] = _mm256_shuffle_epi8(table->planes[i], codes.bytes[v / PACKED_VECTORS]);
        unpack_planes(planes, packed_from(v, vectors), result + v);
    }
}

// Two codes a byte.
INLINE void store_code_set(uint8_t *destination, code_set codes, int vectors) {
    for (int v = 0; v < vectors; v += PACKED_VECTORS) {
        // 16 times the first of each pair plus the second.
        const __m256i pairs = _mm256_maddubs_epi16(codes.bytes[v / PACKED_VECTORS], _mm256_set1_epi16(0x0110));
        const __m256i bytes = _mm256_packus_epi16(pairs, pairs);
        const __m128i packed = _mm_unpacklo_epi16(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
        memcpy(destination + v * 4, &packed, (size_t)packed_from(v, vectors) * 4);
    }
}

// Stores the codes, one higher where the excess is above 0 and the sign is 0, one lower where it is and the sign is -1. Or returns
// false and stores nothing: if a lane of `doubtful` is set, or an excess is between -1 and 1.
INLINE bool store_moved_set(
    uint8_t *destination, const uint8_t *source, code_set codes, code_set signs, const vfloat *excess, vint doubtful,
    int vectors
) {
    (void)source;
    const __m256i zero = _mm256_setzero_si256();
    __m256i is_doubtful = (__m256i)doubtful;
    for (int v = 0; v < vectors; v += PACKED_VECTORS) {
        const int i = v / PACKED_VECTORS;
        const int count = packed_from(v, vectors);
        // What is beyond an int32 becomes INT32_MIN: no excess of an element that is not doubtful is so large.
        vint whole[PACKED_VECTORS];
        for (int j = 0; j < count; j++) whole[j] = (vint)_mm256_cvttps_epi32((__m256)excess[v + j]);
        const __m256i packed = pack_lanes(whole, count);
        is_doubtful = _mm256_or_si256(is_doubtful, _mm256_cmpeq_epi8(packed, zero));
        const __m256i step = _mm256_or_si256(signs.bytes[i], _mm256_set1_epi8(1));
        codes.bytes[i] = _mm256_add_epi8(codes.bytes[i], _mm256_and_si256(step, _mm256_cmpgt_epi8(packed, zero)));
    }
    if (__builtin_expect(_mm256_movemask_epi8(is_doubtful) != 0, false)) return false;
    store_code_set(destination, codes, vectors);
    return true;
}

// Searching by a grid as 16 lanes do: every value falls into one of 31 cells of 1/16, whose only bound decides.
typedef struct {
    // By cell modulo 16, the cells from 0 on and those below 0: the planes of its bound, infinite if it has none, and how many
    // bounds lie in the cells below.
    set_table bounds[2];
    __m256i ranks[2];
} set_search;

// round(16 * value), at most 15 on either side. NaN counts as a large value.
INLINE __m256i cells_of_set(const vfloat *values, int count) {
    vint cells[PACKED_VECTORS];
    for (int v = 0; v < count; v++) {
        const __m256 scaled = _mm256_mul_ps((__m256)values[v], _mm256_set1_ps(16));
        cells[v] = (vint)_mm256_cvtps_epi32(_mm256_min_ps(scaled, _mm256_set1_ps(16)));
    }
    const __m256i packed = pack_lanes(cells, count);
    return _mm256_max_epi8(_mm256_min_epi8(packed, _mm256_set1_epi8(15)), _mm256_set1_epi8(-15));
}

// False if two bounds lie in the same cell.
INLINE bool make_set_search(set_search *search, const rounder *rounder, const float bounds[15]) {
    (void)rounder;
    float cell_bounds[32];
    uint8_t ranks[32];
    int next = 0;
    for (int cell = -16; cell < 16; cell++) {
        cell_bounds[cell & 31] = __builtin_inff();
        ranks[cell & 31] = (uint8_t)next;
        if (next == 15) continue;
        const vfloat bound[2] = {broadcast(bounds[next]), broadcast(bounds[next])};
        if ((int8_t)_mm256_extract_epi8(cells_of_set(bound, 2), 0) != cell) continue;
        cell_bounds[cell & 31] = bounds[next++];
    }
    for (int half = 0; half < 2; half++) {
        search->bounds[half] = make_set_table(cell_bounds + 16 * half);
        search->ranks[half] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(ranks + 16 * half)));
    }
    return next == 15;
}

// The entries of two tables for cells from 0 on and below 0.
INLINE __m256i look_up_cells(__m256i from_zero, __m256i below_zero, __m256i cells) {
    // Where the highest bit is set, what is looked up is 0.
    const __m256i others = _mm256_xor_si256(cells, _mm256_set1_epi8(-128));
    return _mm256_or_si256(_mm256_shuffle_epi8(from_zero, cells), _mm256_shuffle_epi8(below_zero, others));
}

// The codes of the nearest levels, where codes are ranks; of the highest level for NaN.
INLINE code_set nearest_set(const set_search *search, const vfloat *values, int vectors) {
    code_set set;
    for (int v = 0; v < vectors; v += PACKED_VECTORS) {
        const int count = packed_from(v, vectors);
        const __m256i cells = cells_of_set(values + v, count);
        __m256i planes[4];
        for (int i = 0; i < 4; i++) {
            planes[i] = look_up_cells(search->bounds[0].planes[i], search->bounds[1].planes[i], cells);
        }
        vfloat bounds[PACKED_VECTORS];
        vint exceeds[PACKED_VECTORS];
        unpack_planes(planes, count, bounds);
        for (int i = 0; i < count; i++) exceeds[i] = (vint)(values[v + i] > bounds[i]);
        const __m256i ranks = look_up_cells(search->ranks[0], search->ranks[1], cells);
        set.bytes[v / PACKED_VECTORS] = _mm256_sub_epi8(ranks, pack_lanes(exceeds, count));
    }
    return set;
}

#else

enum { SET_VECTORS = 4, SET = SET_VECTORS * QCONV_LANES };

typedef struct {
    vint codes[SET_VECTORS];
} code_set;

typedef table16 set_table;

INLINE set_table make_set_table(const float entries[16]) { return load_table(entries); }

INLINE code_set load_code_set(const uint8_t *source, int vectors) {
    code_set set;
    for (int v = 0; v < vectors; v++) set.codes[v] = load_codes(source + v * QCONV_LANES / 2);
    return set;
}

// -1 for negative values (-0, too), else 0.
INLINE code_set signs_of(const vfloat *values, int vectors) {
    code_set set;
    for (int v = 0; v < vectors; v++) set.codes[v] = (vint)values[v] >> 31;
    return set;
}

// The sums modulo 16, for looking up.
INLINE code_set add_code_sets(code_set a, code_set b, int vectors) {
    for (int v = 0; v < vectors; v++) a.codes[v] += b.codes[v];
    return a;
}

INLINE void look_up_set(const set_table *table, code_set codes, int vectors, vfloat *result) {
    for (int v = 0; v < vectors; v++) result[v] = look_up(*table, codes.codes[v]);
}

// Stores the codes, one higher where the excess is above 0 and the sign is 0, one lower where it is and the sign is -1. Or returns
// false and stores nothing: if a lane of `doubtful` is set, or an excess is between -1 and 1.
INLINE bool store_moved_set(
    uint8_t *destination, const uint8_t *source, code_set codes, code_set signs, const vfloat *excess, vint doubtful,
    int vectors
) {
    (void)codes;
    vfloat closest = broadcast(1.0f);
    for (int v = 0; v < vectors; v++) closest = smaller_magnitude(closest, excess[v]);
    doubtful |= (vint)(closest < 1.0f);
    if (__builtin_expect(bits_of_mask(doubtful) != 0, false)) return false;
    for (int v = 0; v < vectors; v++) {
        const int i = v * QCONV_LANES / 2;
        const uint32_t moving = bits_of_mask((vint)(excess[v] > 0.0f)), pointing_down = bits_of_mask(signs.codes[v]);
        shift_codes(destination + i, source + i, moving & ~pointing_down, moving & pointing_down);
    }
    return true;
}

INLINE void store_code_set(uint8_t *destination, code_set codes, int vectors) {
    for (int v = 0; v < vectors; v++) store_codes(destination + v * QCONV_LANES / 2, codes.codes[v]);
}

typedef struct {
    const rounder *rounder;
} set_search;

INLINE bool make_set_search(set_search *search, const rounder *rounder, const float bounds[15]) {
    (void)bounds;
    search->rounder = rounder;
    return true;
}

// The codes of the nearest levels, where codes are ranks; of the highest level for NaN.
INLINE code_set nearest_set(const set_search *search, const vfloat *values, int vectors) {
    code_set set;
    for (int v = 0; v < vectors; v++) set.codes[v] = rank_of(search->rounder, true, values[v], false);
    return set;
}

#endif
