"""``@static_branches``: what stays as it is."""

import sys
import types
from unittest import mock

import pytest
from branch_sources import HOLDER, PLACES, build, build_test
from site_checks import off_on_off

from jumplabel import DecorationError, StaticKey, likely, static_branches, unlikely
from jumplabel._program.name_watch import HEARS_ALL

OTHERS = {
    "a local": "local = key\n    if local: out += 'a'",
    "a parameter": "out += (lambda k: 'a' if k else 'b')(key)",
    "an attribute of an object": "if holder.key: out += 'a'",
    "the last of a chain": "out += show(x and key)",
    "a value": "out += show(key)",
    "not, as a value": "out += str(not key)",
    "bool()": "if bool(key): out += 'a'",
    "its own attribute": "if key.enabled: out += 'a'",
    "is": "if key is not None: out += str(key.count)",
    "a call": "if key.entries: out += 'a'\n    else: out += 'b'",
    "an element": "if [key][0]: out += 'a'",
    "a comparison": "if key == x: out += 'a'\n    else: out += 'b'",
    "another hint": "if (lambda k: k)(key): out += 'a'",
    "a hint with a keyword": "if likely(condition=key): out += 'a'",
    "a call that is no hint": "out += show(likely, 1 if call() else 2)",
    "a name of a class body": "class Inner:\n        here = key\n        a = 1 if here else 2\n    out += str(Inner.a)",
}


@pytest.mark.parametrize("what", OTHERS)
def test_any_other_use_stays_as_it_was(what, key):
    f, twin = build_test(OTHERS[what], HOLDER, key)
    code = f.__code__
    static_branches(f)
    assert f.__code__ is code and not key.entries
    for _ in off_on_off(key):
        assert [f(x) for x in (0, 1)] == [twin(x) for x in (0, 1)]


def test_what_only_looks_like_a_key_is_tested_when_it_runs(key):
    class Opposite(StaticKey):
        def __bool__(self):
            return not self.enabled

    class Descriptor(StaticKey):
        def __get__(self, instance, owner):
            return instance or owner

    source = "def f():\n    if flags.key: return 'on'\n    return 'off'\ntwin = f"
    module = types.ModuleType("module")
    for value, expected in [
        (StaticKey.__new__(StaticKey), None),
        (mock.MagicMock(spec=key), "on"),
        (Opposite("tests.opposite"), "on"),
        (mock.MagicMock(spec=types.ModuleType), "on"),
        (type("Lying", (), {"__class__": types.ModuleType})(), "on"),
    ]:
        module.key = value
        f, _ = build(source, None)
        f.__globals__["flags"] = module
        static_branches(f)
        if expected:
            assert f() == expected
        else:
            with pytest.raises(AttributeError):  # of a key that was never made
                f()
    f, _ = build(source, None)
    f.__globals__["flags"] = type("Flags", (), {"key": Descriptor("tests.descriptor")})
    assert static_branches(f)() == "on"
    f, _ = build(source.replace("flags.key", "Named.__name__"), key)
    f.__globals__["Named"] = type("Named", (), {"__name__": key})
    assert static_branches(f)() == "on"
    assert not key.entries


def test_globals_that_code_decides_about_are_looked_up_when_it_runs(key, other_key):
    class Globals(dict):
        def __getitem__(self, name):
            return key if name == "tracing" else super().__getitem__(name)

    f, _ = build("def f():\n    if tracing: return 'on'\n    return 'off'\ntwin = f", None)
    f = types.FunctionType(f.__code__, Globals(tracing=other_key))
    static_branches(f)
    for enabled in off_on_off(key):
        assert f() == ("on" if enabled else "off")
    assert not key.entries and not other_key.entries


REBINDERS = {
    "global": "global key\n        key = None",
    "global, deleted": "global key\n        del key",
    "attribute": "flags.key = None",
    "hint": "global likely\n        likely = lambda key: False",
    "in a nested function": "def inner():\n            global key\n            key = None\n        inner()",
}


@pytest.mark.parametrize("how", REBINDERS)
def test_a_name_that_the_function_itself_binds_is_looked_up_when_it_runs(how, key):
    test = {"attribute": "flags.key", "hint": "likely(key)"}.get(how, "key")
    source = f"""
from jumplabel import likely
class flags: pass
flags.key = key
def f(rebind):
    if rebind:
        {REBINDERS[how]}
    try:
        return 'on' if {test} else 'off'
    except NameError:
        return 'gone'
twin = None
"""
    f, _ = build(source, key)
    static_branches(f)
    assert not key.entries
    for enabled in off_on_off(key):
        assert f(False) == ("on" if enabled else "off")
    key.enable()
    assert f(True) == ("gone" if "del" in REBINDERS[how] else "off")


def test_a_nonlocal_name_that_the_function_binds_is_looked_up_when_it_runs(key):
    def factory():
        local = key

        @static_branches
        def f(new):
            nonlocal local
            before = "on" if local else "off"
            local = new
            return before

        return f

    f = factory()
    key.enable()
    assert [f(None), f(key), f(1)] == ["on", "off", "on"]


def test_a_variable_of_a_function_in_between_is_not_a_key(key):
    def factory(local):
        @static_branches
        def outer():
            def middle(local):
                def inner():
                    return "on" if local else "off"

                return inner

            return ("on" if local else "off"), middle(0)(), middle(1)()

        return outer

    outer = factory(key)
    assert len(key.entries) == 1
    for enabled in off_on_off(key):
        assert outer() == (("on" if enabled else "off"), "off", "on")


def test_a_variable_with_the_name_of_a_keys_attribute(key):
    class flags:
        tracing = key

    @static_branches
    def f():
        tracing = 1
        count = lambda: tracing  # noqa: E731
        return count() if flags.tracing else 0

    assert len(key.entries) == 1
    for enabled in off_on_off(key):
        assert f() == (1 if enabled else 0)


