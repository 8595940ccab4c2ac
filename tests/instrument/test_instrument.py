"""instrument(): modules that are already loaded."""

import gc
import importlib
import logging
import sys
import types

import pytest
from packages import Packages, records, sites

import jumplabel
from jumplabel import InstrumentError, install, instrument, instrumented, uninstall

SHOP = """
    import functools, logging
    from jumplabel import StaticKey, static_branches

    logger = logging.getLogger(__name__)
    tracing = StaticKey(__name__ + ".tracing")

    def function(x):
        logger.debug("function %s", x)
        assert x > 0
        return "traced" if tracing else "plain"

    def decorator(function):
        @functools.wraps(function)
        def inner(*args):
            return function(*args)
        return inner

    class Cart:
        @decorator
        def method(self):
            logger.debug("method")
            return 1

        @classmethod
        def class_method(cls):
            logger.debug("class method")
            return 2

        @property
        def prop(self):
            logger.debug("property")
            return 3

        def untouched(self):
            return 4

    def make(log):
        def inner():
            log.debug("inner")
            def innermost():
                logger.debug("innermost")
            return innermost
        return inner

    inner = make(logger)

    def generate():
        while True:
            logger.debug("generated")
            yield 1

    @static_branches
    def branches():
        logger.debug("branches")
        return 1 if tracing else 0
"""

MESSAGES = ["function 1", "method", "class method", "property", "inner", "innermost", "branches"]


def use(shop: types.ModuleType) -> None:
    shop.function(1)
    cart = shop.Cart()
    assert (cart.method(), cart.class_method(), cart.prop, cart.untouched()) == (1, 2, 3, 4)
    shop.inner()()
    shop.branches()


def test_loaded_functions_get_sites(packages: Packages) -> None:
    shop = packages.load("store_a", SHOP)
    function, generator = shop.function, shop.generate()
    with records("store_a", logging.INFO) as handler:
        next(generator)
        done = instrument(shop, asserts="off")
        assert repr(done).startswith("<jumplabel.Instrumentation of ")
        assert done.left == [("store_a.branches", "its code is not what its source says")]
        assert shop.function is function
        names = [key.removeprefix("logging.store_a.") for key in sites("store_a")]
        log = "logger.debug"
        expected = [log, "asserts.store_a", "store_a.tracing", log, log, log, log, log, "store_a.tracing"]
        assert [name for name in names if not name.startswith("logging.(")] == expected
        use(shop)
        assert handler.take() == []
        logging.getLogger("store_a").setLevel(logging.DEBUG)
        use(shop)
        next(generator)
        assert handler.take() == [*MESSAGES, "generated"]

    assert function(-1) == "plain"
    jumplabel.key("asserts.store_a").enable()
    jumplabel.key("store_a.tracing").enable()
    assert function(1) == "traced"
    with pytest.raises(AssertionError):
        function(-1)

    again = instrument(shop, asserts=True)
    assert again.left == done.left
    assert len(sites("store_a")) == len(names)
    assert not jumplabel.key("logging.store_a.logger.debug").enabled
    again.uninstall()
    done.uninstall()


def test_uninstall_gives_the_original_code_back(packages: Packages) -> None:
    shop = packages.load("store_b", SHOP)
    found = [shop.function, shop.Cart.method.__wrapped__, shop.inner, shop.make, shop.generate, shop.Cart.prop.fget]
    codes = [function.__code__ for function in found]
    with instrument(shop) as done:
        assert not any(function.__code__ is code for function, code in zip(found, codes, strict=True))
        assert done.functions >= len(found)
    assert [function.__code__ for function in found] == codes
    gc.collect()
    assert sites("store_b") == ["store_b.tracing"]  # the decorated function's code
    assert instrumented() == []
    with pytest.raises(AssertionError):
        shop.function(-1)


