/*
 * What our callables that stand for a function have in common: methods, attributes, pickling by name, deallocation. And
 * what a trampoline needs to know of the Python objects that it leads to.
 */
#ifndef JUMPLABEL_FUNCTION_LIKE_H
#define JUMPLABEL_FUNCTION_LIKE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "trampoline.h"

/* The start of every such object. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall; /* the trampoline, or what takes its place */
    PyObject *wrapped;         /* the function; NULL: it stands for none */
    PyObject *dict, *weakrefs;
} FunctionLike;

/* Slots of its type. */
PyObject *function_like_get(PyObject *self, PyObject *instance, PyObject *owner);
PyObject *function_like_getattro(PyObject *self, PyObject *name);
PyObject *function_like_reduce(PyObject *self, PyObject *unused);

/*
 * Clears no targets: code that holds the object may still call it. A cycle through them runs through a function or a
 * container, which breaks it, as for a tuple.
 */
int function_like_clear(PyObject *self);

/* For the end of its own traverse. */
int function_like_traverse(PyObject *self, visitproc visit, void *arg);

/*
 * Deallocate an object whose type has this dealloc. let_go() retires the site, and lets go of what the type has beside
 * these members.
 */
void function_like_dealloc(PyObject *self, destructor dealloc, void (*let_go)(PyObject *));

#define FUNCTION_LIKE_MEMBERS                                                                 \
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(FunctionLike, vectorcall), READONLY, NULL}, \
        {"__dictoffset__", T_PYSSIZET, offsetof(FunctionLike, dict), READONLY, NULL},         \
    {                                                                                         \
        "__weaklistoffset__", T_PYSSIZET, offsetof(FunctionLike, weakrefs), READONLY, NULL    \
    }

/*
 * Where a trampoline goes to call this object, which the caller of the trampoline keeps alive. Objects of our_type are
 * entered directly.
 */
struct trampoline_target function_like_target(PyTypeObject *our_type, PyObject *callable);

/* The trampoline that returns this object, and what that is to have as its off target. */
enum trampoline_kind function_like_return(PyObject *object, struct trampoline_target *off);

#endif
