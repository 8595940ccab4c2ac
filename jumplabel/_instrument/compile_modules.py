"""``python -m jumplabel compile``: make the code that the import hook would make at the first start.

Images are built with it, as with ``compileall``. It has the options, the output and the exit status of ``compileall``.
It imports no module itself. Finders may import the package of a module that is named in full.
"""

import os
import py_compile
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import NamedTuple

from jumplabel._instrument import code_cache, private_cache
from jumplabel._instrument.import_hook import is_left_alone
from jumplabel._instrument.options import Options
from jumplabel._keys.patterns import Patterns

MODES = {
    "timestamp": code_cache.TIMESTAMP,
    "checked-hash": code_cache.CHECKED_HASH,
    "unchecked-hash": code_cache.UNCHECKED_HASH,
}
"""How a compiled file detects a changed source, by the names of ``compileall --invalidation-mode``."""


class Found(NamedTuple):
    """A module with a source file."""

    name: str
    path: str


def run(patterns: Patterns, options: Options, mode: str | None, force: bool, quiet: int) -> int:
    """Compile the modules that match, and return the exit status: 0 if all of them are compiled, else 1.

    mode   one of MODES; None is ``checked-hash`` where SOURCE_DATE_EPOCH is set, otherwise ``timestamp``
    force  compile also modules that are compiled already
    quiet  0 prints each file and each error, 1 prints errors only, 2 prints nothing

    Prints as compileall does. Writes to stderr how many files went into the private folder, which one user alone reads.
    Raises what a finder raises.
    """
    mode = mode or ("checked-hash" if os.environ.get("SOURCE_DATE_EPOCH") else "timestamp")
    failed = n = private = 0
    for found in modules(patterns):
        n += 1
        try:
            private += _compile(found, options, mode, force, quiet)
        except (OSError, SyntaxError, ValueError, RecursionError) as error:
            failed += 1
            if quiet < 2:
                print(f"*** Error compiling {found.path!r}...\n{type(error).__name__}: {error}")
    if private and quiet < 2:
        where = private_cache.folder()
        print(f"jumplabel: {private} files are in {where!r}, for this user alone", file=sys.stderr)
    if not n and quiet < 2:
        print(f"jumplabel: no module with a source file matches {patterns!r}", file=sys.stderr)
    return 1 if failed or not n else 0


def _compile(found: Found, options: Options, mode: str, force: bool, quiet: int) -> bool:
    """Compile one module, and return whether its file is in the private folder. Raises what the compiler raises."""
    where = code_cache.store(found.path, options, MODES[mode], force)
    if where is not None and not quiet:
        print(f"Compiling {found.path!r}...")
    if where == "":  # nothing to mark in it: the hook runs the interpreter's own code, so that is compiled
        by = py_compile.PycInvalidationMode[mode.replace("-", "_").upper()]
        py_compile.compile(found.path, doraise=True, invalidation_mode=by)
    return bool(where) and where != code_cache.name(found.path, options)


def modules(patterns: Patterns) -> Iterator[Found]:
    """Yield each module that matches and that the hook would instrument, once, in the order of their names."""
    seen: set[str] = set()
    for name in sorted(_tops(patterns)):
        for found in _below(name, None):
            if found.name in patterns and found.name not in seen and not is_left_alone(found.name):
                seen.add(found.name)
                yield found


def _tops(patterns: Patterns) -> set[str]:
    """Return the names of the top-level modules and packages that may match, or contain a match."""
    firsts = {part.partition(".")[0] for part in patterns.patterns if not part.startswith("!")}
    tops = {first for first in firsts if first.isidentifier()}
    if firsts - tops:
        tops.update(module.name for module in iter_modules())
        tops.update(name for folder in sys.path for name in _folders(folder or os.curdir))
    return tops


def _folders(path: str) -> list[str]:
    """Return the names of the folders in a folder that may be packages: also those without an ``__init__``."""
    try:
        with os.scandir(path) as entries:
            return sorted(one.name for one in entries if one.name.isidentifier() and one.is_dir())
    except OSError:
        return []


def _below(name: str, path: Iterable[str] | None) -> Iterator[Found]:
    """Yield a module, and all modules below it if it is a package.

    path  the folders of its package, which is not loaded; None for a top-level module. In these folders the finder
          looks for the last part of the name: for a dotted name it would ask the loaded package
    """
    try:
        spec = find_spec(name) if path is None else PathFinder.find_spec(name.rpartition(".")[2], list(path))
    except (ImportError, ValueError):  # a module that is loaded and has no spec
        return
    if spec is None:
        return
    if isinstance(spec.loader, SourceFileLoader):
        yield Found(name, spec.loader.path)
    folders = list(spec.submodule_search_locations or ())
    inner = {module.name for module in iter_modules(folders)}
    inner.update(one for folder in folders for one in _folders(folder) if one != "__pycache__")
    for one in sorted(inner):
        yield from _below(f"{name}.{one}", folders)
