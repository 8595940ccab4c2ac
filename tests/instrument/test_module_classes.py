"""Modules that get a class of their own while their keys follow loggers, are replaced, or are loaded anew."""

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from logger_checks import WATCHED
from packages import Packages, records

from jumplabel import install

SOURCE = """
    import logging
    logger = logging.getLogger("quiet.shop")
    class Cart:
        log = logger
    def sell():
        logger.debug("sold")
    def put():
        Cart.log.debug("put")
"""


class Deprecating(ModuleType):
    """The class of a module that warns of old names."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class Setting(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        vars(self)[name] = value


@pytest.fixture
def shop(packages: Packages) -> Iterator[ModuleType]:
    with install("shop_classes"):
        yield packages.load("shop_classes", SOURCE)
    packages.forget()


def to(kind: type[ModuleType]) -> Callable[[ModuleType], None]:
    def change(module: ModuleType) -> None:
        module.__class__ = kind

    change.__name__ = kind.__name__
    return change


def to_its_own(module: ModuleType) -> None:
    """Give the module a class that is derived from its present one."""
    module.__class__ = type("Own", (type(module),), {})


def twice(module: ModuleType) -> None:
    module.__class__ = Deprecating
    module.__class__ = Setting


def and_back(module: ModuleType) -> None:
    module.__class__ = Deprecating
    module.__class__ = ModuleType


def replaced(module: ModuleType) -> None:
    sys.modules[module.__name__] = Setting(module.__name__)


def loaded_anew(module: ModuleType) -> None:
    importlib.reload(module)


CHANGES = [to(ModuleType), to(Deprecating), to(Setting), to_its_own, twice, and_back, replaced, loaded_anew]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_logger_that_the_name_then_stands_for_logs(shop: ModuleType, change: Callable[[ModuleType], None]) -> None:
    with records("loud.shop", logging.DEBUG) as handler, records("quiet.shop", logging.WARNING):
        shop.sell()
        change(shop)
        shop.logger = logging.getLogger("loud.shop")
        shop.sell()
        assert handler.take() == ["sold"]
        shop.logger = logging.getLogger("quiet.shop")
        shop.sell()
        shop.logger = logging.getLogger("loud.shop")
        shop.sell()
        assert handler.take() == ["sold"]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_loggers_are_followed_on(shop: ModuleType, change: Callable[[ModuleType], None]) -> None:
    with records("quiet.shop", logging.WARNING) as handler:
        change(shop)
        for level, expected in (
            (logging.DEBUG, ["sold", "put"]),
            (logging.WARNING, []),
            (logging.DEBUG, ["sold", "put"]),
        ):
            logging.getLogger("quiet.shop").setLevel(level)
            shop.sell()
            shop.put()
            assert handler.take() == expected


def test_a_refused_class_changes_nothing(shop: ModuleType) -> None:
    with records("loud.shop", logging.DEBUG) as handler, records("quiet.shop", logging.WARNING):
        before = type(shop)
        with pytest.raises(TypeError):
            shop.__class__ = int  # type: ignore[assignment]
        assert type(shop) is before
        shop.logger = logging.getLogger("loud.shop")
        shop.sell()
        assert handler.take() == ["sold"]


def test_the_setter_of_the_program_runs_once(shop: ModuleType) -> None:
    seen = []

    class Noting(type(shop)):  # type: ignore[misc]
        def __setattr__(self, name: str, value: object) -> None:
            seen.append(name)
            super().__setattr__(name, value)

    class Mixin(ModuleType):
        def __setattr__(self, name: str, value: object) -> None:
            seen.append(f"mixed in: {name}")
            super().__setattr__(name, value)

    class Mixed(Noting, Mixin):
        pass

    for kind, names in ((Noting, ["logger"]), (Mixed, ["logger", "mixed in: logger"])):
        shop.__class__ = kind
        seen.clear()
        shop.logger = logging.getLogger("loud.shop")
        del shop.logger
        assert seen == names


GLOBALS = [
    "def rebind(): globals()['logger'] = loud",
    "def rebind(): globals().update(logger=loud)",
    "def rebind(): globals().update({'logger': loud})",
    "def rebind(): globals().__setitem__('log' + 'ger', loud)",
    "def rebind():\n    def inner(): globals()['logger'] = loud\n    inner()",
    "rebind = lambda: globals().update(logger=loud)",
    "def rebind():\n    global logger\n    logger = loud",
]


@pytest.mark.parametrize("rebind", GLOBALS)
def test_a_global_that_functions_set_in_its_dict(packages: Packages, rebind: str) -> None:
    source = f"""
import logging
logger, loud, other = (logging.getLogger(name) for name in ("quiet.shop", "loud.shop", "quiet.other"))
{rebind}
def sell():
    logger.debug("sold")
def else_():
    other.debug("else")
"""
    with install("shop_globals"), records("loud.shop", logging.DEBUG) as handler:
        with records("quiet.shop", logging.WARNING):
            shop = packages.load("shop_globals", source)
            shop.sell()
            shop.rebind()
            shop.sell()
            assert handler.take() == ["sold"]
    packages.forget()


@pytest.mark.skipif(WATCHED, reason="where dicts are watched every statement can be a site")
def test_only_names_that_are_set_through_globals_have_no_site(packages: Packages) -> None:
    from jumplabel._instrument.mark_statements import mark
    from jumplabel._instrument.options import Options

    source = "def f():\n  globals()['logger'] = g()['other'] = 1\ndef h():\n  logger.debug('a')\n  other.debug('b')\n"
    assert mark(source.encode(), "shop.py", Options()).marks == 1
