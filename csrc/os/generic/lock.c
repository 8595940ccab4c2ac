#define _POSIX_C_SOURCE 200809L
#include "os.h"

#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Signal handlers are not held back: no site is native here, so none can meet a patch under way. */
void text_lock(void) { pthread_mutex_lock(&mutex); }
bool text_trylock(void) { return !pthread_mutex_trylock(&mutex); }
void text_unlock(void) { pthread_mutex_unlock(&mutex); }

int os_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    return -pthread_atfork(prepare, parent, child);
}
