"""A name that stands for something else than its key: its sites are ordinary tests, until it stands for the key."""

import builtins
import gc
import importlib
import itertools
import sys
import threading
import types
import weakref
from unittest import mock

import pytest
from places import run

import jumplabel
from jumplabel import StaticKey, static_branches
from jumplabel._program import name_watch

pytestmark = pytest.mark.skipif(not name_watch.HEARS_ALL, reason="no watchers of dicts before CPython 3.12")

FORMS = """
@static_branches(strict=True)
def form_if():
    if {name}:
        return "on"
    return "off"

@static_branches(strict=True)
def form_not():
    if not {name}:
        return "off"
    return "on"

@static_branches(strict=True)
def form_elif():
    if not one:
        return "never"
    elif {name}:
        return "on"
    return "off"

@static_branches(strict=True)
def form_while():
    while {name}:
        return "on"
    return "off"

@static_branches(strict=True)
def form_expression():
    return "on" if {name} else "off"

@static_branches(strict=True)
def form_and():
    if one and {name} and one:
        return "on"
    return "off"

@static_branches(strict=True)
def form_or():
    if {name} or not one:
        return "on"
    return "off"

@static_branches(strict=True)
def form_hint():
    if likely({name}):
        return "on"
    if unlikely({name}):
        return "never"
    return "off"

@static_branches(strict=True)
def form_assert():
    try:
        assert {name}
    except AssertionError:
        return "off"
    return "on"

@static_branches(strict=True)
def form_comprehension():
    return ["on" for _ in range(1) if {name}][0:] and "on" or "off"

@static_branches(strict=True)
def form_inner():
    def inner():
        return (lambda: "on" if {name} else "off")()
    return inner()

made = static_branches(strict=True)(lambda: lambda: "on" if {name} else "off")()

def form_made_before():
    return made()

@static_branches(strict=True)
def form_generator():
    def steps():
        if {name}:
            yield "on"
        else:
            yield "off"
    return next(steps())

@static_branches(strict=True)
class Class:
    @property
    def state(self):
        return "on" if {name} else "off"

    @classmethod
    def all(cls):
        return "on" if {name} else "off"

def form_property():
    return Class().state

def form_classmethod():
    return Class.all()
"""

WHERE = {
    "a global": ("tracing = StaticKey(KEY)", "tracing", None, "tracing"),
    "of a module": ("flags.tracing = StaticKey(KEY)", "flags.tracing", "flags", "tracing"),
    "of a class": ("class Flags: tracing = StaticKey(KEY)", "Flags.tracing", "Flags", "tracing"),
    "inherited": (
        "class Base: tracing = StaticKey(KEY)\nclass Flags(Base): pass",
        "Flags.tracing",
        "Base",
        "tracing",
    ),
    "the holder": ("class Flags: tracing = StaticKey(KEY)", "Flags.tracing", None, "Flags"),
    "of an array": (
        "flags = StaticKeyArray(KEY.removesuffix('.tracing'), ['tracing'])",
        "flags.tracing",
        None,
        "flags",
    ),
}


_numbers = itertools.count()


class Shop(types.ModuleType):
    """A module that is called so, with the functions of the forms."""

    def __init__(self, where):
        super().__init__("shop")
        setup, name, holder, self.attribute = WHERE[where]
        self.one, self.flags, self.KEY = [1], types.ModuleType("flags"), f"shop{next(_numbers)}.tracing"
        run(setup + FORMS.format(name=name), space=vars(self))
        self.holder = getattr(self, holder) if holder else self
        self.key = jumplabel.key(self.KEY)

    def states(self):
        return {form(): name for name, form in vars(self).items() if name.startswith("form_")}

    def all_are(self, state):
        states = self.states()
        assert states.keys() == {state}, states

    def other(self, truth):
        """What the holder's attribute is to stand for."""
        if self.attribute == "tracing":
            return truth
        return types.SimpleNamespace(tracing=truth)


@pytest.fixture(params=WHERE)
def shop(request):
    return Shop(request.param)


# ---- every form, every place ----


def test_a_mock_decides_until_it_is_gone(shop):
    sites = len(shop.key.entries)
    assert sites >= 15
    for state in (False, True):
        shop.key.enable() if state else shop.key.disable()
        mine = "on" if state else "off"
        shop.all_are(mine)
        for truth in (True, False, [1], "", None, mock.MagicMock()):
            with mock.patch.object(shop.holder, shop.attribute, shop.other(truth)):
                shop.all_are("on" if truth else "off")
            shop.all_are(mine)
    assert len(shop.key.entries) == sites


def test_toggles_meanwhile_count_when_it_is_back(shop):
    with mock.patch.object(shop.holder, shop.attribute, shop.other(False)):
        shop.key.enable()
        shop.all_are("off")
    shop.all_are("on")
    with mock.patch.object(shop.holder, shop.attribute, shop.other(True)):
        shop.key.disable()
        shop.all_are("on")
    shop.all_are("off")


