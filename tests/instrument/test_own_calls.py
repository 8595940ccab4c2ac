"""A program's own calls are its own: instrumented code imports nothing, raises nothing and shows no frame of ours."""

import builtins
import importlib
import logging
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from packages import Packages, records

import jumplabel
from jumplabel import install
from jumplabel._instrument import closures

SOURCE = """
    import logging

    logger = logging.getLogger("own.calls")

    def make(log=logger):
        def inner():
            if log.isEnabledFor(logging.DEBUG):
                log.debug("x")
            log.error("y")
            return 7
        return inner

    def work():
        logger.debug("work")
"""


@pytest.fixture
def shop(packages: Packages) -> Iterator[ModuleType]:
    install("shop_own")
    yield packages.load("shop_own", SOURCE)
    packages.forget()


# ---- what may be replaced ----


def test_a_closure_is_made_without_an_import(shop: ModuleType) -> None:
    with mock.patch("builtins.__import__", side_effect=ImportError("no such module")) as imported:
        assert shop.make()() == 7
    assert not imported.called


def test_a_first_closure_in_a_process_is_made_without_an_import(tmp_path: Path) -> None:
    """Modules of the standard library import others when they are first used."""
    (tmp_path / "shop_first.py").write_text(
        "import logging\ndef make(log):\n    def inner(): log.debug('x')\n    return inner\n"
    )
    program = """
import builtins, logging, sys
import jumplabel
jumplabel.install("shop_first")
import shop_first
usual, builtins.__import__ = builtins.__import__, None
inner = shop_first.make(logging.getLogger("first"))
inner()
builtins.__import__ = usual
print(type(inner).__name__, [key.name for key in jumplabel.keys()])
sys.stdout.flush()
"""
    assert run(tmp_path, program) == "function ['logging.(first).debug']\n"


BUILTINS = [
    "id",
    "vars",
    "issubclass",
    "isinstance",
    "zip",
    "getattr",
    "hasattr",
    "map",
    "list",
    "tuple",
    "all",
]


@pytest.mark.parametrize("name", BUILTINS)
def test_builtins_are_the_interpreters_own(shop: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logger, calls = logging.getLogger(f"own.calls.{name}"), []

    def replaced(*arguments: Any) -> Any:
        calls.append(arguments)
        raise AssertionError(name)

    original = getattr(builtins, name)
    setattr(builtins, name, replaced)
    try:
        inner = shop.make(logger)
        shop.logger = logger
        logger.disabled = True
        logger.disabled = False
    finally:
        setattr(builtins, name, original)
    assert inner() == 7 and not calls
    with records(logger.name, logging.WARNING):
        assert not jumplabel.key(f"logging.({logger.name}).debug").enabled


def test_modules_may_be_missing_and_odd(shop: ModuleType) -> None:
    odd = {"structlog._config": object(), "structlog._base": None, "loguru._logger": mock.Mock(), "loguru": 7}
    without = {name: module for name, module in sys.modules.items() if name.partition(".")[0] != "jumplabel"}
    with mock.patch.dict(sys.modules, without | odd, clear=True):
        assert shop.make(logging.getLogger("own.calls.odd"))() == 7
        shop.logger = object()
        shop.logger = logging.getLogger("own.calls")
        shop.work()


def test_a_fake_logging(packages: Packages, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = mock.MagicMock()
    monkeypatch.setitem(sys.modules, "logging", fake)
    install("shop_fake")
    shop = packages.load("shop_fake", SOURCE)
    assert shop.make()() == 7
    shop.work()
    logger = fake.getLogger.return_value
    assert logger.mock_calls == [
        mock.call.isEnabledFor(fake.DEBUG),
        mock.call.isEnabledFor().__bool__(),
        mock.call.debug("x"),
        mock.call.error("y"),
        mock.call.debug("work"),
    ]


# ---- what goes wrong ----


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: unraisable.append(args.exc_type))
    return unraisable


@pytest.mark.parametrize("error", [ValueError, MemoryError, RecursionError])
def test_a_fault_of_ours_is_told_and_the_statement_is_on(
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
def test_what_a_signal_handler_raises_is_the_programs(
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
    """Closures are made as deep as the program itself can go, for known loggers and new ones."""
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


def test_no_call_waits_for_the_lock_of_logging(shop: ModuleType) -> None:
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
        assert made.__code__ is not shop.make(shop.logger).__code__  # the next one follows the logger again


# ---- the interpreter's end ----


WHERE = ["builtins", "json", "late", "jumplabel"]


@pytest.mark.parametrize("where", WHERE)
def test_a_finalizer_at_the_end_makes_closures_and_sets_levels(tmp_path: Path, where: str) -> None:
    (tmp_path / "late.py").write_text(f"""\
import logging, {where if where != "late" else "sys"}
logger = logging.getLogger("late")
def work():
    logger.debug("its key is bound, so changes of loggers are heard of")
class Pool:
    def __del__(self, logger=logger, print=print):
        log = logger
        def each(x):
            log.debug("closing %s", x)
            return x
        print([each(i) for i in range(2)], flush=True)
        logger.level = 10
        logger.disabled = False
        logger.manager.root._cache[7] = True
        logger.manager.root._cache.clear()
        print(logger.level, logger.manager.root._cache, flush=True)
{where + "." if where != "late" else ""}kept = Pool()
""")
    program = "import sys, jumplabel; {}import late"
    plain = run(tmp_path, program.format(""))
    assert plain == "[0, 1]\n10 {}\n"
    assert run(tmp_path, program.format("jumplabel.install('late'); ")) == plain


@pytest.mark.parametrize("start", ["atexit.register(work)", "threading.Thread(target=work, daemon=True).start()"])
def test_closures_of_the_last_moments(tmp_path: Path, start: str) -> None:
    (tmp_path / "last.py").write_text(f"""\
import atexit, logging, threading
def work():
    log = logging.getLogger("last")
    while True:
        def inner():
            log.debug("x")
            return 7
        if inner() != 7 or not {"daemon" in start}:
            break
{start}
""")
    program = (
        "import jumplabel; jumplabel.install('last'); import last, time; time.sleep(0.05); print('done', flush=True)"
    )
    assert run(tmp_path, program) == "done\n"


def run(folder: Path, program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-B", "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{program}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# ---- code ----


def test_what_stands_in_the_code_is_pickled_by_name(shop: ModuleType) -> None:
    constant = next(one for one in shop.make.__code__.co_consts if type(one) is type(closures.follow))
    assert constant is closures.follow is pickle.loads(pickle.dumps(constant))
    assert {constant: 1}[closures.follow] == 1
    assert constant != 7 and constant == closures.follow
    assert (constant < 7) == 7 and (constant | 7) == 7
    assert importlib.import_module("jumplabel._instrument.closures").follow is constant
