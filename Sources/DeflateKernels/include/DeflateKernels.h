#ifndef QCONV_DEFLATE_KERNELS_H
#define QCONV_DEFLATE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

// The inner loops of the NF4 container: Huffman coding of bytes, reordering of blocks, byte planes.

/// Adds the number of occurrences of every byte value to `counts`.
void deflate_count_bytes(const uint8_t *bytes, size_t count, uint32_t counts[256]);

/// Bits that did not fill a byte yet; fewer than 8 between calls.
struct deflate_bits {
    uint64_t bits;
    uint32_t count;
};

/// Appends the code of every byte to a bit stream, least significant bit first as deflate wants it.
///
/// `codes[byte]` holds the code, first bit lowest, in its upper 24 bits and its length, at most 14, in the lower 8.
/// Writes whole bytes and answers how many; `out` must have room for 8 more than that.
size_t deflate_pack(const uint8_t *bytes, size_t count, const uint32_t codes[256], struct deflate_bits *pending,
                    uint8_t *out);

/// Copies blocks into the given order: the block that was at `order[i]` comes i-th. Block b is the bytes
/// `offsets[b] ..< offsets[b + 1]` of `in`.
void gather_blocks(const uint8_t *in, const uint32_t *offsets, const uint32_t *order, size_t count, uint8_t *out);

/// Undoes `gather_blocks`.
void scatter_blocks(const uint8_t *in, const uint32_t *offsets, const uint32_t *order, size_t count, uint8_t *out);

/// Takes every `width`-th byte of `in` from `plane` on: out[i] = in[i * width + plane].
void split_plane(const uint8_t *in, size_t count, size_t width, size_t plane, uint8_t *out);

/// Undoes `split_plane` for one plane.
void merge_plane(const uint8_t *in, size_t count, size_t width, size_t plane, uint8_t *out);

#endif
