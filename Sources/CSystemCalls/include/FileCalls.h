#ifndef FILE_CALLS_H
#define FILE_CALLS_H

#include <stdint.h>

// The calls about files that Linux and Darwin have beyond POSIX, under one name each. They return 0 or set errno and
// return -1; ENOSYS where the system has no such call.

/// Reserves disk space for the first `size` bytes of a file. Linux makes a shorter file that long, with zeros; Darwin leaves its
/// size as it is.
int file_reserve(int descriptor, int64_t size);

/// Starts writing what is not on the disk yet, and does not wait for it.
int file_start_writeback(int descriptor);

/// Renames, unless something stands at `destination`: then EEXIST.
int file_rename_to_new(const char *source, const char *destination);

/// Swaps two paths at once.
int file_exchange(const char *first, const char *second);

/// The size of an open file in bytes now; -1 when the system does not say.
int64_t file_size(int descriptor);

#endif
