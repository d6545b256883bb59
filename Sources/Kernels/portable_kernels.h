// The kernels themselves, compiled once for each instruction set with QCONV_LANES (float32 lanes of a vector) and
// QCONV_NAME (the suffix of its functions) defined. No include guard: each translation unit includes it once.
//
// Vectors are clang's portable vector types; what they compute in a lane is IEEE arithmetic on that element alone, so the
// number of lanes never shows in a result. Only looking things up in small tables, with what prepares codes and values for that, is
// written for an instruction set.

#include <string.h>

#include "kernel_table.h"

// a * b + c is two roundings, except where multiply_add says otherwise.
#pragma STDC FP_CONTRACT OFF

// Whether the processor can round a * b + c once.
#if QCONV_LANES > 4 || defined(__aarch64__)
#define QCONV_HAS_FMA 1
#else
#define QCONV_HAS_FMA 0
#endif

#define INLINE static inline __attribute__((always_inline))

typedef float vfloat __attribute__((vector_size(QCONV_LANES * 4)));
typedef int32_t vint __attribute__((vector_size(QCONV_LANES * 4)));
typedef uint32_t vuint __attribute__((vector_size(QCONV_LANES * 4)));
typedef uint64_t vpair __attribute__((vector_size(QCONV_LANES * 4)));
typedef uint8_t vbytes __attribute__((vector_size(QCONV_LANES / 2)));
typedef double vdouble __attribute__((vector_size(QCONV_LANES * 4)));
typedef float vfloat_half __attribute__((vector_size(QCONV_LANES * 2)));
typedef int64_t vlong __attribute__((vector_size(QCONV_LANES * 4)));

INLINE vfloat load(const float *source) {
    vfloat value;
    memcpy(&value, source, sizeof(value));
    return value;
}

INLINE vuint load_bits(const uint32_t *source) {
    vuint value;
    memcpy(&value, source, sizeof(value));
    return value;
}

INLINE void store(float *destination, vfloat value) { memcpy(destination, &value, sizeof(value)); }

INLINE vfloat broadcast(float value) { return value - (vfloat){0}; }

// mask ? a : b, with all bits of a lane of the mask equal.
INLINE vint choose(vint mask, vint a, vint b) { return (mask & a) | (~mask & b); }

INLINE vfloat magnitude(vfloat value) { return (vfloat)((vint)value & INT32_MAX); }

// The larger of `a`, which has no sign, and the magnitude of b; NaN if one of them is. (As AVX-512's own instruction for it gives
// the other one then, bits are compared everywhere.)
INLINE vfloat larger_magnitude(vfloat a, vfloat b) {
    return (vfloat)__builtin_elementwise_max((vint)a, (vint)magnitude(b));
}

// The smaller of `a`, which has no sign, and the magnitude of b; a if b is NaN.
INLINE vfloat smaller_magnitude(vfloat a, vfloat b) {
#if QCONV_LANES == 16
    // 10: without sign; 10: the smaller magnitude.
    return (vfloat)_mm512_range_ps((__m512)a, (__m512)b, 0xA);
#else
    return (vfloat)__builtin_elementwise_min((vint)a, (vint)magnitude(b));
#endif
}

// A bit for each lane of a mask, that of lane 0 the lowest.
INLINE uint32_t bits_of_mask(vint mask) {
    typedef bool vbits __attribute__((ext_vector_type(QCONV_LANES)));
    const vbits bits = __builtin_convertvector(mask, vbits);
    uint32_t result = 0;
    memcpy(&result, &bits, sizeof(bits));
    return result & ((1u << QCONV_LANES) - 1);
}

// a * b + c, rounded once or twice.
INLINE vfloat add_product_loosely(vfloat a, vfloat b, vfloat c) {
#if QCONV_HAS_FMA
    return __builtin_elementwise_fma(a, b, c);
#else
    return a * b + c;
#endif
}

INLINE float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

INLINE uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

INLINE size_t larger(size_t a, size_t b) { return a > b ? a : b; }

// MARK: - Tables of 16 entries

typedef struct {
#if QCONV_LANES == 16
    __m512 all;
#elif QCONV_LANES == 8
    __m256 low, high;
#else
    const float *entries;
#endif
} table16;

INLINE table16 load_table(const float entries[16]) {
#if QCONV_LANES == 16
    return (table16){_mm512_loadu_ps(entries)};
#elif QCONV_LANES == 8
    return (table16){_mm256_loadu_ps(entries), _mm256_loadu_ps(entries + 8)};
#else
    return (table16){entries};
#endif
}

