/*
 * Built into programs that ThreadSanitizer watches, to end the thread that it has for itself: it blocks all signals,
 * and so the engine takes it for a thread that no signal can synchronize.
 */
#include <pthread.h>
#include <sanitizer/common_interface_defs.h>
#include <stddef.h>

void alone(void);

static void *end_at_once(void *unused) { return unused; }

__attribute__((constructor)) void alone(void)
{
    pthread_t thread; /* it comes with the first one */
    if (!pthread_create(&thread, NULL, end_at_once, NULL))
        pthread_join(thread, NULL);
    __sanitizer_sandbox_on_notify(NULL);
}
