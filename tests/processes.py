"""Scripts in processes of their own, which they may kill or change for good.

Every process has an alarm(2) set, to fail and not to hang; where a script needs that timer, run() gives up.
"""

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "scripts"


def script(name):
    """Return the text of tests/scripts/<name>.py.

    It runs in one module with the scripts before it. What it imports from one of them is there already; ruff and
    editors find it by that import.
    """
    text = (SCRIPTS / f"{name}.py").read_text()
    return f'{text}\nsys.modules["{name}"] = sys.modules[__name__]\n'


PREAMBLE = script("preamble")

SITES = script("sites")

METHODS = ["membarrier", "signal"]


def run(*scripts, first="", **settings):
    """Run the scripts as one, in a new process. Fail where it fails or prints errors.

    first     what runs before the library is imported
    settings  environment variables
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUMPLABEL_")}
    environment |= settings | {"PYTHONPATH": str(Path(__file__).parent)}
    text = "\n".join(map(textwrap.dedent, (first, PREAMBLE, *scripts)))
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(text)
        file.flush()
        command = [sys.executable, "-W", "ignore::DeprecationWarning", file.name]  # a fork with threads is what we test
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150)
    if done.returncode or done.stderr:
        pytest.fail(f"{done.stderr}ended with {done.returncode}", pytrace=False)