// The entries at index modulo 16.
INLINE vfloat look_up(table16 table, vint index) {
#if QCONV_LANES == 16
    return (vfloat)_mm512_permutexvar_ps((__m512i)index, table.all);
#elif QCONV_LANES == 8
    const __m256 low = _mm256_permutevar8x32_ps(table.low, (__m256i)index);
    const __m256 high = _mm256_permutevar8x32_ps(table.high, (__m256i)index);
    return (vfloat)_mm256_blendv_ps(low, high, (__m256)(index << 28));
#else
    vfloat result;
    for (int lane = 0; lane < QCONV_LANES; lane++) result[lane] = table.entries[index[lane] & 15];
    return result;
#endif
}

// MARK: - Searching a codebook

// How many of 15 ascending bounds a value exceeds; 15 for NaN.
typedef struct {
#if QCONV_LANES > 4
    // The bounds as a binary search tree, root at 1 and children of n at 2n and 2n + 1.
    float nodes[16];
#endif
    const float *bounds;
} search_tree;

INLINE search_tree make_search_tree(const float bounds[15]) {
    search_tree tree;
    tree.bounds = bounds;
#if QCONV_LANES > 4
    tree.nodes[0] = 0;
    for (int depth = 0; depth < 4; depth++) {
        const int width = 1 << depth;
        for (int i = 0; i < width; i++) tree.nodes[width + i] = bounds[(16 >> (depth + 1)) * (2 * i + 1) - 1];
    }
#endif
    return tree;
}

// Whether a value equal to a bound exceeds it is `equal_exceeds`.
INLINE vint rank_among(const search_tree *tree, vfloat value, bool equal_exceeds) {
#if QCONV_LANES > 4
    const table16 nodes = load_table(tree->nodes);
    const vfloat root = broadcast(tree->nodes[1]);
    vint node = 3 + (equal_exceeds ? (vint)(value < root) : (vint)(value <= root));
    for (int depth = 1; depth < 4; depth++) {
#if QCONV_LANES == 8
        const vfloat bound = (vfloat)_mm256_permutevar8x32_ps(depth < 3 ? nodes.low : nodes.high, (__m256i)node);
#else
        const vfloat bound = look_up(nodes, node);
#endif
        node = node + node + 1 + (equal_exceeds ? (vint)(value < bound) : (vint)(value <= bound));
    }
    return node - 16;
#else
    vint rank = 15 - (vint){0};
    for (int i = 0; i < 15; i++) {
        const vfloat bound = broadcast(tree->bounds[i]);
        rank += equal_exceeds ? (vint)(value < bound) : (vint)(value <= bound);
    }
    return rank;
#endif
}

#if QCONV_LANES == 16

// The same for bounds of which no two lie within 1/16 of each other and none outside -1 ... 1: every value falls into one of
// 31 cells of that width, whose only bound decides. Needs far fewer steps than a tree, all of them independent.
typedef struct {
    // By cell modulo 32: its bound, infinite if it has none, and how many bounds lie in the cells below.
    __m512 bounds[2];
    __m512i ranks[2];
} search_grid;

// The cell in the last five bits: round(16 * value), at which 1.5 * 2^19 has its last place. NaN counts as a large value.
INLINE __m512i cells_of(__m512 value) {
    const __m512 outermost = _mm512_set1_ps(0.96f);
    const __m512 clamped = _mm512_max_ps(_mm512_min_ps(value, outermost), -outermost);
    return _mm512_castps_si512(clamped + _mm512_set1_ps(0x1.8p19f));
}

INLINE bool make_search_grid(search_grid *grid, const float bounds[15]) {
    float cell_bounds[32];
    int32_t ranks[32], cells[16];
    float padded[16];
    for (int i = 0; i < 16; i++) padded[i] = bounds[i < 15 ? i : 14];
    _mm512_storeu_si512(cells, cells_of(_mm512_loadu_ps(padded)));
    int next = 0;
    for (int cell = -15; cell <= 15; cell++) {
        cell_bounds[cell & 31] = __builtin_inff();
        ranks[cell & 31] = next;
        if (next == 15 || (cells[next] & 31) != (cell & 31)) continue;
        cell_bounds[cell & 31] = bounds[next++];
    }
    // No value is in the one cell left; and a bound whose cell was taken is never reached.
    cell_bounds[16] = 0;
    ranks[16] = 0;
    for (int half = 0; half < 2; half++) {
        grid->bounds[half] = _mm512_loadu_ps(cell_bounds + 16 * half);
        grid->ranks[half] = _mm512_loadu_si512(ranks + 16 * half);
    }
    return next == 15;
}

