"""Snapshots: their callers, all forms of tests in them, and their rows in the table."""

import sys
import traceback

import forms
import pytest
import tools
from site_checks import off_on_off
from snapshots import combinations, snapshot, turn

import jumplabel
from jumplabel import DecorationError

# ---- callers ----


def test_callers_in_c(key):
    @snapshot
    def place(value):
        first = -value if key else value
        if value == 2:
            turn(key)
        return first, "on" if key else "off"

    assert [*map(place, [3, 2, 1])] == [(3, "off"), (2, "off"), (-1, "on")]
    assert sorted([3, 2, 1, 2], key=place) == [3, 2, 1, 2]
    assert max([3, 1], key=place) == 1

    order = snapshot(lambda value: -value if key else value)
    for enabled in off_on_off(key):
        assert sorted([1, 3, 2], key=order, reverse=enabled) == [1, 2, 3]


def test_no_frame_of_ours_is_left_of_the_first_call_in_a_state(key):
    @snapshot
    def function():
        if key:
            frames.append(sys._getframe(1).f_code.co_name)
            raise ZeroDivisionError
        frames.append(sys._getframe(1).f_code.co_name)
        raise ValueError

    frames = []
    for _ in off_on_off(key):
        try:
            function()
        except (ValueError, ZeroDivisionError) as error:
            assert len(traceback.extract_tb(error.__traceback__)) == 2
            assert error.__context__ is None
    assert set(frames) == {sys._getframe().f_code.co_name}


@pytest.mark.parametrize("install", [sys.settrace, sys.setprofile], ids=["settrace", "setprofile"])
def test_a_tracer_sees_nothing_of_the_first_call_in_a_state(key, install):
    @snapshot
    def function():
        return 1 if key else 0

    for _ in off_on_off(key):
        seen = []

        def trace(frame, event, arg, seen=seen):
            seen.append(frame.f_code.co_name)
            return trace

        before = sys.gettrace() if install is sys.settrace else sys.getprofile()
        install(trace)
        function()
        install(before)
        assert set(seen) - {sys._getframe().f_code.co_name} == {"function"}


# ---- all forms of tests ----


REFUSED = {"values", "closure_on_several_lines"}
"""``not key`` as a value; and those with a test on several lines, depending on the version."""
MAY_BE_REFUSED = REFUSED | {name for name in tools.FORMS if name.endswith("on_several_lines")}
OF_NO_KEY = {"generators", "coroutines"}
NOT_ALONE = {"nested", "closure", "recursive"}
"""They call functions that are live."""


@pytest.mark.parametrize("name", tools.FORMS)
def test_forms_do_what_they_do_undecorated(name, key, other_key):
    plain, function = (tools.make(name, key, other_key) for _ in range(2))
    try:
        made = snapshot(function)
    except DecorationError as error:
        assert name in MAY_BE_REFUSED and f"{forms.__file__}:" in str(error)
        return
    assert name not in REFUSED - {"closure_on_several_lines"}
    assert (made is function) is (name in OF_NO_KEY)
    for _ in combinations(key, other_key):
        assert tools.traced(made) == tools.traced(plain)
        assert tools.traced(made, install=sys.setprofile) == tools.traced(plain, install=sys.setprofile)
        assert tools.run(made) == tools.run(plain)


@pytest.mark.parametrize("name", sorted(set(tools.FORMS) - MAY_BE_REFUSED - OF_NO_KEY - NOT_ALONE))
def test_forms_that_are_turned_do_what_they_do_in_the_state_before(name, key, other_key):
    function = tools.make(name, key, other_key)
    made = snapshot(function)
    for states in combinations(key, other_key):
        expected = tools.run(function)
        for at in range(1, len(expected[0]) + 1):
            assert tools.run(made, at, lambda: turn(key, other_key)) == expected
            assert (key.enabled, other_key.enabled) == tuple(not state for state in states)
            turn(key, other_key)


# ---- the table ----


def test_one_entry_for_each_key_at_one_address(key, other_key):
    @snapshot
    def function():
        return (1 if key else 0), (1 if other_key else 0), (2 if key else 0)

    entries = [*key.entries, *other_key.entries]
    assert [entry.key for entry in entries] == [key.name, other_key.name]
    addresses = {entry.address for entry in entries}  # of a plain one, of what it reads for each key
    assert function.__site__() in addresses and len(addresses) == (1 if entries[0].native else 2)
    line = function.__code__.co_firstlineno
    for entry in entries:
        assert (entry.kind, entry.owner) == ("snapshot", f"{__name__}.{function.__qualname__}:{line}")
        assert entry in jumplabel.jump_table()
    for states in combinations(key, other_key):
        assert (key.entries[0].state, other_key.entries[0].state) == states
    assert function.__static_keys__ == (key, other_key)
