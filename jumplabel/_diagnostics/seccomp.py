"""Refuse system calls to this process, as the sandboxes of containers and services do: seccomp(2).

**A refusal cannot be undone**, so only tests and the children of faults.py use this.
"""

import ctypes
import errno
import os
from typing import Any

NUMBERS = {  # the numbers of system calls on x86-64
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


class BpfInstruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("then", ctypes.c_uint8),
        ("otherwise", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class BpfProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(BpfInstruction)))


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
    """Make a system call fail with ``error``.

    argument  fail only for some values of this argument (0 is the first): those that have any of ``bits``, or those
              that equal ``value``

    Raises OSError if the kernel refuses the filter.
    """
    answer = BpfInstruction(RETURN, 0, 0, RETURN_ERRNO | error)
    test = []
    if argument is not None:
        test = [
            BpfInstruction(LOAD, 0, 0, ARGUMENTS_OFFSET + 8 * argument),
            BpfInstruction(IF_EQUAL, 0, 1, value) if bits is None else BpfInstruction(IF_BITS, 0, 1, bits),
        ]
    filtered = [
        BpfInstruction(LOAD, 0, 0, NUMBER_OFFSET),
        BpfInstruction(IF_EQUAL, 0, len(test) + 1, NUMBERS[name]),
        *test,
        answer,
        BpfInstruction(RETURN, 0, 0, RETURN_ALLOW),
    ]
    instructions = (BpfInstruction * len(filtered))(*filtered)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(BpfProgram(len(filtered), instructions)))


def refuse_executable_memory() -> None:
    refuse("memfd_create")
    refuse("mmap", 2, bits=4)  # PROT_EXEC


def deny_write_execute() -> None:
    """Refuse mappings that are writable and executable, and those that become executable: PR_SET_MDWE, Linux 6.3.

    Raises OSError if the kernel does not know this.
    """
    _prctl(PR_SET_MDWE, 1)
