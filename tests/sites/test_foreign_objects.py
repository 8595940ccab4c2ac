"""Nothing is asked of the program's objects: not of loggers, classes, metaclasses and modules, whatever their names."""

import functools
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from packages import Packages, records

import jumplabel
from jumplabel import StaticKey, install, instrument, static_branches
from jumplabel._loggers.log_keys import LogKey, bind
from jumplabel._program import looks
from jumplabel._sites.tracepoint import Tracepoint

SPECIAL = "__repr__ __str__ __format__ __bool__ __len__ __hash__ __eq__ __getattr__ __getattribute__ __instancecheck__"


class Asked(Exception):
    """Code of the program's was run."""


def asked(*_: Any, **__: Any) -> Any:
    raise Asked


# ---- loggers ----


class Silent(logging.Logger):
    """Says nothing of itself."""


for special in ("__repr__", "__str__", "__format__", "__hash__", "__eq__"):
    setattr(Silent, special, asked)


class Nameless(Silent):
    name = property(asked, lambda self, value: None)  # type: ignore[assignment]


class Liar(logging.Logger):
    __class__ = property(asked)  # type: ignore[assignment]


class WithoutAttributes(logging.Logger):
    quiet = True

    def __getattribute__(self, name: str) -> Any:
        if WithoutAttributes.quiet:
            raise Asked(name)
        return super().__getattribute__(name)


class Meta(type):
    __hash__ = __eq__ = __instancecheck__ = __subclasscheck__ = asked  # type: ignore[assignment]
    __module__ = __name__ = property(asked)  # type: ignore[assignment]


class OfMeta(logging.Logger, metaclass=Meta):
    __module__ = "tests"


KINDS = [Silent, Nameless, Liar, OfMeta]

SOURCE = """
    import logging
    logger = None
    def make(log):
        def inner():
            log.debug("x")
            return 7
        return inner
    def work():
        logger.debug("y")
        return 8
"""


@pytest.fixture
def shop(packages: Packages) -> Iterator[Any]:
    install("shop_foreign", asserts=True)
    yield packages.load("shop_foreign", SOURCE)
    packages.forget()


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_loggers_are_followed_without_a_word(shop: Any, number: int) -> None:
    logger = KINDS[number](f"foreign.{number}", logging.WARNING)
    made = shop.make(logger)
    shop.logger = logger
    assert (made(), shop.work()) == (7, 8)
    keys = [key for key in jumplabel.keys() if type(key) is LogKey and key._followed.logger() is logger]
    # Its class has a say in what it is: whether it says no cannot be known.
    assert len(keys) == 2 and all(key.enabled == (KINDS[number] is Liar) for key in keys)
    logger.setLevel(logging.DEBUG)
    assert all(key.enabled for key in keys)


@pytest.mark.parametrize("kind", [mock.Mock, mock.MagicMock, mock.NonCallableMagicMock])
def test_mocks_are_called_as_ever(shop: Any, kind: type[Any]) -> None:
    for logger in (kind(), kind(spec=logging.Logger), mock.create_autospec(logging.Logger, instance=True)):
        shop.logger = logger
        assert (shop.make(logger)(), shop.work()) == (7, 8)
        assert logger.mock_calls == [mock.call.debug("x"), mock.call.debug("y")]


def test_objects_that_answer_nothing_are_left_alone(shop: Any) -> None:
    class Unanswering:
        __slots__ = ()
        __getattribute__ = __bool__ = __eq__ = __len__ = asked  # type: ignore[assignment]
        __hash__ = None  # type: ignore[assignment]

    for logger in (Unanswering(), WithoutAttributes("foreign.without"), type("C", (), {"__class__": logging.Logger})()):
        shop.logger = logger
        made = shop.make(logger)
        for call in (made, shop.work):
            with pytest.raises((Asked, AttributeError)):
                call()
    WithoutAttributes.quiet = False
    shop.logger = None


# ---- classes and modules that are scanned ----

