#include "FreedMemory.h"

#include <stdlib.h>

#if defined(__GLIBC__)

#include <malloc.h>

// By default the heap shrinks as soon as 128 KiB at its end are free, which a conversion with its many short-lived tables makes
// happen hundreds of times. Each time all cores of the process are interrupted, to forget the pages.
void memory_keep_freed(void) {
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
    mallopt(M_TOP_PAD, 1 << 20);
    // Does not grow by itself any more once one of these is set.
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
}

#else

void memory_keep_freed(void) {}

#endif
