#ifndef THREAD_PLACEMENT_H
#define THREAD_PLACEMENT_H

#include <pthread.h>

/// The same as pthread_create without attributes, but where that can be asked for and more than one core may be used, the thread
/// starts on another core than the caller's. Afterwards it may run wherever the caller may.
int thread_create_elsewhere(pthread_t *thread, void *(*entry)(void *), void *argument);

#endif
