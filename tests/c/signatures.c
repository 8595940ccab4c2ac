/*
 * Pairs of functions, one for off and one for on, of signatures in which arguments and results travel in every way that
 * the System V ABI knows. native_branch's tests call them through one pointer.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

struct small {
    int i;
    float f;
};

struct mixed {
    double d;
    long l;
};

struct large {
    long l[5];
    double d;
};

/* Both return a factor, 1 or -1, times something of every argument, so that a lost or moved argument shows. */
#define PAIR(type, name, parameters, ...) \
    type name##_off parameters            \
    {                                     \
        const int factor = 1;             \
        __VA_ARGS__                       \
    }                                     \
    type name##_on parameters             \
    {                                     \
        const int factor = -1;            \
        __VA_ARGS__                       \
    }

/* Six in general registers, eight in vector registers, the others on the stack. */
PAIR(double, many,
     (signed char a, short b, int c, long d, unsigned char e, void *f, long g, int h, float i, double j, float k,
      double l, double m, float n, double o, double p, double q, float r),
     return factor * (a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * (intptr_t)f + 7 * g + 8 * h + 9 * i + 10 * j + 11 * k +
                      12 * l + 13 * m + 14 * n + 15 * o + 16 * p + 17 * q + 18 * r);)

PAIR(float, single, (float a, float b), return factor * (a - 2 * b);)
PAIR(long double, extended, (long double a, int b), return factor * a * b;)
PAIR(struct small, by_register, (struct small a, int b), return (struct small){factor * a.i, a.f *b};)
PAIR(struct mixed, by_both, (struct mixed a), return (struct mixed){factor * a.d, 2 * a.l};)

/* The caller passes room for the result in rdi. */
PAIR(struct large, by_memory, (int a, struct large b, double c),
     return ((struct large){{a, b.l[1], b.l[2] * factor, b.l[3], b.l[4]}, b.d + c});)

/* al says whether there are arguments in vector registers. */
PAIR(int, variadic, (char *text, size_t size, const char *format, ...), va_list arguments; va_start(arguments, format);
     int n = snprintf(text, size, "%d:", factor); n += vsnprintf(text + n, size - n, format, arguments);
     va_end(arguments); return n;)

static int calls;
PAIR(void, nothing, (void), calls += factor;)
int nothing_count(void) { return calls; }

/* What tests/c/callers.c calls. */
static char said_off, said_on;
void *say_off(void) { return &said_off; }
void *say_on(void) { return &said_on; }
