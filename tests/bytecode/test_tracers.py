"""sys.settrace, sys.setprofile and sys.monitoring see the same in a function with sites as in a plain one."""

import sys
import threading

import pytest
from site_checks import off_on_off
from tools import FILE, Tracer, fail, in_another_thread, pair, run, traced, turn, warm

warmth = pytest.mark.parametrize("warmed", [False, True], ids=["cold", "warm"])


@pytest.fixture
def states(key, other_key):
    """states(): both keys in every combination, more than once."""

    def states():
        for _ in off_on_off(key):
            for _ in range(2):
                turn(other_key)
                yield

    return states


# ---- sys.settrace ----


@warmth
def test_a_tracer_sees_the_same_events(both, states, warmed):
    plain, decorated = both
    for _ in states():
        if warmed:
            warm(plain), warm(decorated)
        seen = traced(plain)
        assert traced(decorated) == seen
        assert seen[0][-1][0] == "return" and ("line" in (event for event, *_ in seen[0]))
        assert run(decorated) == seen[1] == run(plain)


def test_a_tracer_of_every_instruction_sees_the_same_lines(both, states):
    def lines(function):
        def trace(frame, event, arg):
            if frame.f_code.co_filename == FILE:
                frame.f_trace_opcodes = True
                if event != "opcode":
                    seen.append((event, frame.f_lineno))
                return trace

        seen = []
        sys.settrace(trace)
        try:
            return seen, run(function)
        finally:
            sys.settrace(None)

    for _ in states():
        assert lines(both[1]) == lines(both[0])


def turns(key, other_key):
    """Return what may happen to keys in a callback."""

    def twice():
        turn(key), turn(key)

    def thrice():
        turn(key), turn(key), turn(key)

    def both_keys():
        turn(key), turn(other_key)

    def elsewhere():
        in_another_thread(turn, key)

    return [lambda: turn(key), lambda: turn(other_key), twice, thrice, both_keys, elsewhere]


@pytest.mark.parametrize("which", range(6), ids=["once", "other", "twice", "thrice", "both", "thread"])
@pytest.mark.parametrize("default", [False, True], ids=["off", "on"])
def test_a_key_turned_by_the_tracer_counts_at_once(both, key, other_key, which, default):
    """The tracer turns the key at every event, also at the event for the line of the test."""
    action = turns(key, other_key)[which]

    def seen(function, at):
        key.enable() if default else key.disable()
        other_key.disable()
        return traced(function, at, action)

    key.enable() if default else key.disable()
    n_events = len(traced(both[0])[0])
    for at in range(1, n_events + 1):
        assert seen(both[1], at) == seen(both[0], at)


@warmth
@pytest.mark.parametrize("turning", [False, True], ids=["still", "turning"])
def test_tracing_begins_in_the_middle_of_a_call(both, key, states, warmed, turning):
    """A function that the call calls begins it, for frames that are running."""

    def seen(function, at):
        def begin():
            frame = sys._getframe()
            while frame:
                frame.f_trace = tracer
                frame = frame.f_back
            sys.settrace(tracer)
            if turning:
                turn(key)

        tracer = Tracer()
        was = key.enabled
        try:
            return tracer.events, run(function, at, begin)
        finally:
            sys.settrace(None)
            if was != key.enabled:
                turn(key)

    for _ in states():
        if warmed:
            warm(both[0]), warm(both[1])
        for at in range(1, len(run(both[0])[0]) + 1):
            assert seen(both[1], at) == seen(both[0], at)


def test_tracing_ends_in_the_middle_of_a_call(both, key, states):
    def seen(function, at):
        def end():
            sys.settrace(None)
            turn(key)

        was = key.enabled
        try:
            return traced(function, at, end)
        finally:
            if was != key.enabled:
                turn(key)

    for _ in states():
        for at in range(1, len(traced(both[0])[0]) + 1):
            assert seen(both[1], at) == seen(both[0], at)


def test_another_thread_is_not_traced_and_sees_the_key(both, key):
    """The code is instrumented for all threads while one of them is traced."""
    plain, decorated = both
    outcomes = []
    for enabled in off_on_off(key):
        expected = run(plain)
        sys.settrace(tracer := Tracer())
        try:
            run(decorated)
            n_events = len(tracer.events)
            in_another_thread(lambda: outcomes.append(run(decorated)))
        finally:
            sys.settrace(None)
        assert outcomes.pop() == expected
        assert len(tracer.events) == n_events
        assert key.enabled is enabled


def test_a_tracer_that_fails_is_removed_and_the_function_raises(both, states):
    """Each runs in a thread, as CPython may leave an exception behind as the context of the next one."""

    def seen(function, at):
        in_another_thread(lambda: outcomes.append(traced(function, at, fail)))
        return outcomes.pop()

    outcomes = []
    for _ in states():
        for at in range(1, len(traced(both[0])[0]) + 1):
            assert seen(both[1], at) == seen(both[0], at)


def test_a_loop_in_another_thread_is_traced_from_here(key, other_key):
    """The callback, in that thread, turns the key. So does this thread while the callback waits."""
    if sys.version_info < (3, 12):
        pytest.skip("threading.settrace_all_threads is new in 3.12")
    function = pair("attribute", key, other_key)[1]
    running, stop, waiting, go_on = (threading.Event() for _ in range(4))
    hits = []

    def loop():
        def hit(value):
            hits.append(value)
            running.set()

        while not stop.is_set():
            function(hit)

    def trace(frame, event, arg):
        if frame.f_code is not function.__code__:
            return None
        if event == "line" and frame.f_lineno == function.__code__.co_firstlineno + 2 and not waiting.is_set():
            del hits[:]
            waiting.set()
            go_on.wait()
        return trace

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        running.wait()
        threading.settrace_all_threads(trace)
        waiting.wait()
        key.enable()
    finally:
        stop.set()
        go_on.set()
        thread.join()
        threading.settrace_all_threads(None)
    assert hits and all(value >= 0 for value in hits) and any(hits)


def test_frames_tell_their_line(both, states):
    """run() compares frame.f_lineno in the body at every hit. This test compares the frames above it."""

    def lines(function):
        def hit(value=None):
            frame = sys._getframe(1)
            while frame.f_code.co_filename == FILE:
                seen.append((frame.f_lineno, frame.f_code.co_name))
                frame = frame.f_back
            return value

        seen = []
        try:
            function(hit)
        except AssertionError as error:
            seen.append(error.__traceback__.tb_next.tb_lineno)
        return seen

    for _ in states():
        assert lines(both[1]) == lines(both[0])


# ---- sys.setprofile ----


@warmth
def test_a_profiler_sees_the_same_events(both, states, warmed):
    for _ in states():
        if warmed:
            warm(both[0]), warm(both[1])
        assert traced(both[1], install=sys.setprofile) == traced(both[0], install=sys.setprofile)


def test_a_key_turned_by_the_profiler_counts_at_once(both, key):
    def seen(function, at):
        was = key.enabled
        try:
            return traced(function, at, lambda: turn(key), sys.setprofile)
        finally:
            if was != key.enabled:
                turn(key)

    for _ in off_on_off(key):
        for at in range(1, len(traced(both[0], install=sys.setprofile)[0]) + 1):
            assert seen(both[1], at) == seen(both[0], at)
