/*
 * Arrays that grow.
 */
#ifndef JUMPLABEL_ARRAY_ROOM_H
#define JUMPLABEL_ARRAY_ROOM_H

#include <stdlib.h>

/*
 * The array with room for one more than n members of this size; it may have moved. NULL: no memory, and nothing has
 * changed. *room is how many it has room for.
 */
static inline void *array_room(void *array, size_t n, size_t *room, size_t size)
{
    if (n < *room)
        return array;
    size_t more = *room + *room / 4 + 4; /* not twice: of a million, that is much */
    void *moved = realloc(array, more * size);
    if (moved)
        *room = more;
    return moved;
}

#endif
