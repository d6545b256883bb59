#define _GNU_SOURCE

#include "ThreadPlacement.h"

#include <stdbool.h>

#if defined(__GLIBC__)

#include <sched.h>

// Sets the cores that a new thread may start on.
static bool choose_cores(pthread_attr_t *attributes, cpu_set_t *allowed) {
    const int here = sched_getcpu();
    if (here < 0 || sched_getaffinity(0, sizeof(*allowed), allowed) != 0) return false;
    cpu_set_t others = *allowed;
    CPU_CLR(here, &others);
    return CPU_COUNT(&others) > 0 && pthread_attr_setaffinity_np(attributes, sizeof(others), &others) == 0;
}

// Seen in a virtual machine with Linux 6.18: half of the new threads begin on the core of the one that starts them and wait there
// for milliseconds, while another core has nothing to do.
int thread_create_elsewhere(pthread_t *thread, void *(*entry)(void *), void *argument) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return pthread_create(thread, NULL, entry, argument);
    cpu_set_t allowed;
    int status = -1;
    if (choose_cores(&attributes, &allowed)) {
        status = pthread_create(thread, &attributes, entry, argument);
        // No harm is done if the thread has ended by now.
        if (status == 0) pthread_setaffinity_np(*thread, sizeof(allowed), &allowed);
    }
    pthread_attr_destroy(&attributes);
    return status == 0 ? 0 : pthread_create(thread, NULL, entry, argument);
}

#else

int thread_create_elsewhere(pthread_t *thread, void *(*entry)(void *), void *argument) {
    return pthread_create(thread, NULL, entry, argument);
}

#endif
