/*
 * The sites of a code object: the record of them on the code object, and the functions that make them. For
 * code_object.c, which publishes those functions.
 */
#ifndef JUMPLABEL_CODE_SITES_H
#define JUMPLABEL_CODE_SITES_H

#include <Python.h>

#include "jump_label.h"

struct code_record {
    struct poked_code poked; /* first, so that its address is the record's */
    PyCodeObject *code;      /* borrowed: it frees the record before it goes */
    size_t n;
    struct jump_entry *entries[];
};

/* NULL with an error set: the record could not be looked up. NULL without an error: the code object has no record. */
struct code_record *code_record_of(PyCodeObject *code);

/* Functions for Python. code_object.h describes them. */
PyObject *code_sites_make(PyObject *self, PyObject *args);
PyObject *code_sites_make_of_module(PyObject *self, PyObject *args);

#endif
