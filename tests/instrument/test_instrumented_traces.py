"""Tracers, profilers, tracebacks and records show instrumented code as they show the original."""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

import pytest
from packages import Packages, records

import jumplabel
from jumplabel import install

SOURCE = """
    import logging
    import warnings

    logger = logging.getLogger("traced")

    def loop(n):
        total = 0
        for i in range(n):
            if i % 2:
                logger.debug("odd %s", i)
            else:
                total += i
                assert total >= 0, (
                    "negative"
                )
            logger.info(
                "passed %s",
                i,
            )
        return total

    def finally_(n):
        try:
            assert n is not None, "none"
            return 1 / n
        except ZeroDivisionError:
            logger.exception("divided")
            raise
        finally:
            logger.debug("finally")

    def guarded(n):
        if n and logger.isEnabledFor(logging.DEBUG):
            n += 1
            logger.debug("guarded", stack_info=True, stacklevel=2)
        elif logger.isEnabledFor(logging.INFO):
            n += 2
        else:
            n += 3
        while n < 10:
            n += 1
            logger.log(15, "level")
        return n

    def generate(n):
        for i in range(n):
            logger.debug("generate")
            yield i
        assert False, "end"

    def closure(log):
        def inner(n):
            log.debug("inner")
            return n
        return inner

    def everything():
        results = [loop(3), guarded(1), guarded(0), closure(logger)(2)]
        for call in (lambda: finally_(0), lambda: finally_(2), lambda: list(generate(2))):
            try:
                results.append(call())
            except (AssertionError, ZeroDivisionError) as error:
                results.append((type(error), str(error)))
        return results
"""


def both(packages: Packages, level: int, look: Callable[[ModuleType], Any], asserts: bool = True) -> tuple[Any, Any]:
    """Return what ``look`` returns for the original and for the instrumented module."""
    path = packages.write("traced", SOURCE)
    seen = []
    for instrumented in (False, True):
        hook = install("traced", asserts="off") if instrumented else None
        module = packages.load("traced", path.read_text())
        if instrumented and asserts:
            jumplabel.key("asserts.traced").enable()
        with records("traced", level) as handler:
            seen.append((look(module), [told(record) for record in handler.records]))
        packages.forget()
        if hook:
            hook.uninstall()
    return seen[0], seen[1]


def told(record: logging.LogRecord) -> dict[str, Any]:
    facts = dict(vars(record))
    for name in ("created", "msecs", "relativeCreated", "exc_info", "process", "thread", "taskName"):
        facts.pop(name, None)
    stack = facts.pop("stack_info")
    return {**facts, "stack": stack and [line for line in stack.splitlines() if "traced" in line]}


def events(call: Callable[[], Any], set_tracer: Callable[[Any], None]) -> list[tuple[Any, ...]]:
    """Return the events of the module's own frames."""
    seen: list[tuple[Any, ...]] = []

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename.endswith("traced.py"):
            seen.append((event, frame.f_code.co_qualname, frame.f_lineno))
            return trace
        return None

    set_tracer(trace)
    try:
        call()
    finally:
        set_tracer(None)
    return seen


LEVELS = pytest.mark.parametrize("level", [15, logging.DEBUG])
"""The lines of arguments: they do not run while a statement on several lines is off."""


@pytest.mark.parametrize("level", [logging.WARNING, 15, logging.DEBUG])
def test_records_are_the_same(packages: Packages, level: int) -> None:
    plain, instrumented = both(packages, level, lambda module: module.everything())
    assert plain == instrumented
    assert len(plain[1]) >= {logging.WARNING: 1, 15: 10, logging.DEBUG: 15}[level]


@LEVELS
def test_the_same_lines_are_traced(packages: Packages, level: int) -> None:
    plain, instrumented = both(packages, level, lambda module: events(module.everything, sys.settrace))
    lines = [event for event in plain[0] if event[0] == "line"]
    assert len(lines) > 60
    assert plain == instrumented


def test_a_statement_that_is_off_shows_its_first_line_only(packages: Packages) -> None:
    def look(module: ModuleType) -> list[tuple[Any, ...]]:
        return events(lambda: module.loop(3), sys.settrace)

    plain, instrumented = both(packages, logging.WARNING, look, asserts=False)
    lines = [line for *_, line in plain[0]]
    # A statement that is off shows its first line. The lines of its arguments do not run.
    shown = [
        line for i, line in enumerate(lines) if line not in (15, 18, 19) and not (line == 17 and lines[i - 1] == 19)
    ]
    assert [line for *_, line in instrumented[0]] == shown


@LEVELS
def test_profilers_see_the_same_calls(packages: Packages, level: int) -> None:
    def look(module: ModuleType) -> list[tuple[Any, ...]]:
        return [event for event in events(module.everything, sys.setprofile) if event[0] in ("call", "return")]

    plain, instrumented = both(packages, level, look)
    assert plain == instrumented


def test_tracebacks_are_the_same(packages: Packages) -> None:
    def look(module: ModuleType) -> list[str]:
        found = []
        for call in (lambda: module.finally_(0), lambda: list(module.generate(1))):
            try:
                call()
            except (AssertionError, ZeroDivisionError) as error:
                found.append("".join(traceback.format_exception(error)))
        return found

    plain, instrumented = both(packages, logging.WARNING, look)
    assert plain == instrumented


@LEVELS
@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in 3.12")
def test_monitoring_sees_the_same_lines(packages: Packages, level: int) -> None:
    monitoring = sys.monitoring
    tool = monitoring.DEBUGGER_ID

    def look(module: ModuleType) -> list[Any]:
        seen: list[Any] = []

        def line(code: Any, number: int) -> None:
            if code.co_filename.endswith("traced.py"):
                seen.append((code.co_qualname, number))

        monitoring.use_tool_id(tool, "test")
        monitoring.register_callback(tool, monitoring.events.LINE, line)
        monitoring.set_events(tool, monitoring.events.LINE)
        try:
            module.everything()
        finally:
            monitoring.set_events(tool, 0)
            monitoring.free_tool_id(tool)
        return seen

    plain, instrumented = both(packages, level, look)
    assert plain == instrumented


@pytest.mark.stress
def test_calls_from_several_threads_see_levels_change_at_once(packages: Packages, stress_seconds: float) -> None:
    """Every call that begins after setLevel() logs."""
    install("traced")
    module = packages.load("traced", SOURCE)
    stop, wrong = threading.Event(), []

    def call() -> None:
        while not stop.is_set():
            module.loop(3)

    others = [threading.Thread(target=call) for _ in range(2)]
    with records("traced", logging.WARNING) as handler:
        for other in others:
            other.start()
        own = [threading.get_ident()]
        for i in range(int(100 * stress_seconds) or 1):
            on = bool(i % 2)
            logging.getLogger("traced").setLevel(logging.DEBUG if on else logging.WARNING)
            handler.records.clear()
            module.loop(3)
            logged = sum(record.thread in own for record in list(handler.records))
            if logged != (4 if on else 0):
                wrong.append((on, logged))
        stop.set()
        for other in others:
            other.join()
    assert not wrong