INLINE vint rank_on_grid(const search_grid *grid, vfloat value, bool equal_exceeds) {
    const __m512i cells = cells_of((__m512)value);
    const __m512 bound = _mm512_permutex2var_ps(grid->bounds[0], cells, grid->bounds[1]);
    const __m512i rank = _mm512_permutex2var_epi32(grid->ranks[0], cells, grid->ranks[1]);
    const __mmask16 exceeds =
        equal_exceeds ? _mm512_cmp_ps_mask((__m512)value, bound, _CMP_GE_OQ)
                      : _mm512_cmp_ps_mask((__m512)value, bound, _CMP_GT_OQ);
    return (vint)_mm512_mask_add_epi32(rank, exceeds, rank, _mm512_set1_epi32(1));
}

#endif

// MARK: - Rounding rules

typedef enum { NEAREST, STOCHASTIC } rounding_rule;

// What rounding a block needs, in the form the inner loop wants it.
typedef struct {
    search_tree tree;
#if QCONV_LANES == 16
    search_grid grid;
#endif
    // Levels in ascending order, and how far above each its successor is.
    table16 sorted_levels, gaps, reciprocal_gaps;
    table16 codes;
    // Whether codes are ranks, and a grid serves where there is one. The inner loops are compiled for either case.
    bool is_plain;
    float gaps_by_rank[16], reciprocal_gaps_by_rank[16], codes_by_rank[16];
} rounder;

INLINE void make_rounder(rounder *result, const qconv_codebook *codebook, rounding_rule rule) {
    const uint8_t *codes = rule == NEAREST ? codebook->nearest_codes : codebook->stochastic_codes;
    for (int i = 0; i < 16; i++) result->codes_by_rank[i] = float_of_bits(codes[i]);
    for (int i = 0; i < 16; i++) {
        result->gaps_by_rank[i] = i < 15 ? codebook->sorted_levels[i + 1] - codebook->sorted_levels[i] : 0;
        result->reciprocal_gaps_by_rank[i] = 1.0f / result->gaps_by_rank[i];
    }
    const float *bounds = rule == NEAREST ? codebook->midpoints : codebook->sorted_levels + 1;
    result->tree = make_search_tree(bounds);
    result->sorted_levels = load_table(codebook->sorted_levels);
    result->gaps = load_table(result->gaps_by_rank);
    result->reciprocal_gaps = load_table(result->reciprocal_gaps_by_rank);
    result->codes = load_table(result->codes_by_rank);
    result->is_plain = codebook->codes_are_ranks;
#if QCONV_LANES == 16
    result->is_plain = result->is_plain && make_search_grid(&result->grid, bounds);
#endif
}

