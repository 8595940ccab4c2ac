"""Where marked code is kept between two starts, and when it is believed. compile_marked.py makes it.

It is kept beside the interpreter's own ``.pyc`` files, by the interpreter's rules: ``sys.pycache_prefix`` moves it,
``sys.dont_write_bytecode`` keeps it from being written (not from being read), ``--check-hash-based-pycs`` says whether
a file that goes by the source's hash is checked. Where that folder cannot be written, it is kept in private_cache.py's.

A file begins as a ``.pyc`` file does: magic number, flags, and the source's time and size or its hash. Then come the
hash of the rest, and the rest: marshalled, a text that says how it was made, the source's path, and the fields of
``Marked`` (none: nothing in the source is for a site). A file that is damaged, of another version, of other options or
of another source counts as none.
"""

import _imp
import marshal
import os
import stat
import sys
from collections.abc import Callable
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from typing import NamedTuple

from jumplabel._bytecode.find_tests import prepare
from jumplabel._instrument import private_cache
from jumplabel._instrument.compile_marked import Marked, compile_or_leave, left_whole
from jumplabel._instrument.options import Options
from jumplabel._program.name_watch import HEARS_ALL
from jumplabel.errors import DecorationError

FORMAT = 5
"""Of the files, and of marks: one more whenever marked code is made in another way."""

_HEAD = 24
_HASH_BASED, _CHECKED = 1, 2
TIMESTAMP, UNCHECKED_HASH, CHECKED_HASH = 0, _HASH_BASED, _HASH_BASED | _CHECKED
"""How a file tells that its source has changed: the flags of ``.pyc`` files, PEP 552."""

Source = Callable[[], bytes]


class Kept(NamedTuple):
    """What is kept for a source.

    marked  None: nothing in the source is for a site
    """

    marked: Marked | None


def load(path: str, options: Options, source: Source) -> Marked | None:
    """Return a source's marked code, from a file if one holds it; None: nothing in the source is for a site.

    path     of the source, as its code objects name it
    options  of the instrumentation
    source   returns what the file holds

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
        return left_whole(content, path, error)  # not kept: at the next start it may be another matter
    marked = _marked(content, path, options)
    if stamp is not None and not sys.dont_write_bytecode:
        _keep(path, options, marked, flags, stamp, content)
    return marked


def store(path: str, options: Options, flags: int, force: bool = False) -> str | None:
    """Keep a source's marked code in a file. Return where, or "" where nothing in it is for a site; None: it is there.

    flags  TIMESTAMP, UNCHECKED_HASH or CHECKED_HASH
    force  also where a file holds it already

    Raises OSError where neither folder can be written and where the source cannot be read, and what compile() raises.
    """
    stamp = _four(0) * 2 if flags else _stamp(path)  # before it is read: a source that changes later is newer then
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
    """Return the path of the file beside the interpreter's own, as another degree of optimization: so who throws
    ``.pyc`` files away throws it away, too. None where the interpreter keeps none."""
    given = zip("lap", (options.logging, options.asserts, options.only_pure), strict=True)
    ours = "jumplabel" + "".join(letter for letter, is_given in given if is_given)
    try:
        return cache_from_source(path, optimization=f"{sys.flags.optimize or ''}{ours}")
    except NotImplementedError:  # there is no sys.implementation.cache_tag
        return None


def _marked(content: bytes, path: str, options: Options) -> Marked | None:
    marked = compile_or_leave(content, path, options)
    return marked if marked.sites or marked.left else None


def _stamp(path: str) -> bytes | None:
    """The source's time and size, as a ``.pyc`` file has them."""
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


# ---- to find it ----


def _find(path: str, options: Options, stamp: bytes, source: Source, check: bool = False) -> tuple[Kept | None, int]:
    """What is kept, and the flags of the file; of a stale one, too, whose successor gets the same.

    check  the hash of the source, whatever the interpreter was told
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
"""Bytes; most files have fewer, and take one read."""


def _read(place: str) -> bytes | None:
    """By as few calls of the system as can be: each module that is imported comes here."""
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
    """exact  whether the file has to name this very path; one beside the source moves with it."""
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
        marked = Marked(*fields) if fields else None
    except (EOFError, TypeError, ValueError):  # it has the right hash, and is no work of ours
        return None
    if marked is not None and of != path:  # it was moved with its source, as between the stages of an image
        _imp._fix_co_filename(marked.code, path)  # type: ignore[attr-defined]
    return Kept(marked)


def _is_checked(flags: int) -> bool:
    """As ``SourceLoader.get_code()`` decides it."""
    when = _imp.check_hash_based_pycs
    return when != "never" and (bool(flags & _CHECKED) or when == "always")


# ---- to keep it ----


def _keep(path: str, options: Options, marked: Marked | None, flags: int, stamp: bytes, content: bytes) -> str | None:
    """Return where it is kept. None: nowhere."""
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
    """As the interpreter writes its own: with the source's mode, and at once or not at all."""
    os.makedirs(os.path.dirname(place), exist_ok=True)
    mode = stat.S_IMODE(os.stat(path).st_mode) & 0o666 | stat.S_IWUSR
    private_cache.write_at_once(place, data, mode)
