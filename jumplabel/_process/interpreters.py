"""Which interpreter of the process this is: the main one, or a sub-interpreter."""

import sys
from importlib import import_module


def is_main() -> bool:
    """Return whether this is the main interpreter. True where Python has no module that knows."""
    try:
        interpreters = import_module("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    except ImportError:
        return True
    return bool(interpreters.get_current() == interpreters.get_main())
