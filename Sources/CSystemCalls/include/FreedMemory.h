#ifndef FREED_MEMORY_H
#define FREED_MEMORY_H

// Makes the C library keep some of the memory that is given back to it for what is allocated next.
void memory_keep_freed(void);

#endif
