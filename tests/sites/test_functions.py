"""A gate or switch stands for its function, for every kind of function."""

import asyncio
import contextlib
import copy
import functools
import inspect
import os
import pickle
import subprocess
import sys
import textwrap
import types
import typing
import unittest.mock
import weakref

import pytest
from site_checks import echo, nothing_made, off_on_off

from jumplabel import DecorationError, static_gate, static_switch

# ---- stands for the function ----


@pytest.fixture
def documented(decorator):
    @decorator
    def documented(a: int, *, b: "str" = "b") -> list[int]:
        """Its documentation."""

    return documented


def test_it_looks_like_the_function(documented):
    function = documented.__wrapped__
    assert isinstance(function, types.FunctionType)
    assert documented.__doc__ == "Its documentation."
    assert documented.__name__ == "documented"
    assert documented.__qualname__ == function.__qualname__
    assert documented.__module__ == __name__
    assert inspect.signature(documented) == inspect.signature(function)
    assert inspect.unwrap(documented) is function
    assert inspect.getsource(documented) == inspect.getsource(function)
    assert typing.get_type_hints(documented) == {"a": int, "b": str, "return": list[int]}
    assert documented.__code__ is function.__code__ and documented.__kwdefaults__ == {"b": "b"}
    assert inspect.isroutine(documented) and callable(documented)
    assert function.__qualname__ in repr(documented) and "static_" in repr(documented)


def test_attributes_are_its_own(decorator):
    def function():
        pass

    function.before = [1]
    made = decorator(function)
    assert made.before is function.before
    made.after = 2
    assert not hasattr(function, "after") and vars(made)["after"] == 2
    function.later = 3
    assert made.later == 3
    with pytest.raises(AttributeError, match="missing"):
        _ = made.missing


def test_functools_wraps_around_it(key):
    gate = static_gate(key)(echo)

    @functools.wraps(gate)
    def wrapper(*args):
        return "wrapped", gate(*args)

    assert wrapper.__wrapped__ is gate and inspect.unwrap(wrapper) is echo
    assert inspect.signature(wrapper) == inspect.signature(echo)
    outer = static_gate(key)(wrapper)
    for enabled in off_on_off(key):
        assert outer(1) == (("wrapped", ((1,), {})) if enabled else None)
        assert wrapper(1) == ("wrapped", ((1,), {}) if enabled else None)


def test_weak_references(key, decorator):
    died = []
    made = decorator(lambda: None)
    reference = weakref.ref(made, died.append)
    finalizer = weakref.finalize(made, died.append, "finalized")
    assert reference() is made and len(key.entries) == 1
    del made
    assert reference() is None and not finalizer.alive
    assert sorted(map(str, died)) == sorted([str(reference), "finalized"])
    assert key.entries == ()


def test_equality_and_hash_are_identity(decorator):
    first, second = decorator(echo), decorator(echo)
    assert first == first and first != second and {first, second, first} == {second, first}


def test_copies_are_the_callable_itself(key, decorator):
    made = decorator(echo)
    assert copy.copy(made) is made
    assert copy.deepcopy([made]) == [made]
    assert len(key.entries) == 1


def test_pickling_by_name_also_into_another_process(tmp_path):
    (tmp_path / "shop.py").write_text(
        textwrap.dedent("""
            from jumplabel import StaticKey, static_gate, static_switch

            key = StaticKey("shop.pickled")

            @static_gate(key, default="off")
            def gated(n):
                return "on", n

            @static_switch(key, to=lambda n: ("to", n))
            def switched(n):
                return "from", n

            class Class:
                @static_gate(key, default="off")
                def method(self, n):
                    return "method", n

                @classmethod
                @static_gate(key, default="off")
                def class_method(cls, n):
                    return cls.__name__, n

            def enable(found):
                assert found is key
                found.enable()
        """)
    )
    (tmp_path / "main.py").write_text(
        textwrap.dedent("""
            import multiprocessing
            import pickle

            import shop

            if __name__ == "__main__":
                callables = [shop.gated, shop.switched, shop.Class().method, shop.Class.class_method]
                for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                    assert pickle.loads(pickle.dumps(shop.gated, protocol)) is shop.gated
                    assert pickle.loads(pickle.dumps(shop.Class.method, protocol)) is shop.Class.method
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    shop.key.enable()  # here, not there
                    assert [pool.apply(each, (1,)) for each in callables] == ["off", ("from", 1), "off", "off"]
                    pool.apply(shop.enable, (shop.key,))
                    there = [pool.apply(each, (1,)) for each in callables]
                    assert there == [("on", 1), ("to", 1), ("method", 1), ("Class", 1)], there
        """)
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, tmp_path / "main.py"], check=True, env=environment)


