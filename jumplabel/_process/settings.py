"""The environment variables, read once when the package is imported.

======================  =======================================================  ==========
variable                meaning                                                  values
======================  =======================================================  ==========
``JUMPLABEL_NATIVE``    native trampolines, or a plain C branch in their place   ``1``, ``0``
``JUMPLABEL_SYNC``      how cores are synchronized; unset: the first that works  ``membarrier``, ``signal``
``JUMPLABEL_SYNCS``     synchronizations a batch; three is for the cautious      ``2``, ``3``
``JUMPLABEL_POKE``      how sites are rewritten; unset: by int3, and by whole    ``int3``, ``word``
                        words while a thread blocks SIGTRAP
``JUMPLABEL_SERVE``     call ``serve()``, in its default folder or this one      ``1``, a path
======================  =======================================================  ==========

JUMPLABEL_SERVE has no effect under ``python -E`` and ``-I``. startup.py reads JUMPLABEL_INSTRUMENT and
JUMPLABEL_ENABLE.

A variable never stops a program. One SettingWarning reports a value that is wrong, or that this system cannot give, and
the variable is left out. The other variables take effect.
"""

import os
import sys
import warnings
from collections.abc import Mapping

from jumplabel._engine import lib
from jumplabel._process.interpreters import is_main
from jumplabel.errors import SettingError, SettingWarning

CHOICES = {
    "JUMPLABEL_NATIVE": {"": 1, "1": 1, "0": 0},
    "JUMPLABEL_SYNC": {"": lib.SYNC_NONE, "membarrier": lib.SYNC_MEMBARRIER, "signal": lib.SYNC_SIGNAL},
    "JUMPLABEL_SYNCS": {"": 2, "2": 2, "3": 3},
    "JUMPLABEL_POKE": {"": lib.POKE_AUTO, "int3": lib.POKE_INT3, "word": lib.POKE_WORD},
}


_REPORTED = "a warning of jumplabel's, which goes on"


def configure_if_asked() -> None:
    """Configure the engine by the environment. Only the main interpreter does so: sub-interpreters share the engine.

    Without the variables the engine keeps its defaults.
    """
    if any(os.environ.get(name) for name in CHOICES) and is_main():
        configure()


def configure(environment: Mapping[str, str] = os.environ) -> None:
    """Give the settings to the engine. Warns of a value that is not among CHOICES, and leaves it out."""
    values = []
    for name, choices in CHOICES.items():
        text = environment.get(name, "")
        if text not in choices:
            known = ", ".join(choice for choice in choices if choice)
            left_out(f"{name}={text!r} is left out: set it to one of {known}, or not at all")
            text = ""
        values.append(choices[text])
    lib.jump_label_configure(values)


def left_out(message: str) -> None:
    """Warn of a variable that is left out. Only the main interpreter warns, so a process warns once. Never raises."""
    if is_main():
        warn(message)


def warn(message: str) -> None:
    """Warn, and never raise. Where a filter makes an exception of the warning, report it as unraisable."""
    try:
        warnings.warn(message, SettingWarning, stacklevel=2)
    except Exception as error:
        lib.call_site_unraisable(id(error), id(_REPORTED))


def asks_to_serve(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether JUMPLABEL_SERVE has an effect here. A wrong value counts, too."""
    return not sys.flags.ignore_environment and environment.get("JUMPLABEL_SERVE", "") not in ("", "0")


def folder_to_serve(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the folder to serve in; "" for the default folder, None for no serving.

    Raises SettingError for a path that is not absolute.
    """
    if not asks_to_serve(environment):
        return None
    text = environment["JUMPLABEL_SERVE"]
    if text == "1":
        return ""
    if not os.path.isabs(text):
        raise SettingError(
            f"JUMPLABEL_SERVE={text!r} is left out: set it to 1, or to the absolute path of a folder, or not at all"
        )
    return text
