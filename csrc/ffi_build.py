"""How cffi reaches C: the declarations that Python uses, and the files they are built from.

``ffi`` is the engine, jumplabel._engine. ``testing`` is jumplabel._testing, which knows the engine's types.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from cffi import FFI

sys.path.insert(0, str(Path(__file__).parent))

import rooms

HEADERS = (
    "call_site",
    "callable",
    "code_object",
    "code_poke",
    "code_watch",
    "current_context",
    "dict_watch",
    "follow",
    "fork_notice",
    "jump_label",
    "key_toggle",
    "off_results",
    "os",
    "own_thread",
    "process_lock",
    "type_version",
    "unseen",
)

ffi = FFI()
ffi.cdef("""
    struct static_key { int count; int enabled; int64_t until; ...; };
    struct static_key *static_key_new(const char *name, int enabled);
    void static_key_drop(struct static_key *key);
    void static_key_defer(struct static_key *key, int64_t nanoseconds);

    enum key_operation { KEY_ENABLE, KEY_DISABLE, KEY_INC, KEY_DEC, KEY_FLUSH };
    enum key_error { KEY_SEVERAL_USERS, KEY_NO_USERS, KEY_TOO_MANY_USERS, ... };
    enum call_error { CALL_CHANGED, ... };
    struct key_change { struct static_key *key; int enabled; size_t sites; };
    struct key_report { int64_t nanoseconds; size_t room, n; struct key_change changes[]; };
    int static_key_toggle(struct static_key *key, enum key_operation operation);

    struct key_override;
    int static_key_override(struct static_key *key, int enabled, struct key_override **override,
                            struct key_report *report);
    int static_key_lift(struct static_key *key, struct key_override **override, struct key_report *report);

    struct key_expiry { int64_t next; size_t failed; char name[96]; };
    int static_keys_expire(int64_t now, struct key_expiry *expiry, struct key_report *report);
    extern int static_keys_wake;
    void os_unblock_signals(void);
    struct jump_entry;
    enum trampoline_kind { TRAMPOLINE_CONSTANT, ... };
    struct trampoline_target { void *entry, *argument; };
    struct jump_entry *jump_entry_new(struct static_key *key, const char *kind, const char *owner,
                                      enum trampoline_kind trampoline, struct trampoline_target off,
                                      struct trampoline_target on);
    struct jump_entry *jump_entry_new_branch(struct static_key *key, const char *owner, void *off, void *on,
                                             int *error);
    void *jump_entry_function(struct jump_entry *entry);
    void *jump_entry_address(struct jump_entry *entry);
    void jump_entry_retire(struct jump_entry *entry);
    #define ARCH_PLAIN_BRANCHES ...

    enum site { SITE_PLAIN, SITE_NATIVE, SITE_BYTECODE };
    struct jump_table_row { const char *key, *kind, *owner; void *address; enum site site; int enabled; };
    struct jump_table { size_t n; struct jump_table_row rows[]; ...; };
    struct jump_table *jump_table_read(struct static_key *key);
    void free(void *);

    enum sync_method { SYNC_NONE, SYNC_MEMBARRIER, SYNC_SIGNAL };
    enum text_poke_way { POKE_AUTO, POKE_INT3, POKE_WORD };
    struct jump_label_settings { int native; enum sync_method method; int syncs; enum text_poke_way poke; };
    void jump_label_configure(struct jump_label_settings settings);
    int jump_label_start(void);
    int jump_label_sync(size_t n);
    int jump_label_bare_toggles(struct static_key *key, size_t n);

    struct trap_counts { uint64_t current, previous, stale, chained; };
    struct jump_label_info {
        int native;
        enum sync_method method;
        int syncs;
        enum text_poke_way poke;
        uint64_t keys, native_entries, plain_entries, bytecode_entries, arena_bytes;
        uint64_t batches, word_batches, sites_patched, sync_calls;
        struct trap_counts int3;
        int refused;
        char refusal[128];
    };
    void jump_label_info(struct jump_label_info *info);

    int callable_type(uintptr_t list);
    int key_toggle_function(uintptr_t list);
    int process_lock_type(uintptr_t list);
    void process_lock_notice(void);
    int current_context_function(uintptr_t list);

    int fork_notice_start(uintptr_t function);
    void fork_notice_python_begins(void);
    void fork_notice_python_ends(void);
    extern int fork_notice_urgent;
    extern int fork_notice_due;

    int64_t clock_monotonic(void);
    int64_t clock_wall(void);
    void clock_sleep(int64_t nanoseconds);

    struct pollfd { int fd; short events; short revents; };
    #define POLLIN ...
    #define POLLOUT ...
    #define POLLNVAL ...
    int own_thread_start_function(uintptr_t list);
    void own_thread_enters(void);
    void own_thread_joins(void);
    int own_thread_poll(struct pollfd *files, unsigned long n, int milliseconds);
    unsigned long own_thread_rings(void);
    void own_thread_ring(void);
    void own_thread_sleep(int64_t until, unsigned long heard);

    int call_site_types(uintptr_t list);
    void call_site_seal(uintptr_t type);
    void call_site_unraisable(uintptr_t exception, uintptr_t object);
    int off_result_types(uintptr_t list);
    int unseen_types(uintptr_t list);
    extern int unseen_is_shown;
    int follow_type(uintptr_t list);

    int code_object_start(uintptr_t list, _Bool jit);
    int code_watch_start(uintptr_t list);
    void code_poke_settle(void);

    enum type_version { TYPE_VERSION, ... };
    enum turn_result { TURN_STALE, ... };
    int dict_watch_start(uintptr_t list, uintptr_t names, uintptr_t to_look_up, uintptr_t turned, uintptr_t settle,
                         uintptr_t away);
