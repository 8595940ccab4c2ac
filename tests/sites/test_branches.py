"""``@static_branches``: which tests become sites, and that the function does what it did."""

import contextlib
import dataclasses
import enum
import sys
import typing

import pytest
from branch_sources import HOLDER, PLACES, build_test
from site_checks import nothing_made, off_on_off

from jumplabel import DecorationError, StaticKey, static_branches

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
