"""A fault of the library's in a program's call leaves the statement on. Exceptions of the program's pass."""

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from own_calls import SOURCE, run
from packages import Packages, records

from jumplabel import install
from jumplabel._instrument import closures


@pytest.fixture
def shop(packages: Packages) -> Iterator[ModuleType]:
    install("shop_own")
    yield packages.load("shop_own", SOURCE)
    packages.forget()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: unraisable.append(args.exc_type))
    return unraisable


@pytest.mark.parametrize("error", [ValueError, MemoryError, RecursionError])
def test_a_fault_of_ours_is_reported_and_the_statement_is_on(
    shop: ModuleType, told: list[Any], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise error("of ours")

    fails.__globals__  # noqa: B018
    ours = type(fails)(fails.__code__, vars(closures), closure=fails.__closure__)
    monkeypatch.setattr(closures, "_key", ours)
    logger = logging.getLogger(f"own.calls.{error.__name__}")
    with records(logger.name, logging.DEBUG) as handler:
        assert shop.make(logger)() == 7
        assert handler.take() == ["x", "y"]
    assert told == ([ValueError] if error is ValueError else [])


class Alarm(Exception):
    """An exception of the program's."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, Alarm, TimeoutError])
def test_an_exception_of_a_signal_handler_passes_to_the_program(
    shop: ModuleType, told: list[Any], error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(*_: Any) -> None:
        raise error("of the program's")

    key, before = closures._key, signal.signal(signal.SIGUSR1, handler)
    monkeypatch.setattr(closures, "_key", lambda *given: (signal.raise_signal(signal.SIGUSR1), key(*given))[1])
    try:
        with pytest.raises(error, match="of the program's"):
            shop.make(logging.getLogger(f"own.calls.signal.{error.__name__}"))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not told


def test_a_closure_at_the_end_of_the_stack(packages: Packages, told: list[Any]) -> None:
    """Closures are made as deep in the stack as the program itself can go, for known loggers and new ones."""
    source = """
        import logging
        def make(log):
            def inner():
                log.debug("x")
            return inner
        def deep(n, log):
            return deep(n - 1, log) if n else make(log)
    """
    plain = packages.load("shop_deep", source)
    n = 1
    while returns(plain.deep, n, logging.getLogger("own.calls.deep")):
        n += 1
    packages.forget()
    install("shop_deep")
    shop = packages.load("shop_deep", source)
    for left in range(1, 60):
        for name in ("own.calls.deep", f"own.calls.deep.{left}"):
            assert shop.deep(n - left, logging.getLogger(name)).__name__ == "inner"
    with records("own.calls.deep", logging.DEBUG) as handler:
        shop.deep(n - 1, logging.getLogger("own.calls.deep.new"))()
        assert handler.take() == ["x"]
    assert not told


def returns(function: Callable[..., Any], *given: Any) -> bool:
    try:
        function(*given)
    except RecursionError:
        return False
    return True


def test_an_audit_hook_that_refuses_leaves_statements_on(tmp_path: Path) -> None:
    (tmp_path / "shop_audited.py").write_text(
        "import logging\ndef make(log):\n    def inner(): log.debug('x')\n    return inner\n"
    )
    program = """
import logging, sys
import jumplabel
jumplabel.install("shop_audited")
import shop_audited
known = logging.getLogger("known")
shop_audited.make(known)
refused = []
def refuse(event, arguments):
    if event in ("code.__new__", "object.__setattr__"):
        refused.append(event)
        raise RuntimeError(event)
sys.addaudithook(refuse)
class Handler(logging.Handler):
    def emit(self, record): print(record.getMessage())
logging.basicConfig(level=10, handlers=[Handler()])
for logger in (known, logging.getLogger("new")):
    shop_audited.make(logger)()
print(sorted(set(refused)))
"""
    assert run(tmp_path, program) == "x\nx\n['code.__new__', 'object.__setattr__']\n"


def test_a_closure_is_made_without_waiting_for_the_lock_of_logging(shop: ModuleType) -> None:
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with logging._lock:  # type: ignore[attr-defined]
            held.set()
            go_on.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        made = shop.make(shop.logger)
        assert thread.is_alive()
    finally:
        go_on.set()
        thread.join()
    with records("own.calls", logging.WARNING) as handler:
        assert made() == 7 and handler.take() == ["y"]
        assert made.__code__ is not shop.make(shop.logger).__code__  # the next closure follows the logger again
