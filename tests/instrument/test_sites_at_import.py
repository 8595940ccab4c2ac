"""install(): statements of an imported module become sites."""

import gc
import logging

import pytest
from packages import CART, Packages, records, sites

import jumplabel
from jumplabel import StaticKey, install, instrumented


def test_logging_statements_and_assertions_become_sites(packages: Packages) -> None:
    hook = install("shop_a", asserts="off")
    cart = packages.load("shop_a", CART)
    assert sites("shop_a") == ["logging.shop_a.logger.debug", "asserts.shop_a"]
    [report] = instrumented()
    assert report == ("shop_a", str(packages.folder / "shop_a.py"), 2, ())

    assert cart.total([1, -2]) == -1
    assert cart.evaluated == []
    jumplabel.key("asserts.shop_a").enable()
    with pytest.raises(AssertionError, match=r"^no price$"):
        cart.total([1, -2])
    with records("shop_a", logging.DEBUG) as handler:
        assert cart.total([1]) == 1
        assert cart.evaluated == [1]
    [record] = handler.records
    assert (record.pathname, record.lineno, record.funcName) == (cart.__file__, 14, "total")
    assert cart.total([1]) == 1
    assert cart.evaluated == [1]
    hook.uninstall()


def test_the_options_say_what_is_left(packages: Packages) -> None:
    install("shop_b.logging")
    install("shop_b.asserts", logging=False, asserts=True)
    install("shop_b.none", logging=False)
    install("shop_b.pure", asserts=True, only_pure=True)
    packages.write("shop_b", "", package=True)
    assert sites(packages.load("shop_b.logging", CART).__name__) == ["logging.shop_b.logging.logger.debug"]
    assert sites(packages.load("shop_b.asserts", CART).__name__) == ["asserts.shop_b.asserts"]
    assert sites(packages.load("shop_b.none", CART).__name__) == []
    assert sites(packages.load("shop_b.pure", CART).__name__) == ["asserts.shop_b.pure"]
    assert sites(packages.load("shop_b.other", CART).__name__) == []
    assert [report.name for report in instrumented()] == [
        f"shop_b.{one}" for one in ("asserts", "logging", "none", "pure")
    ]
    assert [report.left for report in instrumented()] == [(), (), (), ((14, "an argument calls something"),)]


def test_tests_of_keys_become_sites(packages: Packages) -> None:
    source = """
        from functools import wraps
        from jumplabel import StaticKey, static_branches
        tracing = StaticKey(__name__ + ".tracing")

        def function(x):
            assert x
            return "on" if tracing else "off"

        def wrapper(function):
            @wraps(function)
            def inner():
                return function()
            return inner

        @wrapper
        def wrapped():
            return 1 if tracing else 0

        class Cart:
            def method(self):
                if tracing:
                    return 1
                return 0
        """
    install("shop_c", "shop_c.*", asserts="off")
    packages.write("shop_c", "", package=True)
    module = packages.load("shop_c.cart", source)
    tracing, asserts = "shop_c.cart.tracing", "asserts.shop_c.cart"
    assert sites("shop_c.cart") == [asserts, tracing, tracing, tracing]
    assert (module.function(0), module.wrapped(), module.Cart().method()) == ("off", 0, 0)
    module.tracing.enable()
    assert (module.function(0), module.wrapped(), module.Cart().method()) == ("on", 1, 1)
    jumplabel.key(asserts).enable()
    with pytest.raises(AssertionError):
        module.function(0)

    install("shop_c.plain", asserts="off", keys=False)
    assert sites(packages.load("shop_c.plain", source).__name__) == ["asserts.shop_c.plain"]


def test_objects_in_a_module_are_not_asked_for_their_class(packages: Packages) -> None:
    """A proxy, as those of celery and Django, makes its object when it is asked."""
    source = """
        class Proxy:
            @property
            def __class__(self):
                raise ImportError("too early")

        proxy = Proxy()
        """
    install("shop_proxy")
    assert type(packages.load("shop_proxy", source).proxy).__name__ == "Proxy"


def test_a_decorator_in_the_source_keeps_the_existing_sites(packages: Packages) -> None:
    source = CART.replace("    def total", "    @static_branches\n    def total").replace(
        "import logging\n",
        "import logging\n    from jumplabel import *\n    tracing = StaticKey('shop_d.tracing')\n",
    )
    source = source.replace("result = 0", "result = 100 if tracing else 0")
    install("shop_d", asserts="off", keys=False)
    cart = packages.load("shop_d", source)
    gc.collect()
    assert sites("shop_d") == ["shop_d.tracing", "logging.shop_d.logger.debug", "asserts.shop_d"]
    assert cart.total([-1]) == -1
    jumplabel.key("shop_d.tracing").enable()
    with records("shop_d", logging.DEBUG) as handler:
        assert cart.total([-1]) == 99
        assert handler.take() == ["price -1"]
    assert cart.total([-1]) == 99
    assert cart.evaluated == [-1]
    jumplabel.key("asserts.shop_d").enable()
    with pytest.raises(AssertionError):
        cart.total([-1])


def test_modules_and_classes_assert_while_they_are_made(packages: Packages) -> None:
    source = "assert False\nclass A:\n    assert False\n    x = 1\nassert A.x == 2\n"
    install("shop_e*", asserts="off")
    assert packages.load("shop_e", source).A.x == 1
    key = StaticKey("asserts.shop_e_on", default=True)
    with pytest.raises(AssertionError):
        packages.load("shop_e_on", source)
    assert key.enabled


def test_loggers_of_closures(packages: Packages) -> None:
    source = """
        import logging
        evaluated = []

        def make(logger, n):
            def function():
                logger.debug("a %s", evaluated.append(n))
                logger.log(logging.INFO, "b %s", evaluated.append(n))
                logger.log(levels.INFO, "c %s", evaluated.append(-n))
                assert n
                return n
            return function

        class levels:  # another number in it would not be heard of
            INFO = 20

        def late():
            def function():
                logger.debug("late")
            logger = logging.getLogger("shop_f.late")
            return function
        """
    install("shop_f", asserts="off")
    module = packages.load("shop_f", source)
    asserts = jumplabel.key("asserts.shop_f")
    one, again, other = (
        module.make(logging.getLogger(name), n) for n, name in enumerate(("shop_f.a", "shop_f.a", "shop_f.b"))
    )
    assert one.__code__ is again.__code__ is not other.__code__
    with (
        records("shop_f.a", logging.DEBUG) as a,
        records("shop_f.b", logging.INFO) as b,
        records("shop_f.late", 1) as c,
    ):
        assert (one(), again(), other()) == (0, 1, 2)
        assert (a.take(), b.take()) == (["a None", "b None", "c None"] * 2, ["b None", "c None"])
        assert module.evaluated == [0, 0, 0, 1, 1, -1, 2, -2]
        module.late()()
        assert c.take() == ["late"]
        slots = type("Slots", (), {"__slots__": (), "debug": c.records.append, "log": lambda *args: None})()
        with pytest.raises(TypeError):  # the call fails as without instrumentation
            module.make(slots, 1)()
        module.evaluated.clear()
        logging.getLogger("shop_f.a").setLevel(logging.WARNING)
        assert (one(), again(), other()) == (0, 1, 2)
        assert (a.take(), b.take(), module.evaluated) == ([], ["b None", "c None"], [0, -1, 2, -2])
    asserts.enable()
    with pytest.raises(AssertionError):
        one()
    assert again() == 1
