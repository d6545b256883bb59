#define _GNU_SOURCE
#include "GuardedMapping.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct file_mapping {
    uint8_t *start;
    size_t size;
    atomic_bool has_lost_pages;
};

// MARK: - The handler

// Both are written once, before the handler is installed.
static struct sigaction previous_action;
static uintptr_t page_size;
static int installation_error;

// The accesses of a thread, innermost first. Only this thread and the handler, which runs on it, look at the list.
static _Thread_local file_access *volatile innermost_access;

// Puts zeros where a page was lost, up to the end of the mapping. All calls are ones that a signal handler may make: besides
// atomics there is mmap, a bare system call on every system that we know.
static bool replace_lost_pages(uintptr_t address) {
    for (const file_access *access = innermost_access; access != NULL; access = access->outer) {
        file_mapping *mapping = access->mapping;
        const uintptr_t start = (uintptr_t)mapping->start;
        if (address < start || address - start >= mapping->size) continue;
        const uintptr_t page = address & ~(page_size - 1);
        // First the mark, then the zeros: whoever has seen a zero, in whatever thread, will see the mark.
        atomic_store(&mapping->has_lost_pages, true);
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
        return mmap((void *)page, start + mapping->size - page, PROT_READ, flags, -1, 0) != MAP_FAILED;
    }
    return false;
}

static void pass_on(int signal, siginfo_t *information, void *context) {
    if (previous_action.sa_flags & SA_SIGINFO) {
        previous_action.sa_sigaction(signal, information, context);
        return;
    }
    const bool was_sent = information->si_code <= 0;
    if (previous_action.sa_handler == SIG_IGN && was_sent) return;
    if (previous_action.sa_handler == SIG_DFL || previous_action.sa_handler == SIG_IGN) {
        // As without us: the faulty access is repeated, and this time it ends the process where it stands. What another
        // process has sent has to be sent again; it arrives when this handler returns.
        sigaction(signal, &previous_action, NULL);
        if (was_sent) raise(signal);
        return;
    }
    previous_action.sa_handler(signal);
}

static void on_bus_error(int signal, siginfo_t *information, void *context) {
    const int saved_errno = errno;
    // Only of a fault, not of a signal that somebody sent, is there an address.
    const bool is_fault = information->si_code > 0;
    if (!is_fault || !replace_lost_pages((uintptr_t)information->si_addr)) pass_on(signal, information, context);
    errno = saved_errno;
}

static void install_handler(void) {
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    struct sigaction action = {0};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, NULL, &previous_action) != 0 || sigaction(SIGBUS, &action, NULL) != 0) {
        installation_error = errno;
    }
}

// MARK: - Mappings

file_mapping *file_map(int descriptor, size_t size) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const int once_error = pthread_once(&once, install_handler);
    if (once_error != 0 || installation_error != 0) {
        errno = once_error != 0 ? once_error : installation_error;
        return NULL;
    }
    file_mapping *mapping = malloc(sizeof(*mapping));
    if (mapping == NULL) return NULL;
    void *start = mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, 0);
    if (start == MAP_FAILED) {
        const int error = errno;
        free(mapping);
        errno = error;
        return NULL;
    }
    mapping->start = start;
    mapping->size = size;
    atomic_init(&mapping->has_lost_pages, false);
    return mapping;
}

void file_unmap(file_mapping *mapping) {
    munmap(mapping->start, mapping->size);
    free(mapping);
}

const void *file_mapping_start(const file_mapping *mapping) { return mapping->start; }

void file_mapping_release(const file_mapping *mapping, size_t offset, size_t size) {
    // A hint: nothing is wrong when it fails.
    const int saved_errno = errno;
    madvise(mapping->start + offset, size, MADV_DONTNEED);
    errno = saved_errno;
}

// MARK: - Accesses

void file_access_begin(file_access *access, file_mapping *mapping) {
    access->mapping = mapping;
    access->outer = innermost_access;
    atomic_signal_fence(memory_order_seq_cst);
    innermost_access = access;
    atomic_signal_fence(memory_order_seq_cst);
}

bool file_access_end(file_access *access) {
    // Everything has been read before the mark is looked at.
    atomic_thread_fence(memory_order_seq_cst);
    innermost_access = access->outer;
    return !atomic_load(&access->mapping->has_lost_pages);
}
