"""Measure what the import hook adds to a start: the first one, and later ones with a filled ``__pycache__``.

Each time a new process imports a package of 50 modules with 500 logging statements, and reports how long the import
took, without its own start. Another question is what ``import jumplabel`` takes, beside ``logging`` and other packages.
"""

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rows import Rows

MODULES, FUNCTIONS = 50, 10

FUNCTION = '''
def handle_{n}(request, limit={n}):
    """Handle a request."""
    fields = {{}}
    for field in request.split("&"):
        name, _, value = field.partition("=")
        if not value:
            continue
        fields[name] = value
    logger.debug("request %s has fields %s", request, fields)
    if len(fields) > limit:
        raise ValueError(f"more than {{limit}} fields in {{request!r}}")
    return {{name: value.strip() for name, value in fields.items() if value}}
'''

# What a new process does: import the package's modules and call some of their functions, or import one module.
PACKAGE = """
import sys, time
how, modules, functions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
names = [f"service.part_{i}" for i in range(modules)]
if how == "hook":
    import jumplabel
    jumplabel.install("service", "service.*")
began = time.perf_counter()
for name in names:
    __import__(name)
seconds = time.perf_counter() - began
sites = sum(one.sites for one in jumplabel.instrumented()) if how == "hook" else 0
if sites != (modules * functions if how == "hook" else 0):
    sys.exit(f"{how}: {sites} sites")
for name in names:
    result = getattr(sys.modules[name], f"handle_{functions - 1}")("user=Ada &count=3")
    if result != {"user": "Ada", "count": "3"}:
        sys.exit(f"{how}: {name} returned {result}")
print(seconds)
"""
MODULE = """
import sys, time
name = sys.argv[1]
if name in sys.modules:
    sys.exit(f"{name} is there from the start")
began = time.perf_counter()
__import__(name)
seconds = time.perf_counter() - began
print(seconds)
"""
IMPORTED = {
    "jumplabel": "jumplabel",
    "logging": "logging",
    "blinker": "blinker",
    "wrapt": "wrapt",
    "structlog": "structlog",
    "loguru": "loguru",
    "OpenFeature": "openfeature.api",
    "OpenTelemetry": "opentelemetry.trace",
}


NOT_INHERITED = (
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX",
)  # compiled files must be written, and beside the sources


def seconds_of(program: str, *arguments: str, folder: Path | None = None) -> float:
    environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def make(folder: Path) -> None:
    package = folder / "service"
    package.mkdir()
    (package / "__init__.py").write_text("")
    functions = "".join(FUNCTION.format(n=n) for n in range(FUNCTIONS))
    for i in range(MODULES):
        (package / f"part_{i}.py").write_text(f"import logging\n\nlogger = logging.getLogger(__name__)\n{functions}")


def importing(how: str, first: bool) -> Callable[[], float]:
    """Return a function that starts a process and returns the seconds of its import. first: nothing is compiled yet."""
    folder = Path(tempfile.mkdtemp(prefix="jumplabel-bench-"))
    atexit.register(shutil.rmtree, folder)
    make(folder)

    def kept() -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in folder.glob("service/__pycache__/*")}

    def start() -> float:
        if first:
            for file in folder.glob("service/__pycache__/*"):
                file.unlink()
        before = kept()
        seconds = seconds_of(PACKAGE, how, str(MODULES), str(FUNCTIONS), folder=folder)
        if len(kept()) < MODULES or (before != {} if first else before != kept()):
            raise AssertionError(f"{how}: {len(before)} compiled files before, {len(kept())} behind")
        return seconds

    if not first:
        seconds_of(PACKAGE, how, str(MODULES), str(FUNCTIONS), folder=folder)
    return start


if __name__ == "__main__":
    rows = Rows()
    for name, how, first in (
        ("import of .pyc files, plain", "plain", False),
        ("import of .pyc files, hook", "hook", False),
        ("first import, plain", "plain", True),
        ("first import, hook", "hook", True),
    ):
        if rows.wants(name):
            rows.starts(name, functools.partial(importing, how, first))
    for what, module in IMPORTED.items():
        if rows.wants(f"import {what}"):
            rows.starts(f"import {what}", lambda module=module: functools.partial(seconds_of, MODULE, module))
