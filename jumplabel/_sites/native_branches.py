"""Function pointers for C: ``native_branch`` sends C callers to one of two C functions.

The code behind the pointer is a trampoline of the engine (csrc/arch/x86_64/trampoline_templates.S). Where there is no
trampoline, it is a stub (csrc/arch/x86_64/plain_branch.h). This file finds the functions' addresses and keeps them
valid.
"""

import errno
import os
import sys
from types import BuiltinFunctionType, FunctionType
from typing import Any
from weakref import finalize

from jumplabel._engine import ffi, lib
from jumplabel._keys.static_key import StaticKey
from jumplabel._sites.callers import caller
from jumplabel.errors import DecorationError, PatchError


class NativeBranch:
    """A pointer for C, made by ``native_branch()``. The object keeps the code behind the pointer alive."""

    __slots__ = ("__weakref__", "_address", "_entry", "_key", "_off", "_on", "_owner", "_targets")

    def __init__(
        self, entry: Any, key: StaticKey, off: object, on: object, targets: tuple[int, ...], owner: str
    ) -> None:
        # ffi.gc() may free the entry before other objects of the same cycle have finished calling through the pointer.
        # A key's pointer has the same fate (static_key.py).
        finalizer = finalize(entry, lib.jump_entry_retire, ffi.cast("struct jump_entry *", entry))
        finalizer.atexit = False  # type: ignore[misc]  # typeshed takes the property for a missing slot
        self._entry = entry
        self._key = key
        self._off = off
        self._on = on
        self._targets = targets
        self._owner = owner
        self._address = int(ffi.cast("uintptr_t", lib.jump_entry_function(entry)))

    @property
    def address(self) -> int:
        """The address that C calls, the same while this object lives. **It keeps nothing alive.**"""
        return self._address

    @property
    def key(self) -> StaticKey:
        """The key that decides."""
        return self._key

    @property
    def off(self) -> object:
        """The function to call while the key is off, as it was given."""
        return self._off

    @property
    def on(self) -> object:
        """The function to call while the key is on, as it was given."""
        return self._on

    def cast(self, ffi: Any, cdecl: Any) -> Any:
        """Return the address as a cdata that can be called, stored in a struct, and passed to C.

        ffi    your own FFI object, of cffi's ABI or API mode
        cdecl  the type: a string such as ``"int(*)(int)"``, or a result of ``ffi.typeof()``. It is ``void *`` or a
               pointer to a function. **Its signature must be that of both functions: the library cannot check that**

        The cdata keeps the NativeBranch alive. A copy of the pointer does not, for example in a struct of C code.

        Any thread may call it. Raises DecorationError for a type that is no such pointer; for a type that it does not
        know, ``ffi.cast()`` raises its own error.
        """
        if not hasattr(ffi, "cast"):
            raise DecorationError(f"NativeBranch.cast(ffi, cdecl) needs a cffi FFI object first, not {ffi!r}")
        made = ffi.cast(cdecl, self._address)
        if not _may_be_called(made):
            raise DecorationError(
                f"NativeBranch.cast: {cdecl!r} is no pointer to a function; write one as in 'int(*)(int)'"
            )
        # ffi.gc() would let go too early, see __init__().
        finalizer = finalize(made, _let_go, self)
        finalizer.atexit = False  # type: ignore[misc]
        return made

    def __site__(self) -> int:
        """Return the address of the site, as the jump table shows it."""
        return int(ffi.cast("uintptr_t", lib.jump_entry_address(self._entry)))

    def __repr__(self) -> str:
        return f"<native_branch {self._owner} of {self._key!r} at {self._address:#x}: {self._off!r} or {self._on!r}>"


