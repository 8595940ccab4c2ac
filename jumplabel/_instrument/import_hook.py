"""``install()``: modules get their sites as they are imported. Here is the finder.

Its specs have the loader of loader.py until the module's code runs. compile_marked.py makes that code, and
code_cache.py keeps it; instrumented_modules.py knows which keys are for whom, and what was the original.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from jumplabel._bytecode.find_tests import prepare
from jumplabel._bytecode.plan_sites import KNOWN
from jumplabel._instrument.asserts_off import take_off
from jumplabel._instrument.closures import follow
from jumplabel._instrument.compile_marked import Marked, compile_or_leave, with_objects
from jumplabel._instrument.definitions import FOLLOW, READY
from jumplabel._instrument.instrumented_modules import Owner, Record, add, functions_of, records, restore
from jumplabel._instrument.loader import Loader
from jumplabel._instrument.options import Asserts, Options, checked
from jumplabel._keys.patterns import Patterns
from jumplabel._program.unseen import Unseen
from jumplabel.errors import DecorationError

OF_MARKING = frozenset(
    "__future__ annotationlib ast bytecode copy dataclasses dis inspect symtable token tokenize".split()
)
"""What mark_statements.py and bytecode import when they are needed first, within another import.

Marking would wait for itself.
"""


def is_left_alone(name: str) -> bool:
    """Return whether no hook may have the module: it is one of ours, or one of OF_MARKING, or within one."""
    top = name.partition(".")[0]
    return top == "jumplabel" or top in OF_MARKING


class Hook(Owner):
    """What ``install()`` has put in place. ``uninstall()`` takes it away again; so does the end of a ``with`` block."""

    def __init__(self, patterns: Patterns, options: Options) -> None:
        self.patterns = patterns
        self.options = options
        self.is_installed = True

    def uninstall(self) -> None:
        """Instrument no more modules, and give the functions of those that are their original code. Once is enough.

        Calls that are running, generators and coroutines go on in the code that they have, as if everything were on.
        So do functions that others have decorated by rewriting their code, and those whose source has been changed.
        """
        self.is_installed = False
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        super().uninstall()

    def __repr__(self) -> str:
        return f"<jumplabel.Hook for {self.patterns!r}>"

    def begin(self, module: ModuleType, path: str, marked: Marked | None) -> Record:
        """Before a module's code is run."""
        record = Record(self, module, path, marked, self.options)
        if add(record):
            record.runs()
        if marked:
            record.attach(module, marked)
        return record

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The finder's part: what the others find, if that is an ordinary source file, with a loader of ours."""
        if name not in self.patterns or is_left_alone(name):
            return None
        for finder in self._others():
            if not hasattr(finder, "find_spec"):  # up to 3.11 it may have find_module(): the interpreter asks that
                return None
            spec: ModuleSpec | None = finder.find_spec(name, path, target)
            if spec is not None:
                if type(spec.loader) is SourceFileLoader:
                    spec.loader = Loader(spec.loader, spec, self)
                return spec
        return None

    def _others(self) -> list[Any]:
        """The finders that the interpreter would ask after this one, without other hooks of ours."""
        finders = list(sys.meta_path)
        at = next((i for i, finder in enumerate(finders) if finder is self), -1)
        return [finder for finder in finders[at + 1 :] if not isinstance(finder, Hook)]


def install(
    *patterns: str, logging: bool = True, asserts: Asserts = False, keys: bool = True, only_pure: bool = False
) -> Hook:
    """Instrument modules as they are imported from now on.

    patterns   names of modules, such as ``"shop", "shop.*"``; see README, "Whole packages"
    logging    statements ``logger.debug(...)`` become sites that are on while the logger is enabled for their level
    asserts    True or ``"on"``: ``assert`` becomes a site under the key ``asserts.<module>``, which starts on, as the
               source says. ``"off"``: the key starts off, as with ``python -O``; under a test runner stderr is told so.
               A key that is there already keeps its state
    keys       tests of static keys become sites, as under ``static_branches``
    only_pure  leave the logging statements whose arguments call something, which would not be called while they are off

    For modules that are loaded already there is ``instrument()``. Modules that come from elsewhere than a source file
    (built in, in C, from an archive) are imported as ever, and so are sources that another import hook loads. Hooks may
    be installed on top of each other; the newest that knows a name decides. Any thread may install and uninstall.

    The instrumented code is kept beside the interpreter's own, in ``__pycache__``, under the interpreter's rules
    (``sys.dont_write_bytecode``, ``sys.pycache_prefix``).

    Raises PatternError, and InstrumentError for an option that is none of these.
    """
    hook = Hook(Patterns(patterns), checked(logging, asserts, keys, only_pure))
    if not hook.options.asserts_start_on:
        take_off()
    sys.meta_path.insert(0, hook)
    return hook


def uninstall() -> None:
    """Undo every ``install()`` and ``instrument()``, see ``Hook.uninstall()``."""
    for hook in [finder for finder in sys.meta_path if isinstance(finder, Hook)]:
        hook.uninstall()
    restore(records())


def main_code(source: bytes, filename: str, name: str, module: ModuleType) -> CodeType:
    """The code of a program, which is about to run in this module; instrumented if a hook is for its name.

    Logging sites are on, and tests of keys are none, until the program comes to `if __name__ == "__main__":`; where
    names are heard of when they are bound (3.12), logging sites follow their loggers from then on.
    """
    hooks = [finder for finder in sys.meta_path if isinstance(finder, Hook)]
    hook = next((hook for hook in hooks if name in hook.patterns), None)
    if hook is None or not KNOWN:
        return compile(source, filename, "exec", dont_inherit=True)
    with suppress(DecorationError):  # what becomes a site later, in the midst of the program, says so then
        prepare()
    marked = compile_or_leave(source, filename, hook.options, main=True)
    marked = with_objects(marked, {FOLLOW: follow, READY: _Ready()})
    global _main
    _main = hook.begin(module, filename, marked)
    _main.ready([])
    return marked.code


_main: Record | None = None


def _main_is_ready(ready: object, nothing: object) -> None:
    """Its functions are there."""
    module = _main.module() if _main else None
    if _main and module:
        _main.ready(functions_of(module))


class _Ready:
    """What stands for READY in the code of a program, which compares it with nothing."""

    __lt__ = Unseen(_main_is_ready)
