// The 4-bit codebooks of bitsandbytes (bitsandbytes/functional.py, get_4bit_type).

#include "kernel_table.h"

#define MIDPOINT(a, b) (((a) + (b)) / 2.0f)

#define NF4_0 -1.0f
#define NF4_1 -0.6961928009986877f
#define NF4_2 -0.5250730514526367f
#define NF4_3 -0.39491748809814453f
#define NF4_4 -0.28444138169288635f
#define NF4_5 -0.18477343022823334f
#define NF4_6 -0.09105003625154495f
#define NF4_7 0.0f
#define NF4_8 0.07958029955625534f
#define NF4_9 0.16093020141124725f
#define NF4_10 0.24611230194568634f
#define NF4_11 0.33791524171829224f
#define NF4_12 0.44070982933044434f
#define NF4_13 0.5626170039176941f
#define NF4_14 0.7229568362236023f
#define NF4_15 1.0f

#define NF4_LEVELS                                                                                                      \
    {                                                                                                                   \
        NF4_0, NF4_1, NF4_2, NF4_3, NF4_4, NF4_5, NF4_6, NF4_7, NF4_8, NF4_9, NF4_10, NF4_11, NF4_12, NF4_13, NF4_14,   \
            NF4_15                                                                                                      \
    }

const qconv_codebook qconv_nf4 = {
    .levels = NF4_LEVELS,
    .sorted_levels = NF4_LEVELS,
    .midpoints =
        {MIDPOINT(NF4_0, NF4_1), MIDPOINT(NF4_1, NF4_2), MIDPOINT(NF4_2, NF4_3), MIDPOINT(NF4_3, NF4_4),
         MIDPOINT(NF4_4, NF4_5), MIDPOINT(NF4_5, NF4_6), MIDPOINT(NF4_6, NF4_7), MIDPOINT(NF4_7, NF4_8),
         MIDPOINT(NF4_8, NF4_9), MIDPOINT(NF4_9, NF4_10), MIDPOINT(NF4_10, NF4_11), MIDPOINT(NF4_11, NF4_12),
         MIDPOINT(NF4_12, NF4_13), MIDPOINT(NF4_13, NF4_14), MIDPOINT(NF4_14, NF4_15)},
    .nearest_codes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    .stochastic_codes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    .codes_are_ranks = true,
    .zero_code = 7,
};

// The magnitudes by bit pattern, of 12: 0, 0.0625, 8, 12, 4, 6, 2, 3.
#define FP4_0 0.0f
#define FP4_1 (0.0625f / 12.0f)
#define FP4_2 (8.0f / 12.0f)
#define FP4_3 1.0f
#define FP4_4 (4.0f / 12.0f)
#define FP4_5 (6.0f / 12.0f)
#define FP4_6 (2.0f / 12.0f)
#define FP4_7 (3.0f / 12.0f)

const qconv_codebook qconv_fp4 = {
    .levels = {FP4_0, FP4_1, FP4_2, FP4_3, FP4_4, FP4_5, FP4_6, FP4_7, FP4_0, -FP4_1, -FP4_2, -FP4_3, -FP4_4, -FP4_5,
               -FP4_6, -FP4_7},
    .sorted_levels = {-FP4_3, -FP4_2, -FP4_5, -FP4_4, -FP4_7, -FP4_6, -FP4_1, FP4_0, FP4_0, FP4_1, FP4_6, FP4_7, FP4_4,
                      FP4_5, FP4_2, FP4_3},
    .midpoints =
        {-MIDPOINT(FP4_3, FP4_2), -MIDPOINT(FP4_2, FP4_5), -MIDPOINT(FP4_5, FP4_4), -MIDPOINT(FP4_4, FP4_7),
         -MIDPOINT(FP4_7, FP4_6), -MIDPOINT(FP4_6, FP4_1), -MIDPOINT(FP4_1, FP4_0), 0.0f, MIDPOINT(FP4_0, FP4_1),
         MIDPOINT(FP4_1, FP4_6), MIDPOINT(FP4_6, FP4_7), MIDPOINT(FP4_7, FP4_4), MIDPOINT(FP4_4, FP4_5),
         MIDPOINT(FP4_5, FP4_2), MIDPOINT(FP4_2, FP4_3)},
    .nearest_codes = {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3},
    .stochastic_codes = {11, 10, 13, 12, 15, 14, 9, 0, 0, 1, 6, 7, 4, 5, 2, 3},
    .codes_are_ranks = false,
    .zero_code = 0,
};

#define NIBBLE(byte, bit) ((uint32_t)((byte) >> (bit) & 1) << (4 * ((bit) ^ 1)))
#define NIBBLES(byte)                                                                                                   \
    (NIBBLE(byte, 0) | NIBBLE(byte, 1) | NIBBLE(byte, 2) | NIBBLE(byte, 3) | NIBBLE(byte, 4) | NIBBLE(byte, 5)          \
     | NIBBLE(byte, 6) | NIBBLE(byte, 7))
#define FOUR(byte) NIBBLES(byte), NIBBLES(byte + 1), NIBBLES(byte + 2), NIBBLES(byte + 3)
#define SIXTEEN(byte) FOUR(byte), FOUR(byte + 4), FOUR(byte + 8), FOUR(byte + 12)
#define SIXTY_FOUR(byte) SIXTEEN(byte), SIXTEEN(byte + 16), SIXTEEN(byte + 32), SIXTEEN(byte + 48)

const uint32_t qconv_nibbles[256] = {SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};

const uint8_t qconv_order_in_sets[32] = {0, 0, 1, 1, 4, 4, 5, 5, 8,  8,  9,  9,  12, 12, 13, 13,
                                     2, 2, 3, 3, 6, 6, 7, 7, 10, 10, 11, 11, 14, 14, 15, 15};
