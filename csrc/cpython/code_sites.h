/*
 * The sites of a code object: the record of them that hangs on it, and how they are made. For code_object.c, which says
 * what they are good for.
 */
#ifndef JUMPLABEL_CODE_SITES_H
#define JUMPLABEL_CODE_SITES_H

#include <Python.h>

#include "jump_label.h"

struct code_record {
    struct poked_code poked; /* first: a pointer to it is one to the record */
    PyCodeObject *code;      /* borrowed: the record goes first */
    size_t n;
    struct jump_entry *entries[];
};

/* NULL with an error set: it cannot be known. NULL without: the code object has none. */
struct code_record *code_record_of(PyCodeObject *code);

/* To Python: code_object.h describes them. */
PyObject *code_sites_make(PyObject *self, PyObject *args);
PyObject *code_sites_make_of_module(PyObject *self, PyObject *args);

#endif
