"""Storms: timers, finalizers, threads that come and go, and the end of the interpreter.

Each in a process of its own (processes.py), and with every kind of site.
"""

import pytest
from processes import METHODS, SITES, run, script

# ---- timers ----


@pytest.fixture(scope="module")
def callers(build_c):
    return build_c("callers", "-shared", "-fPIC", engine=())


@pytest.mark.stress
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


@pytest.mark.stress
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


# ---- toggles in finalizers and in gated functions ----


def test_a_finalizer_toggles_while_others_toggle_and_decorate():
    """The collector runs it at any point that makes something."""
    run(
        SITES,
        script("finalizers_toggle"),
    )


def test_toggles_in_a_gated_function_that_an_override_or_a_batch_calls():
    run(
        SITES,
        script("toggles_within"),
    )


# ---- threads that come and go ----


@pytest.mark.stress
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


@pytest.mark.stress
@pytest.mark.parametrize("method", METHODS)
def test_the_interpreter_ends_under_threads_that_call_and_toggle(stress_seconds, method):
    """Daemon threads are stopped where they are; others still toggle when all modules are taken apart."""
    for _ in range(3 + int(stress_seconds)):
        run(
            SITES,
            script("ends_under_toggles"),
            JUMPLABEL_SYNC=method,
        )
