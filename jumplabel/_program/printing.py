"""The program's names, which may be any strings, in a form that the engine and UTF-8 take."""

from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401


def printable(name: str) -> str:
    """Return the name with a backslash escape for NUL, and for each character that UTF-8 cannot encode (surrogates)."""
    if name.isascii() and "\0" not in name:
        return name
    return name.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
