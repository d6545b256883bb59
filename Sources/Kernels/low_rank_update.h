// scaling * left * right for a range of elements; part of portable_kernels.h.
//
// Every element is one chain of fused multiply-adds in the order of k, which is what matrix products of this size come to
// in the libraries that PEFT runs on.

// a * b + c, rounded once.
#if QCONV_LANES > 4 || defined(__aarch64__)

INLINE vfloat multiply_add(vfloat a, vfloat b, vfloat c) { return __builtin_elementwise_fma(a, b, c); }

INLINE float multiply_add_one(float a, float b, float c) { return __builtin_elementwise_fma(a, b, c); }

#else

// Without the instruction: a product of two floats is exact in float64. The sum is rounded there to odd (where inexact, to
// the neighbour whose last bit is 1), after which rounding to float32 gives what rounding the exact sum once would.
typedef double vwide __attribute__((vector_size(QCONV_LANES * 8)));
typedef int64_t vwide_bits __attribute__((vector_size(QCONV_LANES * 8)));

INLINE vfloat multiply_add(vfloat a, vfloat b, vfloat c) {
    const vwide product = __builtin_convertvector(a, vwide) * __builtin_convertvector(b, vwide);
    const vwide addend = __builtin_convertvector(c, vwide);
    const vwide sum = product + addend;
    // What the sum lost (Knuth's TwoSum); NaN beside infinities, where nothing is to be corrected.
    const vwide addend_part = sum - product;
    const vwide lost = (product - (sum - addend_part)) + (addend - addend_part);
    const vwide_bits bits = (vwide_bits)sum;
    const vwide_bits is_inexact = (vwide_bits)(lost < 0) | (vwide_bits)(lost > 0);
    // One step away from zero if what was lost has the sum's sign, else one step towards it.
    const vwide_bits step = 1 | ((bits ^ (vwide_bits)lost) >> 63);
    const vwide_bits odd = bits + (step & is_inexact & ((bits & 1) - 1));
    return __builtin_convertvector((vwide)odd, vfloat);
}

INLINE float multiply_add_one(float a, float b, float c) {
    return multiply_add((vfloat){a}, (vfloat){b}, (vfloat){c})[0];
}

#endif

// A tile of the update is computed in registers: so many rows, so many vectors of columns.
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

// The largest rank at which a tile's columns of the right factor are packed; beyond it they would not stay in the nearest
// cache anyway.
#define PACKED_RANK 256

typedef struct {
    const float *left, *right;
    size_t rank, columns;
    float scaling;
    bool accumulate;
} low_rank_product;

INLINE float finish_element(const low_rank_product *product, float sum, float before) {
    const float scaled = sum * product->scaling;
    return product->accumulate ? before + scaled : scaled;
}

// Up to TILE_COLUMNS columns of one row, where they do not make a whole tile.
static void QCONV_NAME(low_rank_edge)(
    const low_rank_product *product, size_t row, size_t column, size_t count, float *destination
) {
    float sums[TILE_COLUMNS] = {0};
    for (size_t k = 0; k < product->rank; k++) {
        const float factor = product->left[row * product->rank + k];
        const float *right = product->right + k * product->columns + column;
        for (size_t i = 0; i < count; i++) sums[i] = multiply_add_one(factor, right[i], sums[i]);
    }
    for (size_t i = 0; i < count; i++) destination[i] = finish_element(product, sums[i], destination[i]);
}

// `rows` rows of a tile, whose columns of the right factor lie `stride` apart; they are copied to `packed` unless it is
// NULL. Of the tile the columns from `skipped` on are written, to rows of `destination`.
INLINE void low_rank_tile(
    const low_rank_product *product, size_t row, int rows, const float *tile, size_t stride, float *packed,
    size_t skipped, float *destination
) {
    const float *left = product->left + row * product->rank;
    vfloat sums[TILE_ROWS][TILE_VECTORS];
    for (int i = 0; i < rows; i++) {
        for (int v = 0; v < TILE_VECTORS; v++) sums[i][v] = (vfloat){0};
    }
    for (size_t k = 0; k < product->rank; k++) {
        vfloat right[TILE_VECTORS];
        for (int v = 0; v < TILE_VECTORS; v++) right[v] = load(tile + k * stride + (size_t)v * QCONV_LANES);
        if (packed != NULL) {
            for (int v = 0; v < TILE_VECTORS; v++) store(packed + k * TILE_COLUMNS + v * QCONV_LANES, right[v]);
        }
        for (int i = 0; i < rows; i++) {
            const vfloat factor = broadcast(left[(size_t)i * product->rank + k]);
            for (int v = 0; v < TILE_VECTORS; v++) sums[i][v] = multiply_add(factor, right[v], sums[i][v]);
        }
    }
    for (int i = 0; i < rows; i++) {
        float *written = destination + (size_t)i * product->columns;
        if (skipped == 0) {
            for (int v = 0; v < TILE_VECTORS; v++) {
                const vfloat scaled = sums[i][v] * product->scaling;
                float *place = written + v * QCONV_LANES;
                store(place, product->accumulate ? load(place) + scaled : scaled);
            }
        } else {
            float all[TILE_COLUMNS];
            for (int v = 0; v < TILE_VECTORS; v++) store(all + v * QCONV_LANES, sums[i][v]);
            for (size_t j = skipped; j < TILE_COLUMNS; j++) {
                written[j - skipped] = finish_element(product, all[j], written[j - skipped]);
            }
        }
    }
}

