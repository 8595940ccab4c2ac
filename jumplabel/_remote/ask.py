"""Asking other processes: over the socket that they serve (serving.py), or else by sys.remote_exec (remote_exec.py)."""

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
"""Of an answer; watch has no end."""

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
"""What may be answered to a command, any of these; further fields count for nothing."""

_NO_EFFECT = "keys", "watch"


def ask(pid: int, request: Answer, timeout: float) -> Iterator[Answer]:
    """The answers, up to the last one (operator_requests.py); those of watch go on until the process ends.

    They have the fields that they must have, of the right types; a string may be anything.

    request  its fields
    timeout  seconds for the process to be there, and from then on for all that it answers

    Raises RemoteError where it cannot be reached, refuses the request, or breaks off.
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
    """Of a process that may be anything: so many lines and bytes, until this time.

    A buffer reads from this, piece by piece, so that the time is also that of a line that comes byte by byte.
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
            with suppress(ConnectionError):  # it has said why
                self._connection.sendall(request)
                self._sent = True
        except TimeoutError as error:
            raise RemoteError("it does not take the request in time; try again with a longer --timeout") from error

    def go_on(self) -> None:
        """Without an end."""
        self._end = None

    def next(self) -> Answer | None:
        """None: it has hung up."""
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
        """That the command has."""
        for fields in _ANSWERS[self._command]:
            if all(_is_of(answer.get(name), kind) for name, kind in fields.items()):
                return {name: answer[name] for name in fields}
        raise self.wrong("it does not answer as jumplabel does: a field is missing, or of another type")

    def wrong(self, why: str) -> RemoteError:
        if self._sent and self._command not in _NO_EFFECT:
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
        """From now on, for what is left of the time."""
        left = None if self._end is None else self._end - monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)


def _is_of(value: Any, kind: type) -> bool:
    if kind is dict and type(value) is dict:  # a level
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
    """Return where its socket may be.

    A process that serves has the folder open, and ``/proc/PID/fd/N`` leads there, from any container and by any name.
    Where we may not look, as ptrace(2) would be refused, its user's folders are the places that are known.
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
    """Raises RemoteError where the folder is not to be trusted, or no process is there, or not the one asked for."""
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
            except BlockingIOError as error:  # many others wait to be accepted
                if monotonic() > end:
                    raise RemoteError(f"{path}/{name}: it accepts nobody; is it stopped?") from error
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
