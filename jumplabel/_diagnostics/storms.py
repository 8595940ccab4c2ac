"""The C storms and loops of csrc/testing. Only tests, benchmarks and the commands ``demo`` and ``stress`` run them.

They are an extension module of their own, so the engine's module stays small. ENGINE holds the functions that they
call in this process's engine.
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