METACLASSES = {
    "properties": "__module__ = __name__ = __mro__ = __dict__ = __flags__ = property(asked)",
    "getattribute": "def __getattribute__(cls, name): asked(name)",
    "getattr": "def __getattr__(cls, name): asked(name)",
    "comparison": "__hash__ = __eq__ = __bool__ = __len__ = __instancecheck__ = __subclasscheck__ = asked",
    "odd values": "__module__ = __name__ = property(lambda cls: Odd())",
    "own mro": "def mro(cls): return [cls, object]",
}
SCANNED = """
    import logging
    from jumplabel import StaticKey
    def asked(*args): raise RuntimeError("asked", args)
    class Odd:
        __eq__ = __hash__ = __bool__ = __str__ = __format__ = asked
    key = StaticKey(NAME)
    logger = logging.getLogger("foreign.scanned")
    class Meta(type):
        {}
    class C(metaclass=Meta):
        log = logger
        holds = key
        class Inner(metaclass=Meta):
            def method(self):
                if key: return "inner"
        def method(self):
            if key: return "method"
            return C.Inner
    class Module:
        __module__ = Odd()
    def function():
        C.log.debug("x")
        assert function
        if key: return 2
        if C.holds: return 3
        return C
"""


@pytest.mark.parametrize("kind", METACLASSES)
def test_metaclasses_are_not_asked(packages: Packages, kind: str) -> None:
    install("shop_scanned", asserts=True)
    source = SCANNED.replace("NAME", repr(f"tests.foreign.{kind}"))
    made = packages.load("shop_scanned", source.format(METACLASSES[kind]))
    assert len(made.key.entries) >= 2
    with instrument(made, asserts=True):
        pass
    made.key.enable()
    assert type(made.C).__call__(made.C).method() == "method"
    made.key.disable()
    packages.forget()


@pytest.mark.parametrize("kind", METACLASSES)
def test_metaclasses_are_not_asked_by_the_decorator(kind: str) -> None:
    namespace: dict[str, Any] = {"__name__": "tests.foreign"}
    source = SCANNED.replace("NAME", repr(f"tests.foreign.decorated {kind}"))
    exec("if True:\n" + source.format(METACLASSES[kind]), namespace)
    static_branches(namespace["C"])
    key = namespace["key"]
    assert len(key.entries) == 2  # its own, and that of the class within
    static_branches(namespace["function"])
    assert len(key.entries) >= 3


def test_what_stands_for_functions_is_not_asked() -> None:
    key = StaticKey("tests.foreign.standing")

    def function(*_: object) -> int:
        return 1 if key else 2

    unasked = {"__getattribute__": asked, "__get__": asked}
    kinds: list[Any] = [property, classmethod, staticmethod, functools.cached_property]
    standing = [type("Sub", (kind,), unasked)(function) for kind in kinds]
    C = type("C", (), {})
    for one in standing:
        looks.class_dict(C)  # a class's dict is read, and nothing of it is called
        type.__setattr__(C, "one", one)
    static_branches(C)
    assert len(key.entries) == 1


def test_modules_of_an_odd_class(packages: Packages) -> None:
    source = """
        import logging, sys, types
        class Odd(types.ModuleType):
            __dict__ = property(lambda self: 1 / 0)
            def __getattribute__(self, name): return 1 / 0 if name == "logger" else super().__getattribute__(name)
        logger = logging.getLogger("foreign.module")
        sys.modules[__name__].__class__ = Odd
        def work(x):
            logger.debug("x")
            assert x, "x"
            return x
    """
    install("shop_odd", asserts=True)
    shop = packages.load("shop_odd", source)
    assert object.__getattribute__(shop, "work")(7) == 7
    packages.forget()