// The two halves of the key for the elements whose index has these upper 32 bits: SplitMix64's output function.
INLINE uint64_t segment_key(uint64_t key, uint64_t first_index) {
    uint64_t z = key + (first_index >> 32) * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

INLINE vuint broadcast_bits(uint32_t bits) { return bits - (vuint){0}; }

// first, first + 1 …
INLINE vuint lane_numbers(int first) {
    vuint lanes = {0};
    for (int lane = 0; lane < QCONV_LANES; lane++) lanes[lane] = (uint32_t)(first + lane);
    return lanes;
}

// Random bits but for the last step.
INLINE void start_random_bits(uint64_t key, uint32_t index, int vectors, vuint *x) {
#define QCONV_STEP(step) for (int v = 0; v < vectors; v++) step;
    const vuint start = broadcast_bits(index + (uint32_t)key);
    const uint32_t upper = (uint32_t)(key >> 32);
    QCONV_STEP(x[v] = start + lane_numbers(v * QCONV_LANES))
    QCONV_STEP(x[v] ^= x[v] >> 17)
    QCONV_STEP(x[v] *= 0xED5AD4BBu)
    // Two steps: x ^= upper, x ^= x >> 11.
    QCONV_STEP(x[v] ^= (x[v] >> 11) ^ (upper ^ upper >> 11))
    QCONV_STEP(x[v] *= 0xAC4C1B51u)
    QCONV_STEP(x[v] ^= x[v] >> 15)
    QCONV_STEP(x[v] *= 0x31848BABu)
#undef QCONV_STEP
}

INLINE vuint finish_random_bits(vuint x) { return x ^ (x >> 14); }

// 32 random bits for each element of `vectors` vectors, a function of the key and the lower 32 bits of the element's index. Only
// the upper 24 are good. One step of all vectors after the other: each step has to wait for the one before.
INLINE void random_bits(uint64_t key, uint32_t index, int vectors, vuint *x) {
    start_random_bits(key, index, vectors, x);
    for (int v = 0; v < vectors; v++) x[v] = finish_random_bits(x[v]);
}

// The upper 24 of random bits as a fraction in [0, 1).
INLINE vfloat fraction_of(vuint random) {
    return __builtin_convertvector((vint)(random >> 8), vfloat) * 0x1p-24f;
}

// Magnitudes whose quotients and remainders neither overflow nor underflow: 2^-60 to 2^60.
#define EASY_LEAST 0x21800000u
#define EASY_MOST 0x5D800000u

INLINE bool divides_easily(float divisor) {
    return (bits_of_float(divisor) & 0x7FFFFFFF) - EASY_LEAST <= EASY_MOST - EASY_LEAST;
}

// Whether all lanes are 0 or between the bounds.
INLINE bool all_divide_easily(vfloat numerators) {
    const vuint magnitudes = (vuint)numerators & 0x7FFFFFFF;
    const vint are_hard = (vint)(magnitudes - EASY_LEAST > EASY_MOST - EASY_LEAST) & (vint)(magnitudes != 0);
    return __builtin_reduce_or(are_hard) == 0;
}

// numerator / divisor, rounded once, given the divisor's rounded reciprocal: two corrections by the exact remainder take a
// fraction of the time of a division (Markstein, IBM Journal of Research and Development 34(1), 1990). A quotient of 0 may
// lose its sign.
INLINE vfloat divide_by_reciprocal(vfloat numerator, vfloat divisor, vfloat reciprocal) {
#if QCONV_HAS_FMA
    vfloat quotient = numerator * reciprocal;
    for (int step = 0; step < 2; step++) {
        const vfloat remainder = __builtin_elementwise_fma(-quotient, divisor, numerator);
        quotient = __builtin_elementwise_fma(remainder, reciprocal, quotient);
    }
    return quotient;
#else
    (void)reciprocal;
    return numerator / divisor;
#endif
}

INLINE vint rank_of(const rounder *rounder, bool is_plain, vfloat value, bool equal_exceeds) {
#if QCONV_LANES == 16
    if (is_plain) return rank_on_grid(&rounder->grid, value, equal_exceeds);
#else
    (void)is_plain;
#endif
    return rank_among(&rounder->tree, value, equal_exceeds);
}

// The codes of scaled values. A NaN gets the code of the highest level, as in bitsandbytes. `random` is what stochastic rounding
// decides by.
INLINE vint round_to_codes(
    const rounder *rounder, rounding_rule rule, bool is_plain, vfloat scaled, vuint random
) {
    vint rank;
    if (rule == NEAREST) {
        rank = rank_of(rounder, is_plain, scaled, false);
    } else {
        rank = rank_of(rounder, is_plain, scaled, true);
        rank += rank == 15;
        vfloat above = scaled - look_up(rounder->sorted_levels, rank);
        // What lies far below the lowest level goes there, and must not make its corrected quotient NaN. Far above all levels
        // that is harmless: nothing is at least NaN, so the rank goes up. Near 0 a quotient need only have the right sign:
        // fractions come in steps of 2^-24.
        above = (vfloat)choose((vint)(above < -1.0f), (vint)(broadcast(-1.0f)), (vint)above);
        const vfloat probability = divide_by_reciprocal(
            above, look_up(rounder->gaps, rank), look_up(rounder->reciprocal_gaps, rank));
        rank += 1 + (vint)(fraction_of(random) >= probability);
    }
    return is_plain ? rank : (vint)look_up(rounder->codes, rank);
}

// MARK: - Packing

// Two codes a byte, the first in the high nibble. Of the lanes only the four lowest bits count.
INLINE void store_codes(uint8_t *destination, vint codes) {
    vpair pairs = (vpair)codes;
    pairs = (pairs << 4) | ((pairs >> 32) & 15);
    const vbytes bytes = __builtin_convertvector(pairs, vbytes);
    memcpy(destination, &bytes, sizeof(bytes));
}

// Codes in the four lowest bits of each lane; the others can be anything.
INLINE vint load_codes(const uint8_t *source) {
#if QCONV_LANES > 4
    // A lane has all the bytes of its group of eight, shifted until its own nibble is the last.
    uint32_t words[QCONV_LANES / 8];
    memcpy(words, source, sizeof(words));
#if QCONV_LANES == 16
    const __m512i low = _mm512_set1_epi32((int32_t)words[0]);
    const vuint bytes = (vuint)_mm512_mask_set1_epi32(low, 0xFF00, (int32_t)words[1]);
    return (vint)(bytes >> (vuint){4, 0, 12, 8, 20, 16, 28, 24, 4, 0, 12, 8, 20, 16, 28, 24});
#else
    const vuint bytes = words[0] - (vuint){0};
    return (vint)(bytes >> (vuint){4, 0, 12, 8, 20, 16, 28, 24});
#endif
#else
    vbytes bytes;
    memcpy(&bytes, source, sizeof(bytes));
    const vpair pairs = __builtin_convertvector(bytes, vpair);
    return (vint)((pairs >> 4) | ((pairs & 15) << 32));
#endif
}

// Writes eight codes for each byte of `up` and `down`, one higher or lower where the bit of the element is set.
INLINE void shift_codes(uint8_t *destination, const uint8_t *source, uint32_t up, uint32_t down) {
#if QCONV_LANES > 4
    for (int i = 0; i < QCONV_LANES / 8; i++) {
        uint32_t codes;
        memcpy(&codes, source + 4 * i, sizeof(codes));
        codes += qconv_nibbles[(up >> (8 * i)) & 255] - qconv_nibbles[(down >> (8 * i)) & 255];
        memcpy(destination + 4 * i, &codes, sizeof(codes));
    }
#else
    uint16_t codes;
    memcpy(&codes, source, sizeof(codes));
    codes = (uint16_t)(codes + qconv_nibbles[up] - qconv_nibbles[down]);
    memcpy(destination, &codes, sizeof(codes));
#endif
}

// MARK: - Scales

static void QCONV_NAME(absmax)(const float *values, size_t count, size_t blocksize, float *absmax) {
    for (size_t start = 0; start < count; start += blocksize) {
        const size_t length = smaller(blocksize, count - start);
        // Magnitudes compare as integers, and NaN above infinity.
        int32_t largest = 0;
        for (size_t i = 0; i < length; i++) {
            const int32_t magnitude = (int32_t)(bits_of_float(values[start + i]) & 0x7FFFFFFF);
            largest = magnitude > largest ? magnitude : largest;
        }
        float result = float_of_bits((uint32_t)largest);
        if (length < blocksize && result < 1e-38f) result = 1e-38f;
        *absmax++ = result;
    }
}

// MARK: - Dequantization from 4 bits

// Elements start ..< start + count of a tensor, into `values`. `start` is even.
INLINE void dequantize_range(
    const uint8_t *codes, const float *absmax, size_t start, size_t count, size_t blocksize,
    const qconv_codebook *codebook, table16 levels, float *values
) {
    for (size_t done = 0; done < count;) {
        const size_t first = start + done, block = first / blocksize;
        const size_t length = smaller(count - done, (block + 1) * blocksize - first);
        const float scale = absmax[block];
        const uint8_t *block_codes = codes + first / 2;
        float *block_values = values + done;
        size_t i = 0;
        for (; i + QCONV_LANES <= length; i += QCONV_LANES) {
            store(block_values + i, look_up(levels, load_codes(block_codes + i / 2)) * scale);
        }
        for (; i < length; i++) {
            const uint8_t pair = block_codes[i / 2];
            block_values[i] = codebook->levels[i % 2 == 0 ? pair >> 4 : pair & 15] * scale;
        }
        done += length;
    }
}

static void QCONV_NAME(dequantize)(
    const uint8_t *codes, const float *absmax, size_t count, size_t blocksize, const qconv_codebook *codebook,
    float *values
) {
    dequantize_range(codes, absmax, 0, count, blocksize, codebook, load_table(codebook->levels), values);
}

static size_t QCONV_NAME(changed_codes)(const uint8_t *a, const uint8_t *b, size_t count) {
    // Counted in bytes for as many bytes as cannot overflow.
    typedef uint8_t vcodes __attribute__((vector_size(QCONV_LANES * 4)));
    enum { PIECE = 127 * sizeof(vcodes) };
    const size_t whole_bytes = count / 2, whole_vectors = whole_bytes - whole_bytes % sizeof(vcodes);
    size_t changed = 0, i = 0;
    while (i < whole_vectors) {
        vcodes counts = {0};
        for (const size_t end = smaller(whole_vectors, i + PIECE); i < end; i += sizeof(vcodes)) {
            vcodes codes, others;
            memcpy(&codes, a + i, sizeof(codes));
            memcpy(&others, b + i, sizeof(others));
            const vcodes difference = codes ^ others;
            counts -= (vcodes)((difference & 0xF0) != 0) + (vcodes)((difference & 0x0F) != 0);
        }
        for (size_t lane = 0; lane < sizeof(counts); lane++) changed += counts[lane];
    }
    for (; i < whole_bytes; i++) {
        const uint8_t difference = a[i] ^ b[i];
        changed += (size_t)((difference & 0xF0) != 0) + (size_t)((difference & 0x0F) != 0);
    }
    if (count % 2 != 0) changed += ((a[whole_bytes] ^ b[whole_bytes]) & 0xF0) != 0;
    return changed;
}

// MARK: - Double quantization

// Scales a nested block; fixed in bitsandbytes.
#define NESTED_BLOCKSIZE 256

static void QCONV_NAME(quantize_scales)(
    const float *absmax, size_t count, float offset, const uint8_t *codes_by_grid_index, uint8_t *codes,
    float *nested_absmax
) {
    for (size_t start = 0; start < count; start += NESTED_BLOCKSIZE) {
        const size_t length = smaller(NESTED_BLOCKSIZE, count - start);
        float centred[NESTED_BLOCKSIZE];
        int32_t grid[NESTED_BLOCKSIZE];
        float largest = 0;
        for (size_t i = 0; i < length; i++) centred[i] = absmax[start + i] - offset;
        for (size_t i = 0; i < length; i++) {
            const float magnitude = float_of_bits(bits_of_float(centred[i]) & 0x7FFFFFFF);
            largest = largest < magnitude ? magnitude : largest;
        }
        *nested_absmax++ = largest;
        if (largest == 0) {
            memset(codes + start, 0, length);
            continue;
        }
        const float reciprocal = 1.0f / largest;
        for (size_t i = 0; i < length; i++) {
            float scaled = centred[i] * reciprocal;
            scaled = scaled < -1.0f ? -1.0f : scaled;
            scaled = scaled > 1.0f ? 1.0f : scaled;
            // bitsandbytes' build computes half * 65535 + 0.5 with one rounding. In float64 both steps are exact.
            const float half = (scaled + 1.0f) * 0.5f;
            const float position = (float)((double)half * 65535.0 + 0.5);
            // A NaN (0 times an infinite reciprocal) lands on the grid's first point there.
            grid[i] = position == position ? (int32_t)position : 0;
        }
        for (size_t i = 0; i < length; i++) codes[start + i] = codes_by_grid_index[grid[i]];
    }
}

static void QCONV_NAME(dequantize_scales)(
    const uint8_t *codes, const float *nested_absmax, size_t count, size_t blocksize, float offset,
    const float *codebook, float *absmax
) {
    for (size_t start = 0; start < count; start += blocksize) {
        const size_t length = smaller(blocksize, count - start);
        const float scale = *nested_absmax++;
        for (size_t i = 0; i < length; i++) absmax[start + i] = codebook[codes[start + i]] * scale + offset;
    }
}

// MARK: - Low-rank updates

#include "low_rank_update.h"

// MARK: - Error sums

#include "error_sums.h"

// MARK: - Quantization to 4 bits

#include "code_sets.h"
#include "quantize_to_4bit.h"

// MARK: - Merging in 4 bits

#include "merge_in_4bit.h"

// MARK: - Comparing

#include "compare_elements.h"

// MARK: - Element types

typedef uint16_t uint16_unaligned __attribute__((aligned(1)));
typedef float float_unaligned __attribute__((aligned(1)));
typedef double double_unaligned __attribute__((aligned(1)));

// A float32 from a narrow format's fields. `exponent_bits` + `mantissa_bits` + 1 is the width; subnormals are exact.
INLINE float widen(uint32_t bits, int exponent_bits, int mantissa_bits, int bias) {
    const uint32_t sign = bits >> (exponent_bits + mantissa_bits) << 31;
    const uint32_t magnitude = bits & ((1u << (exponent_bits + mantissa_bits)) - 1);
    const uint32_t normal = (magnitude << (23 - mantissa_bits)) + ((uint32_t)(127 - bias) << 23);
    const float smallest = float_of_bits((uint32_t)(127 + 1 - bias - mantissa_bits) << 23);
    const uint32_t subnormal = bits_of_float((float)(int32_t)magnitude * smallest);
    return float_of_bits(sign | (magnitude >> mantissa_bits != 0 ? normal : subnormal));
}

INLINE float float_from_bf16(uint16_t bits) { return float_of_bits((uint32_t)bits << 16); }

INLINE float float_from_f16(uint16_t bits) {
    const uint32_t magnitude = bits & 0x7FFF;
    const uint32_t infinite_or_nan = 0x7F800000u | (magnitude << 13) | (magnitude > 0x7C00 ? 0x400000u : 0);
    const uint32_t special = (uint32_t)(bits >> 15) << 31 | infinite_or_nan;
    return magnitude >= 0x7C00 ? float_of_bits(special) : widen(bits, 5, 10, 15);
}

INLINE float float_from_f8e4m3(uint8_t bits) {
    return (bits & 0x7F) == 0x7F ? float_of_bits((uint32_t)(bits >> 7) << 31 | 0x7FC00000u) : widen(bits, 4, 3, 7);
}

INLINE float float_from_f8e5m2(uint8_t bits) {
    const uint32_t magnitude = bits & 0x7F;
    const uint32_t infinite_or_nan = 0x7F800000u | (magnitude << 21) | (magnitude > 0x7C ? 0x400000u : 0);
    const uint32_t special = (uint32_t)(bits >> 7) << 31 | infinite_or_nan;
    return magnitude >= 0x7C ? float_of_bits(special) : widen(bits, 5, 2, 15);
}

INLINE float float_from_f8e8m0(uint8_t bits) {
    const uint32_t positive = bits == 0 ? 0x00400000u : (uint32_t)bits << 23;
    return float_of_bits(bits == 0xFF ? 0x7FC00000u : positive);
}

INLINE float float_from_f8e4m3fnuz(uint8_t bits) {
    return bits == 0x80 ? float_of_bits(0x7FC00000u) : widen(bits, 4, 3, 8);
}

INLINE float float_from_f8e5m2fnuz(uint8_t bits) {
    return bits == 0x80 ? float_of_bits(0x7FC00000u) : widen(bits, 5, 2, 16);
}

INLINE uint16_t bf16_from_float(float value) {
    const uint32_t bits = bits_of_float(value);
    const uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    const uint32_t quiet = (bits >> 16) | 0x40;
    return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded);
}

