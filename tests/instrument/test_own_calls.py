"""Instrumented code calls nothing that the program may have replaced, at its end either."""

import builtins
import importlib
import logging
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import pytest
from own_calls import SOURCE, run
from packages import Packages, records

import jumplabel
from jumplabel import install
from jumplabel._instrument import closures


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


# ---- code ----


def test_the_object_in_the_code_is_pickled_by_name(shop: ModuleType) -> None:
    constant = next(one for one in shop.make.__code__.co_consts if type(one) is type(closures.follow))
    assert constant is closures.follow is pickle.loads(pickle.dumps(constant))
    assert {constant: 1}[closures.follow] == 1
    assert constant != 7 and constant == closures.follow
    assert (constant < 7) == 7 and (constant | 7) == 7
    assert importlib.import_module("jumplabel._instrument.closures").follow is constant
