"""``install()``: modules get their sites as they are imported. The finder, the loader, and the cache of its code.

The loader is the interpreter's own for source files in all but one thing: what it runs is the source's marked code.
marked_code.py makes that; instrumented.py knows which keys are for whom, and what was the original.
"""

import marshal
import sys
from collections.abc import Sequence
from importlib._bootstrap import _call_with_frames_removed  # type: ignore[attr-defined]
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER, cache_from_source
from types import CodeType, ModuleType
from typing import Any

from jumplabel.instrumented import Owner, Record, add, functions_of, records, restore
from jumplabel.marked_code import Marked, compile_or_leave
from jumplabel.marks import Options
from jumplabel.name_watch import HEARS_ALL
from jumplabel.patterns import OURS, Patterns
from jumplabel.planning import KNOWN

FORMAT = 1
"""Of the cache, and of marks: one more whenever marked code is made in another way."""


OF_MARKING = frozenset(("ast", "symtable"))
"""What marking.py imports when it is needed first, within another import: marking would wait for itself."""


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
        add(record)
        record.runs()
        if marked:
            record.attach(module, marked)
        return record

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The finder's part: what the others find, if that is an ordinary source file, with a loader of ours."""
        if name not in self.patterns or name in OURS or name in OF_MARKING:
            return None
        for finder in list(sys.meta_path):
            if isinstance(finder, Hook) or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if type(spec.loader) is SourceFileLoader:
                    spec.loader = _Loader(spec.loader.name, spec.loader.path, self)
                return spec
        return None


def install(
    *patterns: str, logging: bool = True, asserts: bool = True, keys: bool = True, only_pure: bool = False
) -> Hook:
    """Instrument modules as they are imported from now on.

    patterns   names of modules, such as ``"shop", "shop.*"``; see README, "Whole packages"
    logging    statements ``logger.debug(...)`` become sites that are on while the logger is enabled for their level
    asserts    ``assert`` becomes a site under the key ``asserts.<module>``, which is off
    keys       tests of static keys become sites, as under ``static_branches``
    only_pure  leave the logging statements whose arguments call something, which would not be called while they are off

    For modules that are loaded already there is ``instrument()``. Modules that come from elsewhere than a source file
    (built in, in C, from an archive) are imported as ever, and so are sources that another import hook loads. Hooks may
    be installed on top of each other; the newest that knows a name decides. Any thread may install and uninstall.

    The instrumented code is kept beside the interpreter's own, in ``__pycache__``, under the interpreter's rules
    (``sys.dont_write_bytecode``, ``sys.pycache_prefix``).

    Raises PatternError.
    """
    hook = Hook(Patterns(patterns), Options(logging, asserts, keys, only_pure))
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
    marked = compile_or_leave(source, filename, hook.options, main=True)
    global _main
    _main = hook.begin(module, filename, marked)
    _main.ready([])
    return marked.code


_main: Record | None = None


def main_is_ready() -> None:
    """Called by the program: its functions are there."""
    module = _main.module() if _main else None
    if _main and module:
        _main.ready(functions_of(module))


class _Loader(SourceFileLoader):
    """For tools, ``get_code()`` is the original's."""

    def __init__(self, name: str, path: str, hook: Hook) -> None:
        super().__init__(name, path)
        self.hook = hook

    def exec_module(self, module: ModuleType) -> None:
        marked = self._marked() if self.hook.is_installed else None
        self.record = self.hook.begin(module, self.path, marked)
        code = marked.code if marked else self.get_code(self.name)
        _call_with_frames_removed(exec, code, module.__dict__)
        if self.hook.is_installed:
            self.record.ready(functions_of(module))
        else:  # since this import began
            self.hook.uninstall()

    def _marked(self) -> Marked | None:
        """None: there is nothing to mark, or it cannot be; the interpreter has its own cache for that."""
        options = self.hook.options
        if not (KNOWN and (options.logging or options.asserts)):
            return None
        stats = self.path_stats(self.path)
        key = (FORMAT, HEARS_ALL, self.path, int(stats["mtime"]), stats["size"])
        cache = _cache_path(self.path, options)
        found = self._cached(cache, key)
        if found is None:
            found = self._compiled()
            if cache and not sys.dont_write_bytecode:
                data = MAGIC_NUMBER + marshal.dumps((key, found))
                self._cache_bytecode(self.path, cache, data)  # type: ignore[attr-defined]
        return Marked(*found) if found else None

    def _compiled(self) -> tuple[Any, ...]:
        """Empty for nothing to mark."""
        marked = compile_or_leave(self.get_data(self.path), self.path, self.hook.options)
        return tuple(marked) if marked.sites or marked.left else ()

    def _cached(self, cache: str | None, key: tuple[Any, ...]) -> tuple[Any, ...] | None:
        try:
            data = self.get_data(cache) if cache else b""
        except OSError:
            return None
        if data[: len(MAGIC_NUMBER)] != MAGIC_NUMBER:
            return None
        try:
            of, found = marshal.loads(memoryview(data)[len(MAGIC_NUMBER) :])
        except (EOFError, TypeError, ValueError):  # half of a file, or one of another program's
            return None
        return found if of == key else None


# As for the interpreter's own loaders: tracebacks of what a module raises are without the frames of whoever imports it.
# CPython's Python/import.c, remove_importlib_frames(), goes by the file's name.
_Loader.exec_module.__code__ = _Loader.exec_module.__code__.replace(
    co_filename="<frozen importlib._bootstrap_external>"
)


def _cache_path(path: str, options: Options) -> str | None:
    """Beside the interpreter's own, as another degree of optimization: such files are thrown away with the others."""
    given = zip("lap", (options.logging, options.asserts, options.only_pure), strict=True)
    ours = "jumplabel" + "".join(letter for letter, is_given in given if is_given)
    try:
        return cache_from_source(path, optimization=f"{sys.flags.optimize or ''}{ours}")
    except NotImplementedError:  # there is no sys.implementation.cache_tag
        return None
