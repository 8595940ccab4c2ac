"""The requests of operators, strictly parsed, and their answers. This module knows nothing of sockets.

A request is one line of JSON, an object of just two fields: ``{"command": "enable", "patterns": ["shop.*"]}``; or of
three: ``{"command": "level", "logger": "shop.cart", "level": "DEBUG"}``. The answer is a line of JSON for each key,
toggle or logger, and then ``{"end": true}``; or ``{"error": "..."}``. A request holds only names of keys, loggers and
levels, and numbers of levels. Names are only looked up and compared.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from jumplabel._keys.jump_entries import read_entries
from jumplabel._keys.patterns import Patterns
from jumplabel._keys.static_key import StaticKey, key, keys
from jumplabel._keys.toggle_many import Outcome, toggle_all
from jumplabel.errors import JumpLabelError, RemoteError, StaticKeyError

LONGEST = 4096
"""Bytes of a request, with the newline."""

_COMMANDS = "keys", "enable", "disable", "watch", "level"
_MOST_PATTERNS = 100
_HIGHEST_LEVEL = 1_000_000
_LONGEST_DOC = 200

Answer = dict[str, Any]

END: Answer = {"end": True}


class Request(NamedTuple):
    command: str
    patterns: Patterns


class LevelRequest(NamedTuple):
    command: str
    logger: str
    level: int | str


def line(answer: Answer) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def parse(request: bytes) -> Request | LevelRequest:
    """Return the request in a line of JSON. Raises RemoteError or PatternError for anything else."""
    try:
        fields = json.loads(request.decode(), object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:  # among the former UnicodeDecodeError
        raise RemoteError(f"a request is a line of JSON in UTF-8: {error}") from error
    if isinstance(fields, dict) and fields.get("command") == "level":
        return _parse_level(fields)
    if not isinstance(fields, dict) or fields.keys() != {"command", "patterns"}:
        raise RemoteError("a request is an object with the fields command and patterns")
    command, patterns = fields["command"], fields["patterns"]
    if command not in _COMMANDS:
        raise RemoteError(f"the command is one of {', '.join(_COMMANDS)}")
    if not isinstance(patterns, list):
        raise RemoteError("patterns is a list of strings")
    found = Patterns(patterns, of_keys=True)
    if len(found.patterns) > _MOST_PATTERNS:
        raise RemoteError(f"that are {len(found.patterns)} patterns; at most {_MOST_PATTERNS}, please")
    return Request(command, found)


def _parse_level(fields: Answer) -> LevelRequest:
    if fields.keys() != {"command", "logger", "level"}:
        raise RemoteError("a request for a level has the fields command, logger and level")
    logger, level = fields["logger"], fields["level"]
    if not isinstance(logger, str):
        raise RemoteError("logger is the name of one, a string")
    if not isinstance(level, str) and not (type(level) is int and 0 <= level <= _HIGHEST_LEVEL):
        raise RemoteError(f"level is the name of one, or a number from 0 to {_HIGHEST_LEVEL}")
    return LevelRequest("level", logger, level)


def _each_once(pairs: list[tuple[str, Any]]) -> Answer:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a field is there twice")
    return fields


def answers(request: Request | LevelRequest) -> Iterator[Answer]:
    """Carry out any request but ``watch``, and yield its answers.

    All toggles are one transaction, made before the first answer. A key that refuses is left out of it, and its answer
    says why. Keys that follow loggers cannot be toggled: those that only a wildcard matches are left out and counted.

    No key is referenced between two answers, so a client that reads slowly keeps no key alive.
    """
    if isinstance(request, LevelRequest):
        yield _leveled(request)
        yield END
        return
    names = request.patterns.among(key.name for key in keys())
    if request.command == "keys":
        yield from (_state(found) for found in map(_key, names) if found is not None)
    else:
        on = request.command == "enable"
        meant = [name for name in names if request.patterns.names(name) or not _follows_a_logger(_key(name))]
        yield from _toggled([found for found in map(_key, meant) if found is not None], on)
        if len(meant) < len(names):
            yield {"left_out": len(names) - len(meant)}
    yield END


def _key(name: str) -> StaticKey | None:
    try:
        return key(name)
    except StaticKeyError:  # the key was dropped in the meantime
        return None


def _follows_a_logger(key: StaticKey | None) -> bool:
    """Return whether a key follows a logger. Without log_keys.py, which imports logging, no key does."""
    return isinstance(key, getattr(sys.modules.get("jumplabel._loggers.log_keys"), "LogKey", ()))


def _state(key: StaticKey) -> Answer:
    """Return a key's state, with the first line of its ``doc``, if it has one."""
    answer: Answer = {"key": key.name, "on": key.enabled, "users": key.count, "sites": len(read_entries(key._key))}
    if key.doc:
        answer["doc"] = key.doc.partition("\n")[0][:_LONGEST_DOC]
    return answer


def _toggled(found: list[StaticKey], on: bool) -> list[Answer]:
    outcomes = toggle_all(found, on)
    return [_answer(key, on, outcome) for key, outcome in zip(found, outcomes, strict=True)]


def _answer(key: StaticKey, on: bool, outcome: Outcome) -> Answer:
    """Return whether a key was changed, had the state already, or why it refused."""
    answer: Answer = {"key": key.name, "outcome": outcome.word}
    if outcome.why:
        hint = "; from outside, see `level`" if _follows_a_logger(key) else ""
        answer["why"] = f"{outcome.why}{hint}"
    elif key.enabled is not on:
        answer["why"] = "but an override, or another user, has it otherwise for now"
    return answer


def _leveled(request: LevelRequest) -> Answer:
    """Set a logger's level. Return the levels before and after, and whether it was changed, already so, or refused."""
    answer: Answer = {"logger": request.logger, "outcome": "refused"}
    try:
        logging = sys.modules.get("logging")
        if logging is None:
            raise RemoteError("it has not imported logging")
        logger, level = _logger(logging, request.logger), _number(logging, request.level)
        before = answer["before"] = _shown(logging, logger.level)
        try:
            logger.setLevel(level)
        finally:
            after = answer["after"] = _shown(logging, logger.level)
        if after["number"] != level:
            raise RemoteError("its setLevel() has it otherwise")
        answer["outcome"] = "already" if before["number"] == level else "changed"
    except JumpLabelError as error:
        answer["why"] = str(error)
    except BaseException as error:  # the program's logger class may raise anything, but the thread must go on serving
        answer["why"] = repr(error)
    return answer


def _logger(logging: Any, name: str) -> Any:
    """Return a logger without making one, as getLogger() would. Raises RemoteError if there is none."""
    found = logging.root if name == "root" else logging.root.manager.loggerDict.get(name)
    if isinstance(found, logging.PlaceHolder):
        raise RemoteError(f"there is no logger {name!r}, there are only some below it")
    if not isinstance(found, logging.Logger):
        raise RemoteError(f"there is no logger {name!r}")
    return found


def _number(logging: Any, level: int | str) -> int:
    """Return the number of a level. Raises RemoteError for an unknown name."""
    if isinstance(level, int):
        return level
    names = logging.getLevelNamesMapping()
    numbers = {name.upper(): number for name, number in names.items() if isinstance(name, str)} | names
    number = numbers.get(level, numbers.get(level.upper()))
    if number is None:
        raise RemoteError(f"there is no level {level!r}; it is a name, or a number from 0 to {_HIGHEST_LEVEL}")
    return int(number)


def _shown(logging: Any, level: Any) -> Answer:
    return {"number": int(level), "name": str(logging.getLevelName(level))}
