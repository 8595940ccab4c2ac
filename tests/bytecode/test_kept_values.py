"""Tests whose value is used: the value is the key itself, and no site costs more than the test that it replaced."""

import itertools
import sys
import textwrap

import pytest
from site_checks import off_on_off

from jumplabel import DecorationError, StaticKey, static_branches

A, B, FALSE, NONE = ("A", 1), ("B", 2), (), None

# `only_truth`: the form asks only for the key's truth, so no code of the key's class has to run.
FORMS = {
    "and or": ("return KEY and A or B", True),
    "and false or": ("return KEY and FALSE or B", True),
    "and or, stored": ("x = KEY and A or B\n    return x", True),
    "and or, an argument": ("return show(1, KEY and A or B, z=KEY and A or NONE)", True),
    "and or, no statement's value": ("KEY and A or B", True),
    "and or in a list": ("return [1, KEY and A or B, 2]", True),
    "and or in an f-string": ("return f'{KEY and 1 or 2}'", True),
    "and or in a subscript": ("return pairs[KEY and 1 or 0]", True),
    "and or in a lambda": ("return (lambda: KEY and A or B)()", True),
    "and or in a default": ("def inner(y=KEY and A or B): return y\n    return inner()", True),
    "and or in a comparison": ("return (KEY and 1 or 2) < 2 < 3", True),
    "and or in a walrus": ("return [y := KEY and A or B, y]", True),
    "and or in a ternary": ("return (KEY and A or B) if B else NONE", True),
    "and or of hints": ("return likely(KEY) and unlikely(A) or B", True),
    "and or in a loop": ("return [KEY and i or B for i in range(3)]", True),
    "and or in a generator": ("return list(KEY and i or B for i in range(3))", True),
    "and or yielded": ("def inner():\n        yield KEY and A or B\n    return list(inner())", True),
    "and or matched": ("match KEY and A or B:\n        case [_, 1]: return 'a'\n        case _: return 'b'", True),
    "and or asserted": ("assert KEY and A or B\n    return 1", True),
    "and or with": ("with nullcontext(KEY and A or B) as x: return x", True),
    "and or in try": ("try:\n        return KEY and A or B\n    finally:\n        show(KEY and B or A)", True),
    "and or or": ("return KEY and FALSE or NONE or B", True),
    "and and or": ("return KEY and A and FALSE or B", True),
    "or and": ("return (KEY or FALSE) and B", True),
    "or and or": ("return (KEY or FALSE) and NONE or A", True),
    "and or, two keys": ("return (KEY and A) or (OTHER and B) or NONE", True),
    "keys and or": ("return KEY and OTHER and A or B", True),
    "key and key or": ("return (KEY and OTHER) or B", False),
    "key or key and": ("return (KEY or OTHER) and B", True),
    "behind another": ("return A and KEY and B or NONE", True),
    "behind another or": ("return (FALSE or KEY) and A", False),
    "not and": ("return not (KEY and A)", True),
    "not or": ("x = not (KEY or FALSE)\n    return x", True),
    "not and or": ("return not (KEY and A or FALSE)", True),
    "conditional": ("return A if KEY and B else FALSE", True),
    "conditional or": ("return A if KEY or FALSE else B", True),
    "conditional of conditionals": ("return A if (KEY if B else OTHER) else FALSE", True),
    "while": ("n = 0\n    while KEY and n < 3: n += 1\n    return n", True),
    "assert or": ("assert KEY or B\n    return 1", True),
    "guard": ("match A:\n        case [_, 1] if KEY and B: return 1\n        case _: return 2", True),
    "condition of a comprehension": ("return [i for i in range(3) if KEY and i or i == 2]", True),
    "chained comparison": ("return A if KEY and 1 < len(A) < 3 else B", True),
    "and": ("return KEY and A", False),
    "or": ("return KEY or A", False),
    "and, stored": ("x = KEY and A\n    return x", False),
    "or, stored": ("x = KEY or A\n    return x", False),
    "and and": ("return (KEY and A) and B", False),
    "or or": ("return (KEY or FALSE) or B", False),
    "and, an argument": ("return show(KEY and A, KEY or B)", False),
    "and, stored and tested": ("x = KEY and A\n    return 1 if x else 2", False),
    "and, named and tested": ("return (x, 1) if (x := KEY and A) else (x, 2)", False),
    "not": ("return not KEY", False),
    "on two lines": ("return (KEY and A\n        or B)", True),
    "second test on another line": ("return ((\n        KEY and A\n    ) or B)", True),
    "second test on another line, and": ("x = ((\n        KEY or FALSE\n    ) and B)\n    return x", True),
    "value on another line": ("x = ((\n        KEY and A\n    ) and B)\n    return x", False),
    "third test on another line": ("return ((\n        KEY and A or FALSE\n    ) or B)", True),
    "not on another line": ("return not (\n        KEY and A)", True),
    "statement on two lines": ("((\n        KEY and A)\n        or B)\n    return 1", True),
    "dropped on another line": ("[show(), (\n        KEY and A\n    ) or FALSE]\n    return 1", True),
    "lines in a loop": ("for _ in range(2):\n        (\n            KEY and A\n        ) or B\n    return 1", True),
    "long": ("return KEY and (" + "show() and " * 200 + "A) or B", True),
    "longer": ("return KEY and (" + "show() and " * 9000 + "A) or (" + "show() and " * 200 + "B)", True),
    "many": ("return [" + "KEY and A or B, " * 300 + "]", True),
}

