"""Storms: timers, finalizers, threads that come and go, and the end of the interpreter.

Each in a process of its own (processes.py), and with every kind of site.
"""

import pytest
from processes import METHODS, SITES, run

# ---- timers ----


@pytest.fixture(scope="module")
def callers(build_c):
    return build_c("callers", "-shared", "-fPIC", engine=())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("timer", ["REAL", "PROF"])
@pytest.mark.parametrize("start", ["", "_short_lived", "_forking"])
def test_a_handler_in_c_calls_on_whatever_thread_it_hits(callers, stress_seconds, timer, start, method):
    """The patcher too, in the middle of a patch. (A kernel may count processor time more coarsely than we ask.)"""
    run(
        SITES,
        f"""
        import ctypes
        from callers import calling, toggle_for

        lib = ctypes.CDLL({str(callers)!r})
        in_c = StaticKey("called in C")
        also_here = static_branches(lambda: 1 if in_c else 0)

        with OtherThread(also_here), calling({str(callers)!r}, in_c, 4, "callers_start{start}") as callers:
            assert not lib.callers_start_timer(ctypes.byref(callers), signal.ITIMER_{timer}, 100)
            toggle_for({min(stress_seconds, 4) / 4}, in_c, callers)
            assert not lib.callers_stop_timer(signal.ITIMER_{timer})
        assert callers.wrong == 0 < callers.signals_handled
        assert callers.done == info().batches and info().int3_chained == 0
        """,
        JUMPLABEL_SYNC=method,
    )


@pytest.mark.parametrize("timer", ["REAL", "PROF"])
def test_a_handler_in_python_calls_and_toggles_what_it_interrupts(stress_seconds, timer):
    """It toggles and calls in the middle of toggles, batches and overrides of the same keys."""
    run(
        SITES,
        f"""
        import time

        handled = 0

        def handler(*_):
            global handled
            handled += 1
            whole(key.enabled)
            key.inc()
            other.inc()
            whole(key.enabled)
            other.dec()
            key.dec()
            with batch():
                key.inc()
                key.dec()
            whole(key.enabled)
            again()

        def again():
            # Once only: where a handler takes longer than that, there would be no end to them.
            signal.setitimer(signal.ITIMER_{timer}, 1e-4 if time.monotonic() < end else 0)

        gate_of_other = static_gate(other)(lambda: None)
        signal.signal(signal.SIG{"ALRM" if timer == "REAL" else timer}, handler)
        end = time.monotonic() + {min(stress_seconds, 3)}
        again()
        while time.monotonic() < end:
            key.inc()
            whole(True)
            key.dec()
            whole(False)
            with batch():
                key.inc()
                other.inc()
                whole(False)
            with batch():
                whole(True)
                other.dec()
                key.dec()
            with key.override(True), other.override(True):
                whole(True)
                with key.override(False):
                    whole(False)
            static_branches(lambda: 1 if key else 0)
        signal.setitimer(signal.ITIMER_{timer}, 0)
        whole(False)
        assert handled > 0 == key.count == other.count and not other.enabled
        """,
    )


# ---- toggles where nobody expects them ----


def test_a_finalizer_toggles_while_others_toggle_and_decorate():
    """The collector runs it at any point that makes something."""
    run(
        SITES,
        """
        finalized = 0

        class Garbage:
            def __init__(self):
                self.me = self

            def __del__(self):
                global finalized
                finalized += 1
                key.inc()
                other.inc()
                whole(True)
                branch = static_branches(lambda: "on" if key else "off")
                assert (static_gate(key)(lambda: "on")(), branch()) == ("on", "on")
                other.dec()
                key.dec()

        def make():
            def function():
                return "on" if key else "off"

            return function

        with OtherThread(lambda: (other.inc(), other.dec())):
            for threshold in [1, 2, 3, 5, 7, 11, 13] * 5:
                gc.set_threshold(threshold)
                for _ in range(4):
                    Garbage()
                    made = static_gate(key, default="off")(make()), static_switch(key, to=make())(make())
                    made += (static_branches(make()), static_branches(eval(f"lambda: 'on' if key else 'off'")))
                    state = key.enabled
                    for function in made:
                        assert function() == ("on" if state else "off")
                    Garbage()
                    key.inc()
                    for function in made:
                        assert function() == "on"
                    Garbage()
                    with key.override(True), batch() as _:
                        Garbage()
                        other.inc()
                        other.dec()
                    Garbage()
                    key.dec()
                    repr(key), key.entries, info()
                    for function in made:
                        assert function() == "off"
        del made, function
        gc.collect()
        assert finalized > 500 and len(key.entries) == 3
        whole(False)
        assert key.count == other.count == 0
        """,
    )


def test_toggles_in_a_gated_function_that_an_override_or_a_batch_calls():
    run(
        SITES,
        """
        @static_gate(other)
        @static_branches
        def inner(depth):
            '''Runs while `other` is on: toggles the key, and `other` itself under its own feet.'''
            if not other:
                return "off"
            key.inc()
            other.inc()
            result = inner(depth - 1) if depth else "done"
            other.dec()
            key.dec()
            return result

        assert inner(3) is None
        with other.override(True):
            assert inner(3) == "done"
            whole(False)
            with key.override(True):
                assert inner(3) == "done"
                whole(True)
        assert not other and key.count == other.count == 0
        other.enable()
        with batch():
            assert inner(3) == "done"
            key.inc()
            assert inner(3) == "done"
            whole(False)
        whole(True)
        assert (key.count, other.count) == (1, 1)

        @static_gate(other)
        @static_branches
        def turns_itself_off():
            other.disable()
            return "still on" if other else "off"

        assert (turns_itself_off(), turns_itself_off()) == ("off", None)
        """,
    )


# ---- threads that come and go ----


@pytest.mark.parametrize("method", METHODS)
def test_threads_that_start_and_end_while_another_toggles(callers, stress_seconds, method):
    run(
        SITES,
        f"""
        from callers import hammer

        def once():
            assert {{gate(), switch(), branch()}} <= {{"on", "off"}}

        def start():
            thread = threading.Thread(target=once)
            thread.start()
            thread.join()

        with OtherThread(start), OtherThread(toggle):
            callers = hammer({str(callers)!r}, {min(stress_seconds, 5)}, 4, "callers_start_short_lived")
        assert callers.wrong == 0 < callers.done and callers.threads_ended > 100
        whole(False)
        """,
        JUMPLABEL_SYNC=method,
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_interpreter_ends_under_threads_that_call_and_toggle(stress_seconds, method):
    """Daemon threads are stopped where they are; others still toggle when all modules are taken apart."""
    for _ in range(3 + int(stress_seconds)):
        run(
            SITES,
            """
            import atexit
            import random
            import time

            def calls():
                assert {gate(), switch(), branch()} <= {"on", "off"}

            def toggles():
                key.inc()
                with batch():
                    other.inc()
                    key.dec()
                with key.override(True):
                    other.dec()

            def makes():
                static_gate(key)(lambda: None)
                static_branches(lambda: 1 if key else 2)()
                repr(key), info()

            def toggles_at_the_end(key=key, gate=gate, switch=switch, branch=branch):
                key.inc()
                assert (gate(), switch(), branch()) == ("on",) * 3
                key.dec()

            class Last:
                def __del__(self, toggles=toggles_at_the_end):
                    toggles()

            last = Last()
            gate_of_other = static_gate(other)(lambda: None)
            atexit.register(toggles_at_the_end)
            for work in (calls, toggles, toggles, makes):
                OtherThread(work).__enter__()
            time.sleep(random.random() / 50)
            """,
            JUMPLABEL_SYNC=method,
        )
