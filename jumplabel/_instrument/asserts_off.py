"""Warn where assertions start off under a test runner: its tests pass where they should fail.

A test runner is recognised in two ways: by the command line, when assertions are first taken to start off, and by the
modules that the program has loaded, when the program ends. Only names are read: nothing is imported, and no code of the
program's runs.
"""

import atexit
import os
import sys
from fnmatch import fnmatchcase
from types import ModuleType
from weakref import WeakSet

from jumplabel._keys.registry import starts_on
from jumplabel._keys.static_key import StaticKey
from jumplabel._process.settings import warn

_MODULES = frozenset(
    "avocado behave doctest green nose nose2 pytest robot slash stestr subunit.run test testtools.run "
    "trial twisted.trial unittest unittest2 ward xdoctest zope.testrunner".split()
)
"""Test runners by the name after ``-m``."""

_COMMANDS = frozenset(
    "avocado behave green mamba nose2 nosetests py.test pytest robot run-tests run_tests runtests slash stestr testr "
    "trial unit2 ward xdoctest zope-testrunner".split()
)
"""Test runners by the name of the program's file."""

_WITH_TEST = frozenset("django django-admin manage setup".split())
"""Programs and modules that are a test runner when their first argument is ``test``."""

_WRAPPERS = frozenset("coverage jumplabel".split())
"""Programs that run another program, named after their argument ``run``."""

_TESTS = ("test_*.py", "*_test.py", "tests.py")
"""Files of tests that run themselves."""

_LOADED = {
    "_pytest.config": "pytest",
    "behave.runner": "behave",
    "django.test.runner": "django's test command",
    "green.cmdline": "green",
    "nose2.main": "nose2",
    "robot.run": "robot",
    "testtools.run": "testtools.run",
    "twisted.scripts.trial": "trial",
    "ward.run": "ward",
    "zope.testrunner.runner": "zope.testrunner",
}
"""Modules that only a test runner loads, each with the test runner's name."""

_started_off: "WeakSet[StaticKey]" = WeakSet()
"""The keys of assertions that were made off."""
_warned_by: int | None = None
"""The pid of the process that has warned."""
_looks_at_exit = False


def take_off() -> None:
    """Warn before assertions are taken that start off: now, if the command line names a test runner, or at exit."""
    global _looks_at_exit
    if not _looks_at_exit:
        _looks_at_exit = True
        atexit.register(_look_again, os.getpid())
    if not starts_on("asserts."):  # JUMPLABEL_ENABLE='asserts.*'
        _warn_under(_by_command_line(sys.orig_argv, sys.argv))


def has_started_off(key: StaticKey) -> None:
    """Note a key of assertions that has just been made off."""
    _started_off.add(key)


def _look_again(pid: int) -> None:
    if os.getpid() == pid and not all(_started_off):
        _warn_under(_by_command_line(sys.orig_argv, sys.argv) or _by_modules())


def _warn_under(runner: str | None) -> None:
    global _warned_by
    if runner is not None and _warned_by != os.getpid():
        _warned_by = os.getpid()
        warn(
            f"assertions were taken to start off, and the program is a test runner: {runner}. A test passes whose "
            "assert in an instrumented module fails. Take them to start on (asserts=True, 'asserts:' in "
            "JUMPLABEL_INSTRUMENT), or enable their keys (JUMPLABEL_ENABLE='asserts.*')"
        )


def _by_command_line(original: list[str], arguments: list[str]) -> str | None:
    """Return the test runner that a command line names.

    original   sys.orig_argv, as Python was started
    arguments  sys.argv. Its first item is "-m" while Python has not found the module yet, and "-c" for a command
    """
    given = original[1:]
    return _by_module_option(given) or _by_program(given, arguments)


def _by_module_option(given: list[str]) -> str | None:
    """Return the test runner after ``-m``."""
    for place, argument in enumerate(given):
        if not argument.startswith("-m"):
            continue
        module, after = argument.removeprefix("-m"), given[place + 1 :]
        if argument == "-m":
            module, after = "".join(after[:1]), after[1:]
        if module in _MODULES or (module in _WITH_TEST and after[:1] == ["test"]):
            return module
    return None


def _by_program(given: list[str], arguments: list[str]) -> str | None:
    """Return the test runner that is the program, or that a wrapper runs: ``coverage run manage.py test``."""
    program = arguments[:1] if arguments[:1] not in (["-m"], ["-c"]) else []
    wrapped = []
    if "run" in given and any(_command(word) in _WRAPPERS for word in given[: given.index("run")]):
        wrapped = given[given.index("run") + 1 :]
    words = program + wrapped
    for place, word in enumerate(words):
        after = (arguments[1:] + wrapped)[:1] if place < len(program) else words[place + 1 :]
        file = os.path.basename(word)
        if _command(word) in _COMMANDS or any(fnmatchcase(file, pattern) for pattern in _TESTS):
            return file
        if _command(word) in _WITH_TEST and after[:1] == ["test"]:
            return f"{file} test"
    return None


def _command(path: str) -> str:
    """Return a file's name without the endings that installers and Python give it."""
    name = os.path.basename(path)
    return name.removesuffix(".exe").removesuffix(".py").removesuffix("-script")


def _by_modules() -> str | None:
    """Return the test runner that the program has loaded."""
    for module, runner in _LOADED.items():
        if module in sys.modules:
            return runner
    unittest, main = sys.modules.get("unittest"), sys.modules.get("__main__")
    if isinstance(unittest, ModuleType) and isinstance(main, ModuleType):
        names = vars(unittest)
        runs_tests = {id(unittest), *(id(names[name]) for name in ("main", "TestCase") if name in names)}
        if any(id(value) in runs_tests for value in list(vars(main).values())):
            return "unittest"
    return None
