"""Files that keep marked code between two starts. compile_marked.py makes the code.

The files are beside the interpreter's own ``.pyc`` files, and follow the interpreter's rules:

- ``sys.pycache_prefix`` moves them.
- ``sys.dont_write_bytecode`` stops writing, not reading.
- ``--check-hash-based-pycs`` says whether a file with the source's hash is checked.

If that folder cannot be written, the file is in the private folder (private_cache.py).

A file begins as a ``.pyc`` file does: magic number, flags, then the source's time and size, or its hash. Then comes the
hash of the rest. The rest is marshalled: a text that says how the code was made, the source's path, and the fields of
``MarkedCode``. It has no fields if the source has nothing for a site. A file is ignored if it is damaged, or belongs to
another version, other options or another source.
"""

import _imp
import marshal
import os
import stat
import sys
from collections.abc import Callable
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from typing import NamedTuple

from jumplabel._bytecode.instructions import prepare
from jumplabel._instrument import private_cache
from jumplabel._instrument.compile_marked import MarkedCode, compile_or_leave, left_whole
from jumplabel._instrument.options import Options
from jumplabel._program.name_watch import HEARS_ALL
from jumplabel.errors import DecorationError

FORMAT = 5
"""The version of the files and the marks. Add one whenever the code of the same source changes."""

_HEAD = 24
_HASH_BASED, _CHECKED = 1, 2
TIMESTAMP, UNCHECKED_HASH, CHECKED_HASH = 0, _HASH_BASED, _HASH_BASED | _CHECKED
"""How a file shows that its source has changed: the flags of ``.pyc`` files, PEP 552."""

Source = Callable[[], bytes]


class Kept(NamedTuple):
    """The content of a file.

    marked  None: the source has nothing for a site
    """

    marked: MarkedCode | None


def load(path: str, options: Options, source: Source) -> MarkedCode | None:
    """Return a source's marked code, from a file if one has it. None: the source has nothing for a site.

    path     of the source, as its code objects name it
    options  of the instrumentation
    source   returns the source's content

    Raises what compile() raises for the source, and what ``source`` raises. Any thread may call this.
    """
    stamp = _stamp(path)
    flags = TIMESTAMP
    if stamp is not None:
        kept, flags = _find(path, options, stamp, source)
        if kept is not None:
            return kept.marked
    content = source()
    try:
        prepare()
    except DecorationError as error:
        return left_whole(content, path, error)  # no file is written: the next start may succeed
    marked = _marked(content, path, options)
    if stamp is not None and not sys.dont_write_bytecode:
        _keep(path, options, marked, flags, stamp, content)
    return marked


def store(path: str, options: Options, flags: int, force: bool = False) -> str | None:
    """Write a source's marked code to a file.

    flags  TIMESTAMP, UNCHECKED_HASH or CHECKED_HASH
    force  write even if a file has the code already

    Returns the file's path; "" if the source has nothing for a site; None if a file has the code already.
    Raises OSError if neither folder can be written, or the source cannot be read. Raises what compile() raises.
    """
    stamp = _four(0) * 2 if flags else _stamp(path)  # before reading: a later change gives the source a newer time
    with open(path, "rb") as file:
        content = file.read()
    prepare()
    if stamp is None:
        raise FileNotFoundError(f"{path!r} has just been made")
    if not force:
        kept, found = _find(path, options, stamp, lambda: content, check=True)
        if kept is not None and found == flags:
            return None
    marked = _marked(content, path, options)
    where = _keep(path, options, marked, flags, stamp, content)
    if where is None:
        raise PermissionError(f"neither {name(path, options)!r} nor a private folder can be written")
    return where if marked else ""


def name(path: str, options: Options) -> str | None:
    """Return the path of the file beside the interpreter's own. None: the interpreter keeps no files.

    The file's name is that of another degree of optimization. So tools that remove ``.pyc`` files remove it, too.
    """
    given = zip("lap", (options.logging, options.asserts, options.only_pure), strict=True)
    ours = "jumplabel" + "".join(letter for letter, is_given in given if is_given)
    try:
        return cache_from_source(path, optimization=f"{sys.flags.optimize or ''}{ours}")
    except NotImplementedError:  # there is no sys.implementation.cache_tag
        return None


def _marked(content: bytes, path: str, options: Options) -> MarkedCode | None:
    marked = compile_or_leave(content, path, options)
    return marked if marked.sites or marked.left else None


