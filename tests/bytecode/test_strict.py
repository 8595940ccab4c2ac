"""What ``strict`` refuses, with what advice, and what it accepts."""

import sys
import textwrap
import types
import typing

import pytest
from site_checks import nothing_made, off_on_off

from jumplabel import DecorationError, StaticKey, StaticKeyArray, static_branches

SOURCE = """
from jumplabel import likely
def factory(local):
    def f(x=None, self=None):
        {body}
    return f
"""


def build(body, key, **names):
    space = {"key": key, "flags": types.SimpleNamespace(), "__name__": "built", **names}
    exec(SOURCE.format(body=textwrap.indent(body, "        ").lstrip()), space)
    return space["factory"](key)


ASKS = {
    "if key.enabled: x": ("key.enabled", "if key:"),
    "if not key.enabled: x": ("key.enabled", "if key:"),
    "if key.enabled and x: x": ("key.enabled", "if key:"),
    "if x and key.enabled: x": ("key.enabled", "if key:"),
    "return key.enabled or x": ("key.enabled", "if key:"),
    "return 1 if key.enabled else 2": ("key.enabled", "if key:"),
    "while key.enabled: x": ("key.enabled", "if key:"),
    "assert not key.enabled": ("key.enabled", "if key:"),
    "return [i for i in x if key.enabled]": ("key.enabled", "if key:"),
    "if key.enabled is True: x": ("key.enabled", "if key:"),
    "if key.enabled is not True: x": ("key.enabled", "if key:"),
    "if key.enabled == True: x": ("key.enabled", "if key:"),
    "if not (key.enabled is True): x": ("key.enabled", "if key:"),
    "return key.enabled is True and x": ("key.enabled", "if key:"),
    "if key.count: x": ("key.count", "if key:"),
    "if key.count > 0: x": ("key.count", "if key:"),
    "if bool(key): x": ("bool(key)", "if key:"),
    "if not bool(key): x": ("bool(key)", "if key:"),
    "if bool(key.enabled): x": ("bool(key.enabled)", "if key:"),
    "if likely(key.enabled): x": ("likely(key.enabled)", "if key:"),
    "if local.enabled: x": ("local.enabled", "if local:"),
    "if module.sub.key.enabled: x": ("module.sub.key.enabled", "if module.sub.key:"),
    "if array.search.enabled: x": ("array.search.enabled", "if array.search:"),
    'if array["search"].enabled: x': ('array["search"].enabled', 'if array["search"]:'),
    "if (y := key): return y": ("key", "if key:"),
    "x = not key": ("not key", "False if key else True"),
    "return not local": ("not local", "False if local else True"),
    "def inner():\n    if key.enabled: x": ("key.enabled", "if key:"),
}


@pytest.mark.parametrize("body", ASKS)
def test_what_asks_a_key_about_itself_is_told_to_test_it(body, key):
    module = types.ModuleType("module")
    module.sub = types.ModuleType("sub")
    module.sub.key = key
    array = StaticKeyArray(f"{key.name} array", ["search"])
    f = build(body, key, module=module, array=array)
    name, advice = ASKS[body]
    code = f.__code__
    with nothing_made(), pytest.raises(DecorationError) as refused:
        static_branches(f, strict=True)
    assert f"the test of {name} cannot become a site: " in str(refused.value)
    assert f"write `{advice}" in str(refused.value)
    assert f"<string>:{5 + ('inner' in body)}: " in str(refused.value)
    assert f.__code__ is code
    static_branches(f)  # as before, only slower


class Plain:
    """An ordinary object."""

    of_class = 1

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def method(self):
        pass

    @property
    def prop(self):
        pytest.fail("was run")


class Named(typing.NamedTuple):
    debug: bool
    key: object


class Slots:
    __slots__ = ("off", "on")


class Decides(Plain):
    def __init__(self):
        pass

    def __getattribute__(self, name):
        pytest.fail(f"{name} was asked for")


class Falls(Plain):
    def __getattr__(self, name):
        pytest.fail(f"{name} was asked for")


class Dict(dict):
    def get(self, name):
        pytest.fail("was run")

    __getitem__ = get


def things(key):
    """Return objects that functions find by a name."""
    slots = Slots()
    slots.off = 1
    slots_with = Slots()
    slots_with.on = key
    return {
        "plain": Plain(debug=False, items=[key]),
        "holder": Plain(key=key),
        "of_class": type("WithKey", (Plain,), {"tracing": key})(),
        "slots": slots,
        "slots_with": slots_with,
        "decides": Decides(),
        "falls": Falls(),
        "settings": {"search": True, "tracing": key},
        "strange": Dict(search=key),
        "module": types.ModuleType("module"),
        "array": StaticKeyArray(f"{key.name} array", ["search"]),
        "function": lambda: None,
        "named": Named(debug=False, key=1),
        "named_with": Named(debug=False, key=key),
        "space": types.SimpleNamespace(debug=False),
        "sys": sys,
        "class_": type("Class", (), {"prop": property(lambda self: True)}),
    }


