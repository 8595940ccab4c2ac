"""``@static_branches``: which tests become sites, and that the function does what it did."""

import contextlib
import dataclasses
import enum
import sys
import textwrap
import types
import typing
from unittest import mock

import pytest
from site_checks import nothing_made, off_on_off

from jumplabel import DecorationError, StaticKey, likely, static_branches, unlikely
from jumplabel._program.name_watch import HEARS_ALL

FORMS = {
    "if": "if KEY: out += 'a'",
    "if else": "if KEY: out += 'a'\n    else: out += 'b'",
    "if not": "if not KEY: out += 'a'",
    "elif": "if not x: out += 'a'\n    elif KEY: out += 'b'\n    else: out += 'c'",
    "while": "while KEY:\n        out += 'a'\n        if len(out) > 3: break",
    "while not": "while not KEY:\n        out += 'a'\n        if len(out) > 3: break",
    "while at the end": "for _ in 'ab':\n        while KEY and len(out) < 5: out += 'a'",
    "conditional expression": "out += 'a' if KEY else 'b'",
    "and": "out += show(KEY and x)",
    "or": "out += show(KEY or x)",
    "several in a chain": "out += show(KEY and x and KEY and 5)",
    "mixed chain": "out += show((x or KEY) and 'a')",
    "value of a hint": "out += show(likely(KEY) and x)",
    "assert": "try:\n        assert KEY, 'a'\n    except AssertionError as error: out += str(error)",
    "assert not": "try:\n        assert not KEY, 'a'\n    except AssertionError as error: out += str(error)",
    "list": "out += str([i for i in range(3) if KEY])",
    "set": "out += str({i for i in range(3) if not KEY})",
    "dict": "out += str({i: i for i in range(3) if KEY if i})",
    "generator": "out += str(list(i for i in range(3) if KEY))",
    "likely": "if likely(KEY): out += 'a'",
    "not unlikely": "if not unlikely(KEY): out += 'a'",
    "hint in a module": "if jumplabel.unlikely(KEY): out += 'a'",
    "with another": "if KEY and x: out += 'a'",
    "with another before": "if x and KEY: out += 'a'",
    "or another": "if KEY or x: out += 'a'",
    "not both": "if not (KEY and x): out += 'a'",
    "continue": "for i in 'abc':\n        if KEY: continue\n        out += i",
    "break": "for i in 'abc':\n        if not KEY: break\n        out += i",
    "return": "if KEY: return 'a'",
    "try": "try:\n        if KEY: raise ValueError\n        out += 'a'\n    except ValueError: out += 'b'\n"
    "    finally:\n        if KEY: out += 'c'",
    "with": "with suppress(ValueError):\n        if KEY: raise ValueError\n        out += 'a'",
    "match": "match x:\n        case 0 if KEY: out += 'a'\n        case _ if not KEY: out += 'b'",
    "match one": "match KEY and 1:\n        case 1: out += 'a'\n        case _: out += 'b'",
    "lambda": "out += (lambda: 'a' if KEY else 'b')()",
    "nested": "def inner():\n        if KEY: return 'a'\n        return 'b'\n    out += inner()",
    "nested twice": "def inner():\n        return lambda: 'a' if KEY else 'b'\n    out += inner()()",
    "class": "class Inner:\n        def get(self): return 'a' if KEY else 'b'\n    out += Inner().get()",
    "f-string": "out += f'{1 if KEY else 2}'",
    "walrus": "if (y := x) and KEY: out += str(y)",
    "default": "def inner(y=1 if KEY else 2): return str(y)\n    out += inner()",
    "starred": "out += str([*('ab' if KEY else 'cd')])",
    "long body": "if KEY:\n" + "        out = (out + 'a')[-3:]\n" * 80,
    "very long body": "if KEY:\n" + "        out = (out + 'a')[-3:]\n" * 9000,
    "long value": "out += show(KEY and (" + "x + " * 300 + "x))",
    "long loop": "for _ in 'ab':\n        if not KEY: continue\n" + "        out = (out + 'a')[-3:]\n" * 80,
    "long while": "while KEY and len(out) < 100:\n" + "        out = out + 'a'\n" * 80,
}

PLACES = {
    "global": ("KEY = key", "KEY"),
    "closure": ("", "local"),
    "module": ("flags = ModuleType('flags'); flags.tracing = key", "flags.tracing"),
    "class": ("class flags: tracing = key", "flags.tracing"),
    "base class": ("class base: tracing = key\nclass flags(base): pass", "flags.tracing"),
    "array": ("flags = StaticKeyArray(key.name, ['tracing']); key = flags.tracing", "flags.tracing"),
    "array in a class": (
        "class flags: features = StaticKeyArray(key.name, ['search'])\nkey = flags.features.search",
        "flags.features.search",
    ),
    "module in a module": ("a = ModuleType('a'); a.b = ModuleType('b'); a.b.c = key", "a.b.c"),
}

HEAD = """
from contextlib import suppress
from types import ModuleType
import jumplabel
from jumplabel import StaticKeyArray, likely, unlikely
show = lambda *values: str(["key" if value is key else value for value in values])
{define}
def factory(local):
    def f(x):
        out = ''
        {test}
        return out or None
    return f
f, twin = factory(key), factory(key)
"""


