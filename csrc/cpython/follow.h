/*
 * What happens where a function is defined whose closure holds a logger: it gets the code whose sites follow that
 * logger. closures.py makes the code. Here it is found again, for the next function with the same logger.
 */
#ifndef JUMPLABEL_FOLLOW_H
#define JUMPLABEL_FOLLOW_H

#include <stdint.h>

/*
 * Publish a type (publish.h):
 *
 *     Follow(codes, logger_class, make)
 *
 * The value of the expression `follow < function` is the function, and the expression gives it the code for its
 * closure. It is a comparison because tracers and profilers hear of calls, but not of comparisons.
 *
 * codes         {id(code): (variables, globals, made)} of code with sites for loggers in its closure:
 *     variables     a tuple of indices: the cells of the closure that hold the loggers, or what has them as attributes
 *     globals       a tuple of (name, value): `made` holds while these globals have these values
 *     made          a list of (code, reference, ...), with a weak reference for each of the variables: the code for a
 *                   function whose variables hold these objects
 * logger_class  where none of the variables holds an instance of it, a module or a class, the function stays as it is
 * make          called, unseen, with each other function that `made` has nothing for
 *
 * What `make` raises goes to the program, but for a MemoryError and a RecursionError: then the function stays as it is.
 * It also stays as it is when an audit hook refuses the new code, and while the interpreter ends.
 */
int follow_type(uintptr_t list);

#endif
