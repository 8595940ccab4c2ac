"""Tracers, profilers and monitoring tools see no frame of the library's in a program's calls."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from logger_checks import shown
from own_calls import OURS, SOURCE
from packages import Packages, records

from jumplabel import install
from jumplabel._instrument import closures


@pytest.fixture
def shop(packages: Packages) -> Iterator[ModuleType]:
    install("shop_own")
    yield packages.load("shop_own", SOURCE)
    packages.forget()


@contextmanager
def watched() -> Iterator[list[str]]:
    """Return the functions of the library's that tracers, profilers and monitoring tools see, in a list that grows."""
    seen: list[str] = []

    def note(frame: Any, event: str, arg: Any) -> Any:
        code = getattr(arg, "__code__", None) or frame.f_code
        if code.co_filename.startswith(OURS):
            seen.append(f"{event} {code.co_qualname}")
        elif event.startswith("c_") and "jumplabel" in f"{arg!r} {getattr(arg, '__module__', '')}":
            seen.append(f"{event} {arg!r}")
        return note

    def called(code: Any, *_: Any) -> None:
        if code.co_filename.startswith(OURS):
            seen.append(f"monitored {code.co_qualname}")

    before = sys.gettrace(), sys.getprofile()
    monitoring = getattr(sys, "monitoring", None)
    if monitoring:
        monitoring.use_tool_id(3, "test")
        monitoring.register_callback(3, monitoring.events.PY_START, called)
        monitoring.set_events(3, monitoring.events.PY_START)
    sys.settrace(note)
    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(before[1])
        sys.settrace(before[0])
        if monitoring:
            monitoring.set_events(3, 0)
            monitoring.register_callback(3, monitoring.events.PY_START, None)
            monitoring.free_tool_id(3)


def define(shop: ModuleType) -> None:
    for name in ("own.calls", "own.calls.a", "own.calls.a"):
        shop.make(logging.getLogger(name))()
    for n in range(closures.KEPT + 2):  # more than are kept
        shop.make(logging.getLogger(f"own.calls.{n}"))


def set_levels(shop: ModuleType) -> None:
    logger = logging.getLogger("own.calls")
    for level in (logging.DEBUG, logging.CRITICAL):
        logger.setLevel(level)
        shop.work()
    logger.disabled = True
    logger.disabled = False
    logging.disable(logging.CRITICAL)
    logging.disable(logging.NOTSET)


def bind_names(shop: ModuleType) -> None:
    shop.logger = logging.getLogger("own.calls.other")
    shop.work()
    del shop.logger
    shop.logger = logging.getLogger("own.calls")
    shop.work()


@pytest.mark.parametrize("what", [define, set_levels, bind_names])
def test_no_frame_of_ours_is_seen(shop: ModuleType, what: Callable[[ModuleType], None]) -> None:
    with records("own.calls", logging.WARNING):
        with watched() as seen:
            what(shop)
        assert seen == []
        with shown(), watched() as seen:
            what(shop)
        assert seen or what is bind_names


def test_another_thread_is_profiled_without_frames_of_ours(shop: ModuleType) -> None:
    seen: list[str] = []

    def note(frame: Any, event: str, arg: Any) -> None:
        if event == "call":
            seen.append(frame.f_code.co_qualname if not frame.f_code.co_filename.startswith(OURS) else "ours")

    def run() -> None:
        try:
            shop.make(logging.getLogger("own.calls.thread"))()
        finally:
            sys.setprofile(None)  # or CPython 3.12 and later go on to look for a profiler when the thread has ended

    before = threading.getprofile() if hasattr(threading, "getprofile") else None
    threading.setprofile(note)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.setprofile(before)  # type: ignore[arg-type]
    assert "make" in seen and "make.<locals>.inner" in seen and "ours" not in seen


class Traced(logging.Logger):
    @property
    def limit(self) -> int:
        return 0

    @limit.setter
    def limit(self, value: int) -> None:
        vars(self)["seen"] = value


def test_the_programs_own_setters_are_seen(shop: ModuleType) -> None:
    """A function of the library's, which is not seen, calls them."""
    logger = Traced("own.calls.traced")
    shop.logger = logger
    seen = []

    def note(frame: Any, event: str, arg: Any) -> Any:
        seen.append((event, frame.f_code.co_name, frame.f_lineno - frame.f_code.co_firstlineno))
        return note

    before = sys.gettrace()
    sys.settrace(note)
    try:
        logger.limit = 3
    finally:
        sys.settrace(before)
    assert seen == [("call", "limit", 0), ("line", "limit", 2), ("return", "limit", 2)]


def test_a_closure_with_a_known_logger_runs_no_python_of_ours(shop: ModuleType) -> None:
    logger = logging.getLogger("own.calls.known")
    first, calls = shop.make(logger), []
    before = sys.gettrace()
    with shown():
        sys.settrace(lambda frame, *_: calls.append(frame.f_code.co_qualname))
        try:
            second = shop.make(logger)
        finally:
            sys.settrace(before)
    assert calls == ["make"]
    assert second.__code__ is first.__code__