// The magnitude of a float32 in a narrow format, to nearest even; may carry into the format's infinity.
INLINE uint32_t narrow(uint32_t magnitude, int mantissa_bits, int bias) {
    const int shift = 23 - mantissa_bits;
    const uint32_t rebias = (uint32_t)(127 - bias) << 23;
    const uint32_t normal = (magnitude + ((1u << (shift - 1)) - 1) + ((magnitude >> shift) & 1) - rebias) >> shift;
    // Adding a power of two whose last place is the format's smallest subnormal rounds to a multiple of that.
    const uint32_t anchor = (uint32_t)(127 + 1 - bias - mantissa_bits + 23) << 23;
    const uint32_t subnormal = bits_of_float(float_of_bits(magnitude) + float_of_bits(anchor)) - anchor;
    return magnitude < (uint32_t)(127 + 1 - bias) << 23 ? subnormal : normal;
}

INLINE uint16_t f16_from_float(float value) {
    const uint32_t bits = bits_of_float(value), magnitude = bits & 0x7FFFFFFF;
    const uint32_t special = magnitude > 0x7F800000 ? 0x7E00 | ((magnitude >> 13) & 0x3FF) : 0x7C00;
    return (uint16_t)(((bits >> 16) & 0x8000) | (magnitude >= 0x47800000 ? special : narrow(magnitude, 10, 15)));
}

