"""``install()``: modules get sites while they are imported. This file has the finder.

loader.py has the loader that the finder's specs have until the module's code runs. compile_marked.py makes the code,
and code_cache.py keeps it. instrumented_modules.py knows each module's keys and its original code.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from jumplabel._bytecode.instructions import prepare
from jumplabel._bytecode.plan_sites import KNOWN
from jumplabel._instrument.asserts_off import take_off
from jumplabel._instrument.closures import follow
from jumplabel._instrument.compile_marked import MarkedCode, compile_or_leave, with_objects
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
"""The modules that mark_statements.py and bytecode import at their first use, which is within another import.

No hook may mark them: marking would then wait for itself.
"""


def is_left_alone(name: str) -> bool:
    """Return whether every hook leaves the module alone: it is jumplabel, in OF_MARKING, or within one of these."""
    top = name.partition(".")[0]
    return top == "jumplabel" or top in OF_MARKING


class Hook(Owner):
    """The import hook that ``install()`` returns. ``uninstall()`` or the end of a ``with`` block removes it."""

    def __init__(self, patterns: Patterns, options: Options) -> None:
        self.patterns = patterns
        self.options = options
        self.is_installed = True

    def uninstall(self) -> None:
        """Instrument no more modules, and give back the original code to the functions of the instrumented ones.

        Running calls, generators and coroutines continue in the code that they have, with all sites on. The same holds
        for functions with code that another tool has rewritten, or with a changed source. Further calls do nothing.
        Any thread may call this.
        """
        self.is_installed = False
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        super().uninstall()

    def __repr__(self) -> str:
        return f"<jumplabel.Hook for {self.patterns!r}>"

    def begin(self, module: ModuleType, path: str, marked: MarkedCode | None) -> Record:
        """Record a run of a module's code, and attach the keys. Call this before the code runs."""
        record = Record(self, module, path, marked, self.options)
        if add(record):
            record.runs()
        if marked:
            record.attach(module, marked)
        return record

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec that the finders behind this one find. If it is for a source file, it gets our loader."""
        if name not in self.patterns or is_left_alone(name):
            return None
        for finder in self._others():
            if not hasattr(finder, "find_spec"):  # on 3.11 it may have find_module(): leave that to the interpreter
                return None
            spec: ModuleSpec | None = finder.find_spec(name, path, target)
            if spec is not None:
                if type(spec.loader) is SourceFileLoader:
                    spec.loader = Loader(spec.loader, spec, self)
                return spec
        return None

    def _others(self) -> list[Any]:
        """Return the finders behind this one, without other hooks of ours."""
        finders = list(sys.meta_path)
        at = next((i for i, finder in enumerate(finders) if finder is self), -1)
        return [finder for finder in finders[at + 1 :] if not isinstance(finder, Hook)]


def install(
    *patterns: str, logging: bool = True, asserts: Asserts = False, keys: bool = True, only_pure: bool = False
) -> Hook:
    """Instrument modules as they are imported from now on.

    patterns   names of modules, such as ``"shop", "shop.*"``; see README, "Whole packages"
    logging    statements ``logger.debug(...)`` become sites that are on while the logger is enabled for their level
    asserts    True or ``"on"``: ``assert`` becomes a site of the key ``asserts.<module>``, which starts on, as the
               source says. ``"off"``: the key starts off, as with ``python -O``. Under a test runner, a message on
               stderr says so. A key that exists already keeps its state
    keys       tests of static keys become sites, as under ``static_branches``
    only_pure  leave logging statements as they are if their arguments contain a call. **Without this option the
               arguments of a logging statement that is off are not evaluated, so their calls do not happen**

    ``instrument()`` is for modules that are loaded already. Modules without a source file (built in, in C, from an
    archive) and sources that another import hook loads are imported without sites. Hooks may be installed on top of
    each other: the newest one with a matching pattern decides. Any thread may install and uninstall.

    The instrumented code is kept beside the interpreter's own, in ``__pycache__``, under the interpreter's rules
    (``sys.dont_write_bytecode``, ``sys.pycache_prefix``).

    Raises PatternError for a bad pattern, and InstrumentError for a bad option.
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
    """Return the code of a program that is about to run in this module, with sites if a hook's pattern matches it.

    Until the program reaches `if __name__ == "__main__":`, its logging sites are on and its tests of keys are not yet
    sites. From CPython 3.12 on a logging site follows its logger as soon as the logger's name is bound.
    """
    hooks = [finder for finder in sys.meta_path if isinstance(finder, Hook)]
    hook = next((hook for hook in hooks if name in hook.patterns), None)
    if hook is None or not KNOWN:
        return compile(source, filename, "exec", dont_inherit=True)
    with suppress(DecorationError):  # the program's later attempts to make sites report this error
        prepare()
    marked = compile_or_leave(source, filename, hook.options, main=True)
    marked = with_objects(marked, {FOLLOW: follow, READY: _Ready()})
    global _main
    _main = hook.begin(module, filename, marked)
    _main.ready([])
    return marked.code


_main: Record | None = None


def _main_is_ready(ready: object, nothing: object) -> None:
    """Make sites in the program's functions, which are defined by now."""
    module = _main.module() if _main else None
    if _main and module:
        _main.ready(functions_of(module))


class _Ready:
    """Replaces READY in the code of a program. The code compares it with None to call ``_main_is_ready()``."""

    __lt__ = Unseen(_main_is_ready)
