/*
 * Where the interpreter keeps the version of a class: a number that no other state of any class has had, 0 for none
 * yet. It changes with every change of an attribute of the class or of one that it inherits from. What was found out
 * about the class holds while it has the same version.
 */
#ifndef JUMPLABEL_TYPE_VERSION_H
#define JUMPLABEL_TYPE_VERSION_H

#include <Python.h>
#include <stddef.h>

enum type_version { TYPE_VERSION = offsetof(PyTypeObject, tp_version_tag) };

#endif
