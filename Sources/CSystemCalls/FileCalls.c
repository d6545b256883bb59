#define _GNU_SOURCE
#include "FileCalls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int64_t file_size(int descriptor) {
    struct stat status;
    return fstat(descriptor, &status) == 0 ? (int64_t)status.st_size : -1;
}

#if defined(__APPLE__)

int file_reserve(int descriptor, int64_t size) {
    fstore_t request = {.fst_flags = F_ALLOCATEALL, .fst_posmode = F_PEOFPOSMODE, .fst_length = size};
    return fcntl(descriptor, F_PREALLOCATE, &request) == -1 ? -1 : 0;
}

// The system starts by itself, and has no call to hurry it.
int file_start_writeback(int descriptor) {
    (void)descriptor;
    return 0;
}

int file_rename_to_new(const char *source, const char *destination) {
    return renamex_np(source, destination, RENAME_EXCL);
}

int file_exchange(const char *first, const char *second) { return renamex_np(first, second, RENAME_SWAP); }

#elif defined(__linux__)

#include <sys/statfs.h>
#include <sys/syscall.h>

// linux/magic.h
static const unsigned long tmpfs_magic = 0x01021994;

// By number: musl has had a wrapper only since 1.2.6. The flags are those of linux/fs.h.
static int rename_with(const char *source, const char *destination, unsigned flags) {
#ifdef SYS_renameat2
    return (int)syscall(SYS_renameat2, AT_FDCWD, source, AT_FDCWD, destination, flags);
#else
    errno = ENOSYS;
    return -1;
#endif
}

int file_reserve(int descriptor, int64_t size) {
    struct statfs status;
    // In memory what is reserved is filled with zeros at once, in one thread, which takes longer than writing it.
    if (fstatfs(descriptor, &status) == 0 && (unsigned long)status.f_type == tmpfs_magic) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return fallocate(descriptor, 0, 0, size);
}

int file_start_writeback(int descriptor) { return sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WRITE); }

int file_rename_to_new(const char *source, const char *destination) { return rename_with(source, destination, 1U); }

int file_exchange(const char *first, const char *second) { return rename_with(first, second, 2U); }

#else

static int unsupported(void) {
    errno = ENOSYS;
    return -1;
}

int file_reserve(int descriptor, int64_t size) { return unsupported(); }
int file_start_writeback(int descriptor) { return unsupported(); }
int file_rename_to_new(const char *source, const char *destination) { return unsupported(); }
int file_exchange(const char *first, const char *second) { return unsupported(); }

#endif
