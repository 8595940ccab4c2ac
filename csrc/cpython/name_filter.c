#define PY_SSIZE_T_CLEAN
#include "name_filter.h"

#include <stdint.h>

#define BITS 4096
static uint64_t filter[BITS / 64];

static size_t bit_of(PyObject *name) { return (size_t)PyObject_Hash(name) % BITS; }

void name_filter_add(PyObject *name)
{
    size_t bit = bit_of(name);
    __atomic_fetch_or(&filter[bit / 64], UINT64_C(1) << bit % 64, __ATOMIC_RELAXED);
}

bool name_filter_has(PyObject *name)
{
    size_t bit = bit_of(name);
    return __atomic_load_n(&filter[bit / 64], __ATOMIC_RELAXED) >> bit % 64 & 1;
}
