// scaling * left * right for a range of elements; part of portable_kernels.h.
//
// Every element is one chain of fused multiply-adds in the order of k, which is what matrix products of this size come to
// in the libraries that PEFT runs on.

// a * b + c, rounded once.
#if QCONV_HAS_FMA

INLINE vfloat multiply_add(vfloat a, vfloat b, vfloat c) { return __builtin_elementwise_fma(a, b, c); }

#else

typedef double vwide __attribute__((vector_size(QCONV_LANES * 8)));
typedef int64_t vwide_bits __attribute__((vector_size(QCONV_LANES * 8)));

// The sum is rounded to odd (where inexact, to the neighbour whose last bit is 1), which can then be rounded to float32 as if it
// were exact.
static vfloat QCONV_NAME(multiply_add_to_odd)(vfloat a, vfloat b, vfloat c) {
    const vwide product = __builtin_convertvector(a, vwide) * __builtin_convertvector(b, vwide);
    const vwide addend = __builtin_convertvector(c, vwide);
    const vwide sum = product + addend;
    // What the sum lost (Knuth's TwoSum); NaN beside infinities, where nothing is to be corrected.
    const vwide addend_part = sum - product;
    const vwide lost = (product - (sum - addend_part)) + (addend - addend_part);
    const vwide_bits is_inexact = (vwide_bits)(lost < 0) | (vwide_bits)(lost > 0);
    // One step away from zero if what was lost has the sum's sign, else one step towards it.
    const vwide_bits step = 1 | ((vwide_bits)(lost < 0) ^ (vwide_bits)(sum < 0));
    const vwide_bits bits = (vwide_bits)sum;
    const vwide_bits odd = bits + (step & is_inexact & ((bits & 1) - 1));
    return __builtin_convertvector((vwide)odd, vfloat);
}

// Without the instruction: the product of two floats is exact in float64, and rounding the sum there first changes the result
// only if it lands in the middle between two floats. Results up to the smallest normal one, below which middles are
// elsewhere, are all doubtful.
INLINE vfloat multiply_add(vfloat a, vfloat b, vfloat c) {
    const vwide product = __builtin_convertvector(a, vwide) * __builtin_convertvector(b, vwide);
    const vwide sum = product + __builtin_convertvector(c, vwide);
    const vfloat rounded = __builtin_convertvector(sum, vfloat);
    const vint discarded = __builtin_convertvector((vwide_bits)sum, vint) & 0x1FFFFFFF;
    const vint is_doubtful = (discarded == 0x10000000) | (((vint)rounded & 0x7FFFFFFF) <= 0x00800000);
    if (__builtin_expect(__builtin_reduce_or(is_doubtful) == 0, true)) return rounded;
    return QCONV_NAME(multiply_add_to_odd)(a, b, c);
}

#endif

// A tile of the update is computed in registers: so many rows, so many vectors of columns of one panel.
#if QCONV_LANES == 16 || defined(__aarch64__)
#define TILE_ROWS 6
#define TILE_VECTORS 4
#elif QCONV_LANES == 8
#define TILE_ROWS 6
#define TILE_VECTORS 2
#else
#define TILE_ROWS 4
#define TILE_VECTORS 1
#endif
#define TILE_COLUMNS (TILE_VECTORS * QCONV_LANES)
#define CACHE_LINE_FLOATS 16

typedef struct {
    const float *left, *panels;
    size_t rank, columns;
    float scaling;
    bool accumulate;
} low_rank_product;

// Loops over registers: unrolled, or the compiler keeps what they run over in memory.
#define FOR_TILE_ROWS(i) _Pragma("clang loop unroll(full)") for (int i = 0; i < rows; i++)
#define FOR_TILE_VECTORS(v) _Pragma("clang loop unroll(full)") for (int v = 0; v < TILE_VECTORS; v++)

// The sums of a tile: `left` is where the first of `rows` rows starts, `right` where the first of its columns does.
INLINE void low_rank_sums(
    const float *left, const float *right, size_t rank, int rows, vfloat sums[TILE_ROWS][TILE_VECTORS]
) {
    FOR_TILE_ROWS(i) FOR_TILE_VECTORS(v) sums[i][v] = (vfloat){0};
#pragma clang loop unroll_count(2)
    for (size_t k = 0; k < rank; k++) {
        vfloat factors[TILE_VECTORS];
        FOR_TILE_VECTORS(v) factors[v] = load(right + k * QCONV_PANEL_COLUMNS + v * QCONV_LANES);
        FOR_TILE_ROWS(i) {
            const vfloat factor = broadcast(left[(size_t)i * rank + k]);
            FOR_TILE_VECTORS(v) sums[i][v] = multiply_add(factor, factors[v], sums[i][v]);
        }
    }
}

// Tiles one below the other, all of whose columns are written, or added to what is there.
INLINE void low_rank_whole_tiles(
    const low_rank_product *product, const float *left, const float *right, int rows, size_t tiles, float *destination
) {
    const size_t rank = product->rank, columns = product->columns;
    const bool accumulate = product->accumulate;
    const vfloat scaling = broadcast(product->scaling);
    for (; tiles > 0; tiles--) {
        vfloat sums[TILE_ROWS][TILE_VECTORS];
        low_rank_sums(left, right, rank, rows, sums);
        // Multiplied one by one: Zen 3 takes twice the time for stores that follow each other.
        FOR_TILE_ROWS(i) FOR_TILE_VECTORS(v) {
            float *place = destination + (size_t)i * columns + v * QCONV_LANES;
            const vfloat scaled = sums[i][v] * scaling;
            store(place, accumulate ? load(place) + scaled : scaled);
        }
        left += (size_t)rows * rank;
        destination += (size_t)rows * columns;
    }
}

