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

JUMPLABEL_SERVE counts for nothing under ``python -E`` and ``-I``. JUMPLABEL_INSTRUMENT and JUMPLABEL_ENABLE are read in
startup.py.
"""

import os
import sys
from collections.abc import Mapping

from jumplabel._engine import lib
from jumplabel.errors import SettingError

CHOICES = {
    "JUMPLABEL_NATIVE": {"": 1, "1": 1, "0": 0},
    "JUMPLABEL_SYNC": {"": lib.SYNC_NONE, "membarrier": lib.SYNC_MEMBARRIER, "signal": lib.SYNC_SIGNAL},
    "JUMPLABEL_SYNCS": {"": 2, "2": 2, "3": 3},
    "JUMPLABEL_POKE": {"": lib.POKE_AUTO, "int3": lib.POKE_INT3, "word": lib.POKE_WORD},
}


def configure(environment: Mapping[str, str] = os.environ) -> None:
    """Hand the settings to the engine. Raises SettingError for a value that is not among CHOICES."""
    values = []
    for name, choices in CHOICES.items():
        text = environment.get(name, "")
        if text not in choices:
            known = ", ".join(choice for choice in choices if choice)
            raise SettingError(f"{name}={text!r}: set it to one of {known}, or not at all")
        values.append(choices[text])
    lib.jump_label_configure(values)


def folder_to_serve(environment: Mapping[str, str] = os.environ) -> str | None:
    """Where to serve; "": in the default folder; None: nowhere. Raises SettingError for a path that is not absolute."""
    if sys.flags.ignore_environment:
        return None
    text = environment.get("JUMPLABEL_SERVE", "")
    if text in ("", "0"):
        return None
    if text == "1":
        return ""
    if not os.path.isabs(text):
        raise SettingError(f"JUMPLABEL_SERVE={text!r}: set it to 1, or to the absolute path of a folder, or not at all")
    return text
