"""What an operator may ask of a process, strictly read, and what is answered; knows nothing of sockets.

A request is one line of JSON, an object of just two fields: ``{"command": "enable", "patterns": ["shop.*"]}``.
The answer is a line of JSON a key, or toggle, and then ``{"end": true}``; or ``{"error": "..."}``. Names of keys are
all that a request can say, and it is never more than compared with them.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from jumplabel.errors import JumpLabelError, RemoteError, StaticKeyError
from jumplabel.keys import StaticKey, key, keys
from jumplabel.patterns import Patterns

LONGEST = 4096
"""Bytes of a request, with the newline."""

_COMMANDS = "keys", "enable", "disable", "watch"
_MOST_PATTERNS = 100

Answer = dict[str, Any]

END: Answer = {"end": True}


class Request(NamedTuple):
    command: str
    patterns: Patterns


def line(answer: Answer) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def parse(request: bytes) -> Request:
    """Raises RemoteError, or PatternError, for anything but a request."""
    try:
        fields = json.loads(request.decode(), object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:  # among the former UnicodeDecodeError
        raise RemoteError(f"a request is a line of JSON in UTF-8: {error}") from error
    if not isinstance(fields, dict) or fields.keys() != {"command", "patterns"}:
        raise RemoteError("a request is an object with the fields command and patterns")
    command, patterns = fields["command"], fields["patterns"]
    if command not in _COMMANDS:
        raise RemoteError(f"the command is one of {', '.join(_COMMANDS)}")
    if not isinstance(patterns, list):
        raise RemoteError("patterns is a list of strings")
    found = Patterns(patterns)
    if len(found.patterns) > _MOST_PATTERNS:
        raise RemoteError(f"that are {len(found.patterns)} patterns; at most {_MOST_PATTERNS}, please")
    return Request(command, found)


def _each_once(pairs: list[tuple[str, Any]]) -> Answer:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field is there twice")
    return fields


def answers(request: Request) -> Iterator[Answer]:
    """Of any command but watch. Toggles are made at once, before the first answer is fetched from them.

    Holds no key for longer than it looks at it: who reads slowly shall not keep keys alive.
    """
    names = [key.name for key in keys() if key.name in request.patterns]
    if request.command == "keys":
        yield from (_state(found) for found in map(_key, names) if found is not None)
    else:
        on = request.command == "enable"
        yield from [_toggled(found, on) for found in map(_key, names) if found is not None]
    yield END


def _key(name: str) -> StaticKey | None:
    try:
        return key(name)
    except StaticKeyError:  # it has gone meanwhile
        return None


def _state(key: StaticKey) -> Answer:
    return {"key": key.name, "on": key.enabled, "users": key.count, "sites": len(key.entries)}


def _toggled(key: StaticKey, on: bool) -> Answer:
    """Whether it was changed or so already, or why it refused."""
    try:
        before = _users(key)
        key.enable() if on else key.disable()
        outcome = "changed" if _users(key) != before else "already"
        if key.enabled is on:
            return {"key": key.name, "outcome": outcome}
        return {
            "key": key.name,
            "outcome": outcome,
            "why": "but an override, or another user, has it otherwise for now",
        }
    except JumpLabelError as error:
        return {"key": key.name, "outcome": "refused", "why": str(error)}
    except Exception as error:
        return {"key": key.name, "outcome": "refused", "why": repr(error)}


def _users(key: StaticKey) -> tuple[bool, int]:
    return key.enabled, key.count