PLACES = {
    "global": ("KEY, OTHER = key, other", "KEY", "OTHER"),
    "closure": ("", "local", "other_local"),
    "module": ("flags = ModuleType('flags'); flags.key, flags.other = key, other", "flags.key", "flags.other"),
    "class": ("class flags: key, other = key, other", "flags.key", "flags.other"),
    "array": (
        "flags = StaticKeyArray(key.name, ['key', 'other']); key, other = flags",
        "flags.key",
        "flags.other",
    ),
}

SOURCE = """
from contextlib import nullcontext
from types import ModuleType
from jumplabel import StaticKeyArray, likely, unlikely
pairs = [A, B]
def show(*values, **named):
    return values, named
{define}
def factory(local, other_local):
    def f():
        {body}
    return f
f, twin = factory(key, other), factory(key, other)
"""


def build(form, place, key, other):
    """Return a function with the form, a twin without sites, and the keys that they test."""
    define, name, other_name = PLACES[place]
    body = textwrap.indent(FORMS[form][0].replace("KEY", name).replace("OTHER", other_name), "    ").lstrip()
    space = {"key": key, "other": other, "A": A, "B": B, "FALSE": FALSE, "NONE": NONE, "__name__": "built"}
    exec(SOURCE.format(define=define, body=body), space)
    return space["f"], space["twin"], space["key"], space["other"]


def is_the_same(one, other):
    """Compare results, and results in results: an object from before the call has to be the very same object."""
    if type(one) in (list, tuple, dict) and one is not A and one is not B and one:
        parts = (one.items(), other.items()) if type(one) is dict else (one, other)
        return type(one) is type(other) and all(itertools.starmap(is_the_same, zip(*parts, strict=True)))
    return one is other or (type(one) in (str, int, tuple, list, dict) and one == other)


def asked(function):
    """Return how often a call runs the key's own truth test, and what the call returns."""
    calls = []

    def profile(frame, event, arg):
        if event == "call" and frame.f_code is StaticKey.__bool__.__code__:
            calls.append(frame)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        result = outcome(function)
    finally:
        sys.setprofile(before)
    return len(calls), result


def outcome(function):
    try:
        return function()
    except AssertionError as error:
        return str(error)


def executed(function):
    """Return how many bytecode instructions a call takes, with those of the key's truth test."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        if frame.f_code.co_filename not in ("<string>", StaticKey.__bool__.__code__.co_filename):
            return None  # for example a finalizer from elsewhere
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        outcome(function)
    finally:
        sys.settrace(before)
    return count


def states(key, other):
    for _ in off_on_off(key):
        yield from off_on_off(other)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMS)
def test_a_value_is_the_same_and_costs_no_more(form, place, key, other_key):
    f, twin, key, other = build(form, place, key, other_key)
    static_branches(f)
    are_sites = place != "closure" and f.__code__ is not twin.__code__
    for _ in states(key, other):
        times, result = asked(f)
        times_without, expected = asked(twin)
        assert is_the_same(result, expected), (result, expected)
        assert times <= times_without
        if FORMS[form][1] and are_sites:
            assert times == 0


@pytest.mark.parametrize("form", [form for form in FORMS if "long" not in form and form != "many"])
def test_a_site_takes_no_more_instructions_than_its_test(form, key, other_key):
    f, twin, key, other = build(form, "global", key, other_key)
    static_branches(f)
    for _ in states(key, other):
        executed(f), executed(twin)  # 3.12 and later begin to trace in the first call
        assert executed(f) <= executed(twin)


def traced(function):
    """Return the line events of a call, and what it returns."""
    events = []

    def trace(frame, event, arg):
        if frame.f_code.co_filename != "<string>":
            return None
        events.append((event, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return outcome(function), events
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("form", [form for form in FORMS if "long" not in form])
def test_a_tracer_sees_the_lines_that_it_saw(form, when, key, other_key):
    """It also sees a second test that no site leads through. 3.12 and later find lines in the first traced call."""
    f, twin, key, other = build(form, "global", key, other_key)
    static_branches(f)
    (key.enable if when == "after" else key.disable)()
    for _ in range(2):
        traced(f), traced(twin)
    for _ in states(key, other):
        (result, lines), (expected, expected_lines) = traced(f), traced(twin)
        assert is_the_same(result, expected) and lines == expected_lines


@pytest.mark.parametrize("form", [form for form, (_, only_truth) in FORMS.items() if only_truth])
def test_a_snapshot_takes_a_value_that_is_only_tested(form, key, other_key):
    f, twin, key, other = build(form, "global", key, other_key)
    frozen = static_branches(f, snapshot=True)
    for _ in states(key, other):
        assert is_the_same(outcome(frozen), outcome(twin))


@pytest.mark.parametrize("form", ["and, stored", "and, an argument", "not"])
def test_a_snapshot_refuses_the_value_of_a_key(form, key, other_key):
    f, _, key, _ = build(form, "global", key, other_key)
    with pytest.raises(DecorationError, match="would change during a call; write a conditional expression"):
        static_branches(f, snapshot=True)
