"""What is said of callables without ``inspect`` is what ``inspect`` says."""

import functools
import inspect
import types
from typing import Any
from unittest import mock

import pytest

from jumplabel._program import function_kinds


def plain() -> None: ...


def generator() -> Any:
    yield


async def coroutine() -> None: ...


async def async_generator() -> Any:
    yield


@types.coroutine
def awaitable() -> Any:
    yield


@functools.wraps(coroutine)
def wrapper() -> Any:
    return coroutine()


class Thing:
    def method(self) -> None: ...

    async def async_method(self) -> None: ...

    @classmethod
    async def class_method(cls) -> None: ...

    @staticmethod
    def static_method() -> Any:
        yield

    async def __call__(self) -> None: ...

    partial_method = functools.partialmethod(async_method)

    @functools.singledispatchmethod
    def dispatched(self, one: Any) -> None: ...


class Meta(type):
    async def __call__(cls) -> None: ...  # type: ignore[override]


class OfMeta(metaclass=Meta): ...


class LikeAFunction:
    """A function as Cython makes it."""

    def __init__(self, function: Any) -> None:
        for name in ("__name__", "__code__", "__defaults__", "__kwdefaults__", "__annotations__"):
            setattr(self, name, getattr(function, name))

    def __call__(self) -> Any: ...


class NotQuite(LikeAFunction):
    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self.__defaults__ = []  # type: ignore[var-annotated]


class Descriptor:
    def __get__(self, thing: object, kind: object = None) -> Any:
        return self

    def __call__(self) -> None: ...


class DataDescriptor(Descriptor):
    def __set__(self, thing: object, value: object) -> None: ...


class DeletingDescriptor(Descriptor):
    def __delete__(self, thing: object) -> None: ...


def marked() -> None: ...


if hasattr(inspect, "markcoroutinefunction"):
    inspect.markcoroutinefunction(marked)

PLAIN = [plain, generator, coroutine, async_generator, awaitable, wrapper, marked]
CALLABLES = [
    *PLAIN,
    *(functools.partial(one) for one in PLAIN),
    functools.partial(functools.partial(generator), x=1),
    *(types.MethodType(one, 1) for one in PLAIN),
    *(LikeAFunction(one) for one in PLAIN),
    *(NotQuite(one) for one in PLAIN),
    *vars(Thing).values(),
    *(getattr(Thing(), name) for name in vars(Thing) if not name.startswith("__")),
    Thing(),
    Thing,
    OfMeta,
    Meta,
    Descriptor(),
    DataDescriptor(),
    DeletingDescriptor(),
    len,
    int.__add__,
    (1).__add__,
    str.join,
    dict.fromkeys,
    vars(dict)["fromkeys"],
    mock.Mock(),
    mock.AsyncMock(),
    mock.create_autospec(coroutine),
    7,
    None,
]


@pytest.mark.parametrize("thing", CALLABLES, ids=lambda thing: str(thing).partition(" at 0x")[0])
def test_it_is_as_inspect_has_it(thing: Any) -> None:
    coroutine = function_kinds.has_code_flag(thing, function_kinds.COROUTINE)
    assert (coroutine or function_kinds.is_marked_coroutine(thing)) == inspect.iscoroutinefunction(thing)
    assert function_kinds.has_code_flag(thing, function_kinds.GENERATOR) == inspect.isgeneratorfunction(thing)
    assert function_kinds.has_code_flag(thing, function_kinds.ASYNC_GENERATOR) == inspect.isasyncgenfunction(thing)
    assert function_kinds.is_routine(thing) == inspect.isroutine(thing)
    assert function_kinds.type_call(thing) is inspect.getattr_static(type(thing), "__call__")
    if not isinstance(thing, mock.NonCallableMock):
        assert function_kinds.unwrapped(thing) is inspect.unwrap(thing)


def test_flags_are_those_of_the_interpreter() -> None:
    assert function_kinds.GENERATOR == inspect.CO_GENERATOR
    assert function_kinds.COROUTINE == inspect.CO_COROUTINE
    assert function_kinds.ITERABLE_COROUTINE == inspect.CO_ITERABLE_COROUTINE
    assert function_kinds.ASYNC_GENERATOR == inspect.CO_ASYNC_GENERATOR


def test_unwrapping_stops_where_it_is_told_to_and_refuses_circles() -> None:
    def outer() -> None: ...

    outer.__wrapped__ = wrapper  # type: ignore[attr-defined]
    assert function_kinds.unwrapped(outer) is coroutine
    assert function_kinds.unwrapped(outer, stop=lambda one: one is wrapper) is wrapper
    outer.__wrapped__ = outer  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="wrapper loop when unwrapping <function"):
        function_kinds.unwrapped(outer)
