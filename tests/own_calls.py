"""What tests of a program's own calls have in common: calls of instrumented code run nothing of the library's."""

import os
import subprocess
import sys
from pathlib import Path

import jumplabel

OURS = os.path.dirname(jumplabel.__file__)
"""The folder of the library's files."""

SOURCE = """
    import logging

    logger = logging.getLogger("own.calls")

    def make(log=logger):
        def inner():
            if log.isEnabledFor(logging.DEBUG):
                log.debug("x")
            log.error("y")
            return 7
        return inner

    def work():
        logger.debug("work")
"""
"""A module whose functions and closures log."""


def run(folder: Path, program: str) -> str:
    """Run a program that can import the modules in a folder. Returns its output; it must end well, and in silence."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{program}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