// Without infinities: what is too large becomes the largest value, as in torch.
INLINE uint8_t f8e4m3_from_float(float value) {
    const uint32_t bits = bits_of_float(value), magnitude = bits & 0x7FFFFFFF;
    const uint32_t special = magnitude > 0x7F800000 ? 0x7F : 0x7E;
    return (uint8_t)(((bits >> 24) & 0x80) | (magnitude >= 0x43E00000 ? special : narrow(magnitude, 3, 7)));
}

INLINE uint8_t f8e5m2_from_float(float value) {
    const uint32_t bits = bits_of_float(value), magnitude = bits & 0x7FFFFFFF;
    const uint32_t special = magnitude > 0x7F800000 ? 0x7F : 0x7C;
    return (uint8_t)(((bits >> 24) & 0x80) | (magnitude >= 0x47800000 ? special : narrow(magnitude, 2, 15)));
}

// A float32 that rounds to a narrower format as the float64 does: truncated, with the last bit set when inexact.
INLINE float round_to_odd(double value) {
    const float nearest = (float)value;
    const double difference = (double)nearest - value;
    uint32_t bits = bits_of_float(nearest);
    if (!(difference != 0) || value - value != 0) return nearest;
    if (value < 0 ? difference < 0 : difference > 0) bits--;
    return float_of_bits(bits | 1);
}

