/* Expectations, and the tests of a program by name: no argument lists them, a name runs that one. */
#ifndef EXPECT_H
#define EXPECT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPECT(condition)                                                            \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                 \
        }                                                                            \
    } while (0)

/* The status of a test that this machine does not allow. */
#define NOT_POSSIBLE_HERE 77

struct test {
    const char *name;
    void (*run)(void);
};
#define TEST(name) {#name, name}

static inline int run_named(const struct test *tests, int argc, char **argv)
{
    for (; tests->name; tests++) {
        if (argc == 1) {
            puts(tests->name);
        } else if (!strcmp(argv[1], tests->name)) {
            alarm(60); /* a test that hangs has failed */
            tests->run();
            return 0;
        }
    }
    return argc == 1 ? 0 : 2;
}

#endif
