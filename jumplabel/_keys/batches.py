"""``batch()``: which toggles wait for the end of a block, and whose they are."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from jumplabel._engine import lib
from jumplabel._keys.transactions import apply
from jumplabel._process.unpatched import get_ident, getpid
from jumplabel._program.engine_objects import published
from jumplabel._program.function_kinds import COROUTINE
from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401

if TYPE_CHECKING:
    from jumplabel._keys.static_key import StaticKey


(current_context,) = published(lib.current_context_function)


class _Running(NamedTuple):
    """What runs now, as far as it can be known. All of it is compared by identity: a task may have an ``__eq__``.

    process, thread  of the system
    task             of asyncio; or else the outermost coroutine on the stack, which stands for the task of any other
                     library; None outside
    greenlet         of gevent, eventlet and others; None: the thread's own
    context          the contextvars.Context
    """

    process: int
    thread: int
    task: object
    greenlet: object
    context: object

    def is_in_block_of(self, opener: "_Running") -> bool:
        """Whether this is what opened a batch.

        A task or greenlet is, in every context that it runs in. A plain thread may run what a library unknown to us
        takes for tasks, each in a context of its own: there the context decides, and a copy is another one.
        """
        if (self.process, self.thread) != (opener.process, opener.thread) or self.task is not opener.task:
            return False
        if self.task is not None:  # asyncio code may run in a greenlet in between, as SQLAlchemy's does
            return self.greenlet is opener.greenlet or self.context is opener.context
        return self.greenlet is opener.greenlet and (self.greenlet is not None or self.context is opener.context)


def _running() -> _Running:
    task = _asyncio_task()
    if task is None:
        task = _outermost_coroutine()
    return _Running(getpid(), get_ident(), task, _greenlet(), current_context())


def _asyncio_task() -> object:
    """An eager one runs on the stack of the task that made it, so the outermost coroutine does not tell them apart."""
    current_task = getattr(sys.modules.get("asyncio.tasks"), "current_task", None)  # None while it is being imported
    try:
        return current_task() if current_task else None
    except RuntimeError:  # no loop runs in this thread
        return None


def _outermost_coroutine() -> object:
    """Its frame. Whatever runs coroutines by turns, trio or curio or another library, resumes each at the outermost."""
    found, frame = None, sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_flags & COROUTINE:
            found = frame
        frame = frame.f_back  # type: ignore[assignment]
    return found


def _greenlet() -> object:
    greenlet = sys.modules.get("greenlet")
    getcurrent = getattr(greenlet, "getcurrent", None)
    if getcurrent is None:
        return None
    current = getcurrent()
    # By the type's own attribute: a class of the program's may have another one by this name.
    return None if greenlet.greenlet.parent.__get__(current) is None else current  # type: ignore[union-attr]


class _Batch:
    """The steps that a ``batch()`` block has collected so far."""

    def __init__(self, outer: "_Batch | None") -> None:
        self.outer = outer
        self.steps: list[tuple[StaticKey, int]] = []
        self.opener: _Running | None = None
        self.ended = False

    def is_ours(self) -> bool:
        """Tasks, threads and callbacks may run in a copy of the context, and even later: they are not in the block."""
        return not self.ended and self.opener is not None and _running().is_in_block_of(self.opener)


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
    every key shows its old state.

    The block belongs to the task that opened it: of asyncio, trio, curio or another library of coroutines, a greenlet
    of gevent or eventlet, or else a thread. The toggles of others do not wait for its end. Tasks, greenlets, threads
    and processes that are made within the block are others, too. So is, in a thread without tasks, what runs in a copy
    of the context (``contextvars.copy_context().run``). A generator that yields within the block holds it open for the
    task that runs it, as ``@contextmanager`` needs it.

    All or nothing: when the block raises, nothing is applied; and when a toggle turns out to be impossible at the end
    (StaticKeyError), or the sites cannot be rewritten (PatchError), nothing is. A batch within a batch is applied with
    the outer one, or dropped alone when it raises.
    """
    before, outer = collecting.get(), current_batch()
    ours = _Batch(outer)
    try:
        collecting.set(ours)  # within the try: a signal handler may raise right behind the call
        ours.opener = _running()  # behind it: the first variable of a thread makes its context
        yield
    finally:
        ours.ended = True
        ours.opener = None
        if collecting.get() is ours:
            # Not always outer: a signal handler's block may lie within a block that is just being opened.
            collecting.set(outer if before is None or before.ended else before)
    if outer is not None and not outer.ended:
        outer.steps.extend(ours.steps)
    elif ours.steps:
        apply(ours.steps)
