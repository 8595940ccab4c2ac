"""Clocks, threads and locks as the system has them, whatever other libraries replace.

gevent and eventlet replace threads and locks, before or after the package is imported. freezegun, time-machine and
mocks replace clocks. Everything in the package that waits, starts a thread or holds a lock takes it from here:

- Time is the engine's own. No library moves it, and ``sleep`` never switches to another greenlet.
- A thread that is started here is one of the system. It runs beside the greenlets of the others, touches no hub, and
  goes on in a thread whose hub never runs.
- A lock that is made here belongs to a thread of the system, and is never held across code of the program's. So no
  greenlet switches while its thread holds one. In the child of a fork a ``ProcessLock`` is a new one.

Sockets are in unpatched_sockets.py.
"""

import _thread
from functools import partial
from os import getpid
from types import BuiltinFunctionType
from typing import Any

from jumplabel._engine import lib
from jumplabel._program.engine_objects import published

__all__ = [
    "ProcessLock",
    "allocate_lock",
    "get_ident",
    "getpid",
    "monotonic",
    "monotonic_ns",
    "sleep",
    "start_new_thread",
    "start_own_thread",
    "wall_clock",
]

(ProcessLock,) = published(lib.process_lock_type)
"""A lock that its thread may take again: ``acquire()``, ``release()``, ``with``. See csrc/cpython/process_lock.h."""

monotonic_ns = lib.clock_monotonic


def monotonic() -> float:
    """Seconds."""
    return float(lib.clock_monotonic()) / 1e9


def wall_clock() -> float:
    """Seconds since 1970."""
    return float(lib.clock_wall()) / 1e9


def sleep(seconds: float) -> None:
    """Also less, where a signal comes."""
    lib.clock_sleep(int(seconds * 1e9))


def _own_threads() -> Any:
    """``_thread``; or where a library has replaced its functions, what Python makes of it a second time."""
    functions = _thread.start_new_thread, _thread.allocate_lock, _thread.get_ident
    if all(type(each) is BuiltinFunctionType and each.__module__ == "_thread" for each in functions):
        return _thread
    from importlib.machinery import BuiltinImporter
    from importlib.util import module_from_spec

    spec = BuiltinImporter.find_spec("_thread")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_threads = _own_threads()
start_new_thread = _threads.start_new_thread
allocate_lock = _threads.allocate_lock
get_ident = _threads.get_ident

(_start,) = published(lib.own_thread_start_function)
start_own_thread = partial(_start, start_new_thread)
"""``start_new_thread(function, arguments)``, for threads of the package: a fork past Python's hooks waits for them.

``lib.own_thread_enters()`` is the first thing that the function does. See csrc/cpython/own_thread.h."""
