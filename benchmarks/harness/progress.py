"""Show the progress of a measurement: the round, the step, the share that is done, and the time that is left.

A terminal shows one line, which tqdm redraws. Any other stream (a file, a CI log) gets whole lines: one at the
beginning of each round, and at most one a minute after that. Nothing is written to other streams.
"""

import math
import os
from collections.abc import Mapping
from importlib import import_module
from typing import TextIO

LINE_SECONDS = 60.0
ON_A_TERMINAL = "{percentage:.0f} % |{bar:10}| {remaining} left; {desc}"


class Progress:
    """The progress through rounds of steps. A step is a row, or in the first round a script.

    stream  receives the progress. None: show nothing
    rounds  the number of rounds
    """

    def __init__(self, stream: TextIO | None, rounds: int) -> None:
        tqdm = import_module("tqdm").tqdm
        tqdm.monitor_interval = 0  # no thread of tqdm beside the measurement
        self._stream = stream
        self._terminal = stream is not None and stream.isatty()
        self._bar = tqdm(
            file=stream,
            bar_format=ON_A_TERMINAL,
            ncols=_columns(stream),
            nrows=2,  # tqdm draws nothing on a terminal without rows, or of unknown size
            leave=False,
            delay=0 if self._terminal else math.inf,  # seconds before tqdm draws by itself
        )
        self._rounds = rounds
        self._round = 0
        self._steps: Mapping[str, float] = {}
        self._done = 0
        self._next_line = 0.0

    def round(self, steps: Mapping[str, float]) -> None:
        """Begin a round.

        steps  their names, and what each is expected to take: in seconds, or in the first round in any unit
        """
        self._round += 1
        self._steps, self._done = steps, 0
        # Seconds count from the second round on, the first with those that it took.
        self._bar.n = self._seconds() if self._round > 1 else 0.0
        self._bar.total = self._bar.n + (self._rounds - self._round + 1) * sum(steps.values())
        self._next_line = 0.0

    def begin(self, step: str) -> None:
        where = f"round {self._round} of {self._rounds}, {self._done + 1} of {len(self._steps)}: {step}"
        self._bar.ncols = _columns(self._stream)
        self._bar.set_description_str(where, refresh=self._terminal)
        if self._stream is not None and not self._terminal and self._seconds() >= self._next_line:
            self._next_line = self._seconds() + LINE_SECONDS
            self._stream.write(f"{self._line(where)}\n")
            self._stream.flush()

    def end(self, step: str) -> None:
        self._bar.n += self._steps[step]
        self._done += 1

    def close(self) -> None:
        """Clear the terminal's line."""
        self._bar.close()

    def _seconds(self) -> float:
        return float(self._bar.format_dict["elapsed"])

    def _line(self, where: str) -> str:
        done = self._bar.n / self._bar.total
        if not done:
            return where  # no step has been timed yet
        left = self._seconds() * (1 - done) / done
        return f"{100 * done:.0f} % done, about {minutes(left)} left; {where}"


def _columns(stream: TextIO | None) -> int:
    """Return the width of a line that does not wrap on a terminal. Some terminals do not know their width."""
    try:
        return ((stream and os.get_terminal_size(stream.fileno()).columns) or 80) - 1
    except (OSError, ValueError):
        return 79


def minutes(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds // 3600:.0f} h {seconds % 3600 / 60:.0f} min"
