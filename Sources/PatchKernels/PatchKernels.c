#include "PatchKernels.h"

#include <string.h>

// Symbols; formats/patch.md is the specification.
enum {
    LONGEST_GAP = 112,  // gaps below this are part of a move's symbol
    OTHER_MOVES = 224,  // moves by 2 to 14 levels
    SKIPS = 240,        // skips of 1, 2, 4, … 32768 codes
};

int patch_differ(const uint8_t *base, const uint8_t *target, size_t count) { return memcmp(base, target, count) != 0; }

static uint8_t *put_skips(size_t *gap, size_t shortest, uint8_t *out) {
    while (*gap >= shortest) {
        unsigned power = 63 - (unsigned)__builtin_clzll(*gap);
        if (power > 15) power = 15;
        *out++ = (uint8_t)(SKIPS + power);
        *gap -= (size_t)1 << power;
    }
    return out;
}

static uint8_t *put_move(size_t *gap, unsigned move, uint8_t *out) {
    if (move == 1 || move == 15) {
        out = put_skips(gap, LONGEST_GAP, out);
        *out++ = (uint8_t)(2 * *gap + (move == 15));
    } else {
        out = put_skips(gap, 1, out);
        *out++ = (uint8_t)(OTHER_MOVES + move - 2);
    }
    *gap = 0;
    return out;
}

size_t patch_encode_moves(const uint8_t *base, const uint8_t *target, size_t count, const uint8_t rank[16],
                          uint8_t *out) {
    uint8_t *start = out;
    size_t gap = 0;
    size_t index = 0;
    while (index < count) {
        if (count - index >= 8) {
            uint64_t before, after;
            memcpy(&before, base + index, 8);
            memcpy(&after, target + index, 8);
            if (before == after) {
                gap += 16;
                index += 8;
                continue;
            }
        }
        size_t end = count - index >= 8 ? index + 8 : count;
        for (; index < end; index++) {
            uint8_t before = base[index], after = target[index];
            if (before == after) {
                gap += 2;
                continue;
            }
            unsigned first = (unsigned)(rank[after >> 4] - rank[before >> 4]) & 15;
            unsigned second = (unsigned)(rank[after & 15] - rank[before & 15]) & 15;
            if (first) {
                out = put_move(&gap, first, out);
            } else {
                gap++;
            }
            if (second) {
                out = put_move(&gap, second, out);
            } else {
                gap++;
            }
        }
    }
    return (size_t)(out - start);
}

int patch_decode_moves(const uint8_t *symbols, size_t symbol_count, const uint8_t rank[16],
                       const uint8_t code_of_rank[16], int backwards, uint8_t *codes, size_t count) {
    size_t position = 0;
    const size_t end = 2 * count;
    for (size_t index = 0; index < symbol_count; index++) {
        unsigned symbol = symbols[index];
        if (symbol >= SKIPS) {
            // Cannot overflow: at most 2^15 for each of symbol_count bytes in memory, and checked each time.
            position += (size_t)1 << (symbol - SKIPS);
            if (position > end) return 0;
            continue;
        }
        unsigned move;
        if (symbol < OTHER_MOVES) {
            position += symbol >> 1;
            move = symbol & 1 ? 15 : 1;
        } else {
            move = symbol - OTHER_MOVES + 2;
            if (move > 14) return 0;
        }
        if (position >= end) return 0;
        if (backwards) move = 16 - move;
        unsigned shift = position & 1 ? 0 : 4;
        unsigned byte = codes[position >> 1];
        unsigned moved = code_of_rank[(rank[byte >> shift & 15] + move) & 15];
        codes[position >> 1] = (uint8_t)((byte & ~(15u << shift)) | moved << shift);
        position++;
    }
    return 1;
}

// Little-endian hosts only, like all of qconv.
#define DIFFERENCE(type)                                                                        \
    for (size_t index = 0; index < count; index++) {                                            \
        type before, after, sign, zigzag;                                                       \
        memcpy(&before, base + index * sizeof(type), sizeof(type));                             \
        memcpy(&after, target + index * sizeof(type), sizeof(type));                            \
        type difference = (type)(after - before);                                               \
        sign = (type)(0 - (difference >> (8 * sizeof(type) - 1)));                              \
        zigzag = (type)((type)(difference << 1) ^ sign);                                        \
        memcpy(out + index * sizeof(type), &zigzag, sizeof(type));                              \
    }

void patch_difference(const uint8_t *base, const uint8_t *target, size_t count, size_t width, uint8_t *out) {
    switch (width) {
        case 1: DIFFERENCE(uint8_t) break;
        case 2: DIFFERENCE(uint16_t) break;
        case 4: DIFFERENCE(uint32_t) break;
        case 8: DIFFERENCE(uint64_t) break;
    }
}

#define ADD_DIFFERENCE(type)                                                                    \
    for (size_t index = 0; index < count; index++) {                                            \
        type zigzag, number, change;                                                            \
        memcpy(&zigzag, difference + index * sizeof(type), sizeof(type));                       \
        memcpy(&number, numbers + index * sizeof(type), sizeof(type));                          \
        change = (type)((zigzag >> 1) ^ (type)(0 - (zigzag & 1)));                              \
        number = backwards ? (type)(number - change) : (type)(number + change);                 \
        memcpy(numbers + index * sizeof(type), &number, sizeof(type));                          \
    }

void patch_add_difference(const uint8_t *difference, size_t count, size_t width, int backwards, uint8_t *numbers) {
    switch (width) {
        case 1: ADD_DIFFERENCE(uint8_t) break;
        case 2: ADD_DIFFERENCE(uint16_t) break;
        case 4: ADD_DIFFERENCE(uint32_t) break;
        case 8: ADD_DIFFERENCE(uint64_t) break;
    }
}
