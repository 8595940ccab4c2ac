"""Static keys: code that costs nothing until it is switched on, in a running process.

Toggling a key rewrites the code that depends on it, as the Linux kernel's jump labels do for C. Start with StaticKey,
static_branches, static_gate and static_switch. ``info()`` and ``jump_table()`` tell what there is.

Importing the package changes nothing in the process, unless JUMPLABEL_INSTRUMENT says so. The first gate, switch or
other native site maps executable memory and takes SIGTRAP.

(PYTEST_DONT_REWRITE: the distribution has a plugin for pytest. So pytest would rewrite the package's assertions, and
warn where the package was imported before.)
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

try:
    from jumplabel._engine import lib as _lib  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "jumplabel._engine":
        raise
    raise ImportError(
        f"the engine of jumplabel is not built in {__path__[0]}. If that is a source tree, build it there with "
        "'pip install -e .', or run the installed package from another directory"
    ) from error
except ImportError as error:
    if "subinterpreters" not in str(error):  # as CPython's Python/import.c has it
        raise
    raise ImportError(
        "jumplabel cannot be imported in an isolated sub-interpreter: cffi, which its engine is made with, supports "
        "none. Import it in the main interpreter, or in a process"
    ) from error

from jumplabel._bytecode.hints import likely, unlikely
from jumplabel._instrument.import_hook import Hook, install, uninstall
from jumplabel._instrument.instrumented_modules import Instrumented, instrumented
from jumplabel._instrument.loaded_modules import Instrumentation, instrument
from jumplabel._instrument.startup import start as _start
from jumplabel._keys.batches import batch
from jumplabel._keys.jump_entries import JumpEntry, jump_table
from jumplabel._keys.key_arrays import StaticKeyArray
from jumplabel._keys.static_key import StaticKey, key, keys
from jumplabel._keys.toggles import Toggle, off_toggle, on_toggle
from jumplabel._process.settings import asks_to_serve as _asks_to_serve
from jumplabel._process.settings import configure_if_asked as _configure_if_asked
from jumplabel._program.exported import exported as _exported
from jumplabel._sites.gates import static_gate, static_switch
from jumplabel._sites.native_branches import NativeBranch, native_branch
from jumplabel._sites.static_call import StaticCall
from jumplabel._sites.tracepoint import Tracepoint
from jumplabel.errors import (
    CallbackError,
    DecorationError,
    InstrumentError,
    JumpLabelError,
    PatchError,
    PatternError,
    RemoteError,
    ReplacedCodeWarning,
    SettingError,
    SettingWarning,
    StaticKeyError,
    TracepointError,
)

if _TYPE_CHECKING:
    from jumplabel._diagnostics.process_info import Info, info
    from jumplabel._remote.serving import Server, serve
    from jumplabel._sites.branches import static_branches
else:
    _LATER = {
        **dict.fromkeys(("Server", "serve"), "_remote.serving"),
        "static_branches": "_sites.branches",
        **dict.fromkeys(("Info", "info"), "_diagnostics.process_info"),
    }
    """Names that are imported at their first use, and their modules: they need sockets, JSON, dataclasses, bytecode."""

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "static_branches":  # its call needs more modules, and may come when no file can be opened any more
            import_module(f"{__name__}._bytecode.instructions").prepare()
        found = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER})


# A SettingWarning reports a wrong value in the environment. The import goes on without the value.
_configure_if_asked()
_start()
if _asks_to_serve():
    from jumplabel._remote.serving import serve_if_asked as _serve_if_asked

    _serve_if_asked()

__all__ = [
    "CallbackError",
    "DecorationError",
    "Hook",
    "Info",
    "InstrumentError",
    "Instrumentation",
    "Instrumented",
    "JumpEntry",
    "JumpLabelError",
    "NativeBranch",
    "PatchError",
    "PatternError",
    "RemoteError",
    "ReplacedCodeWarning",
    "Server",
    "SettingError",
    "SettingWarning",
    "StaticCall",
    "StaticKey",
    "StaticKeyArray",
    "StaticKeyError",
    "Toggle",
    "Tracepoint",
    "TracepointError",
    "batch",
    "info",
    "install",
    "instrument",
    "instrumented",
    "jump_table",
    "key",
    "keys",
    "likely",
    "native_branch",
    "off_toggle",
    "on_toggle",
    "serve",
    "static_branches",
    "static_gate",
    "static_switch",
    "uninstall",
    "unlikely",
]

# What is imported later does the same for itself. So do StaticCall and Tracepoint, which nothing can change now.
for _name in __all__:
    _thing = globals().get(_name)
    if _thing is not None and _thing.__module__ != __name__:
        _exported(_thing)
del _name, _thing