TAKEN = [
    'if settings["search"]: x',
    'if settings["nothing"]: x',
    "if settings[x]: x",
    "if settings[0]: x",
    'if strange["search"]: x',
    'if x["search"]: x',
    'if self.settings["tracing"]: x',
    'if settings["search"]["tracing"]: x',
    'if settings["search"].debug: x',
    'if not settings["search"] and x: x',
    "if x(): x",
    "if self.ready(): x",
    "if plain.method(): x",
    "if plain.method(1): x",
    "if self.ready(x): x",
    "if bool(x): x",
    "if bool(self.ready): x",
    "if len(x): x",
    "if x.count > 1: x",
    "if self.enabled is True: x",
    "if self.enabled == 1: x",
    "if self.enabled is None: x",
    "if x in self.names: x",
    "if isinstance(x, int): x",
    "if x: x",
    "x = not x",
    "x = not self.enabled",
    "if (y := x): return y",
    "if (y := self.get(x)): return y",
    "if plain.debug: x",
    "if not plain.debug: x",
    "if plain.of_class: x",
    "if plain.method: x",
    "if plain.nothing: x",
    "if slots.off: x",
    "if function.cache: x",
    "if sys.flags.dev_mode: x",
    "if named.debug: x",
    "if space.debug: x",
    "if key.name: x",
    "if key.entries: x",
    "if key is not None: x",
    "if key.name == 'x': x",
    "x = key.enabled",
    "x = bool(key)",
    "return key.enabled",
]


@pytest.mark.parametrize("body", TAKEN)
def test_what_is_no_key_is_an_ordinary_test(body, key):
    f = build(body, key, **things(key))
    code = f.__code__
    assert static_branches(f, strict=True) is f
    assert f.__code__ is code and not key.entries


REFUSED = {
    "if self.key: x": ("self.key", "self is known only when the function runs"),
    "if x.a.b: x": ("x.a.b", "x is known only when the function runs"),
    "if later: x": ("later", "there is no global later yet"),
    "if later.key: x": ("later.key", "there is no global later yet"),
    "if module.later: x": ("module.later", "the module has no later yet"),
    "if array.other: x": ("array.other", "the array has no key 'other'"),
    "if class_.prop: x": ("class_.prop", "code of the class decides"),
    "if holder.key: x": ("holder.key", "holder is an object of Plain"),
    "if of_class.tracing: x": ("of_class.tracing", "of_class is an object of WithKey"),
    "if slots_with.on: x": ("slots_with.on", "slots_with is an object of Slots"),
    "if named_with.key: x": ("named_with.key", "named_with is an object of Named"),
    "if plain.prop: x": ("plain.prop", "plain is an object of Plain"),
    "if plain.debug.key: x": ("plain.debug.key", "plain is an object of Plain"),
    "if decides.debug: x": ("decides.debug", "decides is an object of Decides"),
    "if falls.debug: x": ("falls.debug", "falls is an object of Falls"),
    'if settings["tracing"]: x': ('settings["tracing"]', "make a StaticKeyArray of the keys"),
    "if holder.key.enabled: x": ("holder.key.enabled", "holder is an object of Plain"),
}


@pytest.mark.parametrize("body", REFUSED)
def test_what_may_be_a_key_is_refused_with_advice(body, key):
    f = build(body, key, **things(key))
    name, why = REFUSED[body]
    with nothing_made(), pytest.raises(DecorationError) as refused:
        static_branches(f, strict=True)
    assert f"the test of {name} cannot become a site: " in str(refused.value)
    assert why in str(refused.value)
    static_branches(f)


# ---- items of an array ----

ITEMS = [
    'return 1 if array["search"] else 2',
    'return 1 if not array["search"] else 2',
    'return array["search"] and 1 or 2',
    'return 1 if likely(array["search"]) else 2',
    'return 1 if shop.array["search"] else 2',
    'return [i for i in (1, 2) if array["search"]]',
    'while array["search"]: return 1\nreturn 2',
]


@pytest.mark.parametrize("body", ITEMS)
def test_an_item_of_an_array_is_a_site(body, key):
    array = StaticKeyArray(f"{key.name} array", ["search", "cart"])
    shop = types.ModuleType("shop")
    shop.array = array
    f, twin = (build(body, key, array=array, shop=shop) for _ in range(2))
    static_branches(f, strict=True)
    assert len(array.search.entries) == 1 and not array.cart.entries
    for _ in off_on_off(array.search):
        assert f() == twin()


def test_an_item_that_no_array_has(key):
    class Mine(StaticKeyArray):
        def __getitem__(self, name):
            return key

    for array in (StaticKeyArray(f"{key.name} array", ["search"]), Mine(f"{key.name} mine", ["search"])):
        for name in ("_keys", "_prefix", "prefix", "other", "search]", "["):
            f = build(f'return 1 if array["{name}"] else 2', key, array=array)
            code = f.__code__
            assert static_branches(f, strict=True).__code__ is code
    f = build('return 1 if array["search"] else 2', key, array=array)
    assert static_branches(f)() == 2 and not key.entries and not array.search.entries
    key.enable()
    assert f() == 1


def test_closures_of_one_code_are_asked_each(key):
    def make(local):
        def f():
            return 1 if local.enabled else 2

        return f

    other = make(types.SimpleNamespace(enabled=True))
    assert static_branches(other, strict=True) is other
    with pytest.raises(DecorationError, match=r"write `if local:`"):
        static_branches(make(key), strict=True)


def test_a_key_is_not_asked(key, monkeypatch):
    monkeypatch.setattr(StaticKey, "__bool__", lambda self: pytest.fail("was asked"))
    with pytest.raises(DecorationError):
        static_branches(build("if bool(key): x", key), strict=True)