def test_a_local_function_cannot_be_pickled(decorator):
    with pytest.raises((AttributeError, pickle.PicklingError), match="<locals>"):
        pickle.dumps(decorator(lambda: None))


# ---- coroutines and generators ----


async def coroutine(n=0):
    await asyncio.sleep(0)
    return "coroutine", n


async def other_coroutine(n=0):
    return "other coroutine", n


def generator(n=0):
    yield "generator", n


def other_generator(n=0):
    yield "other generator", n


async def async_generator(n=0):
    yield "async generator", n


async def other_async_generator(n=0):
    yield "other async generator", n


class CallsCoroutine:
    async def __call__(self, n=0):
        pass


class HasCoroutine:
    async def method(self):
        pass


def wraps_coroutine():
    @functools.wraps(coroutine)
    def wrapper():
        return coroutine()

    return wrapper


WRAPPER = wraps_coroutine()

FLAVOURED = [
    (coroutine, "coroutine"),
    (generator, "generator"),
    (async_generator, "async generator"),
    (functools.partial(coroutine, 1), "coroutine"),
    (functools.partial(functools.partial(generator, 1)), "generator"),
    (CallsCoroutine(), "coroutine"),
    (HasCoroutine().method, "coroutine"),
    (WRAPPER, "coroutine"),
    (functools.partial(CallsCoroutine()), "coroutine"),
    (functools.partial(HasCoroutine().method), "coroutine"),
    (types.MethodType(generator, 1), "generator"),
    (types.MethodType(CallsCoroutine(), 1), "coroutine"),
    (types.coroutine(generator), "generator"),
    (classmethod(coroutine), "coroutine"),
    (staticmethod(generator), "generator"),
]


def run_it(flavour, made):
    """Run the result of a call as its flavour requires."""
    if flavour == "generator":
        return list(made)
    if flavour == "async generator":
        return asyncio.run(collect(made))
    return asyncio.run(awaited(made))


async def collect(iterable):
    return [item async for item in iterable]


async def awaited(awaitable):
    return await awaitable


GATED = [(function, flavour) for function, flavour in FLAVOURED if function is not WRAPPER]


@pytest.mark.parametrize(("function", "flavour"), GATED)
def test_a_gate_gives_an_empty_one_of_the_same_flavour(key, function, flavour):
    gate = static_gate(key, default="off")(function)
    if isinstance(gate, classmethod | staticmethod):
        gate, function = gate.__get__(None, int), function.__get__(None, int)
    for enabled in off_on_off(key):
        empty = "off" if flavour == "coroutine" else []
        assert run_it(flavour, gate()) == (run_it(flavour, function()) if enabled else empty)


@pytest.mark.parametrize(("function", "flavour"), GATED)
def test_a_gate_over_a_switch_of_it(key, other_key, function, flavour):
    gate = static_gate(key, default="off")(static_switch(other_key, to=function)(function))
    if isinstance(gate, classmethod | staticmethod):
        gate = gate.__get__(None, int)
    assert run_it(flavour, gate()) == ("off" if flavour == "coroutine" else [])


@pytest.mark.parametrize(("function", "flavour"), FLAVOURED)
def test_inspect_says_of_it_what_it_says_of_the_function(key, function, flavour):
    asks = [inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction]
    if sys.version_info < (3, 14):
        asks.append(asyncio.iscoroutinefunction)
    made = [static_switch(key, to=function)(function)]
    if function is not WRAPPER:
        made += [static_gate(key)(function), static_gate(key)(made[0])]
    if isinstance(function, classmethod | staticmethod):
        made, function = [each.__get__(None, int) for each in made], function.__get__(None, int)
    for ask in asks:
        assert {ask(each) for each in made} == {ask(function)}, ask
    for each in made:
        assert not inspect.isfunction(each)
        if not isinstance(function, CallsCoroutine | types.FunctionType):  # which have names, as they always had
            assert inspect.signature(each) == inspect.signature(function)


