"""Calls and toggles of threads that have hardly any stack, and of processes that get no memory."""

import pytest
from processes import SITES, run, script

# ---- hardly any stack ----


def test_recursion_without_end():
    """It goes through all kinds of sites while others are patched. Toggles run where hardly any stack is left."""
    run(
        SITES,
        script("recursion_without_end"),
    )


@pytest.mark.parametrize("size", [128, 512])
def test_recursion_in_a_thread_with_a_small_stack(size):
    """From 3.14 on Python itself keeps enough stack free; before that, the test does not go as far."""
    run(
        SITES,
        f"""
        @static_gate(key)
        @static_branches
        def down(n):
            gate_of_other()
            if key:
                return down(n - 1) if n else "the end"

        def work():
            try:
                while not stop:
                    results.add(down(depth))
            except RecursionError:
                results.add("the end")

        gate_of_other = static_gate(other)(lambda: None)
        depth = {size} // 16 if sys.version_info < (3, 14) else 100_000
        results, stop = set(), []
        sys.setrecursionlimit(max(1000, depth * 2))
        threading.stack_size({size} * 1024)
        key.enable()
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(300):
            other.enable()
            other.disable()
        stop.append(True)
        for thread in threads:
            thread.join()
        assert results <= {{"the end"}}
        whole(True)
        """,
    )


@pytest.mark.parametrize(("method", "more"), [("membarrier", 0), ("signal", 1)])
@pytest.mark.parametrize("in_handler", [0, 1])
def test_a_trap_takes_one_signal_of_a_small_alternate_stack(build_c, in_handler, method, more):
    """The signal that synchronizes may come on top of it. (tests/c/small_stacks.c)"""
    library = build_c("small_stacks", "-shared", "-fPIC", "-Wl,-z,now", engine=())
    run(
        SITES,
        f"""
        import ctypes
        from callers import constant

        class SmallStack(ctypes.Structure):
            _fields_ = [(name, ctypes.c_void_p) for name in ("object", "off", "on")]
            _fields_ += [(name, ctypes.c_size_t) for name in ("vectorcall_offset", "signals", "room")]
            _fields_ += [("in_handler", ctypes.c_int), ("stop", ctypes.c_int), ("calls", ctypes.c_uint64)]
            _fields_ += [("thread", ctypes.c_ulong)]

        lib = ctypes.CDLL({str(library)!r})
        called = static_switch(key, to=constant(True))(constant(False))
        thread = SmallStack(id(called), id(False), id(True), object.__basicsize__)
        thread.signals, thread.room, thread.in_handler = {1 + in_handler + more}, 512, {in_handler}
        lib.small_stack_start(ctypes.byref(thread))
        while info().int3_current < 500:
            toggle()
        lib.small_stack_stop()
        assert thread.calls > 0
        """,
        JUMPLABEL_SYNC=method,
    )


# ---- no memory ----


def test_a_gated_function_without_memory():
    run(
        SITES,
        """
        @static_gate(key)
        @static_branches
        def needs_much():
            if key:
                return bytearray(1 << 62)

        for _ in range(3):
            assert needs_much() is None
            with key.override(True):
                try:
                    needs_much()
                    raise AssertionError("there was memory")
                except MemoryError:
                    whole(True)
            whole(False)
        """,
    )


def test_no_memory_at_any_point():
    """Each allocation of the interpreter's fails once: all is as it was, or done; and works the next time."""
    pytest.importorskip("_testcapi")
    run(
        SITES,
        script("no_memory_at_any_point"),
    )
