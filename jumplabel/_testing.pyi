"""What cffi makes of what only tests and benchmarks use. csrc/ffi_build.py declares its functions."""

from typing import Any

ffi: Any
lib: Any
