#ifndef GUARDED_MAPPING_H
#define GUARDED_MAPPING_H

#include <stdbool.h>
#include <stddef.h>

// Files mapped into memory, read without dying when a page is lost: because somebody truncates the file, or because the
// device fails. The kernel says so with SIGBUS.

/// A whole file mapped for reading.
typedef struct file_mapping file_mapping;

/// Maps the first `size` bytes, more than 0, of a file. Returns NULL and sets errno where that cannot be done.
///
/// The first call installs a handler of SIGBUS for the process. Every SIGBUS that has nothing to do with an access between
/// file_access_begin and file_access_end goes on to the handler that was there before.
file_mapping *file_map(int descriptor, size_t size);

/// Nobody may use the mapping any more.
void file_unmap(file_mapping *mapping);

const void *file_mapping_start(const file_mapping *mapping);

/// Lets go of the memory of some pages. Whoever reads them again gets them again. `offset` is a multiple of a page's size.
void file_mapping_release(const file_mapping *mapping, size_t offset, size_t size);

/// A thread's use of a mapping, which stays where it is in memory from begin to end.
typedef struct file_access {
    file_mapping *mapping;
    struct file_access *outer;
} file_access;

/// From here on this thread may read the mapping; accesses may be nested. A page that is lost reads as zeros.
void file_access_begin(file_access *access, file_mapping *mapping);

/// Ends the innermost access of this thread. Returns whether no page of the mapping has been lost so far, to whatever thread:
/// otherwise what was read is worthless.
bool file_access_end(file_access *access);

#endif
