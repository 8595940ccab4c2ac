"""``python -m jumplabel run``: run a program as ``python`` would, instrumented from its first line on.

The module ``__main__``, sys.argv, sys.path[0], the exit status and tracebacks are as CPython's Modules/main.c and
Lib/runpy.py make them. The program gets a ``__main__`` of its own. No frame of the library's is in the traceback of the
program's exception: see ``_report_as_theirs``. A program on standard input, and ``-i``, are not supported.
"""

import atexit
import builtins
import io
import os
import runpy
import sys
from collections.abc import Callable, Iterable
from importlib.machinery import BuiltinImporter, ModuleSpec, SourceFileLoader, SourcelessFileLoader
from pkgutil import get_importer, read_code
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Any

from jumplabel._instrument.import_hook import main_code
from jumplabel._instrument.loader import as_found
from jumplabel._instrument.startup import ModuleGroup, for_children, refuse_switches
from jumplabel._keys.patterns import Patterns
from jumplabel._keys.starting import Starting

Attributes = dict[str, Any]


class NoProgramError(Exception):
    """There is no such program to run. ``status`` is the exit status that ``python`` would have."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def prepare(what: Iterable[str], modules: Iterable[str], enable: Iterable[str]) -> None:
    """Instrument modules that are imported from now on, and have some keys start on.

    what, modules  as of ``startup.ModuleGroup``
    enable         patterns of names of keys. At the end of the process, stderr lists the patterns that no key matched

    Holds for this process and for the Pythons that it starts. Raises PatternError for a wrong pattern, before anything
    is changed.
    """
    group, enable = ModuleGroup(frozenset(what), tuple(modules)), tuple(enable)
    if enable:
        patterns = Patterns(enable, of_keys=True)
        refuse_switches(patterns)
        starting = Starting(patterns)
        atexit.register(_tell_unused, starting, os.getpid())
    group.install()
    for_children([group], enable)


def _tell_unused(starting: Starting, pid: int) -> None:
    if os.getpid() == pid and sys.stderr is not None:  # not in the child of a fork
        for pattern in starting.unused:
            print(f"jumplabel: --enable {pattern!r}: there was no such key to enable", file=sys.stderr)


def run_script(path: str, arguments: list[str]) -> None:
    """Run ``python path arguments``: a file, or a folder or archive with a ``__main__`` in it.

    Raises what the program raises, SystemExit included. Raises NoProgramError if there is no such program.
    """
    sys.argv = [path, *arguments]
    absolute = os.path.join(os.getcwd(), path)  # not normalized, as in python
    if get_importer(absolute) is not None:
        if sys.flags.safe_path:
            sys.path.insert(0, absolute)
        else:
            sys.path[0] = absolute
        _run_spec(*runpy._get_main_module_details(NoProgramError))  # type: ignore[attr-defined]
        return
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    try:
        with io.open_code(absolute) as file:
            content = file.read()  # in one go: a pipe can be read once
    except OSError as error:
        message = f"can't open file {absolute!r}: [Errno {error.errno}] {error.strerror}"
        raise NoProgramError(message, status=2) from None
    compiled = read_code(io.BytesIO(content))
    loader = (SourcelessFileLoader if compiled else SourceFileLoader)("__main__", absolute)
    attributes = {"__file__": absolute, "__loader__": loader, "__cached__": None}
    _run(lambda main: compiled or main_code(content, absolute, "__main__", main), attributes)


def run_module(name: str, arguments: list[str]) -> None:
    """Run ``python -m name arguments``. Raises as ``run_script`` does."""
    sys.argv = ["-m", *arguments]  # until the module is found, as in python
    try:
        details = runpy._get_module_details(name, NoProgramError)  # type: ignore[attr-defined]
    except NoProgramError:
        raise
    except BaseException as error:
        _report_as_theirs(error)
        raise
    sys.argv[0] = details[1].origin
    _run_spec(*details)


def run_string(source: str, arguments: list[str]) -> None:
    """Run ``python -c source arguments``. Raises as ``run_script`` does."""
    sys.argv = ["-c", *arguments]
    if not sys.flags.safe_path:
        sys.path[0] = ""
    _run(lambda main: main_code(source.encode(), "<string>", "__main__", main), {"__loader__": BuiltinImporter})


def _run_spec(name: str, spec: ModuleSpec, code: CodeType) -> None:
    """Run a module that importlib has found.

    code  as importlib has compiled it: it runs if the source is not available
    """
    as_found(spec)
    attributes = {
        "__file__": spec.origin,
        "__loader__": spec.loader,
        "__cached__": spec.cached,
        "__package__": spec.parent,
        "__spec__": spec,
    }
    get_data = getattr(spec.loader, "get_data", None)
    if get_data is None or not (spec.origin or "").endswith(".py"):
        _run(lambda main: code, attributes)
    else:
        _run(lambda main: main_code(get_data(spec.origin), code.co_filename, name, main), attributes)


def _run(get_code: Callable[[ModuleType], CodeType], attributes: Attributes) -> None:
    ours = vars(sys.modules["__main__"])
    # Some versions give it __annotations__ and __cached__, some do not.
    attributes = {name: value for name, value in attributes.items() if name != "__cached__" or name in ours}
    if "__annotations__" in ours:
        attributes["__annotations__"] = {}
    main = ModuleType("__main__")
    vars(main).update(attributes, __builtins__=builtins)
    sys.modules["__main__"] = main
    try:
        exec(get_code(main), vars(main))
    except SystemExit:
        raise
    except BaseException as error:
        _report_as_theirs(error)
        raise


def _report_as_theirs(error: BaseException) -> None:
    """Have the interpreter report an exception of the program's without the frames of the library.

    Each frame that the exception passes adds itself to the traceback. So the traceback is corrected at the last moment,
    when the interpreter calls sys.excepthook. That hook may be the program's own.
    """
    hook, traceback = sys.excepthook, _without_us(error.__traceback__)
    if traceback is None and not isinstance(error, SyntaxError):
        return  # the library itself has failed

    def report(kind: type[BaseException], value: BaseException, _: TracebackType | None) -> None:
        sys.excepthook = hook
        value.__traceback__ = sys.last_traceback = traceback
        hook(kind, value, traceback)

    sys.excepthook = report


def _without_us(traceback: TracebackType | None) -> TracebackType | None:
    """Return the traceback without its first entries, those of the frames that lead to the program.

    Returns None for an error in compiling the program.
    """
    while traceback is not None and _is_ours(traceback.tb_frame):
        traceback = traceback.tb_next
    return traceback


def _is_ours(frame: FrameType) -> bool:
    """Return whether a frame is among those that lead to the program."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] in ("jumplabel", "runpy", "importlib")
