"""Fixtures of all tests: C programs, the time of a stress test, seccomp, keys, decorators, tracepoints and loggers."""

import errno
import gc
import logging
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import just

# Or what they assert fails without a word of why.
pytest.register_assert_rewrite(
    *(file.stem for folder in (".", "programs") for file in Path(__file__).parent.glob(f"{folder}/*.py"))
)

from logger_checks import module, nothing_of_ours_is_left  # noqa: E402
from packages import Packages  # noqa: E402
from tools import FORMS, pair  # noqa: E402

import jumplabel  # noqa: E402
from jumplabel import StaticKey, Tracepoint, static_gate, static_switch  # noqa: E402

# The same examples every time, and few; "deep" are new ones, and many: --hypothesis-profile=deep
_common = settings(
    database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=set(Phase) - {Phase.explain}
)
settings.register_profile("usual", _common, derandomize=True, max_examples=20, stateful_step_count=40)
settings.register_profile("deep", _common, max_examples=int(os.environ.get("JUMPLABEL_EXAMPLES", "1000")))
settings.load_profile("usual")

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # of a thousand processes none is to compile the package anew
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in a shell's background, where all that is started ignores it
    signal.signal(signal.SIGINT, signal.default_int_handler)
sys.setswitchinterval(1e-4)  # threads come by more often, and wait less for the GIL


def pytest_collection_finish():
    """Have the collector look only at what tests make, and not at the 100,000 objects that pytest has made.

    Before that Hypothesis asks the collector what holds its random numbers, which it does once.
    """
    given(just(0))(lambda _: None)()
    gc.collect()
    gc.freeze()


ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "csrc"))

import rooms  # noqa: E402

ENGINE = [*rooms.engine(), rooms.CSRC / "testing"]


def pytest_collection_modifyitems(items):
    """Refuse stress tests without the fixture that bounds their time."""
    for item in items:
        if item.get_closest_marker("stress") and "stress_seconds" not in item.fixturenames:
            raise pytest.UsageError(f"{item.nodeid} is marked as a stress test, and does not use stress_seconds")


@pytest.fixture(scope="session")
def stress_seconds():
    """The seconds for which a stress test tries to meet a race."""
    return float(os.environ.get("JUMPLABEL_STRESS_SECONDS", "2"))


@pytest.fixture(scope="session")
def build_c(tmp_path_factory):
    """Build a C program: build_c(name, *options, engine=ENGINE, compiler=cc) returns the file.

    The program is tests/c/<name>.c, linked with the files of these folders of csrc. build_c.objects(folders, options)
    returns the objects of folders alone.
    """
    cc = shutil.which(os.environ.get("CC", "cc"))
    if cc is None:
        pytest.skip("needs a C compiler")

    engines = {}

    def run(compiler, folders, *options):
        command = [compiler, "-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-pthread"]
        include = [f"-I{folder}" for folder in rooms.includes(*folders)]
        subprocess.run([*command, *include, *options], check=True)

    def objects_of(compiler, folders, options):
        """Return the engine's objects. Programs share them that have the same options but for the linker's."""
        options = tuple(each for each in map(str, options) if not each.startswith("-Wl,") and not each.endswith(".c"))
        made_of = compiler, *folders, *options
        if made_of not in engines:
            files = rooms.sources(*folders)
            folder = tmp_path_factory.mktemp("engine")
            objects = [folder / f"{file.parent.name}-{file.name}.o" for file in files]
            for file, made in zip(files, objects, strict=True):
                run(compiler, folders, *options, "-c", file, "-o", made)
            engines[made_of] = objects
        return engines[made_of]

    def build(name, *options, engine=ENGINE, compiler=cc):
        made = tmp_path_factory.mktemp("c") / name
        parts = objects_of(compiler, engine, options)
        run(compiler, engine or ENGINE, *options, ROOT / "tests" / "c" / f"{name}.c", *parts, "-o", made)
        return made

    build.objects = partial(objects_of, cc)
    return build


@pytest.fixture(scope="session")
def seccomp_filters():
    """Skip the test where the kernel has no seccomp filters."""
    check = """
from jumplabel._diagnostics import seccomp
try:
    seccomp.refuse("membarrier")
except OSError as error:
    print(error.errno)
"""
    answer = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    if answer.stdout.strip() in (str(errno.EINVAL), str(errno.ENOSYS)):
        pytest.skip("this kernel has no seccomp filters")
    assert answer.stdout == ""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Packages(tmp_path)
    yield made
    jumplabel.uninstall()
    made.forget()


@pytest.fixture
def key(request):
    return StaticKey(request.node.nodeid)


@pytest.fixture
def other_key(request):
    return StaticKey(f"{request.node.nodeid} other")


@pytest.fixture(params=["gate", "switch"])
def decorator(request, key):
    """A gate or switch; where a test calls what it makes, the key is on or the two targets agree."""
    if request.param == "gate":
        return static_gate(key)
    return lambda function: static_switch(key, to=getattr(function, "__func__", function))(function)


@pytest.fixture(params=FORMS)
def both(request, key, other_key):
    """A function of forms.py twice: plain, and with sites."""
    return pair(request.param, key, other_key)


# ---- tracepoints ----


@pytest.fixture
def point(request):
    return Tracepoint(f"{request.node.nodeid} point")


@pytest.fixture
def seen():
    return []


@pytest.fixture
def probes(seen):
    """Four probes that add their number and arguments to ``seen``."""

    def probe(n):
        return lambda *args, **kwargs: seen.append((n, args, kwargs))

    return [probe(n) for n in range(4)]


@pytest.fixture
def reported(monkeypatch):
    """The objects and exceptions that sys.unraisablehook was given."""
    reported = []

    def hook(unraisable):
        reported.append((unraisable.object, unraisable.exc_value))

    monkeypatch.setattr(sys, "unraisablehook", hook)
    return reported


# ---- loggers ----


@pytest.fixture
def logger(request):
    """A logger of the test's own. After the test no key follows any logger."""
    yield logging.getLogger(f"tests.{request.node.nodeid.replace('.', ' ')}")
    try:
        nothing_of_ours_is_left()
    except AssertionError:
        gc.collect()
        nothing_of_ours_is_left()


@pytest.fixture
def shop(request, logger):
    """A module with that logger."""
    return module(request.node.nodeid, logger=logger)
