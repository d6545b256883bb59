#include "DeflateKernels.h"

#include <string.h>

void deflate_count_bytes(const uint8_t *bytes, size_t count, uint32_t counts[256]) {
    // Four tables, so that runs of one value do not wait for their own last addition.
    uint32_t partial[4][256] = {{0}};
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        partial[0][word & 255]++;
        partial[1][word >> 8 & 255]++;
        partial[2][word >> 16 & 255]++;
        partial[3][word >> 24 & 255]++;
        partial[0][word >> 32 & 255]++;
        partial[1][word >> 40 & 255]++;
        partial[2][word >> 48 & 255]++;
        partial[3][word >> 56]++;
    }
    for (; i < count; i++) partial[0][bytes[i]]++;
    for (int v = 0; v < 256; v++) counts[v] += partial[0][v] + partial[1][v] + partial[2][v] + partial[3][v];
}

static void store_little_endian(uint8_t *out, uint64_t value) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    memcpy(out, &value, 8);
}

size_t deflate_pack(const uint8_t *bytes, size_t count, const uint32_t codes[256], struct deflate_bits *pending,
                    uint8_t *out) {
    uint64_t bits = pending->bits;
    uint32_t filled = pending->count;
    uint8_t *start = out;
    size_t i = 0;
    // At most 7 pending bits and four codes of at most 14: 63 bits. Pairs are joined before they meet the long chain of
    // dependencies through `bits`.
    for (; i + 4 <= count; i += 4) {
        uint32_t a = codes[bytes[i]], b = codes[bytes[i + 1]], c = codes[bytes[i + 2]], d = codes[bytes[i + 3]];
        uint32_t a_length = a & 255, c_length = c & 255;
        uint64_t first = (uint64_t)(a >> 8) | (uint64_t)(b >> 8) << a_length;
        uint64_t second = (uint64_t)(c >> 8) | (uint64_t)(d >> 8) << c_length;
        uint32_t first_length = a_length + (b & 255), second_length = c_length + (d & 255);
        bits |= (first | second << first_length) << filled;
        filled += first_length + second_length;
        store_little_endian(out, bits);
        out += filled >> 3;
        bits >>= filled & ~7u;
        filled &= 7;
    }
    for (; i < count; i++) {
        uint32_t code = codes[bytes[i]];
        bits |= (uint64_t)(code >> 8) << filled;
        filled += code & 255;
        store_little_endian(out, bits);
        out += filled >> 3;
        bits >>= filled & ~7u;
        filled &= 7;
    }
    pending->bits = bits;
    pending->count = filled;
    return (size_t)(out - start);
}

void gather_blocks(const uint8_t *in, const uint32_t *offsets, const uint32_t *order, size_t count, uint8_t *out) {
    for (size_t i = 0; i < count; i++) {
        uint32_t start = offsets[order[i]];
        uint32_t size = offsets[order[i] + 1] - start;
        if (size == 32) {
            memcpy(out, in + start, 32);
        } else {
            memcpy(out, in + start, size);
        }
        out += size;
    }
}

void scatter_blocks(const uint8_t *in, const uint32_t *offsets, const uint32_t *order, size_t count, uint8_t *out) {
    for (size_t i = 0; i < count; i++) {
        uint32_t start = offsets[order[i]];
        uint32_t size = offsets[order[i] + 1] - start;
        if (size == 32) {
            memcpy(out + start, in, 32);
        } else {
            memcpy(out + start, in, size);
        }
        in += size;
    }
}

void split_plane(const uint8_t *in, size_t count, size_t width, size_t plane, uint8_t *out) {
    if (width == 2) {
        for (size_t i = 0; i < count; i++) out[i] = in[i * 2 + plane];
    } else {
        for (size_t i = 0; i < count; i++) out[i] = in[i * width + plane];
    }
}

void merge_plane(const uint8_t *in, size_t count, size_t width, size_t plane, uint8_t *out) {
    if (width == 2) {
        for (size_t i = 0; i < count; i++) out[i * 2 + plane] = in[i];
    } else {
        for (size_t i = 0; i < count; i++) out[i * width + plane] = in[i];
    }
}
