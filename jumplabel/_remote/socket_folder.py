"""The folders of sockets: where they are, what makes them private, and which process is at a socket's other end.

The serving side (serving.py) and the asking side (ask.py) share these rules.
"""

import fcntl
import os
import re
import stat
import struct
from collections.abc import Collection, Iterator
from contextlib import suppress

from jumplabel._process.unpatched import monotonic, sleep
from jumplabel._process.unpatched_sockets import AF_UNIX, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET, Socket
from jumplabel.errors import RemoteError

DEFAULT = ""
"""Stands for a folder's path: use one of ``default_folders()``."""

RUN_USER = "/run/user"
"""The folder in which systemd and elogind make a folder for each logged-in user."""

PRIVATE = "jumplabel-sockets-"
"""The prefix of the names of folders that ``private_folder()`` makes."""

_PRIVATE_NAME = re.compile(re.escape(PRIVATE) + "[0-9a-f]{32}")


def default_folders(uid: int) -> Iterator[str]:
    """Yield the folders in which a process of this user serves by default, in order. No other user can take them.

    These are ``$XDG_RUNTIME_DIR/jumplabel`` and ``/run/user/<uid>/jumplabel``. Each is left out unless only this user
    can write to the folder above it (``sudo -E`` keeps another user's XDG_RUNTIME_DIR). If none works, the process
    serves in a ``private_folder()``.
    """
    found = {}
    for runtime in (os.environ.get("XDG_RUNTIME_DIR", ""), f"{RUN_USER}/{uid}"):
        with suppress(OSError, ValueError):
            if os.path.isabs(runtime):
                status = os.stat(runtime)
                if stat.S_ISDIR(status.st_mode) and status.st_uid == uid and not status.st_mode & 0o022:
                    found[os.path.join(os.path.normpath(runtime), "jumplabel")] = True
    yield from found


def temporary_folders() -> list[str]:
    """Return the existing folders for temporary files: tempfile's, but without writing a test file."""
    folders = dict.fromkeys((os.environ.get("TMPDIR", ""), "/tmp", "/var/tmp"))
    return [os.path.normpath(folder) for folder in folders if os.path.isabs(folder) and os.path.isdir(folder)]


def private_folder() -> str:
    """Make a folder for this user alone, with a name that cannot be guessed. The asking side finds it in /proc.

    Removes such folders of this user that crashed processes have left. Raises RemoteError if no folder can be made.
    """
    refusal = "there is no folder for temporary files"
    for temporary in temporary_folders():
        for left in folders_in(temporary, {os.geteuid()}):
            remove_left(left)
        path = os.path.join(temporary, f"{PRIVATE}{os.urandom(16).hex()}")
        try:
            os.mkdir(path, 0o700)
            return path
        except OSError as error:
            refusal = f"the folder {path!r}: {error.strerror}"
    raise RemoteError(refusal)


def folders_in(temporary: str, owners: Collection[int]) -> list[str]:
    """Return the private folders of these users in a folder for temporary files."""
    found = []
    with suppress(OSError), os.scandir(temporary) as entries:
        for entry in entries:
            if _PRIVATE_NAME.fullmatch(entry.name):
                with suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_uid in owners:
                        found.append(entry.path)
    return found


def remove_left(path: str) -> None:
    """Remove a private folder in which no process serves."""
    with suppress(OSError, RemoteError):
        folder = open_folder(path, {os.geteuid()})
        try:
            remove_if_private(folder, path)
        finally:
            os.close(folder)


def remove_if_private(folder: int, path: str) -> None:
    """Remove a folder that ``private_folder()`` made, and the dead sockets in it.

    The folder stays while a process serves in it, or has it locked to begin serving.
    """
    if _PRIVATE_NAME.fullmatch(os.path.basename(path)) is None:
        return
    with suppress(OSError):
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            if os.path.samestat(os.fstat(folder), os.stat(path, follow_symlinks=False)):
                remove_dead(folder)
                os.rmdir(path)
        finally:
            fcntl.flock(folder, fcntl.LOCK_UN)