def test_a_mock_of_a_coroutine_function_is_one(key):
    mock = unittest.mock.AsyncMock(return_value="on")
    gate = static_gate(key, default="off")(mock)
    assert inspect.iscoroutinefunction(gate)
    for enabled in off_on_off(key):
        assert asyncio.run(awaited(gate(1))) == ("on" if enabled else "off")
    assert mock.await_count == 2


def test_a_function_that_is_marked_as_a_coroutine_function_is_one(key):
    def marked():
        return coroutine()

    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(marked)
    else:
        marked._is_coroutine = asyncio.coroutines._is_coroutine
    assert asyncio.run(awaited(static_gate(key, default="off")(marked)())) == "off"


@pytest.mark.parametrize(("inner", "flavour"), [(coroutine, "coroutine"), (generator, "generator")])
def test_gating_a_plain_function_around_one_is_refused(key, inner, flavour):
    """Such a function may pass on the result of the inner function, or run it."""

    @functools.wraps(inner)
    def wrapper():
        return inner()

    for function in (wrapper, functools.partial(wrapper), functools.wraps(wrapper)(lambda: 7), classmethod(wrapper)):
        with nothing_made(), pytest.raises(DecorationError, match=f"around an? {flavour} function.*decorate"):
            static_gate(key)(function)


def test_a_function_that_makes_context_managers_returns_the_default(key):
    @contextlib.contextmanager
    def manager():
        yield "on"

    @contextlib.asynccontextmanager
    async def async_manager():
        yield "on"

    gate, async_gate = (
        static_gate(key, default=contextlib.nullcontext("off"))(each) for each in (manager, async_manager)
    )
    switch = static_switch(key, to=manager)(lambda: contextlib.nullcontext("off"))

    async def entered():
        async with async_gate() as state:
            return state

    for enabled in off_on_off(key):
        with gate() as state, switch() as switched:
            assert state == switched == asyncio.run(entered()) == ("on" if enabled else "off")


@pytest.mark.parametrize(("function", "flavour"), FLAVOURED)
def test_a_switch_of_mixed_flavours_is_refused(key, function, flavour):
    with nothing_made(), pytest.raises(DecorationError, match=rf"plain callable.*is an? {flavour} function"):
        static_switch(key, to=function)(echo)
    with nothing_made(), pytest.raises(DecorationError, match=rf"is an? {flavour} function.*plain callable"):
        static_switch(key, to=echo)(function)


def test_a_switch_of_two_different_flavours_is_refused(key):
    for function in (coroutine, generator, async_generator):
        for to in {coroutine, generator, async_generator} - {function}:
            with pytest.raises(DecorationError, match="no caller could use the results of both"):
                static_switch(key, to=to)(function)
    assert key.entries == ()


def test_switching_coroutine_functions(key):
    switch = static_switch(key, to=other_coroutine)(coroutine)
    assert inspect.iscoroutinefunction(switch)
    for enabled in off_on_off(key):
        assert asyncio.run(switch(n=1)) == ("other coroutine" if enabled else "coroutine", 1)


def test_switching_generator_functions(key):
    switch = static_switch(key, to=other_generator)(generator)
    async_switch = static_switch(key, to=other_async_generator)(async_generator)
    assert inspect.isgeneratorfunction(switch) and inspect.isasyncgenfunction(async_switch)

    for enabled in off_on_off(key):
        assert list(switch(1)) == [("other generator" if enabled else "generator", 1)]
        expected = [("other async generator" if enabled else "async generator", 1)]
        assert asyncio.run(collect(async_switch(1))) == expected


def test_a_generator_runs_on_with_the_body_that_it_began_with(key):
    switch = static_switch(key, to=other_generator)(generator)
    begun = switch(1)
    key.enable()
    assert next(begun) == ("generator", 1) and next(switch(1)) == ("other generator", 1)
