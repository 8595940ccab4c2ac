"""What cffi makes of the engine. csrc/ffi_build.py declares its functions."""

from typing import Any

ffi: Any
lib: Any
