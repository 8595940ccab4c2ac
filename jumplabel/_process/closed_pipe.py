"""Commands whose output loses its reader: ``keys PID | head -1``, ``watch PID | head``, ``info 2>&1 | true``."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from typing import Any

STATUS = 141
"""The exit status that a shell shows for ``cat`` and ``ls`` there. SIGPIPE ends them, 128 + 13. Python ignores it."""


@contextmanager
def ends_quietly() -> Iterator[None]:
    """Raise SystemExit with STATUS where the output of the block has lost its reader. Prints nothing.

    What is left in a buffer goes to /dev/null, as Python's documentation says in its note on SIGPIPE. Where stderr was
    closed from the start, what the block writes to it goes there, too: argparse would write to stdout instead.
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
        if not broken:  # another pipe has raised it
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in broken:
            os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        raise SystemExit(STATUS) from None


def has_reader(stream: Any) -> bool:
    """Return whether what is written to a stream may still be read. True for anything but a pipe or a socket."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return not any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # not a file, or closed from the start
        return True


def tell(message: str) -> None:
    """Write a line to stderr; nowhere where stderr was closed from the start: ``print(file=None)`` takes stdout."""
    if sys.stderr is not None:
        print(message, file=sys.stderr, flush=True)


def _streams() -> list[Any]:
    return [stream for stream in (sys.stdout, sys.stderr) if stream is not None]


def _flush() -> None:
    for stream in _streams():
        with suppress(ValueError):  # the block has closed it
            stream.flush()
