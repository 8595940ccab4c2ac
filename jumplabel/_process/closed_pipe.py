"""A command whose output has no reader any more: ``keys PID | head -1``, ``watch PID | head``, ``info 2>&1 | true``."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from typing import Any

STATUS = 141
"""What a shell shows for ``cat`` and ``ls`` there: SIGPIPE, which Python ignores, ends them, 128 + 13."""


@contextmanager
def ends_quietly() -> Iterator[None]:
    """Raise SystemExit with STATUS, without a word, where the block's output had no reader any more.

    As Python's documentation says, in its note on SIGPIPE: what is left in a buffer goes to /dev/null. So does all
    that is written to a stderr that was closed from the start, for which argparse takes stdout.
    """
    try:
        try:
            with ExitStack() as stack:
                if sys.stderr is None:
                    stack.enter_context(redirect_stderr(stack.enter_context(open(os.devnull, "w"))))
                yield
        except SystemExit:
            _flush()
            raise
        _flush()
    except BrokenPipeError:
        broken = [stream for stream in _streams() if not has_reader(stream)]
        if not broken:  # it was another pipe
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in broken:
            os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        raise SystemExit(STATUS) from None


def has_reader(stream: Any) -> bool:
    """Whether what is written to a stream may still be read. True for all that is no pipe and no socket."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return not any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no file, or closed from the start
        return True


def tell(message: str) -> None:
    """Write a line to stderr; where that was closed from the start, nowhere: ``print(file=None)`` takes stdout."""
    if sys.stderr is not None:
        print(message, file=sys.stderr, flush=True)


def _streams() -> list[Any]:
    return [stream for stream in (sys.stdout, sys.stderr) if stream is not None]


def _flush() -> None:
    for stream in _streams():
        with suppress(ValueError):  # closed by us
            stream.flush()
