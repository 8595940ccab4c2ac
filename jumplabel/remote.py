"""Asking other processes: over the socket that they serve (serving.py), or else by sys.remote_exec (remote_exec.py)."""

import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedIOBase

from jumplabel import remote_exec
from jumplabel.errors import RemoteError
from jumplabel.requests import Answer, line
from jumplabel.socket_folder import address, default_folder, effective_user, open_folder, peer, socket_name

_LONGEST_ANSWER = 1 << 20


def descendants(pid: int) -> list[int]:
    """The process, its children, theirs, but for ourselves; as of now. Those whose parent has ended are not found."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError):
                # proc_pid_stat(5): pid (name) state parent; the name may hold anything
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    found = [pid]
    for parent in found:
        found += sorted(child for child in children.get(parent, []) if child != os.getpid())
    return found


def ask(pid: int, request: Answer, timeout: float) -> Iterator[Answer]:
    """The answers, up to the last one (requests.py); those of watch go on until the process ends.

    request  its fields
    timeout  seconds for the process to be there, and to answer

    Raises RemoteError where it cannot be reached, refuses the request, or breaks off.
    """
    end = time.monotonic() + timeout
    while True:
        connection = _connect(pid, timeout)
        with connection, connection.makefile("rb") as answers:
            connection.settimeout(timeout)
            with suppress(BrokenPipeError):  # it has said why
                connection.sendall(line(request))
            first = _read(answers)
            if first is None:
                raise RemoteError("it hung up without an answer; does it run as another user?")
            if "busy" not in first or time.monotonic() > end:
                if "watching" in first:
                    connection.settimeout(None)
                yield from _checked(first, answers)
                return
        time.sleep(0.05)


def _checked(answer: Answer | None, answers: BufferedIOBase) -> Iterator[Answer]:
    watching = answer is not None and "watching" in answer
    while answer is not None:
        if "error" in answer:
            raise RemoteError(f"it refuses: {answer['error']}")
        if "end" in answer:
            return
        yield answer
        answer = _read(answers)
    if not watching:
        raise RemoteError("it broke off in the middle of its answer")


def _read(answers: BufferedIOBase) -> Answer | None:
    try:
        received: bytes = answers.readline(_LONGEST_ANSWER)
        if not received:
            return None
        answer = json.loads(received)
        if not isinstance(answer, dict):
            raise ValueError(f"{answer!r}")
        return answer
    except ConnectionResetError:
        return None
    except TimeoutError as error:
        raise RemoteError("it does not answer in time; try again with a longer --timeout") from error
    except (ValueError, RecursionError) as error:
        raise RemoteError(f"it does not answer as jumplabel does: {error}") from error


def _connect(pid: int, timeout: float) -> socket.socket:
    uid = effective_user(pid)
    refusals = []
    for path in _folders(pid, uid):
        try:
            return _connect_in(path, pid, uid, timeout)
        except RemoteError as error:
            refusals.append(str(error))
    try:
        return remote_exec.connect(pid, timeout)
    except RemoteError as error:
        raise RemoteError(
            f"it serves no socket ({'; '.join(refusals)}). Without one: {error}. To have it serve one, start it with "
            "JUMPLABEL_SERVE=1, or have it call jumplabel.serve()"
        ) from error


def _folders(pid: int, uid: int) -> list[str]:
    """Where its socket may be: a process that serves has the folder open. Only its user and root can look."""
    found = {}
    with suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                path = os.readlink(f"/proc/{pid}/fd/{descriptor}")
                if stat.S_ISSOCK(os.lstat(os.path.join(path, socket_name(pid))).st_mode):
                    found[path] = True
    return list(found) or [default_folder(uid)]


def _connect_in(path: str, pid: int, uid: int, timeout: float) -> socket.socket:
    """Raises RemoteError where the folder is not to be trusted, or nobody is there, or not who should be."""
    folder = open_folder(path, {uid, os.geteuid(), 0})
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        end = time.monotonic() + timeout
        connection.setblocking(False)
        while True:
            try:
                connection.connect(address(folder, socket_name(pid)))
                break
            except BlockingIOError as error:  # many others wait to be accepted
                if time.monotonic() > end:
                    raise RemoteError(f"{path}/{socket_name(pid)}: it accepts nobody; is it stopped?") from error
            time.sleep(0.01)
        if peer(connection)[0] != pid:
            raise RemoteError(f"{path}/{socket_name(pid)} is that of another process, {peer(connection)[0]}")
        return connection
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError):
            raise RemoteError(f"{path}/{socket_name(pid)}: {error.strerror or error}") from error
        raise
    finally:
        os.close(folder)