def open_folder(path: str, owners: Collection[int], make: bool = False) -> int:
    """Open a private folder, and return its descriptor.

    owners  users, one of which must own the folder. No other user may have rights, and the path may be no link.
    make    make the folder if it is missing

    The descriptor keeps to the folder that was checked, even if the path leads elsewhere later. Raises RemoteError.
    """
    try:
        if make:
            try:
                os.mkdir(path, 0o700)
            except FileExistsError:
                pass
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = "is a symbolic link" if os.path.islink(path) else getattr(error, "strerror", None) or str(error)
        advice = "; name one that is there, or can be made there" if make else ""
        raise RemoteError(f"the folder {path!r}: {why}{advice}") from error
    return _checked(folder, path, owners)


def open_folder_of(pid: int, descriptor: str, owners: Collection[int]) -> int:
    """Open the folder that a process has open as ``descriptor``, and return our descriptor.

    This works after the folder was moved, and when the process has other mounts than we do. The folder must be private
    as for ``open_folder()``. Raises RemoteError.
    """
    path = f"/proc/{pid}/fd/{descriptor}"
    try:
        shown = os.readlink(path)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RemoteError(f"the folder {path!r}: {error.strerror}") from error
    return _checked(folder, shown, owners)


def _checked(folder: int, path: str, owners: Collection[int]) -> int:
    try:
        status = os.fstat(folder)
        if status.st_uid not in owners:
            users = " or ".join(map(str, sorted(owners)))
            raise RemoteError(f"the folder {path!r} belongs to user {status.st_uid}, not to {users}; take another one")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise RemoteError(
                f"the folder {path!r} is open to others ({mode:04o}); take another one, or 'chmod 700' it"
            )
    except BaseException:
        os.close(folder)
        raise
    return folder


def lock_folder(folder: int, timeout: float) -> None:
    """Lock a folder by flock(2), until it is unlocked or closed.

    timeout  seconds. If another process holds the lock for longer, raise BlockingIOError.
    """
    end = monotonic() + timeout
    while True:
        try:
            return fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > end:
                raise
        sleep(0.005)


def effective_user(pid: int) -> int:
    """Return a process's effective user. Raises RemoteError if there is no such process."""
    return int(re.findall(r"^Uid:\t\d+\t(\d+)", _status(pid), re.MULTILINE)[0])


def own_number(pid: int) -> int:
    """Return the pid of a process in its own pid namespace. In a container it differs from ours.

    Raises RemoteError if there is no such process.
    """
    numbers = re.findall(r"^NSpid:.*\t(\d+)$", _status(pid), re.MULTILINE)
    return int(numbers[0]) if numbers else pid


def _status(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/status", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise RemoteError("there is no such process") from error


def socket_name(pid: int) -> str:
    return f"{pid}.sock"


def address(folder: int, name: str) -> str:
    """Return an address for bind(2) and connect(2), which take no dir_fd and no long paths."""
    return f"/proc/self/fd/{folder}/{name}"


def unix_socket() -> Socket:
    """Return a new socket that does not block. Programs that the process executes do not inherit it."""
    new = Socket(AF_UNIX, SOCK_STREAM)
    new.setblocking(False)
    return new


def remove_dead(folder: int) -> None:
    """Remove sockets of processes that crashed, or ended by os._exit(). The caller holds the folder's lock."""
    for name in os.listdir(folder):
        pid = name.partition(".")[0]
        if pid.isdecimal() and name == socket_name(int(pid)) and _has_ended(pid) and is_dead(folder, name):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)


def _has_ended(pid: str) -> bool:
    """Return whether there is no such process, or only a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] in b"ZX"
    except OSError:
        return True


def is_dead(folder: int, name: str) -> bool:
    """Return whether no process listens on a socket. A listener that is busy or refuses us is alive."""
    with unix_socket() as probe:
        try:
            probe.connect(address(folder, name))
        except ConnectionRefusedError:
            return True
        except OSError:
            pass
    return False


_CREDENTIALS = struct.Struct("iII")


def peer(connection: Socket) -> tuple[int, int]:
    """Return pid and effective user of the other end, at the time of its connect(2) or listen(2).

    Source: SO_PEERCRED, unix(7).
    """
    pid, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(SOL_SOCKET, SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid
