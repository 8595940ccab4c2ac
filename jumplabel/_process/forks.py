"""What is to be done in the child of a fork, also of one that is made past Python's hooks.

uWSGI, and libraries in C, fork without telling Python. The engine notices it (csrc/cpython/fork_notice.h), and calls
``notice()`` as soon as it can: in the main thread between two instructions, or in the first toggle. ``serve()`` looks
for itself. A child may be noticed in several of these ways, and is tidied up once.
"""

import os
from collections.abc import Callable

from jumplabel._engine import lib
from jumplabel._process.unpatched import getpid

_in_child: list[Callable[[], object]] = []
_process = getpid()


def in_child(function: Callable[[], object]) -> None:
    """Have it called in each child of a fork, in the order of registration, in the thread that goes on there."""
    _in_child.append(function)


def notice() -> None:
    """Call the functions, if this process is a child in which they were not called yet."""
    global _process
    if _process == getpid():
        return
    _process = getpid()
    lib.fork_notice_due = 0
    lib.process_lock_notice()
    for function in _in_child:
        try:
            function()
        except Exception as error:
            lib.call_site_unraisable(id(error), id(function))


def _python_has_forked() -> None:
    lib.fork_notice_python_ends()
    notice()


if lib.fork_notice_start(id(notice)):
    raise MemoryError
os.register_at_fork(
    before=lib.fork_notice_python_begins,
    after_in_parent=lib.fork_notice_python_ends,
    after_in_child=_python_has_forked,
)
