"""Refuse system calls to this process from now on, as the sandboxes of containers and services do: seccomp(2).

For tests and faults.py: there is no way back.
"""

import ctypes
import errno
import os
from typing import Any

NUMBERS = {  # of x86-64
    "mmap": 9,
    "rt_sigaction": 13,
    "mremap": 25,
    "rt_tgsigqueueinfo": 297,
    "memfd_create": 319,
    "membarrier": 324,
}
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 22, 38, 65
SECCOMP_MODE_FILTER = 2
RETURN_ERRNO, RETURN_ALLOW = 0x0005_0000, 0x7FFF_0000

# Of linux/bpf_common.h: load a word, return, jump if equal, jump if any bit is set.
LOAD, RETURN, IF_EQUAL, IF_BITS = 0x20, 0x06, 0x15, 0x45
NUMBER_OFFSET, ARGUMENTS_OFFSET = 0, 16  # of struct seccomp_data


class Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("then", ctypes.c_uint8),
        ("otherwise", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(Instruction)))


_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int, pointer: Any = None) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), pointer, ctypes.c_ulong(0), ctypes.c_ulong(0)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def refuse(
    name: str,
    argument: int | None = None,
    *,
    bits: int | None = None,
    value: int | None = None,
    error: int = errno.EPERM,
) -> None:
    """A system call fails with `error`; or only where its n-th argument has any of these bits, or is this value."""
    answer = Instruction(RETURN, 0, 0, RETURN_ERRNO | error)
    test = []
    if argument is not None:
        test = [
            Instruction(LOAD, 0, 0, ARGUMENTS_OFFSET + 8 * argument),
            Instruction(IF_EQUAL, 0, 1, value) if bits is None else Instruction(IF_BITS, 0, 1, bits),
        ]
    filtered = [
        Instruction(LOAD, 0, 0, NUMBER_OFFSET),
        Instruction(IF_EQUAL, 0, len(test) + 1, NUMBERS[name]),
        *test,
        answer,
        Instruction(RETURN, 0, 0, RETURN_ALLOW),
    ]
    instructions = (Instruction * len(filtered))(*filtered)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Program(len(filtered), instructions)))


def refuse_executable_memory() -> None:
    refuse("memfd_create")
    refuse("mmap", 2, bits=4)  # PROT_EXEC


def deny_write_execute() -> None:
    """PR_SET_MDWE, Linux 6.3: no mapping is ever both, and none gains PROT_EXEC later."""
    _prctl(PR_SET_MDWE, 1)
