/*
 * A copy of a text. C11 has no strdup().
 */
#ifndef JUMPLABEL_TEXT_H
#define JUMPLABEL_TEXT_H

#include <stdlib.h>
#include <string.h>

/* NULL: no memory. Free it with free(). */
static inline char *text_copy(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

#endif
