"""The C storms and loops of csrc/testing, which only tests, benchmarks and the commands ``demo`` and ``stress`` run.

They are an extension module of their own, so that the engine does not carry them. ENGINE is what they call of the
engine of this process.
"""

from typing import Any

from jumplabel._engine import ffi as engine_ffi
from jumplabel._engine import lib as engine_lib
from jumplabel._testing import ffi, lib

__all__ = ["ENGINE", "ffi", "lib"]

_FUNCTIONS = {
    "toggle": "static_key_toggle",
    "new_entry": "jump_entry_new",
    "function_of": "jump_entry_function",
    "retire": "jump_entry_retire",
}


def _address(function: str) -> Any:
    return ffi.cast("void *", engine_ffi.addressof(engine_lib, function))


ENGINE = ffi.new("struct engine_functions *", {member: _address(name) for member, name in _FUNCTIONS.items()})
