"""``batch()``: which toggles wait for the end of a block, and which task, greenlet or thread the block belongs to."""

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

    process, thread  as the system numbers them
    task             the task of asyncio; without one, the frame of the outermost coroutine on the stack, which stands
                     for the task of any other library; None outside of coroutines
    greenlet         the greenlet of gevent, eventlet or another library; None for the thread's own
    context          the contextvars.Context
    """

    process: int
    thread: int
    task: object
    greenlet: object
    context: object

    def is_in_block_of(self, opener: "_Running") -> bool:
        """Return whether this runs in the block of a batch that ``opener`` has opened.

        A task or greenlet is in its own block, whatever context it runs in. A plain thread may run the tasks of a
        library that we do not know, each in a context of its own. There the context decides: a copy is another one.
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
    """Return the running task of asyncio, or None.

    An eager task runs on the stack of the task that made it. The outermost coroutine does not tell the two apart.
    """
    current_task = getattr(sys.modules.get("asyncio.tasks"), "current_task", None)  # None while it is being imported
    try:
        return current_task() if current_task else None
    except RuntimeError:  # no loop runs in this thread
        return None


def _outermost_coroutine() -> object:
    """Return the frame of the outermost coroutine on the stack, or None.

    A library that runs coroutines by turns, such as trio and curio, resumes each of its tasks at the outermost one.
    """
    found, frame = None, sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_flags & COROUTINE:
            found = frame
        frame = frame.f_back  # type: ignore[assignment]
    return found


def _greenlet() -> object:
    """Return the running greenlet, or None for the thread's own."""
    greenlet = sys.modules.get("greenlet")
    getcurrent = getattr(greenlet, "getcurrent", None)
    if getcurrent is None:
        return None
    current = getcurrent()
    # By the attribute of greenlet's own type: a subclass in the program may have another one of this name.
    return None if greenlet.greenlet.parent.__get__(current) is None else current  # type: ignore[union-attr]


class _Batch:
    """The steps that a ``batch()`` block has collected so far."""

    def __init__(self, outer: "_Batch | None") -> None:
        self.outer = outer
        self.steps: list[tuple[StaticKey, int]] = []
        self.opener: _Running | None = None
        self.ended = False

    def is_ours(self) -> bool:
        """Return whether what runs now is in the block.

        Tasks, threads and callbacks that run in a copy of the context see the batch, also when it has ended. They are
        not in the block.
        """
        return not self.ended and self.opener is not None and _running().is_in_block_of(self.opener)


collecting: ContextVar[_Batch | None] = ContextVar("jumplabel.batch", default=None)


def current_batch() -> _Batch | None:
    """Return the innermost batch in whose block this runs, or None."""
    current = collecting.get()
    while current is not None and not current.is_ours():
        current = current.outer
    return current


@contextmanager
def batch() -> Iterator[None]:
    """Collect the toggles of a ``with`` block into one transaction, applied when the block ends.

    **All or nothing**: when the block raises, no toggle is applied. Nor is any when the end of the block finds a toggle
    impossible (StaticKeyError), or cannot rewrite the sites (PatchError). A batch within a batch is applied with the
    outer one. When the inner block raises, only its own toggles are dropped.

    All sites of all keys of the batch are rewritten together, with two synchronizations, however many there are. Until
    then every key shows its old state.

    The block belongs to the task that opened it: a task of asyncio, trio, curio or another library of coroutines, a
    greenlet of gevent or eventlet, or else a thread. Toggles of other tasks do not wait for its end. Tasks, greenlets,
    threads and processes that are made within the block are other tasks, too. In a thread without tasks, so is a
    function that runs in a copy of the context (``contextvars.copy_context().run``). A generator that yields within the
    block holds it open for the task that runs the generator, as ``@contextmanager`` needs it.
    """
    before, outer = collecting.get(), current_batch()
    ours = _Batch(outer)
    try:
        collecting.set(ours)  # within the try: a signal handler may raise right behind the call
        ours.opener = _running()  # after the line above: the first variable of a thread makes its context
        yield
    finally:
        ours.ended = True
        ours.opener = None
        if collecting.get() is ours:
            # Not always outer: the block of a signal handler may lie within a block that is just being opened.
            collecting.set(outer if before is None or before.ended else before)
    if outer is not None and not outer.ended:
        outer.steps.extend(ours.steps)
    elif ours.steps:
        apply(ours.steps)
