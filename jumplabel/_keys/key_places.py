"""The place in a program that makes a key. The same place may make its key again."""

import os
import sys
from types import CodeType, FrameType
from typing import NamedTuple
from weakref import ref

_MAKERS = {"jumplabel._keys.static_key", "jumplabel._keys.key_arrays", "jumplabel._sites.tracepoint"}
"""Our modules that call StaticKey for the program."""


class Place(NamedTuple):
    """An instruction of the program, by names that stay when its module is run again. Keeps nothing alive."""

    module: str
    """The ``__name__`` of the module; empty where that is no string."""
    qualname: str
    """The qualified name of the function or class; ``<module>`` outside of them."""
    file: str
    code: "ref[CodeType]"
    at: int
    """The offset of the instruction in the code, in bytes."""

    def is_again(self, other: "Place") -> bool:
        """Return whether this is the other place, run once more.

        In the same code object it is the same instruction. A module that is run again, or a cell of a notebook, has new
        code objects, with other lines. Then the module, the qualified name and the file must be the same. The cells of
        a notebook have no files.
        """
        code = self.code()
        if code is not None and code is other.code():
            return self.at == other.at
        return (self.module, self.qualname) == (other.module, other.qualname) and (
            self.file == other.file or not (os.path.isfile(self.file) or os.path.isfile(other.file))
        )

    def is_imported_twice(self, other: "Place") -> bool:
        """Return whether this is the other place in the same file, run as another module."""
        return (self.file, self.qualname) == (other.file, other.qualname) and self.module != other.module


def caller() -> Place | None:
    """Return the place in the program that has called StaticKey, StaticKeyArray or Tracepoint; None without a frame.

    Where a subclass in the program makes the call, that is the place.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _module_of(frame) in _MAKERS:
        frame = frame.f_back
    if frame is None:
        return None
    code = frame.f_code
    return Place(_module_of(frame), code.co_qualname, code.co_filename, ref(code), frame.f_lasti)


def _module_of(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__")
    return name if type(name) is str else ""
