"""The Python side of tests/c/callers.c: switches that may be called without the GIL, and threads that call them."""

import contextlib
import ctypes
import signal
import time

from jumplabel import StaticKey, static_gate, static_switch


class Callers(ctypes.Structure):
    """struct callers in tests/c/callers.c."""

    _fields_ = (
        ("begun", ctypes.c_uint64),
        ("done", ctypes.c_uint64),
        ("objects", ctypes.c_void_p),
        ("n_objects", ctypes.c_size_t),
        ("vectorcall_offset", ctypes.c_size_t),
        ("off", ctypes.c_void_p),
        ("on", ctypes.c_void_p),
        ("stop", ctypes.c_int),
        ("calls", ctypes.c_uint64),
        ("strict", ctypes.c_uint64),
        ("wrong", ctypes.c_uint64),
        ("threads_ended", ctypes.c_uint64),
        ("signals_handled", ctypes.c_uint64),
        ("children", ctypes.c_uint64),
        ("threads", ctypes.c_ulong * 2),
        ("threads_running", ctypes.c_int),
    )


def constant(value):
    """Return a callable that returns the value without the interpreter: a gate that stays off."""
    return static_gate(StaticKey(f"callers.never.{value}"), default=value)(lambda: None)


def switches(key, sites):
    """Return addresses of switches, the offset of the pointer to call, the results off and on, and what keeps them."""
    off, on = constant(False), constant(True)
    made = [static_switch(key, to=on)(off) for _ in range(sites)]
    return [*map(id, made)], object.__basicsize__, id(False), id(True), made


@contextlib.contextmanager
def calling(library, key, sites, start="callers_start", blocked=(), make=switches):
    """Have two C threads call switches of the key for a block, or do what another start function says.

    These threads block the signals; the starting thread does not.
    """
    objects, offset, off, on, _kept = make(key, sites)
    addresses = (ctypes.c_void_p * sites)(*objects)
    callers = Callers(objects=ctypes.addressof(addresses), n_objects=sites, vectorcall_offset=offset, off=off, on=on)
    lib = ctypes.CDLL(str(library))
    old = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    getattr(lib, start)(ctypes.byref(callers))
    signal.pthread_sigmask(signal.SIG_SETMASK, old)
    try:
        yield callers
    finally:
        lib.callers_stop(ctypes.byref(callers))


def toggle_for(seconds, key, callers):
    """Toggle the key, which is off, and tell the callers what they may see."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for toggle in (key.enable, key.disable):
            callers.begun += 1
            toggle()
            callers.done += 1


def hammer(library, seconds, sites, start="callers_start", blocked=(), make=switches):
    """Toggle `sites` switches while C threads call them without the GIL; returns the callers and their counts."""
    key = StaticKey("callers.hammer")
    with calling(library, key, sites, start, blocked, make) as callers:
        toggle_for(seconds, key, callers)
    return callers