// Functions of their own, which leave all registers to their loops.
#define DEFINE_WHOLE_TILES(name, rows)                                                                                  \
    static __attribute__((noinline)) void QCONV_NAME(name)(                                                             \
        const low_rank_product *product, const float *left, const float *right, size_t tiles, float *destination        \
    ) {                                                                                                                 \
        low_rank_whole_tiles(product, left, right, rows, tiles, destination);                                           \
    }
DEFINE_WHOLE_TILES(low_rank_high_tiles, TILE_ROWS)
DEFINE_WHOLE_TILES(low_rank_lower_tiles, TILE_ROWS - 1)
#undef DEFINE_WHOLE_TILES

// A tile of which the columns first_column ..< end_column are written, or added to what is there.
INLINE void low_rank_tile(
    const low_rank_product *product, const float *left, const float *right, int rows, size_t column,
    size_t first_column, size_t end_column, float *destination
) {
    const vfloat scaling = broadcast(product->scaling);
    vfloat sums[TILE_ROWS][TILE_VECTORS];
    float scaled[TILE_ROWS][TILE_COLUMNS];
    low_rank_sums(left, right, product->rank, rows, sums);
    FOR_TILE_ROWS(i) FOR_TILE_VECTORS(v) store(scaled[i] + v * QCONV_LANES, sums[i][v] * scaling);
    for (int i = 0; i < rows; i++) {
        float *written = destination + (size_t)i * product->columns;
        for (size_t j = first_column; j < end_column; j++) {
            const float value = scaled[i][j - column];
            written[j - first_column] = product->accumulate ? written[j - first_column] + value : value;
        }
    }
}

// Rows of a tile column, in as few tiles as possible, of about the same height. `destination` is where the first of the
// written columns goes.
static void QCONV_NAME(low_rank_tile_column)(
    const low_rank_product *product, size_t row, size_t end_row, size_t column, size_t first_column, size_t end_column,
    float *destination
) {
    const size_t rank = product->rank, columns = product->columns;
    const size_t panel = column / QCONV_PANEL_COLUMNS * QCONV_PANEL_COLUMNS, place = column - panel;
    // What these columns need of the next panel, which the processor does not foresee.
    if (panel + QCONV_PANEL_COLUMNS < columns) {
        const float *next = product->panels + (panel + QCONV_PANEL_COLUMNS) * rank;
        for (size_t k = 0; k < rank; k++) {
            for (size_t i = 0; i < TILE_COLUMNS; i += CACHE_LINE_FLOATS) {
                __builtin_prefetch(next + k * QCONV_PANEL_COLUMNS + place + i);
            }
        }
    }
    const float *left = product->left + row * rank, *right = product->panels + panel * rank + place;
    const size_t rows = end_row - row;
    const bool is_whole = end_column - first_column == TILE_COLUMNS;
    size_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS, done = 0;
    // If there are not very few rows, all tiles are as high as can be or one row lower.
    const size_t lower = tiles * TILE_ROWS - rows;
    if (is_whole && lower <= tiles) {
        done = (tiles - lower) * TILE_ROWS;
        QCONV_NAME(low_rank_high_tiles)(product, left, right, tiles - lower, destination);
        QCONV_NAME(low_rank_lower_tiles)(product, left + done * rank, right, lower, destination + done * columns);
        return;
    }
    for (; done < rows; tiles--) {
        const size_t height = (rows - done + tiles - 1) / tiles;
        const float *first = left + done * rank;
        float *place = destination + done * columns;
        switch (height) {
#define TILE_OF_HEIGHT(height)                                                                                          \
    case height:                                                                                                        \
        if (is_whole) low_rank_whole_tiles(product, first, right, height, 1, place);                                    \
        else low_rank_tile(product, first, right, height, column, first_column, end_column, place);                     \
        break;
            TILE_OF_HEIGHT(1)
            TILE_OF_HEIGHT(2)
            TILE_OF_HEIGHT(3)
            TILE_OF_HEIGHT(4)
#if TILE_ROWS > 4
            TILE_OF_HEIGHT(5)
            TILE_OF_HEIGHT(6)
#endif
#undef TILE_OF_HEIGHT
        }
        done += height;
    }
}

static void QCONV_NAME(low_rank_update)(
    const float *left, const float *panels, size_t rank, size_t columns, float scaling, size_t first, size_t count,
    bool accumulate, float *update
) {
    if (count == 0) return;
    const low_rank_product product = {left, panels, rank, columns, scaling, accumulate};
    const size_t first_row = first / columns, last_row = (first + count - 1) / columns;
    // Where the range starts in its first row and ends in its last.
    const size_t start = first - first_row * columns, end = first + count - last_row * columns;
    for (size_t column = 0; column < columns; column += TILE_COLUMNS) {
        const size_t end_column = smaller(columns, column + TILE_COLUMNS);
        // The rows that have all of these columns; the first and the last may have some of them.
        size_t row = first_row, end_row = last_row + 1;
        if (start > column) {
            const size_t stop = row == last_row ? smaller(end, end_column) : end_column;
            if (start < stop) {
                QCONV_NAME(low_rank_tile_column)(&product, row, row + 1, column, start, stop, update);
            }
            row++;
        }
        if (row < end_row && end < end_column) {
            end_row--;
            if (column < end) {
                QCONV_NAME(low_rank_tile_column)(
                    &product, end_row, end_row + 1, column, column, end, update + (end_row * columns + column - first));
            }
        }
        if (row < end_row) {
            QCONV_NAME(low_rank_tile_column)(
                &product, row, end_row, column, column, end_column, update + (row * columns + column - first));
        }
    }
}
