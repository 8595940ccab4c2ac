"""The C programs of tests/c that are lists of cases: how each is linked, which cases it has, how one is run."""

import re
import subprocess
from pathlib import Path

import pytest

C = Path(__file__).parent / "c"
NOT_POSSIBLE_HERE = 77  # as in tests/c/expect.h


def _text(program):
    return (C / f"{program}.c").read_text()


def _with_headers(text):
    """Return the text and that of all headers of tests/c that it includes."""
    headers = [C / name for name in re.findall(r'^#include "(.+)"', text, re.MULTILINE) if (C / name).exists()]
    return "".join([text, *(_with_headers(header.read_text()) for header in headers)])


def cases(program):
    return re.findall(r"\bTEST\((\w+)\),", _text(program))


def options(program):
    """Return the linker's options for what the program wraps, and the compiler's for what it hooks."""
    text = _with_headers(_text(program))
    hooks = ["-include", C / "hooks.h"] if '"scene.h"' in text else []
    wrapped = re.findall(r"\b__wrap_(\w+)\(|^WRAP\([^,]+, (\w+),", text, re.MULTILINE)
    return [*hooks, *sorted({f"-Wl,--wrap={one or other}" for one, other in wrapped})]


def run_case(program, *arguments, environment=None):
    # The timeout: some of them hold back the signal of their own alarm().
    done = subprocess.run([program, *arguments], capture_output=True, text=True, env=environment, timeout=300)
    if done.returncode == NOT_POSSIBLE_HERE:
        pytest.skip("not possible here")
    assert (done.returncode, done.stderr) == (0, "")
