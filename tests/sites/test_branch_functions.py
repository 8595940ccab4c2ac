"""``@static_branches`` leaves a function as it was but for its code, and may decorate it again."""

import contextlib
import copy
import dis
import functools
import inspect
import pickle
import sys
import types

import pytest
from site_checks import nothing_made, off_on_off

from jumplabel import DecorationError, StaticKey, static_branches, static_gate, static_switch

tracing = StaticKey("tests.test_branch_functions.tracing")


def plain(x, /, y: int = 2, *args, z=3, **kwargs) -> str:
    """Docs."""
    if tracing:
        return f"on {x} {y} {args} {z} {kwargs}"
    return f"off {x} {y} {args} {z} {kwargs}"


def twin_of(function):
    """The same function again, which stays as it is."""
    twin = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin


def test_the_function_stays_the_same_object():
    twin, before = twin_of(plain), {**vars(plain), "annotations": dict(plain.__annotations__)}
    signature, source = inspect.signature(plain), inspect.getsource(plain)
    assert static_branches(plain) is plain
    assert {**vars(plain), "annotations": plain.__annotations__} == before
    assert (inspect.signature(plain), inspect.getsource(plain)) == (signature, source)
    assert plain.__doc__ == "Docs." and plain.__defaults__ == (2,) and plain.__kwdefaults__ == {"z": 3}
    assert pickle.loads(pickle.dumps(plain)) is plain and copy.deepcopy(plain) is plain
    for _ in off_on_off(tracing):
        assert plain(1) == twin(1)
        assert plain(1, 4, 5, z=6, a=7) == twin(1, 4, 5, z=6, a=7)
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            plain()


NOT_COMPARED = {"co_code", "co_consts", "co_lines", "co_positions", "co_branches", "co_lnotab"}


def test_only_instructions_and_constants_change(key):
    def function(x, *, y=1):
        try:
            with contextlib.suppress(KeyError):
                return [i for i in range(x) if key] or (key and y)
        finally:
            if not key:
                x += 1

    old = function.__code__
    static_branches(function)
    new = function.__code__
    assert new is not old and len(new.co_code) == len(old.co_code)
    for name in dir(old):
        if name.startswith("co_") and name not in NOT_COMPARED:
            assert getattr(new, name) == getattr(old, name), name
    assert list(new.co_lines()) == list(old.co_lines())
    assert list(new.co_positions()) == list(old.co_positions())


CALLER = """
def caller(function):
    for i in range(1000):
        function(i)
"""


@pytest.mark.parametrize("decorated", [True, False])
def test_calls_keep_the_fast_path(key, decorated):
    def function(x):
        return 1 if key else x

    space = {}
    exec(CALLER, space)
    if decorated:
        static_branches(function)
    for _ in range(20):
        space["caller"](function)
    names = [instruction.opname for instruction in dis.get_instructions(space["caller"], adaptive=True)]
    assert "CALL_PY_EXACT_ARGS" in names


def test_a_changed_function_is_called_as_it_is_now(key):
    """The function's version must not promise what is no longer so."""

    def function(x, y=2):
        return (x, y, "on") if key else (x, y)

    def call():
        return [function(i) for i in range(100)]

    call()
    static_branches(function)
    assert call() == [(i, 2) for i in range(100)]
    function.__defaults__ = (3,)
    assert call() == [(i, 3) for i in range(100)]
    function.__code__ = (lambda x, y: [y, x, key]).__code__
    assert call() == [[3, i, key] for i in range(100)]


def test_below_and_above_gates_and_switches(key, other_key):
    @static_branches
    @static_gate(key, default="gate")
    @static_branches
    def gated():
        return "on" if other_key else "off"

    @static_branches
    @static_switch(key, to=lambda: "switched")
    def switched():
        return "on" if other_key else "off"

    assert len(other_key.entries) == 2
    for on in off_on_off(key):
        for other in off_on_off(other_key):
            assert gated() == (("on" if other else "off") if on else "gate")
            assert switched() == ("switched" if on else "on" if other else "off")


def test_decorating_twice_changes_nothing_more(key):
    def function():
        return 1 if key else 2

    code = static_branches(function).__code__
    entries = key.entries
    assert static_branches(function) is function and function.__code__ is code and key.entries == entries


def test_decorating_again_when_another_key_is_there_keeps_the_first_ones_sites(key, other_key):
    space = {"key": key, "later": None}
    lines = [
        "def f(x):",
        "    def inner():",
        "        return 1 if later else 0",
        "    return 1 if key else 0, [1 for _ in x if key], key and 2, 1 if later else 0, inner()",
    ]
    exec("\n".join(lines), space)
    function, twin = space["f"], twin_of(space["f"])
    static_branches(function)
    before = key.entries
    space["later"] = other_key
    static_branches(function)
    assert [entry.owner for entry in key.entries] == [entry.owner for entry in before]
    assert len(other_key.entries) == 2
    for _ in off_on_off(key):
        for _ in off_on_off(other_key):
            assert function("a") == twin("a")


@pytest.mark.parametrize("what", [len, functools.partial(print), 1, None.__class__.__init__, "f", [], object()])
def test_what_has_no_python_function_is_refused(what):
    with nothing_made(), pytest.raises(DecorationError, match="decorates a Python function or a class, not"):
        static_branches(what)


def test_a_cycle_of_wrapped_functions_ends(key):
    def one():
        return 1 if key else 2

    def other():
        return 1 if key else 2

    one.__wrapped__, other.__wrapped__ = other, one
    static_branches(one)
    assert len(key.entries) == 2


def test_a_function_with_many_names_and_constants(key):
    """There are so many that arguments need an EXTENDED_ARG wherever they can."""
    lines = [
        "def f(value):",
        *(f"    n{i} = {i + 1000}.5" for i in range(700)),
        "    if value == 'never':",
        *(f"        g{i}" for i in range(700)),
        "    out = [show(flags.tracing and value), show(flags.tracing or value)]",
        "    while flags.tracing and len(out) < 5:",
        *("        out.append(n5)" for _ in range(2000)),
        "    for i in range(3):",
        "        if not flags.tracing:",
        "            continue",
        *("        out.append(n699)" for _ in range(2000)),
        "    return out",
    ]
    flags = types.ModuleType("flags")
    flags.tracing = key
    space = {"flags": flags, "show": lambda value: "key" if value is key else value}
    exec("\n".join(lines), space)
    function, twin = space["f"], twin_of(space["f"])
    static_branches(function)
    assert len(key.entries) >= 4
    for _ in off_on_off(key):
        assert function(1) == twin(1)


if sys.version_info >= (3, 12):
    exec(
        """
def test_type_parameters(key):
    @static_branches
    def outer():
        def generic[T: int](x: T) -> T:
            return x if key else None
        class Box[T]:
            def get(self):
                return 1 if key else 2
        return generic, Box

    for enabled in off_on_off(key):
        generic, box = outer()
        assert (generic(5), box().get()) == ((5, 1) if enabled else (None, 2))
"""
    )
