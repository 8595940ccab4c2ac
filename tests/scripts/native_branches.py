"""A key, native branches of it, and whether they do as it says.

The scripts use what it imports.
"""

# ruff: noqa: F401

import ctypes

import cffi

from jumplabel import StaticKey, native_branch
from jumplabel._diagnostics.storms import ffi as engine
from jumplabel._diagnostics.storms import lib

ffi = cffi.FFI()
key = StaticKey("key")
off, on = (engine.addressof(lib, name) for name in ("call_loop_off", "call_loop_on"))
functions = []  # the branches as functions: a script fills it in


def make():
    return native_branch(key, off=off, on=on)


def whole(state):
    assert key.enabled is state
    assert [function(7) for function in functions] == [9 if state else 8] * len(functions)


def turn():
    key.disable() if key.enabled else key.enable()
    whole(key.enabled)
