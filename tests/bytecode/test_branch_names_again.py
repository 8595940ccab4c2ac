"""Names of sites in modules that run again and functions that are decorated again; how long a name is followed."""

import builtins
import gc
import importlib
import sys
import types
import weakref
from unittest import mock

import pytest
from named_shop import Shop
from places import run

import jumplabel
from jumplabel import StaticKey, static_branches
from jumplabel._program import name_watch

pytestmark = pytest.mark.skipif(not name_watch.HEARS_ALL, reason="no watchers of dicts before CPython 3.12")

# ---- modules that run again, and functions that are decorated again ----


def test_a_module_that_makes_its_key_anew(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "reloaded_with_another_key"
    head = "from jumplabel import StaticKey, static_branches\n"
    body = "@static_branches\ndef state(): return 'on' if tracing else 'off'\n"
    (tmp_path / f"{name}.py").write_text(f"{head}tracing = StaticKey('{name}.one')\n{body}")
    shop = importlib.import_module(name)
    old, key = shop.state, shop.tracing
    (tmp_path / f"{name}.py").write_text(f"{head}\ntracing = StaticKey('{name}.two')\n{body}")
    importlib.invalidate_caches()
    importlib.reload(shop)
    shop.tracing.enable()
    assert old() == shop.state() == "on" and not key
    shop.tracing = key
    assert old() == shop.state() == "off"
    del sys.modules[name]


def test_decorated_twice_and_with_more_keys():
    space = run(
        """
tracing = StaticKey("named1.tracing")
@static_branches
def states():
    return "on" if tracing else "off", "on" if other else "off"
other = StaticKey("named2.other")
static_branches(strict=True)(states)
"""
    )
    assert len(space["tracing"].entries) >= 1 and len(space["other"].entries) == 1
    with mock.patch.dict(space, tracing=True):
        assert space["states"]() == ("on", "off")
    with mock.patch.dict(space, other=True):
        assert space["states"]() == ("off", "on")
    space["tracing"].enable()
    assert space["states"]() == ("on", "off")


def test_functions_of_one_code_with_two_modules():
    first = run("@static_branches\ndef state(): return 'on' if tracing else 'off'")
    first["tracing"] = second_key = StaticKey("named3.tracing")
    second = {**first}
    code = run("def state(): return 'on' if tracing else 'off'")["state"].__code__
    one, two = (static_branches(types.FunctionType(code, space)) for space in (first, second))
    assert one.__code__ is two.__code__ and len(second_key.entries) == 1
    with mock.patch.dict(first, tracing=True):
        assert (one(), two()) == ("on", "off")
        with mock.patch.dict(second, tracing=True):
            assert (one(), two()) == ("on", "on")
        assert (one(), two()) == ("on", "off")
        second_key.enable()
        assert (one(), two()) == ("on", "on")
        second_key.disable()
    assert (one(), two()) == ("off", "off")
    second_key.enable()
    assert (one(), two()) == ("on", "on")


def test_instrumented_modules(packages):
    """Also a closure that logs, whose code is made when the closure is."""
    jumplabel.install("namedshop", logging=True, keys=True, asserts=False)
    shop = packages.load(
        "namedshop",
        """
        import logging
        from jumplabel import StaticKey
        tracing = StaticKey("named.tracing")
        def state():
            return "on" if tracing else "off"
        def make():
            log = logging.getLogger("named")
            def state():
                log.debug("state")
                return "on" if tracing else "off"
            return state
        made = make()
        """,
    )
    assert len(shop.tracing.entries) >= 2
    for function in shop.state, shop.made, shop.make():
        assert function() == "off"
        with mock.patch.object(shop, "tracing", True):
            assert function() == "on"
        shop.tracing.enable()
        assert function() == "on"
        shop.tracing.disable()


def test_a_key_among_the_builtins(monkeypatch):
    key = StaticKey("named5.builtin")
    monkeypatch.setattr(builtins, "shop_tracing", key, raising=False)
    space = run("@static_branches\ndef state(): return 'on' if shop_tracing else 'off'")
    assert len(key.entries) == 1 and space["state"]() == "off"
    space["shop_tracing"] = True
    assert space["state"]() == "on"
    del space["shop_tracing"]
    assert space["state"]() == "off"
    with mock.patch.object(builtins, "shop_tracing", True):
        assert space["state"]() == "on"
    assert space["state"]() == "off"
    key.enable()
    assert space["state"]() == "on"


def test_a_class_attribute_that_comes_first():
    shop = Shop("inherited")
    shop.Flags.tracing = True
    assert shop.form_if() == "on"
    del shop.Flags.tracing
    assert shop.form_if() == "off"


def test_the_attribute_of_a_tracepoint():
    space = run(
        """
sold = Tracepoint("named7.sold")
@static_branches
def state(): return "on" if sold.enabled else "off"
"""
    )
    assert len(space["sold"].enabled.entries) == 2
    with mock.patch.dict(space, sold=mock.Mock(enabled=True)):
        assert space["state"]() == "on"
    assert space["state"]() == "off"
    space["sold"].register(print)
    assert space["state"]() == "on"


def test_a_name_that_changes_while_it_is_decorated(monkeypatch):
    from jumplabel._bytecode import new_code

    space = run("def state(): return 'on' if tracing else 'off'")
    space["tracing"] = key = StaticKey("named9.tracing")
    real = new_code._make

    def just_before(*arguments):
        made = real(*arguments)
        space["tracing"] = True
        return made

    monkeypatch.setattr(new_code, "_make", just_before)
    static_branches(space["state"])
    assert len(key.entries) == 1 and space["state"]() == "on"
    space["tracing"] = key
    assert space["state"]() == "off"


# ---- lifetime ----


def test_nothing_is_kept_and_nothing_is_left():
    gc.collect()
    before = name_watch.followers()[:2]
    shop = Shop("of a class")
    with mock.patch.object(shop.holder, shop.attribute, True):
        shop.all_are("on")
    gone = weakref.ref(shop.form_if), weakref.ref(shop.Flags), weakref.ref(shop.key)
    assert name_watch.followers()[0] > before[0]
    del shop
    gc.collect()
    assert [each() for each in gone] == [None] * 3
    assert name_watch.followers()[:2] == before


def test_a_dict_that_is_no_more_is_not_looked_into():
    space = run(
        "tracing = StaticKey('named11.tracing')\n@static_branches\ndef state(): return 'on' if tracing else 'off'"
    )
    code = space["state"].__code__
    known, roots, sites = name_watch.followed(id(code))
    assert known is code and roots[0] is space and roots[1] is vars(builtins) and len(roots) == 2
    assert [path for path, *_ in sites] == [("global", "tracing")]
    del space, roots
    gc.collect()
    others = [{"other": i} for i in range(100)]  # one of them is where it was
    known, roots, sites = name_watch.followed(id(code)) or (code, [], [])  # the builtins may still be on the way
    assert roots == [] and others


def test_unrelated_names_are_not_heard_of():
    shop = Shop("a global")
    before = name_watch.changes()
    for n in range(100):
        vars(shop)[f"unrelated {n}"] = n
    few = name_watch.changes() - before
    shop.tracing = shop.tracing
    with mock.patch.object(shop, "tracing", True):
        pass
    assert few == 0 and name_watch.changes() >= before + 2
    shop.all_are("off")


LONG = (
    "def f(a):\n    x = 0\n    if k:\n"
    + "        x = [x, a, a + 1, (a, 2)]\n" * 60
    + "        return 'on'\n    return 'off'\n"
)


def long_function(key):
    """A function whose site has no room for the ordinary test, and its module."""
    module = types.ModuleType("long_function")
    module.k = key
    exec(LONG, vars(module))
    return static_branches(module.f), module


def time_passes():
    for _ in range(50):
        (lambda: 0)()


def test_a_long_site_follows_its_key_where_a_plain_value_is_followed_by_another_object(key, other_key):
    function, module = long_function(key)
    for value, expected in ((True, "on"), (other_key, "off"), (True, "on"), ([], "off"), (key, "off")):
        module.k = value
        time_passes()
        assert function(1) == expected


@pytest.mark.parametrize("back", [True, False])
def test_a_name_that_changes_as_its_sites_are_settled(key, monkeypatch, back):
    function, module = long_function(key)
    real, done = name_watch.follow_again, []

    def follow_again(*arguments):
        result = real(*arguments)
        if result and not done:
            done.append(True)
            module.k = key if back else True
        return result

    if not back:
        module.k = True
        time_passes()
    monkeypatch.setattr(name_watch, "follow_again", follow_again)
    module.k = True if back else key
    time_passes()
    assert done and function(1) == ("off" if back else "on")
    key.enable()
    assert function(1) == "on"