def test_a_package_stands_for_all_of_its_loaded_modules(packages: Packages) -> None:
    packages.write("store_c", "", package=True)
    packages.write("store_c.later", SHOP)
    a, b = packages.load("store_c.a", SHOP), packages.load("store_c.b", SHOP)
    packages.load("store_cc", SHOP)
    bare = types.ModuleType("store_c.bare")
    sys.modules["store_c.bare"] = bare
    done = instrument(sys.modules["store_c"], asserts=False, keys=False)
    assert ("store_c.bare", "it has no source file") in done.left
    assert {key.rpartition(".logger")[0] for key in sites("store_c.a") if "logger" in key} == {"logging.store_c.a"}
    assert len(sites("store_c.b")) == len(sites("store_c.a"))
    assert sites("store_cc") == ["store_cc.tracing"]
    importlib.import_module("store_c.later")
    assert sites("store_c.later") == ["store_c.later.tracing"]
    use(a)
    use(b)
    uninstall()
    gc.collect()
    assert sites("store_c.a") == ["store_c.a.tracing"]


def test_with_a_hook_both_do_their_part(packages: Packages) -> None:
    install("store_d.new")
    packages.write("store_d", SHOP, package=True)
    new, old = packages.load("store_d.new", SHOP), packages.load("store_d.old", SHOP)
    before = sites("store_d.new")
    instrument(sys.modules["store_d"])
    assert sites("store_d.new") == before
    assert len(sites("store_d.old")) == len(before) - 1  # branches() had been decorated already
    use(new)
    use(old)


@pytest.mark.parametrize("what", ["shop", None, 7])
def test_an_object_that_is_no_module_is_refused(what: object) -> None:
    with pytest.raises(InstrumentError, match="takes a module"):
        instrument(what)  # type: ignore[arg-type]


def test_jumplabel_itself_is_not_instrumented(packages: Packages) -> None:
    for module in jumplabel, sys.modules["jumplabel._keys.static_key"]:
        with pytest.raises(InstrumentError, match="jumplabel itself"):
            instrument(module)
    with install("*"):
        assert sys.meta_path[0].find_spec("jumplabel._keys.static_key", jumplabel.__path__) is None  # type: ignore[union-attr]


def test_a_module_without_a_source_is_refused() -> None:
    for module in sys, types.ModuleType("nowhere"):
        with pytest.raises(InstrumentError, match="no source file"):
            instrument(module)


def test_a_source_that_has_been_changed_is_left_alone_where_it_differs(packages: Packages) -> None:
    shop = packages.load("store_e", SHOP)
    code = shop.function.__code__
    packages.write("store_e", SHOP.replace("function %s", "other %s"))
    done = instrument(shop, keys=False)
    assert ("store_e.function", "its code is not what its source says") in done.left
    assert shop.function.__code__ is code
    assert "logging.store_e.logger.debug" in sites("store_e")
    uninstall()

    packages.write("store_e", "x = = 1\n")
    before = instrumented()
    with pytest.raises(SyntaxError):
        instrument(shop)
    assert instrumented() == before
    (packages.folder / "store_e.py").unlink()
    with pytest.raises(InstrumentError, match=r"source of store_e cannot be read"):
        instrument(shop)


def test_a_refusal_of_an_audit_hook_undoes_everything(packages: Packages, monkeypatch: pytest.MonkeyPatch) -> None:
    from jumplabel import instrument as instrumenting

    shop = packages.load("store_f", SHOP)
    codes = {name: value.__code__ for name, value in vars(shop).items() if hasattr(value, "__code__")}
    set_code, given = sys.modules["jumplabel._instrument.loaded_modules"].set_code, []  # type: ignore[attr-defined]

    def refuse(function: types.FunctionType, code: types.CodeType) -> None:
        if len(given) == 2:
            raise RuntimeError("refused")
        given.append(function)
        set_code(function, code)

    monkeypatch.setattr(sys.modules["jumplabel._instrument.loaded_modules"], "set_code", refuse)
    assert instrumenting is instrument
    with pytest.raises(RuntimeError, match="refused"):
        instrument(shop)
    assert len(given) == 2
    assert [name for name, code in codes.items() if vars(shop)[name].__code__ != code] == []
    assert instrumented() == []
