"""``batch()``: which toggles wait for the end of a block, and whose they are."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from jumplabel.transactions import apply

if TYPE_CHECKING:
    from jumplabel.keys import StaticKey


class _Batch:
    """The steps that the thread or task in a ``batch()`` block has collected so far."""

    def __init__(self, outer: "_Batch | None") -> None:
        self.outer = outer
        self.steps: list[tuple[StaticKey, int]] = []
        self.owner: object = _running()
        self.ended = False

    def is_ours(self) -> bool:
        """Tasks, threads and callbacks may run in a copy of the context, and even later: they are not in the block."""
        return not self.ended and self.owner == _running()


def _running() -> object:
    """Who runs: the thread, and within it the asyncio task; of this process, not of one that forked it."""
    current_task = getattr(sys.modules.get("asyncio"), "current_task", None)  # None, too, while it is being imported
    try:
        task = current_task() if current_task else None
    except RuntimeError:  # no loop runs in this thread
        task = None
    return os.getpid(), threading.get_ident(), task


collecting: ContextVar[_Batch | None] = ContextVar("jumplabel.batch", default=None)


def current_batch() -> _Batch | None:
    current = collecting.get()
    while current is not None and not current.is_ours():
        current = current.outer
    return current


@contextmanager
def batch() -> Iterator[None]:
    """Collect the toggles of a ``with`` block into one transaction, applied when the block ends.

    All sites of all its keys are rewritten together, with two synchronizations however many there are. Until then
    every key shows its old state. Belongs to the thread or asyncio task that opened it; the toggles of others, tasks
    and processes made within the block included, do not wait for its end.

    All or nothing: when the block raises, nothing is applied; and when a toggle turns out to be impossible at the end
    (StaticKeyError), or the sites cannot be rewritten (PatchError), nothing is. A batch within a batch is applied with
    the outer one, or dropped alone when it raises.
    """
    outer = current_batch()
    ours = _Batch(outer)
    try:
        collecting.set(ours)  # within the try: a signal handler may raise right behind the call
        yield
    finally:
        ours.ended = True
        if collecting.get() is ours:
            collecting.set(outer)
    if outer is not None and not outer.ended:
        outer.steps.extend(ours.steps)
    elif ours.steps:
        apply(ours.steps)
