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

// `rows` rows and TILE_COLUMNS columns from `column` on, of which those in first_column ..< end_column are written.
INLINE void low_rank_tile(
    const low_rank_product *product, size_t row, int rows, size_t column, size_t first_column, size_t end_column,
    float *destination
) {
    const size_t rank = product->rank, columns = product->columns;
    const float *left[TILE_ROWS];
    FOR_TILE_ROWS(i) left[i] = product->left + (row + (size_t)i) * rank;
    const size_t panel = column / QCONV_PANEL_COLUMNS;
    const float *right = product->panels + panel * QCONV_PANEL_COLUMNS * rank + column % QCONV_PANEL_COLUMNS;
    vfloat sums[TILE_ROWS][TILE_VECTORS];
    FOR_TILE_ROWS(i) FOR_TILE_VECTORS(v) sums[i][v] = (vfloat){0};
#pragma clang loop unroll_count(2)
    for (size_t k = 0; k < rank; k++) {
        vfloat factors[TILE_VECTORS];
        FOR_TILE_VECTORS(v) factors[v] = load(right + k * QCONV_PANEL_COLUMNS + v * QCONV_LANES);
        FOR_TILE_ROWS(i) {
            const vfloat factor = broadcast(left[i][k]);
            FOR_TILE_VECTORS(v) sums[i][v] = multiply_add(factor, factors[v], sums[i][v]);
        }
    }
    const float scaling = product->scaling;
    FOR_TILE_ROWS(i) FOR_TILE_VECTORS(v) sums[i][v] *= scaling;
    if (end_column - first_column == TILE_COLUMNS) {
        const bool accumulate = product->accumulate;
        FOR_TILE_ROWS(i) FOR_TILE_VECTORS(v) {
            float *place = destination + (size_t)i * columns + v * QCONV_LANES;
            store(place, accumulate ? load(place) + sums[i][v] : sums[i][v]);
        }
        return;
    }
    float scaled[TILE_ROWS][TILE_COLUMNS];
    FOR_TILE_ROWS(i) FOR_TILE_VECTORS(v) store(scaled[i] + v * QCONV_LANES, sums[i][v]);
    for (int i = 0; i < rows; i++) {
        float *written = destination + (size_t)i * columns;
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
    // What these columns need of the next panel, which the processor does not foresee.
    const size_t next_panel = column / QCONV_PANEL_COLUMNS + 1;
    if (next_panel * QCONV_PANEL_COLUMNS < product->columns) {
        const float *next = product->panels + next_panel * QCONV_PANEL_COLUMNS * product->rank;
        for (size_t k = 0; k < product->rank; k++) {
            for (size_t i = 0; i < TILE_COLUMNS; i += CACHE_LINE_FLOATS) {
                __builtin_prefetch(next + k * QCONV_PANEL_COLUMNS + column % QCONV_PANEL_COLUMNS + i);
            }
        }
    }
    size_t tiles = (end_row - row + TILE_ROWS - 1) / TILE_ROWS;
    while (row < end_row) {
        const size_t height = (end_row - row + tiles - 1) / tiles;
        switch (height) {
#define TILE_OF_HEIGHT(height)                                                                                          \
    case height:                                                                                                        \
        low_rank_tile(product, row, height, column, first_column, end_column, destination);                             \
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
        row += height;
        destination += height * product->columns;
        tiles--;
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
