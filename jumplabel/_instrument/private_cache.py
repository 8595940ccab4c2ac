"""The user's own folder of files with marked code: ``$XDG_CACHE_HOME/jumplabel``, or ``~/.cache/jumplabel``.

**Whoever can write these files can have this process run any code.** So the folder is used only while it belongs to the
effective user, is no symbolic link, and is closed to all others (0700), and so are the files in it. What is read and
written goes by a descriptor of the folder that was looked at. It is not made in the folder of another user: under
``sudo``, HOME may still name that. A process that runs with rights which its user does not have uses none.
"""

import _imp
import os
import stat
import sys
import threading

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_TO_OTHERS = 0o077


def folder() -> str | None:
    """Return the path of the folder. None: this process has none."""
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
    """Return what a file holds. None: there is no such file, or it might be another user's work."""
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
    """Write a file, at once or not at all. Return its path; None: it cannot be written."""
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
    """Write a new file and give it its name when it is whole. Raises OSError, and leaves nothing behind then."""
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
    """A descriptor of the folder; negative where it is not there or might be another user's work."""
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
    """Raises OSError where it cannot, or should not be made."""
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
        except FileExistsError:  # another process was faster
            pass
