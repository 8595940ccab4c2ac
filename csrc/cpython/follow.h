/*
 * New functions with a logger in their closure: each gets code with sites that follow its own logger.
 *
 * closures.py makes such code. This file gives the same code to the next function with the same logger, without a call.
 */
#ifndef JUMPLABEL_FOLLOW_H
#define JUMPLABEL_FOLLOW_H

#include <stdint.h>

/*
 * Publish a type (publish.h):
 *
 *     Follow(codes, logger_class, make)
 *
 * The expression `follow < function` gives the function the code for its closure. Its value is the function. It is a
 * comparison because tracers and profilers report calls, but not comparisons.
 *
 * codes         {id(code): (variables, globals, made)} of code with sites for loggers in its closure:
 *     variables     a tuple of indices: the cells of the closure with the loggers, or with the objects that have them
 *                   as attributes
 *     globals       a tuple of (name, value): `made` is valid while these globals have these values
 *     made          a list of (code, reference, ...), with a weak reference for each of the variables: a function
 *                   gets this code if its variables hold these objects
 * logger_class  the function stays as it is if none of its variables holds an instance of this class, a module or a
 *               class
 * make          called, unseen, with each other function without an entry in `made`
 *
 * An exception of `make` goes to the program, except MemoryError and RecursionError: then the function stays as it is.
 * It also stays as it is if an audit hook refuses the new code, and while the interpreter ends.
 */
int follow_type(uintptr_t list);

#endif
