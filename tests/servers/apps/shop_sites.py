"""What every application of these tests answers: how the sites of one key and of one logging statement see it.

The tests set JUMPLABEL_INSTRUMENT=shop_sites, so that the logging statement is a site, too.
"""

import logging
import os
import threading
from typing import Any

from jumplabel import StaticKey, static_branches, static_gate, static_switch

tracing = StaticKey("shop.tracing")
log = logging.getLogger("shop")  # without a level of its own: it follows the root logger


class Noting(logging.Handler):
    """Tells the list that a record carries that the record was written."""

    def emit(self, record: logging.LogRecord) -> None:
        (seen,) = record.args or ()
        seen.append("written")  # type: ignore[attr-defined]


log.addHandler(Noting())


@static_gate(tracing, default=False)
def gate() -> bool:
    return True


def traced() -> bool:
    return True


@static_switch(tracing, to=traced)
def switch() -> bool:
    return False


@static_branches
def branch() -> bool:
    if tracing:
        return True
    return False


def evaluated(seen: list[str]) -> list[str]:
    seen.append("evaluated")
    return seen


def logged() -> list[str]:
    seen: list[str] = []
    log.debug("seen by %s", evaluated(seen))
    return seen


def answer() -> dict[str, Any]:
    """The process, when the kernel started it, and what its sites do now."""
    with open("/proc/self/stat") as file:
        start = file.read().rpartition(")")[2].split()[19]  # proc_pid_stat(5): starttime
    return {
        "pid": os.getpid(),
        "start": int(start),
        "thread": threading.current_thread().name,
        "gate": gate(),
        "switch": switch(),
        "branch": branch(),
        "logged": logged(),
    }