// A tile column over any number of rows: as few tiles as possible, of about the same height.
static void QCONV_NAME(low_rank_tile_column)(
    const low_rank_product *product, size_t row, size_t rows, size_t column, size_t skipped, float *destination
) {
    float packed[PACKED_RANK * TILE_COLUMNS];
    const float *tile = product->right + column;
    size_t stride = product->columns;
    size_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    const size_t end = row + rows;
    // Packed while the first tile passes over them: rows of the right factor, often a power of two apart, would otherwise
    // compete for the same few lines of the nearest cache.
    float *packing = tiles > 1 && product->rank <= PACKED_RANK ? packed : NULL;
    while (row < end) {
        const size_t height = (end - row + tiles - 1) / tiles;
        switch (height) {
#define TILE_OF(height, packing)                                                                                        \
    low_rank_tile(product, row, height, tile, stride, packing, skipped, destination)
#define CASE_OF_HEIGHT(height)                                                                                          \
    case height:                                                                                                        \
        if (packing != NULL) TILE_OF(height, packing); else TILE_OF(height, NULL);                                      \
        break;
            CASE_OF_HEIGHT(1)
            CASE_OF_HEIGHT(2)
            CASE_OF_HEIGHT(3)
            CASE_OF_HEIGHT(4)
#if TILE_ROWS > 4
            CASE_OF_HEIGHT(5)
            CASE_OF_HEIGHT(6)
#endif
        }
        row += height;
        destination += height * product->columns;
        tiles--;
        if (packing == NULL) continue;
        packing = NULL;
        tile = packed;
        stride = TILE_COLUMNS;
    }
}

// What a range has of one row's columns column ..< end_column.
INLINE void low_rank_part_of_row(
    const low_rank_product *product, size_t row, size_t column, size_t end_column, size_t first, size_t end,
    float *update
) {
    const size_t row_start = row * product->columns;
    const size_t part_start = larger(first, row_start + column), part_end = smaller(end, row_start + end_column);
    if (part_start >= part_end) return;
    QCONV_NAME(low_rank_edge)(
        product, row, part_start - row_start, part_end - part_start, update + (part_start - first));
}

static void QCONV_NAME(low_rank_update)(
    const float *left, const float *right, size_t rank, size_t columns, float scaling, size_t first, size_t count,
    bool accumulate, float *update
) {
    if (count == 0) return;
    const low_rank_product product = {left, right, rank, columns, scaling, accumulate};
    const size_t end = first + count;
    const size_t first_row = first / columns, last_row = (end - 1) / columns;
    for (size_t column = 0; column < columns; column += TILE_COLUMNS) {
        const size_t end_column = smaller(columns, column + TILE_COLUMNS);
        size_t row = first_row, end_row = last_row + 1;
        if (first > first_row * columns + column) {
            low_rank_part_of_row(&product, row, column, end_column, first, end, update);
            row++;
        }
        if (row < end_row && end < last_row * columns + end_column) {
            end_row--;
            low_rank_part_of_row(&product, end_row, column, end_column, first, end, update);
        }
        if (columns < TILE_COLUMNS) {
            for (; row < end_row; row++) {
                low_rank_part_of_row(&product, row, column, end_column, first, end, update);
            }
        } else if (row < end_row) {
            // The last tile column is moved to the left to be a whole one, and writes only what is new.
            const size_t tile_column = end_column - TILE_COLUMNS;
            QCONV_NAME(low_rank_tile_column)(
                &product, row, end_row - row, tile_column, column - tile_column, update + (row * columns + column - first));
        }
    }
}
