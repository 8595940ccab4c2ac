"""``@static_branches`` on whatever a function can be."""

import abc
import asyncio
import contextlib
import copy
import dataclasses
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


def test_generator(key):
    @static_branches
    def generator():
        while True:
            if key:
                yield "on"
            else:
                yield "off"

    assert inspect.isgeneratorfunction(generator)
    running = generator()
    for enabled in off_on_off(key):
        assert next(running) == ("on" if enabled else "off")


def test_a_generator_that_runs_already_goes_on_as_it_was(key):
    def generator():
        while True:
            yield "on" if key else "off"

    running = generator()
    assert next(running) == "off"
    static_branches(generator)
    for enabled in off_on_off(key):
        assert next(running) == next(generator()) == ("on" if enabled else "off")


def test_generator_throw_send_and_close(key):
    @static_branches
    def generator():
        got = []
        try:
            while True:
                try:
                    got.append((yield ("on" if key else "off")))
                except ValueError:
                    if key:
                        got.append("thrown")
        finally:
            if key:
                result.extend(got)

    result = []
    running = generator()
    assert next(running) == "off"
    key.enable()
    assert running.send(1) == "on"
    assert running.throw(ValueError) == "on"
    running.close()
    assert result == [1, "thrown"]


def test_coroutine_and_async_generator(key):
    @static_branches
    async def ticks(n):
        for i in range(n):
            await asyncio.sleep(0)
            yield (i, "on") if key else (i, "off")

    @static_branches
    async def collect():
        seen = []
        async with contextlib.AsyncExitStack():
            async for i, state in ticks(4):
                seen.append((i, state, "on" if key else "off"))
                await asyncio.sleep(0)
                key.disable() if key.enabled else key.enable()
        return seen, [x async for x in ticks(2) if not key]

    assert inspect.iscoroutinefunction(collect) and inspect.isasyncgenfunction(ticks)
    seen, rest = asyncio.run(collect())
    assert seen == [(0, "off", "off"), (1, "on", "on"), (2, "off", "off"), (3, "on", "on")]
    assert rest == [(0, "off"), (1, "off")]


def test_a_lambda_and_a_closure_of_a_closure(key):
    on_or_off = static_branches(lambda: "on" if key else "off")

    @static_branches
    def outer(prefix):
        def middle():
            def inner():
                return prefix + ("on" if key else "off")

            return inner

        return middle()

    made_before = outer("a ")
    for enabled in off_on_off(key):
        state = "on" if enabled else "off"
        assert (on_or_off(), made_before(), outer("b ")()) == (state, f"a {state}", f"b {state}")


def test_a_class(key):
    @static_branches
    class Thing:
        state = "instance"

        def __init__(self):
            self.made = "on" if key else "off"

        def method(self):
            return "on" if key else "off"

        @property
        def prop(self):
            return "on" if key else "off"

        @prop.setter
        def prop(self, value):
            self.made = value + ("on" if key else "off")

        @prop.deleter
        def prop(self):
            self.made = "deleted " + ("on" if key else "off")

        @functools.cached_property
        def cached(self):
            return "on" if key else "off"

        @classmethod
        def of_class(cls):
            return cls.__name__ + (" on" if key else " off")

        @staticmethod
        def static():
            return "on" if key else "off"

        @functools.lru_cache  # noqa: B019
        def remembered(self):
            return "on" if key else "off"

        @contextlib.contextmanager
        def context(self):
            yield "on" if key else "off"

        @abc.abstractmethod
        def abstract(self):
            return super().__repr__() if key else "off"

        partial = functools.partialmethod(lambda self, x: x if key else "off", "on")

        class Inner:
            def method(self):
                return "on" if key else "off"

    assert isinstance(Thing, type) and isinstance(vars(Thing)["static"], staticmethod)
    assert len(key.entries) == 13  # three of them are prop's
    for enabled in off_on_off(key):
        state = "on" if enabled else "off"
        thing = Thing()
        with thing.context() as context:
            values = {thing.made, thing.method(), thing.prop, thing.cached, thing.static(), thing.remembered()}
            assert values | {context, thing.partial(), Thing.Inner().method()} == {state}
        assert Thing.of_class() == thing.of_class() == f"Thing {state}"
        thing.prop = "set "
        assert thing.made == f"set {state}"
        del thing.prop
        assert thing.made == f"deleted {state}"
        assert thing.abstract() == (object.__repr__(thing) if enabled else "off")


def test_a_class_that_has_slots_and_is_a_dataclass(key):
    @static_branches
    @dataclasses.dataclass(slots=True, frozen=True)
    class Point:
        x: int

        def show(self):
            return (self.x, "on") if key else self.x

    for enabled in off_on_off(key):
        assert Point(1).show() == ((1, "on") if enabled else 1) and Point(1) == Point(1)


def test_classes_and_functions_from_elsewhere_in_a_class_are_left_alone(key):
    class Elsewhere:
        def method(self):
            return 1 if key else 2

    @static_branches
    class Here(Elsewhere):
        alias = Elsewhere

    assert not key.entries and Here().method() == 2


@pytest.mark.parametrize(
    "wrap",
    [
        staticmethod,
        classmethod,
        property,
        functools.cached_property,
        functools.lru_cache,
        contextlib.contextmanager,
        functools.singledispatch,
        lambda f: functools.wraps(f)(lambda *args: f(*args)),
        lambda f: functools.wraps(f)(functools.wraps(f)(lambda *args: f(*args))),
        lambda f: types.MethodType(f, 1),
        lambda f: functools.partialmethod(f, 1),
    ],
)
def test_what_stands_for_a_function(key, wrap):
    wrapped = wrap(lambda self=None: 1 if key else 2)
    assert static_branches(wrapped) is wrapped
    assert len(key.entries) == 1


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
    """So many that arguments need an EXTENDED_ARG wherever they can."""
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