#define DECODE(element, convert)                                                                                        \
    {                                                                                                                   \
        const element *elements = source;                                                                               \
        for (size_t i = 0; i < count; i++) destination[i] = convert(elements[i]);                                       \
        return;                                                                                                         \
    }

static void QCONV_NAME(decode_floats)(
    qconv_float_type type, const void *restrict source, size_t count, float *restrict destination
) {
    switch (type) {
    case QCONV_F64:
        DECODE(double_unaligned, (float))
    case QCONV_F32:
        memcpy(destination, source, count * sizeof(float));
        return;
    case QCONV_F16:
        DECODE(uint16_unaligned, float_from_f16)
    case QCONV_BF16:
        DECODE(uint16_unaligned, float_from_bf16)
    case QCONV_F8E4M3:
        DECODE(uint8_t, float_from_f8e4m3)
    case QCONV_F8E5M2:
        DECODE(uint8_t, float_from_f8e5m2)
    case QCONV_F8E8M0:
        DECODE(uint8_t, float_from_f8e8m0)
    case QCONV_F8E4M3FNUZ:
        DECODE(uint8_t, float_from_f8e4m3fnuz)
    case QCONV_F8E5M2FNUZ:
        DECODE(uint8_t, float_from_f8e5m2fnuz)
    }
}

