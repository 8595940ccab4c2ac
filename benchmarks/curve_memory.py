"""Measure how memory grows with the number of sites: of gates on lambdas, and of tests in functions of up to 100.

The figure is what decorating adds to existing functions: the bytes that the C library has allocated, and the
executable memory. Free-threaded interpreters allocate past the C library, so there is no curve for them.
"""

import ctypes
import gc
import os
import sys
import sysconfig

from curves import CurveRows, TimeFunction
from many_sites import MAKERS, PLACES, number_of, undecorated_gates, undecorated_tests

from jumplabel import StaticKey, static_branches, static_gate
from jumplabel._diagnostics.process_info import info

FAST = 100_000
FIRST = 10  # sites
TOGETHER = 1000  # sites measured together at least, of several keys if need be: a collection in between weighs less


FIELDS = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


class Mallinfo2(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_size_t) for name in FIELDS)


def used() -> int:
    gc.collect()
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        raise SystemExit("curve_memory.py needs mallinfo2, of glibc 2.33 or later") from None
    mallinfo2.restype = Mallinfo2
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd + info().arena_bytes)


def growing(kind: str, sites: int) -> TimeFunction:
    keys = [StaticKey(f"benchmarks.{kind}.{i}") for i in range(max(TOGETHER // sites, 1))]
    native = kind == "native"
    functions = [undecorated_gates(sites) if native else undecorated_tests(key, sites) for key in keys]
    first = MAKERS[kind](StaticKey(f"benchmarks.{kind}.first"), FIRST)  # also makes what is made only once

    def take(loops: int) -> float:
        used()
        before = used()
        for key, of_key in zip(keys, functions, strict=True):
            decorate = static_gate(key) if native else static_branches
            for i, function in enumerate(of_key):
                of_key[i] = decorate(function)
        taken = used() - before
        if number_of(kind) != sites * len(keys) + FIRST:
            raise AssertionError(f"{len(keys)} times {sites} {kind} sites, and those of {first}, were wanted: {info()}")
        return taken / len(keys) * loops

    return take


if __name__ == "__main__":
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise SystemExit("curve_memory.py cannot measure a free-threaded interpreter")
    if os.environ.get("PYTHONMALLOC") != "malloc":  # then the C library allocates everything
        os.execve(sys.executable, sys.orig_argv, {**os.environ, "PYTHONMALLOC": "malloc"})
    rows = CurveRows(PLACES, FAST)
    for kind in MAKERS:
        rows.curve(f"memory, {kind} sites", lambda sites, kind=kind: growing(kind, sites), once=True)  # type: ignore[misc]
