"""``@static_branches`` on generators, coroutines, closures, classes, and on what stands for a function."""

import abc
import asyncio
import contextlib
import dataclasses
import functools
import inspect
import types

import pytest
from site_checks import off_on_off

from jumplabel import static_branches


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