def test_looks_give_what_is_there() -> None:
    class C:
        x = 1

        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise Asked

    assert looks.mro(bool) == bool.__mro__ and looks.class_attribute(bool, "real") is vars(int)["real"]
    assert looks.attributes(C()) == {} and looks.attributes(7) == {}
    assert looks.attributes(mock) is vars(mock) is looks.variables(mock)
    assert (looks.name_of(C), looks.module_of(C), looks.name_of(sys), looks.name_of(7)) == ("C", __name__, "sys", "")
    assert looks.module_of(test_looks_give_what_is_there) == __name__
    assert looks.attribute(C, "x") == (1, [C]) and looks.attribute(C, "y")[0] is looks.NOT_FOUND
    assert looks.attribute(C, "__doc__")[0] is looks.NOT_FOUND and looks.attribute(7, "real")[0] is looks.NOT_FOUND
    Hostile = type("Hostile", (type,), {"__getattribute__": asked})
    C.z = hostile = Hostile("H", (), {})()  # type: ignore[attr-defined]
    assert looks.attribute(C, "z") == (hostile, [C])
    assert looks.first_is(bool, "real", int) and not looks.first_is(bool, "nothing", int)


# ---- names ----

NAMES = ["caf\udce9", "caf\u00e9", "a b", "nul\0nul", "\ud800\udfff"]


@pytest.mark.parametrize("name", ["caf\udce9", "caf\u00e9", "a b"])
def test_files_of_any_name(packages: Packages, name: str) -> None:
    source = """
        import logging
        logger = logging.getLogger(__name__)
        def f(x):
            log = logger
            def inner():
                log.debug("inner %s", x)
            assert x
            logger.debug("x %s", x)
            inner()
            return x
    """
    install("*", asserts=True)
    shop = packages.load(name, source)
    shown = name.encode(errors="backslashreplace").decode()
    for key in jumplabel.keys():
        if key.name == f"asserts.{shown}":
            key.enable()
    with pytest.raises(AssertionError):
        shop.f(0)
    with records(name, logging.DEBUG) as handler:
        assert shop.f(1) == 1 and handler.take() == ["x 1", "inner 1"]
    names = [key.name for key in jumplabel.keys()]
    assert f"logging.{shown}.logger.debug" in names and f"logging.({shown}).debug" in names
    assert any(module.name == name and module.sites == 3 for module in jumplabel.instrumented())
    packages.forget()


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_kind(shop: Any, name: str) -> None:
    logger = logging.Logger(name, logging.WARNING)
    vars(shop)[name] = setattr(shop, name, 7)  # a global that is not watched
    shop.make.__qualname__ = shop.make.__name__ = name
    shop.logger = logger
    made = shop.make(logger)
    assert made() == 7
    logger.setLevel(logging.DEBUG)
    made()
    namespace: dict[str, Any] = {"__name__": name, "Tracepoint": Tracepoint}
    exec(f"made = Tracepoint('tests.foreign.named {NAMES.index(name)}')", namespace)
    assert namespace["made"].name.startswith("tests.foreign.named")
    key = StaticKey(f"tests.foreign.names {NAMES.index(name)}")
    namespace |= {"key": key, "static_branches": static_branches}
    exec("@static_branches\ndef f():\n    if key: return 1", namespace)
    assert len(key.entries) == 1 and str(key.entries[0].owner).encode()


def test_a_module_with_a_name_that_is_no_string(shop: Any) -> None:
    shop.__name__ = object()
    shop.logger = logging.getLogger("foreign.nameless")
    assert shop.make(shop.logger)() == 7 and shop.work() == 8
    key = LogKey("logging.foreign.nameless", shop, ("logger",), "debug")
    bind([key])
    assert not key.enabled


def test_a_file_that_is_not_utf8_is_no_endless_loop(tmp_path: Path, packages: Packages) -> None:
    """Its assertions' key has a name that there is, and the same for each import."""
    install("caf*", asserts=True)
    for _ in range(2):
        packages.load("caf\udce9", "def f(x):\n    assert x\n    return x\n")
        del sys.modules["caf\udce9"]
    assert [key.name for key in jumplabel.keys() if key.name.startswith("asserts.caf")] in ([], ["asserts.caf\\udce9"])
