#ifndef QCONV_PATCH_KERNELS_H
#define QCONV_PATCH_KERNELS_H

#include <stddef.h>
#include <stdint.h>

// The inner loops of patches: what turns one checkpoint's codes and numbers into another's, and back.

/// Whether two memories of `count` bytes differ.
int patch_differ(const uint8_t *base, const uint8_t *target, size_t count);

/// Writes how packed 4-bit codes move from `base` to `target`, as the symbols that formats/patch.md describes.
///
/// `rank` numbers the 16 codes by ascending level. `count` is in bytes, of two codes each; `out` must have room for
/// 2 * count symbols, which is never exceeded. Answers how many there are.
size_t patch_encode_moves(const uint8_t *base, const uint8_t *target, size_t count, const uint8_t rank[16],
                          uint8_t *out);

/// Moves the codes in `codes` as `symbols` say, or with `backwards` undoes that.
///
/// `code_of_rank` undoes `rank`. Answers 0, with some codes moved, when the symbols are none or lead past the end.
int patch_decode_moves(const uint8_t *symbols, size_t symbol_count, const uint8_t rank[16],
                       const uint8_t code_of_rank[16], int backwards, uint8_t *codes, size_t count);

/// The differences target - base of `count` little-endian numbers of 1, 2, 4 or 8 bytes, modulo their range, each with
/// its sign in the lowest bit (zigzag), so that small ones of either sign have leading zeros.
void patch_difference(const uint8_t *base, const uint8_t *target, size_t count, size_t width, uint8_t *out);

/// Adds such differences to `numbers`, or with `backwards` takes them away.
void patch_add_difference(const uint8_t *difference, size_t count, size_t width, int backwards, uint8_t *numbers);

#endif
