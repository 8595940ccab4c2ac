"""How far a measurement is: which round, which row, how much is done, and how long the rest will take.

On a terminal one line that is written over and over; elsewhere (a file, a CI's log) whole lines, one a round and no
more than one a minute beyond that. It writes to the stream that it is given and to nothing else.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import TextIO

LINE_SECONDS = 60.0
REDRAW_SECONDS = 0.1


class Progress:
    """Of rounds of steps: the rows, or, in the first round, the scripts that turn out to have them.

    stream  where it is shown; None: nowhere
    rounds  how many there will be
    clock   gives seconds
    """

    def __init__(self, stream: TextIO | None, rounds: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._terminal = stream is not None and stream.isatty()
        self._rounds = rounds
        self._clock = clock
        self._began = clock()
        self._shown = -1.0
        self._width = 0
        self._round = 0
        self._steps: Sequence[str] = ()
        self._done = 0
        self._took: dict[str, float] = {}
        """Seconds, by step, when it was last taken."""
        self._step_began = self._began

    def round(self, steps: Sequence[str], expected: dict[str, float] | None = None) -> None:
        """Another round begins, of these steps.

        expected  seconds that they are likely to take, where they are new
        """
        self._round += 1
        self._steps, self._done = steps, 0
        self._took.update({step: s for step, s in (expected or {}).items() if step not in self._took})
        self._shown = -1.0

    def begin(self, step: str) -> None:
        self._step_began = now = self._clock()
        due = REDRAW_SECONDS if self._terminal else LINE_SECONDS
        if self._stream is not None and (self._shown < 0 or now - self._shown >= due):
            self._shown = now
            self._show(self._line(step))

    def end(self, step: str) -> float:
        """The step is done; the seconds that it took."""
        self._took[step] = self._clock() - self._step_began
        self._done += 1
        return self._took[step]

    def close(self) -> None:
        """Whatever is printed next begins on a line of its own."""
        if self._terminal and self._stream is not None and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0

    def _line(self, step: str) -> str:
        left, spent = self.left(), self._clock() - self._began
        where = f"round {self._round} of {self._rounds}"
        what = f"{self._done + 1} of {len(self._steps)}: {step}"
        if left is None:
            return f"{where}, {what}"  # nothing has been timed yet
        percent = 100 * spent / (spent + left) if spent + left else 0
        return f"{percent:.0f} % done, about {minutes(left)} left; {where}, {what}"

    def left(self) -> float | None:
        """Seconds that the rest will take: what is left of this round, and the rounds to come; None: nobody knows."""
        known = [self._took[step] for step in self._steps if step in self._took]
        if not known:
            return None
        usual = sum(known) / len(known)
        took = [self._took.get(step, usual) for step in self._steps]
        return sum(took[self._done :]) + (self._rounds - self._round) * sum(took)

    def _show(self, line: str) -> None:
        assert self._stream is not None
        if self._terminal:
            line = line[: _columns(self._stream) - 1]
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()


def minutes(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 / 60:.0f} min"


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80  # 0: a terminal that does not know
    except (OSError, ValueError):
        return 80