def native_branch(key: StaticKey, *, off: object = None, on: object = None) -> NativeBranch:
    """Make a C function pointer that goes to one of two C functions of the same signature, for cffi, ctypes and C.

    key  the key that decides
    off  the function to call while the key is off
    on   the function to call while the key is on

    **Hold the NativeBranch while C may call.** Its code lives as long as it, and as long as any cdata that its
    ``cast()`` returned; so do the key, ``off`` and ``on``. A copy of the pointer in a C struct, the address as a
    number, and a ctypes function made of it keep nothing alive. The library does not wait for C: a thread that enters
    the code after its end crashes, or calls a function of a later branch at that address. A thread that has reached
    ``off`` or ``on`` by then is safe: it has left our code.

    A callback that refers to a cdata of ``cast()`` keeps that cdata, and so itself, for ever; let it refer to the
    NativeBranch. A library does not stay loaded for a NativeBranch: cffi closes a library of ``ffi.dlopen()`` when that
    object goes.

    A function is a cffi function pointer or ``void *``, a ctypes function or ``c_void_p``, an address, or a
    NativeBranch. Of a cffi API-mode library take ``ffi.addressof(lib, "name")``. Wrap a Python function as an
    ``ffi.callback()`` or a ``ctypes.CFUNCTYPE`` object.

    A call is one jump longer than a call of the function itself. Every argument, return value and register passes
    through as it is, for any signature, also a variadic one. C code may call the pointer from any thread, without the
    GIL, and from signal handlers. When a toggle returns, every call that starts later sees the new state.

    Where there are no trampolines (``info().refusal`` says why), the code is a stub with an ordinary test. A process
    has 256 stubs. A forked child has its own code in both cases.

    Any thread may call it. Raises DecorationError for a first argument that is not a key; for an ``off`` or ``on`` that
    is no pointer to a function, or NULL; and for two cffi pointers of different types. Raises PatchError with
    ``EAGAIN`` where all stubs are taken, and with ``ENOSYS`` on a processor for which the engine has neither
    trampolines nor stubs.
    """
    if not isinstance(key, StaticKey):
        raise DecorationError(f"native_branch needs a StaticKey first, not {key!r}")
    addresses = _address_of("off", off), _address_of("on", on)
    _check_types(off, on)
    owner = caller()
    error = ffi.new("int *")
    pointers = [ffi.cast("void *", address) for address in addresses]
    entry = lib.jump_entry_new_branch(key._key, owner.encode(), *pointers, error)
    if entry:
        return NativeBranch(entry, key, off, on, addresses, owner)
    if error[0] == -errno.ENOMEM:
        raise MemoryError
    why = f"native_branch of {key!r}: no trampoline ({refusal()}), and "
    if error[0] == -errno.ENOSYS:
        raise PatchError(errno.ENOSYS, f"{why}no stub that takes the place of one is written for this processor")
    raise PatchError(
        -error[0],
        f"{why}the {lib.ARCH_PLAIN_BRANCHES} stubs that take the place of one are all taken; make fewer branches, or "
        "drop some",
    )


def refusal() -> str | None:
    """Return what refused the last request for a native site that failed, and why. None: no request failed."""
    raw = ffi.new("struct jump_label_info *")
    lib.jump_label_info(raw)
    if raw.refused == errno.ECANCELED:
        return "switched off by JUMPLABEL_NATIVE=0"
    return f"{ffi.string(raw.refusal).decode()} refused: {os.strerror(raw.refused)}" if raw.refused else None


def _let_go(branch: NativeBranch) -> None:
    """Do nothing. The finalizer of a cdata calls this, and drops its reference to the branch."""


def _address_of(name: str, pointer: object) -> int:
    address = _pointed_at(pointer)
    if address is None:
        raise DecorationError(f"native_branch: {name}={pointer!r} is no pointer to a C function{_hint(pointer)}")
    if address == 0:
        raise DecorationError(f"native_branch: {name}={pointer!r} is NULL; a call would crash")
    if not 0 < address < 2**64:
        raise DecorationError(f"native_branch: {name}={pointer!r} is no address")
    return address


def _pointed_at(pointer: object) -> int | None:
    if isinstance(pointer, NativeBranch):
        return pointer.address
    if isinstance(pointer, int) and not isinstance(pointer, bool):
        return pointer
    if isinstance(pointer, ffi.CData):
        return int(ffi.cast("uintptr_t", pointer)) if _may_be_called(pointer) else None
    ctypes = sys.modules.get("ctypes")  # an object of ctypes means that it was imported
    if ctypes is not None and isinstance(pointer, ctypes.c_void_p):
        return pointer.value or 0
    if ctypes is not None and isinstance(pointer, ctypes._CFuncPtr):
        return ctypes.cast(pointer, ctypes.c_void_p).value or 0
    return None


def _may_be_called(cdata: Any) -> bool:
    ctype = ffi.typeof(cdata)
    return bool(ctype.kind == "function" or ctype.cname == "void *")


def _hint(pointer: object) -> str:
    if pointer is None:
        return "; it takes both, off= and on="
    if isinstance(pointer, BuiltinFunctionType) and type(pointer.__self__) is type(lib):
        return f'; take its address, ffi.addressof(lib, "{pointer.__name__}")'
    if isinstance(pointer, FunctionType):
        return "; make one of it with ffi.callback() or ctypes.CFUNCTYPE, or use static_switch"
    return "; cast it to a pointer to a function, or to void *, or give its address"


def _check_types(off: object, on: object) -> None:
    """Raise DecorationError for two pointers of different types. A ``void *`` says nothing of its function."""
    if isinstance(off, ffi.CData) and isinstance(on, ffi.CData):
        kinds = ffi.typeof(off), ffi.typeof(on)
        if kinds[0] != kinds[1] and all(kind.kind == "function" for kind in kinds):
            raise DecorationError(
                f"native_branch: off is a {kinds[0].cname!r} and on a {kinds[1].cname!r}; they must be of the same "
                "signature, as callers do not know which one they call (where they are, cast one to the other's type)"
            )
