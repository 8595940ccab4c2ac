"""Make keys with any number of sites, for measuring toggles and the curves over that number."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from jumplabel import StaticKey, static_branches, static_gate
from jumplabel._diagnostics.process_info import info

PLACES = (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)
TESTS = 100  # the most in a function

Functions = list[Callable[[], Any]]
"""Functions that return how many of their sites are on, or None for none."""


def undecorated_gates(sites: int) -> Functions:
    return [lambda: 1 for _ in range(sites)]


def undecorated_tests(key: StaticKey, sites: int) -> Functions:
    """Return functions, each with code of its own, like functions of different modules."""
    tests = min(sites, TESTS)
    names: dict[str, Any] = {"key": key}
    exec("def count():\n    n = 0\n" + "    if key: n += 1\n" * tests + "    return n\n", names)
    code = names["count"].__code__
    return [FunctionType(code.replace(), names) for _ in range(sites // tests)]


def gates(key: StaticKey, sites: int) -> Functions:
    return list(map(static_gate(key), undecorated_gates(sites)))


def tests(key: StaticKey, sites: int) -> Functions:
    return list(map(static_branches, undecorated_tests(key, sites)))


MAKERS: dict[str, Callable[[StaticKey, int], Functions]] = {"native": gates, "bytecode": tests}


def number_of(kind: str) -> int:
    """Return the number of all keys' sites."""
    facts = info()
    return facts.bytecode_sites if kind == "bytecode" else facts.native_sites