def _stamp(path: str) -> bytes | None:
    """Return the source's time and size, as in a ``.pyc`` file. None: the source is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return _four(int(status.st_mtime)) + _four(status.st_size)


def _four(number: int) -> bytes:
    return (number & 0xFFFFFFFF).to_bytes(4, "little")


def _how(options: Options) -> str:
    return (
        f"{FORMAT} {HEARS_ALL:d} {sys.flags.optimize} {options.logging:d}{bool(options.asserts):d}{options.only_pure:d}"
    )


# ---- reading ----


def _find(path: str, options: Options, stamp: bytes, source: Source, check: bool = False) -> tuple[Kept | None, int]:
    """Return the content of a fresh file, and its flags. None: there is no fresh file.

    The flags may then come from a stale file. The file that replaces it gets the same flags.

    check  compare the source's hash, even if ``--check-hash-based-pycs`` forbids it
    """
    flags = TIMESTAMP
    place = name(path, options)
    if place is None:
        return None, flags
    for read in (_read, private_cache.read):
        data = read(place if read is _read else private_cache.name(path, place))
        if data is None or len(data) < _HEAD or data[:4] != MAGIC_NUMBER:
            continue
        flags = int.from_bytes(data[4:8], "little")
        kept = _believed(data, flags, path, options, stamp, source, check, exact=read is not _read)
        if kept is not None:
            return kept, flags
    return None, flags if flags in (UNCHECKED_HASH, CHECKED_HASH) else TIMESTAMP


_AT_ONCE = 1 << 16
"""Bytes. Most files are smaller, so one read is enough."""


def _read(place: str) -> bytes | None:
    """Read a file with few system calls, because every import of a module does this. None: it cannot be read."""
    try:
        file = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        parts = [os.read(file, _AT_ONCE)]
        while len(parts[-1]) == _AT_ONCE:
            parts.append(os.read(file, _AT_ONCE))
    except OSError:
        return None
    finally:
        os.close(file)
    return b"".join(parts)


def _believed(
    data: bytes, flags: int, path: str, options: Options, stamp: bytes, source: Source, check: bool, exact: bool
) -> Kept | None:
    """Return the content of a file if it is fresh, or None.

    exact  the file must name this very path. A file beside the source need not: it moves with the source
    """
    body = memoryview(data)[_HEAD:]
    if flags & ~CHECKED_HASH or data[16:_HEAD] != _imp.source_hash(FORMAT, body):
        return None
    if not flags & _HASH_BASED:
        if data[8:16] != stamp:
            return None
    elif check or _is_checked(flags):
        if data[8:16] != source_hash(source()):
            return None
    try:
        how, of, fields = marshal.loads(body)
        if how != _how(options) or (exact and of != path):
            return None
        marked = MarkedCode(*fields) if fields else None
    except (EOFError, TypeError, ValueError):  # the hash is right, but another program wrote the file
        return None
    if marked is not None and of != path:  # file and source were moved, as between the stages of an image
        _imp._fix_co_filename(marked.code, path)  # type: ignore[attr-defined]
    return Kept(marked)


def _is_checked(flags: int) -> bool:
    """Return whether the source's hash must be compared, as ``SourceLoader.get_code()`` decides it."""
    when = _imp.check_hash_based_pycs
    return when != "never" and (bool(flags & _CHECKED) or when == "always")


# ---- writing ----


def _keep(
    path: str, options: Options, marked: MarkedCode | None, flags: int, stamp: bytes, content: bytes
) -> str | None:
    """Write a file, and return its path. None: it cannot be written."""
    place = name(path, options)
    if place is None:
        return None
    body = marshal.dumps((_how(options), path, tuple(marked) if marked else ()))
    of = source_hash(content) if flags & _HASH_BASED else stamp
    data = b"".join((MAGIC_NUMBER, _four(flags), of, _imp.source_hash(FORMAT, body), body))
    try:
        _write(place, data, path)
        return place
    except (OSError, ValueError):
        return None if sys.pycache_prefix is not None else private_cache.write(private_cache.name(path, place), data)


def _write(place: str, data: bytes, path: str) -> None:
    """Write a file as the interpreter writes a ``.pyc`` file: atomically, and with the source's mode."""
    os.makedirs(os.path.dirname(place), exist_ok=True)
    mode = stat.S_IMODE(os.stat(path).st_mode) & 0o666 | stat.S_IWUSR
    private_cache.write_at_once(place, data, mode)
