"""Ask another process: over the socket that it serves (serving.py), or else by sys.remote_exec (remote_exec.py)."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedReader, RawIOBase
from typing import Any

from jumplabel._process.unpatched import monotonic, sleep
from jumplabel._process.unpatched_sockets import Socket
from jumplabel._remote import remote_exec
from jumplabel._remote.operator_requests import Answer, line
from jumplabel._remote.socket_folder import (
    address,
    default_folders,
    effective_user,
    folders_in,
    open_folder,
    open_folder_of,
    own_number,
    peer,
    socket_name,
    temporary_folders,
    unix_socket,
)
from jumplabel.errors import RemoteError

_LONGEST_LINE = 1 << 20
_MOST_BYTES = 1 << 26
_MOST_LINES = 1 << 18
"""Limits of an answer. The answers to ``watch`` have no end, so they have no limit either."""

_ANSWERS: dict[str, list[dict[str, type]]] = {
    "keys": [
        {"key": str, "on": bool, "users": int, "sites": int, "doc": str},
        {"key": str, "on": bool, "users": int, "sites": int},
    ],
    "enable": [{"key": str, "outcome": str, "why": str}, {"key": str, "outcome": str}, {"left_out": int}],
    "disable": [{"key": str, "outcome": str, "why": str}, {"key": str, "outcome": str}, {"left_out": int}],
    "level": [
        {"logger": str, "outcome": str, **levels, **why}
        for levels in ({"before": dict, "after": dict}, {"before": dict}, {})
        for why in ({"why": str}, {})
    ],
    "watch": [{"time": float, "key": str, "old": bool, "new": bool, "sites": int}, {"lost": int}],
}
"""The valid answers to each command, with the types of their fields. Further fields are ignored."""

_READ_ONLY = "keys", "watch"


def ask(pid: int, request: Answer, timeout: float) -> Iterator[Answer]:
    """Send a request to a process, and yield its answers (operator_requests.py). ``watch`` ends with the process.

    Answers have all their fields, with the right types. **Strings may hold anything**: escape them before printing.

    request  the fields of the request
    timeout  seconds to reach the process, and again as many for the whole answer

    Raises RemoteError if the process cannot be reached, refuses the request, or ends its answer early.
    """
    end = monotonic() + timeout
    while True:
        with _connect(pid, timeout) as connection:
            answers = _Answers(connection, request["command"], monotonic() + timeout)
            answers.send(line(request))
            first = answers.next()
            if first is None:
                raise answers.wrong("it hung up without an answer; does it run as another user?")
            if "busy" not in first or monotonic() > end:
                yield from _checked(first, answers, request["command"])
                return
        sleep(0.05)


def _checked(answer: Answer | None, answers: "_Answers", command: str) -> Iterator[Answer]:
    watching = False
    while answer is not None:
        if type(answer.get("error")) is str:
            raise RemoteError(f"it refuses: {answer['error']}")
        if "end" in answer:
            return
        if command == "watch" and not watching and "watching" in answer:
            watching = True
            answers.go_on()
            yield {"watching": True}
        else:
            yield answers.with_fields(answer)
        answer = answers.next()
    if not watching:
        raise answers.wrong("it broke off in the middle of its answer")


class _Answers(RawIOBase):
    """The answers of a process that is not trusted: limited in lines, bytes and time.

    A buffer reads from this in pieces. So the time limit also holds for a line that arrives byte by byte.
    """

    def __init__(self, connection: Socket, command: str, end: float) -> None:
        self._connection = connection
        self._command = command
        self._end: float | None = end
        self._bytes = self._lines = 0
        self._sent = False
        self._buffer = BufferedReader(self)

    def send(self, request: bytes) -> None:
        try:
            self._wait()
            with suppress(ConnectionError):  # the answer, already sent, says why
                self._connection.sendall(request)
                self._sent = True
        except TimeoutError as error:
            raise RemoteError("it does not take the request in time; try again with a longer --timeout") from error

    def go_on(self) -> None:
        """Drop the limits, for ``watch``."""
        self._end = None

    def next(self) -> Answer | None:
        """Return the next answer, or None when the process has closed the connection. Raises RemoteError."""
        try:
            received = self._buffer.readline(_LONGEST_LINE)
            if not received:
                return None
            self._lines += 1
            if self._end is not None and self._lines > _MOST_LINES:
                raise ValueError("more lines than any answer has")
            answer = json.loads(received)
            if not isinstance(answer, dict):
                raise ValueError("a line that is no object")
            return answer
        except ConnectionResetError:
            return None
        except TimeoutError as error:
            raise self.wrong("it does not answer in time; try again with a longer --timeout") from error
        except (ValueError, RecursionError) as error:
            raise self.wrong(f"it does not answer as jumplabel does: {error}") from error

    def with_fields(self, answer: Answer) -> Answer:
        """Return the fields of the answer that the command has. Raises RemoteError if one is missing or wrong."""
        for fields in _ANSWERS[self._command]:
            if all(_is_of(answer.get(name), kind) for name, kind in fields.items()):
                return {name: answer[name] for name in fields}
        raise self.wrong("it does not answer as jumplabel does: a field is missing, or of another type")

    def wrong(self, why: str) -> RemoteError:
        """Return an error that warns of a possible effect, if the request was sent."""
        if self._sent and self._command not in _READ_ONLY:
            why += f". The {self._command} may have taken effect all the same: look with 'keys'"
        return RemoteError(why)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._wait()
        received = self._connection.recv_into(buffer)
        self._bytes += received
        if self._end is not None and self._bytes > _MOST_BYTES:
            raise ValueError("more bytes than any answer has")
        return received

    def _wait(self) -> None:
        """Set the connection's timeout to the time that is left."""
        left = None if self._end is None else self._end - monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)