def test_a_shadowed_name_is_not_a_key(key):
    likely = bool  # noqa: F841
    f, _ = build("def f(key):\n    if key: return 1\n    return 2\ntwin = f", key)
    static_branches(f)
    assert (f(0), f(1)) == (2, 1) and not key.entries
    source = "likely = lambda k: not k\ndef f():\n    if likely(key): return 1\n    return 2\ntwin = f"
    f, _ = build(source, key)
    static_branches(f)
    assert f() == 1 and not key.entries


def test_attributes_that_code_decides_are_looked_up_when_it_runs(key, other_key):
    class Module(types.ModuleType):
        @property
        def tracing(self):
            return key

    class Meta(type):
        @property
        def tracing(cls):
            return key

    class Lookup(type):
        def __getattribute__(cls, name):
            return key if name == "tracing" else type.__getattribute__(cls, name)

    lazy = types.ModuleType("lazy")
    lazy.__getattr__ = lambda name: key
    holders = [
        Module("by_property"),
        lazy,
        Meta("A", (), {"tracing": other_key}),
        Lookup("B", (), {"tracing": other_key}),
    ]
    for flags in holders:
        space = {"flags": flags}
        exec("def f():\n    if flags.tracing: return 'on'\n    return 'off'", space)
        static_branches(space["f"])
        for enabled in off_on_off(key):
            assert space["f"]() == ("on" if enabled else "off")
    assert not key.entries and not other_key.entries


def test_the_key_is_the_one_that_the_name_had_when_decorating(key, other_key):
    """From 3.12 on its sites are ordinary tests while the name stands for another one: test_branch_names.py."""
    f, _ = build("def f():\n    if key: return 'on'\n    return 'off'\ntwin = f", key)
    static_branches(f)
    f.__globals__["key"] = other_key
    key.enable()
    assert f() == ("off" if HEARS_ALL else "on")
    assert len(key.entries) == 1 and not other_key.entries


def test_a_key_among_the_builtins(key, monkeypatch):
    monkeypatch.setattr("builtins.planted_key", key, raising=False)
    f, _ = build("def f():\n    if planted_key: return 'on'\n    return 'off'\ntwin = f", None)
    static_branches(f)
    assert key.entries
    for enabled in off_on_off(key):
        assert f() == ("on" if enabled else "off")


def test_hints_return_their_argument(key):
    for hint in (likely, unlikely):
        assert hint(key) is key and hint(0) == 0


def test_two_keys_in_one_function(key, other_key):
    @static_branches
    def f():
        if key and not other_key:
            return 1
        return (2 if key else 3) if other_key else 4

    for one in off_on_off(key):
        for other in off_on_off(other_key):
            assert f() == ((2 if one else 3) if other else 1 if one else 4)


def test_a_key_that_is_used_twice_is_one_constant(key):
    space = {"key": key}
    exec("def f():\n    return (key and 1), (key and 2)", space)
    constants = space["f"].__code__.co_consts
    assert static_branches(space["f"]).__code__.co_consts == (*constants, key)


def test_a_test_that_is_too_long(key):
    path = ".".join(f"a{i}" for i in range(60))
    source = f"def f():\n    if {path}: return 1\n    return 2\ntwin = f"
    f, _ = build(source, key)
    holder = f.__globals__["a0"] = types.ModuleType("a0")
    for i in range(1, 59):
        setattr(holder, f"a{i}", types.ModuleType(f"a{i}"))
        holder = getattr(holder, f"a{i}")
    holder.a59 = key
    assert static_branches(f)() == 2
    with pytest.raises(DecorationError, match="too long"):
        static_branches(f, strict=True)


MANY_LINES = {
    "list": "out += str([i\n      for i in range(3)\n      if KEY])",
    "set": "out += str({i for i in range(3)\n      if not KEY})",
    "dict": "out += str({i: i\n      for i in range(3)\n      if KEY\n      if i})",
    "generator": "out += str(list(i for i in range(3)\n      if KEY\n      ))",
    "condition": "if (\n        KEY\n        and x\n    ): out += 'a'",
    "argument": "out += str(max(\n        1 if KEY else 2,\n        x,\n    ))",
    "hint": "if likely(\n        KEY\n    ): out += 'a'",
    "value": "out += show((\n        x or\n        KEY and\n        5))",
    "while": "while (x and\n        KEY):\n        out += 'a'\n        if len(out) > 3: break",
}


MANY_LINES_OF_COMPREHENSIONS = {"list", "set", "dict", "generator"}


@pytest.mark.parametrize("place", ["global", "closure", "module"])
@pytest.mark.parametrize("form", MANY_LINES)
def test_a_test_on_several_lines(form, place, key):
    """A tracer would miss some of the lines: as it was, but for what is on one line all the same."""
    define, name = PLACES[place]
    f, twin = build_test(MANY_LINES[form].replace("KEY", name), define, key)
    static_branches(f)
    if form == "argument":
        assert key.entries
    elif form in MANY_LINES_OF_COMPREHENSIONS:
        assert bool(key.entries) == (sys.version_info[:2] == (3, 12) and place != "closure")

    def lines(function, x):
        seen = []

        def tracer(frame, event, argument):
            if frame.f_code.co_filename == "<string>":
                seen.append((event, frame.f_lineno))
                return tracer

        sys.settrace(tracer)
        try:
            return function(x), seen
        finally:
            sys.settrace(None)

    for _ in off_on_off(key):
        for x in (0, 1):
            assert f(x) == twin(x)
            assert lines(f, x) == lines(twin, x)