def build(source, key):
    """The function f that the source defines, and one like it that stays as it is."""
    space = {"key": key, "__name__": "built"}
    exec(source, space)
    return space["f"], space["twin"]


def build_test(test, define, key):
    return build(HEAD.format(define=define, test=textwrap.indent(test, "    ").lstrip()), key)


def is_short_of_room(form, place):
    """Closures are found with one short instruction: which tests have no room for a site there."""
    valued = {"and", "or", "several in a chain", "mixed chain", "match one", "long value"}
    if place != "closure" or sys.version_info >= (3, 14):
        return False
    if sys.version_info >= (3, 13):
        return form == "mixed chain"  # something else jumps into the test
    if sys.version_info >= (3, 12):
        return form in {"mixed chain", "long body", "very long body", "long while"}
    return form in valued


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMS)
def test_form(form, place, key, monkeypatch):
    define, name = PLACES[place]
    f, twin = build_test(FORMS[form].replace("KEY", name), define, key)
    key, code = f.__globals__["key"], f.__code__
    expected = {}
    for enabled in off_on_off(key):
        expected[enabled] = [twin(x) for x in (0, 1)]
    assert expected[True] != expected[False]

    assert static_branches(f) is f

    if not is_short_of_room(form, place):
        assert f.__code__ is not code and key.entries
        monkeypatch.setattr(StaticKey, "__bool__", lambda self: pytest.fail("a test of the key was run"))
    for enabled in off_on_off(key):
        assert [f(x) for x in (0, 1)] == expected[enabled]


# ---- what stays as it is ----

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
HOLDER = """
holder = type('Holder', (), {})(); holder.key = key
call = type('Call', (type(key),), {'__call__': lambda self: key})('called ' + key.name)
"""


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


# ---- strict ----


STRICT_REFUSES = {
    "an attribute of an object": ("if holder.key: out += 'a'", "holder.key"),
    "an attribute of a parameter": ("if x.key: out += 'a'", "x.key"),
    "a global that is not there yet": ("if later: out += 'a'", "later"),
    "in a nested function": ("def inner(self):\n        if self.key: return 1", "self.key"),
    "a hint": ("if likely(x.key): out += 'a'", "x.key"),
    "a value": ("out += show(x.key and 1)", "x.key"),
    "a class body": ("class Inner:\n        if there: pass", "there"),
    "what it binds itself": ("global key\n    key = x\n    if key: out += 'a'", "key"),
    "several lines": ("if (holder\n        .real): out += 'a'", "holder.real"),
}


@pytest.mark.parametrize("what", STRICT_REFUSES)
def test_strict_refuses_what_might_be_a_key(what, key):
    test, name = STRICT_REFUSES[what]
    define = "class holder: real = key" if what == "several lines" else HOLDER
    f, _ = build_test(test, define, key)
    code = f.__code__
    with nothing_made(), pytest.raises(DecorationError) as refused:
        static_branches(f, strict=True)
    assert f.__code__ is code
    message = str(refused.value)
    assert f"the test of {name} " in message
    assert "<string>:" in message and "factory.<locals>.f" in message
    line = int(message.partition("<string>:")[2].partition(":")[0])
    assert line == 11 + (define + test[: test.index("if" if "if" in test else "out")]).count("\n")


@pytest.mark.parametrize("place", PLACES)
def test_strict_takes_what_can_be_decided(place, key):
    define, name = PLACES[place]
    test = f"if {name} and x and not DEBUG and isinstance and len(out): out += 'a'"
    f, _ = build_test(test, f"{define}\nDEBUG = False", key)
    assert static_branches(strict=True)(f) is f
    assert len(f.__globals__["key"].entries) == 1


def test_strict_on_a_class_that_has_one_test_too_many(key):
    class Good:
        def get(self):
            return 1 if key else 2

    class Bad(Good):
        def get(self):
            return 1 if key else 2

        def other(self):
            return 1 if self.key else 2

    static_branches(strict=True)(Good)
    with nothing_made(), pytest.raises(DecorationError, match=r"Bad\.other.*test_branches\.py:\d+.*self\.key"):
        static_branches(strict=True)(Bad)
    assert len(key.entries) == 1


def test_strict_is_about_the_users_own_code(key):
    @static_branches(strict=True)
    class Colour(enum.Flag):
        RED = 1

        def shown(self):
            return "on" if key else "off"

    @static_branches(strict=True)
    class Protocol(typing.Protocol):
        def shown(self):
            return "on" if key else "off"

    @static_branches(strict=True)
    @contextlib.contextmanager
    def shown():
        yield "on" if key else "off"

    @static_branches(strict=True)
    @dataclasses.dataclass(slots=True)
    class Point:
        x: int

    assert len(key.entries) == 3
    with pytest.raises(DecorationError, match=r"x\.key"):

        @static_branches(strict=True)
        @contextlib.contextmanager
        def refused(x):
            yield 1 if x.key else 2


# ---- an interpreter that we do not know ----


def test_an_unknown_interpreter_runs_everything_as_it_was(key, monkeypatch):
    monkeypatch.setattr("jumplabel._bytecode.plan_sites.KNOWN", False)

    def f():
        return 1 if key else 2

    code = f.__code__
    assert static_branches(f).__code__ is code
    with pytest.raises(DecorationError, match=r"is not known"):
        static_branches(f, strict=True)
    assert not key.entries