def _is_of(value: Any, kind: type) -> bool:
    if kind is dict and type(value) is dict:  # of a logger's level
        return (type(value.get("name")), type(value.get("number"))) == (str, int)
    return type(value) is kind


def _connect(pid: int, timeout: float) -> Socket:
    uid = effective_user(pid)
    end = monotonic() + timeout
    refusals = []
    for path in _folders(pid, uid):
        try:
            return _connect_in(path, pid, uid, end)
        except RemoteError as error:
            refusals.append(str(error))
    if not refusals:
        may_look = os.access(f"/proc/{pid}/fd", os.R_OK)
        refusals = ["it has none open" if may_look else "we may not look into it, and its user's folders have none"]
    try:
        return remote_exec.connect(pid, timeout)
    except RemoteError as error:
        raise RemoteError(
            f"it serves no socket ({'; '.join(refusals)}). Without one: {error}. To have it serve one, start it with "
            "JUMPLABEL_SERVE=1, or have it call jumplabel.serve()"
        ) from error


def _folders(pid: int, uid: int) -> list[str]:
    """Return the folders that may hold the process's socket.

    A serving process has the folder open. ``/proc/PID/fd/N`` leads to it, from any container and whatever its name.
    Without the right to read that (it is ptrace(2)'s), look in the known folders of the process's user.
    """
    name = socket_name(own_number(pid))
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        private = [path for temporary in temporary_folders() for path in folders_in(temporary, {uid})]
        return [path for path in (*default_folders(uid), *private) if _is_socket(os.path.join(path, name))]
    folders: dict[tuple[int, int], str] = {}
    for descriptor in descriptors:
        path = f"/proc/{pid}/fd/{descriptor}"
        with suppress(OSError):
            if os.readlink(path).startswith("/") and _is_socket(os.path.join(path, name)):
                status = os.stat(path)
                folders.setdefault((status.st_dev, status.st_ino), path)
    return list(folders.values())


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _connect_in(path: str, pid: int, uid: int, end: float) -> Socket:
    """Connect to the socket in a folder.

    Raises RemoteError if the folder cannot be trusted, no process serves there, or another one than ``pid`` does.
    """
    owners = {uid, os.geteuid(), 0}
    proc, _, descriptor = path.rpartition("/")
    of_process = proc == f"/proc/{pid}/fd"
    folder = open_folder_of(pid, descriptor, owners) if of_process else open_folder(path, owners)
    name = socket_name(own_number(pid))
    connection = unix_socket()
    try:
        while True:
            try:
                connection.connect(address(folder, name))
                break
            except BlockingIOError as error:  # the backlog is full
                if monotonic() > end:
                    raise RemoteError(f"{path}/{name}: it accepts no connection; is it stopped?") from error
            sleep(0.01)
        number, user = peer(connection)
        if number != pid or user not in owners:
            raise RemoteError(f"{path}/{name} is that of another process, {number}, of user {user}")
        return connection
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError):
            raise RemoteError(f"{path}/{name}: {error.strerror or error}") from error
        raise
    finally:
        os.close(folder)
