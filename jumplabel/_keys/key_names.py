"""Names of keys: an operator can write each of them in a pattern, a variable of the environment, or a request.

A pattern that is the name of a key means that key (patterns.py). So a name may look like a pattern, ``int(*)(int)`` or
``a, b``. An obvious pattern cannot be a name: ``*``, ``shop.*``, ``!shop``.
"""

import re

from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401
from jumplabel.errors import StaticKeyError

LONGEST = 4000
"""The most bytes that a name may have in JSON. A request of 4096 bytes has room for it."""

_WILDCARD = re.compile(r"(?:^|[.,])[*?]|[*?](?:$|[.,])")
"""Finds a wildcard at the beginning or end of a part of a name."""


def check(name: object) -> bytes:
    """Return the name in UTF-8. Raises StaticKeyError, which says what is wrong with the name."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise StaticKeyError(f"a StaticKey needs a name, a string such as 'shop.tracing', not {name!r}")
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        raise StaticKeyError(f"StaticKey {name!r}: a name must be encodable as UTF-8") from error
    wrong = _what_is_wrong(name, encoded)
    if wrong:
        shown = name if len(name) <= 100 else f"{name[:100]}..."
        raise StaticKeyError(
            f"StaticKey {shown!r}: {wrong}; no operator could address it (jumplabel enable PID NAME, "
            "JUMPLABEL_ENABLE). Choose another name"
        )
    return encoded


def _what_is_wrong(name: str, encoded: bytes) -> str:
    """Return why no pattern can mean this name alone; ``""`` where one can."""
    if _WILDCARD.search(name):
        return "'*' and '?' at the beginning or end of a part are for patterns of names"
    if "," in name and not all(map(str.strip, name.split(","))):
        return "it has nothing beside a comma"
    if name.startswith("!"):
        return "'!' at the beginning takes names out in patterns of names"
    if name != name.strip():
        return "it begins or ends with a blank"
    if len(encoded) > LONGEST // 6 and (size := _size_in_json(name)) > LONGEST:
        return f"it has {size} bytes in JSON, and may have {LONGEST}"
    return ""


def _size_in_json(name: str) -> int:
    """Return how many bytes the standard library's ``json`` takes to write the name."""
    size = len('""')
    for character in name:
        if character in '"\\\n\r\t\f\b':
            size += 2
        elif " " <= character <= "~":
            size += 1
        else:
            size += 6 if character <= "\uffff" else 12
    return size


def addressable(name: str) -> str:
    """Return a name that ``check`` accepts, for a key of our own that is named after a module or a logger.

    Names of modules and loggers may be any strings. Characters that a key's name cannot have become ``_``.
    """
    text = name.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    if _what_is_wrong(text, text.encode()):
        text = "".join("_" if one in "*?," else one for one in text).strip()
        text = f"_{text[1:]}" if text.startswith("!") else text
    if len(text) > LONGEST // 12 - 10 and _size_in_json(text) > LONGEST - 20:  # a number may follow it
        text = text[: LONGEST // 12 - 10].strip()
    return text or "_"
