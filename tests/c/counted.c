/* zlib's crc32, counted: what a native branch leads to while its calls are to be counted. */
#include <stdatomic.h>

unsigned long (*plain_crc32)(unsigned long crc, const unsigned char *data, unsigned int size);
_Atomic unsigned long counted_calls, counted_bytes;

unsigned long counted_crc32(unsigned long crc, const unsigned char *data, unsigned int size)
{
    atomic_fetch_add(&counted_calls, 1);
    atomic_fetch_add(&counted_bytes, size);
    return plain_crc32(crc, data, size);
}
