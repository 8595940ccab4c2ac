"""Classes and functions that the package exports name the package as their module."""

from typing import Any, TypeVar

T = TypeVar("T")

PACKAGE = "jumplabel"


def exported(thing: T) -> T:
    """Set ``__module__`` of a class or a function to the package's name, and return it: a decorator.

    A program's users see the name in reprs, tracebacks, pickles and ``help()``. It stays when the modules move.
    ``inspect.getsource`` finds the source of functions and methods. It raises OSError for classes: it looks for them in
    the file of the module that they name.
    """
    named: Any = thing
    named.__module__ = PACKAGE
    return thing
