"""Names of the program's, which may be any strings, as the engine and an encoding take them."""

from jumplabel._program.own_builtins import BUILTINS as __builtins__  # type: ignore[no-redef]  # noqa: F401


def printable(name: str) -> str:
    """Return the name with backslashes in the place of NUL and of what is not UTF-8, as of surrogates."""
    if name.isascii() and "\0" not in name:  # as most are
        return name
    return name.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
