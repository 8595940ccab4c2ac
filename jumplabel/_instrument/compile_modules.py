"""``python -m jumplabel compile``: the code that the import hook would make at the first start, made ahead of it.

For the building of images, as ``compileall``, whose words and exit status it has. Nothing is imported, but for what
finders import to find a module that is named in full.
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
"""How a file tells that its source has changed, in the words of ``compileall --invalidation-mode``."""


class Found(NamedTuple):
    """A module with a source file."""

    name: str
    path: str


def run(patterns: Patterns, options: Options, mode: str | None, force: bool, quiet: int) -> int:
    """Compile the modules that match, and return the exit status: 0 where all of them are compiled.

    mode   one of MODES; None: ``checked-hash`` where SOURCE_DATE_EPOCH is set, otherwise ``timestamp``
    force  also those that are compiled already
    quiet  1: only tell of what goes wrong; 2: tell nothing

    Prints as compileall does, and writes to stderr what is for one user alone. Raises what a finder raises.
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
    """Return whether the file is in the private folder."""
    where = code_cache.store(found.path, options, MODES[mode], force)
    if where is not None and not quiet:
        print(f"Compiling {found.path!r}...")
    if where == "":  # then the hook runs the interpreter's own code
        by = py_compile.PycInvalidationMode[mode.replace("-", "_").upper()]
        py_compile.compile(found.path, doraise=True, invalidation_mode=by)
    return bool(where) and where != code_cache.name(found.path, options)


def modules(patterns: Patterns) -> Iterator[Found]:
    """The modules that match, of those that the hook would instrument, by their names. Each once."""
    seen: set[str] = set()
    for name in sorted(_tops(patterns)):
        for found in _below(name, None):
            if found.name in patterns and found.name not in seen and not is_left_alone(found.name):
                seen.add(found.name)
                yield found


def _tops(patterns: Patterns) -> set[str]:
    """The names without a dot below which there may be some."""
    firsts = {part.partition(".")[0] for part in patterns.patterns if not part.startswith("!")}
    tops = {first for first in firsts if first.isidentifier()}
    if firsts - tops:
        tops.update(module.name for module in iter_modules())
        tops.update(name for folder in sys.path for name in _folders(folder or os.curdir))
    return tops


def _folders(path: str) -> list[str]:
    """The folders that may be packages, perhaps without an ``__init__``."""
    try:
        with os.scandir(path) as entries:
            return sorted(one.name for one in entries if one.name.isidentifier() and one.is_dir())
    except OSError:
        return []


def _below(name: str, path: Iterable[str] | None) -> Iterator[Found]:
    """A module, and all that is in it if it is a package.

    path  where it is looked for, by its last name: of a whole one the finder would ask the parent, which is not loaded
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