""")


def set_source(built: FFI, name: str, headers: Iterable[str], sources: list[Path], includes: list[Path]) -> None:
    built.set_source(
        name,
        "#include <stdlib.h>\n" + "".join(f'#include "{header}.h"\n' for header in headers),
        sources=[os.path.relpath(path) for path in rooms.sources(*sources)],
        depends=sorted(os.path.relpath(path) for path in rooms.CSRC.rglob("*.h")),
        include_dirs=[os.path.relpath(path) for path in rooms.includes(*includes)],
        extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden", "-pthread"],
        extra_link_args=["-pthread"],
        py_limited_api=False,
    )


FOLDERS = [*rooms.engine(), rooms.CSRC / "cpython"]
set_source(ffi, "jumplabel._engine", HEADERS, FOLDERS, FOLDERS)

testing = FFI()
testing.include(ffi)
testing.cdef("""
    struct engine_functions {
        int (*toggle)(struct static_key *key, enum key_operation operation);
        struct jump_entry *(*new_entry)(struct static_key *key, const char *kind, const char *owner,
                                        enum trampoline_kind trampoline, struct trampoline_target off,
                                        struct trampoline_target on);
        void *(*function_of)(struct jump_entry *entry);
        void (*retire)(struct jump_entry *entry);
    };

    size_t site_watch(const void *address, const int *stop, uint64_t *seen, size_t room);

    struct call_loop { int (*function)(int); int flag; };
    int call_loop_off(int argument);
    int call_loop_on(int argument);
    int call_loop_pointer(int (*function)(int), size_t n);
    int call_loop_struct(const struct call_loop *loop, size_t n);
    int call_loop_flag(const struct call_loop *loop, size_t n);

    struct toggle_loop { int stop; uint64_t toggles; };
    int toggle_loop(const struct engine_functions *engine, struct static_key *key, int64_t period,
                    struct toggle_loop *loop);

    struct storm;
    struct storm_counts { uint64_t calls, toggles, strict, wrong; };
    struct storm *storm_start(const struct engine_functions *engine, struct static_key *key, size_t sites,
                              size_t threads, _Bool block_signals);
    int storm_toggle(struct storm *storm);
    struct storm_counts storm_stop(struct storm *storm);
""")

TESTING = rooms.CSRC / "testing"
TESTING_HEADERS = (*HEADERS, "call_loop", "site_watch", "storm", "toggle_loop")
set_source(testing, "jumplabel._testing", TESTING_HEADERS, [TESTING], [*FOLDERS, TESTING])