#define ENCODE(element, convert)                                                                                        \
    {                                                                                                                   \
        element *elements = destination;                                                                                \
        for (size_t i = 0; i < count; i++) elements[i] = convert(source[i]);                                            \
        return;                                                                                                         \
    }

static void QCONV_NAME(encode_floats)(
    const float *restrict source, size_t count, qconv_float_type type, void *restrict destination
) {
    switch (type) {
    case QCONV_F64:
        ENCODE(double_unaligned, (double))
    case QCONV_F32:
        memcpy(destination, source, count * sizeof(float));
        return;
    case QCONV_F16:
        ENCODE(uint16_unaligned, f16_from_float)
    case QCONV_BF16:
        ENCODE(uint16_unaligned, bf16_from_float)
    case QCONV_F8E4M3:
        ENCODE(uint8_t, f8e4m3_from_float)
    case QCONV_F8E5M2:
        ENCODE(uint8_t, f8e5m2_from_float)
    default:
        return;
    }
}

#define ENCODE_ODD(element, convert)                                                                                    \
    {                                                                                                                   \
        element *elements = destination;                                                                                \
        for (size_t i = 0; i < count; i++) elements[i] = convert(round_to_odd(source[i]));                              \
        return;                                                                                                         \
    }

static void QCONV_NAME(encode_doubles)(
    const double *restrict source, size_t count, qconv_float_type type, void *restrict destination
) {
    switch (type) {
    case QCONV_F64:
        memcpy(destination, source, count * sizeof(double));
        return;
    case QCONV_F32:
        ENCODE(float_unaligned, (float))
    case QCONV_F16:
        ENCODE_ODD(uint16_unaligned, f16_from_float)
    case QCONV_BF16:
        ENCODE_ODD(uint16_unaligned, bf16_from_float)
    case QCONV_F8E4M3:
        ENCODE_ODD(uint8_t, f8e4m3_from_float)
    case QCONV_F8E5M2:
        ENCODE_ODD(uint8_t, f8e5m2_from_float)
    default:
        return;
    }
}

// Each element in the narrower type and back, plus its addend if there are any.
#define ROUND(encode, decode)                                                                                           \
    {                                                                                                                   \
        if (addends == NULL) {                                                                                          \
            for (size_t i = 0; i < count; i++) values[i] = decode(encode(values[i]));                                   \
        } else {                                                                                                        \
            for (size_t i = 0; i < count; i++) values[i] = decode(encode(values[i])) + addends[i];                      \
        }                                                                                                               \
        return;                                                                                                         \
    }

static void QCONV_NAME(round_floats)(
    float *restrict values, size_t count, qconv_float_type type, const float *restrict addends
) {
    switch (type) {
    case QCONV_F16:
        ROUND(f16_from_float, float_from_f16)
    case QCONV_BF16:
        ROUND(bf16_from_float, float_from_bf16)
    case QCONV_F8E4M3:
        ROUND(f8e4m3_from_float, float_from_f8e4m3)
    case QCONV_F8E5M2:
        ROUND(f8e5m2_from_float, float_from_f8e5m2)
    default:
        if (addends == NULL) return;
        for (size_t i = 0; i < count; i++) values[i] += addends[i];
    }
}

static void QCONV_NAME(absmax_16)(
    qconv_float_type type, const void *source, size_t count, size_t blocksize, float *absmax
) {
    const uint16_unaligned *elements = source;
    for (size_t start = 0; start < count; start += blocksize) {
        const size_t length = smaller(blocksize, count - start);
        uint16_t largest = 0;
        for (size_t i = 0; i < length; i++) {
            const uint16_t magnitude = elements[start + i] & 0x7FFF;
            largest = magnitude > largest ? magnitude : largest;
        }
        float result = type == QCONV_BF16 ? float_from_bf16(largest) : float_from_f16(largest);
        if (length < blocksize && result < 1e-38f) result = 1e-38f;
        *absmax++ = result;
    }
}

const qconv_kernel_table QCONV_NAME(qconv_kernels) = {
#define QCONV_ENTRY(type, name, parameters, arguments) .name = QCONV_NAME(name),
    QCONV_KERNEL_LIST(QCONV_ENTRY)
#undef QCONV_ENTRY
};