def test_monkeypatch_and_plain_statements(shop, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shop.holder, shop.attribute, shop.other(True))
        shop.all_are("on")
    shop.all_are("off")
    was = getattr(shop.holder, shop.attribute)
    setattr(shop.holder, shop.attribute, shop.other(True))
    assert shop.form_if() == "on"
    setattr(shop.holder, shop.attribute, was)
    assert shop.form_if() == "off"
    shop.key.enable()
    shop.all_are("on")


def test_another_key_is_asked(shop):
    other = StaticKey("shop.other")
    with mock.patch.object(shop.holder, shop.attribute, shop.other(other)):
        shop.all_are("off")
        other.enable()
        shop.all_are("on")
        shop.key.enable()
        other.disable()
        shop.all_are("off")
    shop.all_are("on")


def test_a_name_that_is_deleted_raises_what_it_did(shop):
    plain = run(f"def plain():\n    if {WHERE['a global'][1]}: pass")["plain"]
    was = getattr(shop.holder, shop.attribute)
    if shop.holder is getattr(shop, "Base", None):
        expected = AttributeError
    else:
        expected = AttributeError if shop.holder is not shop else NameError
    delattr(shop.holder, shop.attribute)
    for form in ("form_if", "form_made_before"):
        with pytest.raises(expected) as caught:
            getattr(shop, form)()
    if shop.attribute == "tracing" and shop.holder is shop:
        with pytest.raises(NameError) as ordinary:
            plain()
        assert str(caught.value) == str(ordinary.value)
    setattr(shop.holder, shop.attribute, was)
    shop.all_are("off")


# ---- sites without the room for another test ----


@pytest.mark.parametrize("form", ["if {name}:", "if not {name}:", "while {name}:"])
@pytest.mark.parametrize("where", ["a global", "of a class"])
def test_a_site_that_skips_much_code(form, where):
    shop = Shop(where)
    key = shop.key
    name = WHERE[where][1]
    body = "".join(f"        seen.append({n} + 1)\n" for n in range(60))
    source = f"@static_branches(strict=True)\ndef far():\n    seen = []\n    {form.format(name=name)}\n{body}"
    run(f"{source}        return len(seen)\n    return len(seen)", space=vars(shop))
    in_body = {"if {name}:": True, "if not {name}:": False, "while {name}:": True}[form]

    def far(state):
        return shop.far() == (60 if state is in_body else 0)

    for state in (False, True):
        key.enable() if state else key.disable()
        assert far(state)
        for value in (True, False, 1, "", None, 0.5):
            with mock.patch.object(shop.holder, shop.attribute, value):
                assert far(bool(value))
                key.disable() if state else key.enable()
                assert far(bool(value))
                key.enable() if state else key.disable()
            assert far(state)
        with mock.patch.object(shop.holder, shop.attribute, mock.MagicMock()):
            assert far(state)  # it cannot be known without being asked each time
    assert len([entry for entry in key.entries if entry.owner.startswith("shop.far:")]) == 1


# ---- in the middle of what runs ----


@pytest.mark.parametrize("where", ["a global", "of a class"])
def test_a_loop_that_runs_sees_each_change_at_once(where):
    """By a statement of another function, with no call of C between the change and the next test."""
    shop = Shop(where)
    name = WHERE[where][1]
    run(
        f"""
@static_branches
def loop(at):
    seen = []
    for n in range(8):
        at(n)
        seen.append(1 if {name} else 0)
    return seen
was = {name}
def at(n):
    global tracing
    if n == 2: {name} = True
    if n == 4: {name} = was
    if n == 6: {name} = [1]
""",
        space=vars(shop),
    )
    assert shop.loop(shop.at) == [0, 0, 1, 1, 0, 0, 1, 1]
    setattr(shop.holder, shop.attribute, shop.was)
    shop.all_are("off")


def test_other_threads_see_it_when_the_statement_is_done():
    shop = Shop("a global")
    key, turns, wrong = shop.key, 200, []
    changed, looked = threading.Semaphore(0), threading.Semaphore(0)

    def look():
        for turn in range(turns):
            changed.acquire()
            if shop.form_if() != ("on" if turn % 2 == 0 else "off"):
                wrong.append(turn)
            looked.release()

    thread = threading.Thread(target=look)
    thread.start()
    for turn in range(turns):
        shop.tracing = key if turn % 2 else True
        changed.release()
        looked.acquire()
    thread.join()
    assert wrong == []


def test_under_a_tracer():
    shop = Shop("a global")
    lines = []

    def trace(frame, event, argument):
        if frame.f_code.co_name == "form_if":
            lines.append(frame.f_lineno - frame.f_code.co_firstlineno)
        return trace

    def traced():
        lines.clear()
        held = sys.gettrace()
        sys.settrace(trace)
        try:
            shop.form_if()
        finally:
            sys.settrace(held)
        return list(lines)

    off, on = [0, 2, 4, 4], [0, 2, 3, 3]
    assert [traced()[-2:], shop.key.enable(), traced()[-2:]] == [off[-2:], None, on[-2:]]
    with mock.patch.object(shop, "tracing", False):
        assert traced()[-2:] == off[-2:]
    with mock.patch.object(shop, "tracing", True):
        assert traced()[-2:] == on[-2:]


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
