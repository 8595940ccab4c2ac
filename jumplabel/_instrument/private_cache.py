"""The user's own folder of files with marked code: ``$XDG_CACHE_HOME/jumplabel``, or ``~/.cache/jumplabel``.

**A user with write access to these files can make this process run any code.** So this process uses the folder only
if it belongs to the effective user, is no symbolic link, and is closed to all others (0700). The same holds for each
file in it. Reads and writes go through a descriptor of the folder that was checked. The folder is never made within
another user's folder: under ``sudo``, HOME may still name that one. A process with more rights than its user uses no
private folder.
"""

import _imp
import os
import stat
import sys
import threading

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_TO_OTHERS = 0o077


def folder() -> str | None:
    """Return the path of the folder. None: this process may use none."""
    if (os.getuid(), os.getgid()) != (os.geteuid(), os.getegid()):
        return None
    base = "" if sys.flags.ignore_environment else os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "jumplabel") if os.path.isabs(base) else None


def name(path: str, place: str) -> str:
    """Return the name of a file in the folder.

    path   of the source
    place  the path that the file has beside the source
    """
    stem, _, rest = os.path.basename(place).partition(".")
    return f"{stem[:100]}.{_imp.source_hash(0, os.fsencode(os.path.abspath(path))).hex()}.{rest}"


def read(name: str) -> bytes | None:
    """Return a file's content. None: there is no such file, or another user may have written it."""
    path = folder()
    opened = -1 if path is None else _open(path)
    if opened < 0:
        return None
    try:
        number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=opened)
        with open(number, "rb", buffering=0) as file:
            return file.read() if _is_ours(os.fstat(number), stat.S_IFREG) else None
    except OSError:
        return None
    finally:
        os.close(opened)


def write(name: str, data: bytes) -> str | None:
    """Write a file atomically. Return its path; None: it cannot be written."""
    path = folder()
    if path is None:
        return None
    opened = _open(path)
    if opened < 0:
        try:
            _make(path)
        except OSError:
            return None
        opened = _open(path)
        if opened < 0:
            return None
    try:
        write_at_once(name, data, 0o600, opened)
        return os.path.join(path, name)
    except OSError:
        return None
    finally:
        os.close(opened)


def write_at_once(path: str, data: bytes, mode: int, folder: int | None = None) -> None:
    """Write a file atomically: under another name, then rename it. Raises OSError, and leaves no file behind then."""
    new = f"{path}.{os.getpid()}.{threading.get_ident()}"
    number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=folder)
    try:
        try:
            if os.write(number, data) != len(data):
                raise OSError(f"{new!r} was written in part")
        finally:
            os.close(number)
        os.replace(new, path, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(new, dir_fd=folder)
        raise


def _open(path: str) -> int:
    """Return a descriptor of the folder. Negative: it is not there, or another user may have made or changed it."""
    try:
        opened = os.open(path, _FOLDER)
    except OSError:
        return -1
    if _is_ours(os.fstat(opened), stat.S_IFDIR):
        return opened
    os.close(opened)
    return -1


def _is_ours(status: os.stat_result, kind: int) -> bool:
    mode = status.st_mode
    return stat.S_IFMT(mode) == kind and status.st_uid == os.geteuid() and not mode & _OPEN_TO_OTHERS


def _make(path: str) -> None:
    """Make the folder. Raises OSError if that is impossible, or if another user owns the folder above."""
    missing, above = [path], os.path.dirname(path)
    while not os.path.lexists(above):
        missing.append(above)
        above = os.path.dirname(above)
    status = os.stat(above)
    if status.st_uid != os.geteuid() and not status.st_mode & stat.S_ISVTX:
        raise PermissionError(f"{above!r} belongs to user {status.st_uid}")
    for one in reversed(missing):
        try:
            os.mkdir(one, 0o700)
        except FileExistsError:  # another process has just made it
            pass
