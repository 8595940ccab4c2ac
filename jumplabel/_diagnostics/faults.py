"""Faults: resources and system calls that are refused to a process.

Only children of stress.py bring them about, because most faults cannot be undone.
"""

import resource
from collections.abc import Callable

from jumplabel._diagnostics import seccomp

Fault = Callable[[], Callable[[], None] | None]
"""Brings the fault about, and returns a function that undoes it, if that is possible. Raises OSError if this machine
cannot make the fault."""


def _limit(what: int, soft: int) -> Callable[[], None]:
    old = resource.getrlimit(what)
    resource.setrlimit(what, (soft, old[1]))
    return lambda: resource.setrlimit(what, old)


def no_more_files() -> Callable[[], None]:
    return _limit(resource.RLIMIT_NOFILE, 0)


def no_more_memory() -> Callable[[], None]:
    return _limit(resource.RLIMIT_AS, 1)


def no_membarrier() -> None:
    seccomp.refuse("membarrier")


def no_synchronization() -> None:
    seccomp.refuse("membarrier")
    seccomp.refuse("rt_tgsigqueueinfo")


def no_executable_memory() -> None:
    seccomp.refuse_executable_memory()


def no_handlers() -> None:
    seccomp.refuse("rt_sigaction")


FAULTS: list[Fault | None] = [
    None,
    no_more_files,
    no_more_memory,
    no_membarrier,
    no_synchronization,
    no_executable_memory,
    no_handlers,
]
