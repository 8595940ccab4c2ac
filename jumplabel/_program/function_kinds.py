"""What ``inspect`` says of a callable, without importing it: the import takes half as long as that of this package.

Each function gives the answer of the function of ``inspect`` that its docstring names.
tests/program/test_function_kinds.py compares them.
"""

import functools
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, MethodWrapperType
from typing import Any

from jumplabel._program import looks
from jumplabel._program.looks import NOT_FOUND

# The flags of code objects, Include/cpython/code.h.
GENERATOR = 0x20
COROUTINE = 0x80
ITERABLE_COROUTINE = 0x100
ASYNC_GENERATOR = 0x200


def has_code_flag(function: Any, flag: int) -> bool:
    """Return whether the code of a function has a flag: ``isgeneratorfunction``, ``iscoroutinefunction`` and others.

    An object with all attributes of a function counts as one.
    """
    function = _innermost_function(function)
    return (isinstance(function, FunctionType) or _is_like_a_function(function)) and bool(
        function.__code__.co_flags & flag
    )


def is_marked_coroutine(function: Any) -> bool:
    """Return whether ``inspect.markcoroutinefunction`` has marked the function (3.12 and later)."""
    module = sys.modules.get("inspect")
    mark = getattr(module, "_is_coroutine_mark", getattr(module, "_is_coroutine_marker", None))
    return mark is not None and getattr(_innermost_function(function), "_is_coroutine_marker", None) is mark


def is_routine(thing: Any) -> bool:
    """Return whether it is a function, method, built-in function, or descriptor that makes methods.

    As ``inspect.isroutine``.
    """
    if isinstance(thing, BuiltinFunctionType | FunctionType | MethodType | MethodWrapperType):
        return True
    if isinstance(thing, (type, *_NO_ROUTINES)):
        return False
    kind = type(thing)
    makes_methods = hasattr(kind, "__get__") and not any(hasattr(kind, name) for name in _OF_DATA)
    return makes_methods or isinstance(thing, _ALSO_ROUTINES)


_NO_ROUTINES: Any = (functools.partial,) if sys.version_info[:2] == (3, 13) else ()
_OF_DATA = ("__set__", "__delete__") if sys.version_info >= (3, 13) else ("__set__",)
_ALSO_ROUTINES: Any = getattr(functools, "_singledispatchmethod_get", ())  # 3.14


def unwrapped(function: Any, stop: Callable[[Any], bool] | None = None) -> Any:
    """Follow ``__wrapped__`` to its end, or until ``stop`` says so, and return what is there. As ``inspect.unwrap``.

    Raises ValueError for a circle.
    """
    seen, one = {id(function): function}, function
    while hasattr(one, "__wrapped__") and not (stop and stop(one)):
        one = one.__wrapped__
        if id(one) in seen or len(seen) >= sys.getrecursionlimit():
            raise ValueError(f"wrapper loop when unwrapping {function!r}")
        seen[id(one)] = one
    return one


def type_call(callable: Any) -> Any:
    """Return the ``__call__`` of the callable's type, without running code of the type or its metaclass.

    As ``inspect.getattr_static(type(callable), "__call__")``. Raises AttributeError.
    """
    kind = type(callable)
    for one in kind, type(kind):
        found = looks.class_attribute(one, "__call__")
        if found is not NOT_FOUND:
            return found
    raise AttributeError("__call__")


def _innermost_function(function: Any) -> Any:
    """Return the function that is within methods and partial objects."""
    before = None
    while sys.version_info >= (3, 13) and function is not before:
        before = function
        while isinstance(getattr(function, "__partialmethod__", None), functools.partialmethod):
            function = function.__partialmethod__
        while isinstance(function, functools.partialmethod | functools.partial):
            function = function.func
    while isinstance(function, MethodType):
        function = function.__func__
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _is_like_a_function(thing: Any) -> bool:
    """Return whether it has all attributes of a function, as a function that Cython has compiled does."""
    if not callable(thing) or isinstance(thing, type):
        return False
    defaults = getattr(thing, "__defaults__", NOT_FOUND)
    keywords = getattr(thing, "__kwdefaults__", NOT_FOUND)
    annotations = getattr(thing, "__annotations__", None) if sys.version_info < (3, 14) else None
    return (
        isinstance(getattr(thing, "__code__", None), CodeType)
        and isinstance(getattr(thing, "__name__", None), str)
        and (defaults is None or isinstance(defaults, tuple))
        and (keywords is None or isinstance(keywords, dict))
        and (annotations is None or isinstance(annotations, dict))
    )
