"""Names of callers: the owner, in the jump table, of a site that stands for no function of the program."""

import sys

from jumplabel._program.looks import text
from jumplabel._program.printing import printable


def caller() -> str:
    """Return ``module.qualname:line`` of what called the calling function, ``module:line`` for a module's statement.

    Without a frame of Python code there (a thread may begin with the calling function), return the name of the calling
    function's module. Reads frames, and runs no code of the program's.
    """
    called = sys._getframe(1)
    frame = called.f_back
    if frame is None:
        return printable(_module(called.f_globals))
    code_name = frame.f_code.co_qualname
    place = _module(frame.f_globals)
    if code_name != "<module>":
        place += f".{code_name}"
    return printable(f"{place}:{frame.f_lineno}")


def _module(variables: dict[str, object]) -> str:
    return text(dict.get(variables, "__name__")) or "?"
