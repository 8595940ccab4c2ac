"""What does the import hook add to a start: the first one, and those that find what it has kept in ``__pycache__``?

    python benchmarks/importing.py [--rounds 15]

A package of 50 modules with 500 logging statements is imported, each time in a new process. The ways take turns.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

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

CHILD = """
import sys, time
names = [f"service.part_{i}" for i in range(int(sys.argv[2]))]
began = time.perf_counter()
if sys.argv[1] == "hook":
    import jumplabel
    jumplabel.install("service", "service.*")
installed = time.perf_counter()
for name in names:
    __import__(name)
imported = time.perf_counter()
sites = sum(one.sites for one in jumplabel.instrumented()) if sys.argv[1] == "hook" else 0
print(installed - began, imported - installed, sites)
"""

WAYS = {
    "plain, first start": ("plain", True),
    "plain": ("plain", False),
    "hook, first start": ("hook", True),
    "hook": ("hook", False),
}


def make(folder: Path) -> None:
    package = folder / "service"
    package.mkdir()
    (package / "__init__.py").write_text("")
    functions = "".join(FUNCTION.format(n=n) for n in range(FUNCTIONS))
    for i in range(MODULES):
        (package / f"part_{i}.py").write_text(f"import logging\n\nlogger = logging.getLogger(__name__)\n{functions}")


def start(folder: Path, how: str, first: bool) -> tuple[float, float]:
    """Seconds that importing jumplabel and installing the hook took, and importing the package."""
    if first:
        for file in folder.glob("service/__pycache__/*"):
            file.unlink()
    command = [sys.executable, "-c", CHILD, how, str(MODULES)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    installing, importing, sites = done.stdout.split()
    if int(sites) != (MODULES * FUNCTIONS if how == "hook" else 0):
        raise AssertionError(f"{how}: {sites} sites")
    return float(installing), float(importing)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time starts with and without the import hook.")
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory(prefix="jumplabel-bench-") as name:
        folder = Path(name)
        make(folder)
        for _ in range(rounds):
            for way, (how, first) in WAYS.items():  # a later start follows the first one of its kind
                times[way].append(start(folder, how, first))
    print(f"{MODULES} modules, {MODULES * FUNCTIONS} logging statements; medians of {rounds} rounds")
    plain = statistics.median(importing for _, importing in times["plain"])
    for way, pairs in times.items():
        importing = statistics.median(pair[1] for pair in pairs)
        installing = statistics.median(pair[0] for pair in pairs)
        line = f"  {way:<20}  {importing * 1e3:6.1f} ms, {importing / plain:5.2f} of plain"
        print(line + (f"; importing jumplabel itself {installing * 1e3:.1f} ms" if way.startswith("hook") else ""))


if __name__ == "__main__":
    main()
