"""The rooms of csrc: which folders a build compiles, and where its headers are.

For csrc/ffi_build.py, the tests and noxfile.py. A processor or system without a folder of its own gets ``generic``.
The environment variables JUMPLABEL_ARCH and JUMPLABEL_OS name another folder at build time.
"""

import os
import platform
import sys
from pathlib import Path

CSRC = Path(__file__).parent


def arch() -> str:
    """The folder of csrc/arch for this processor. Raises FileNotFoundError for a JUMPLABEL_ARCH without one."""
    machine = platform.machine() if sys.maxsize > 2**32 else "generic"
    return _chosen("arch", "JUMPLABEL_ARCH", machine)


def system() -> str:
    """The folder of csrc/os for this system. Raises FileNotFoundError for a JUMPLABEL_OS without one."""
    return _chosen("os", "JUMPLABEL_OS", sys.platform)


def _chosen(room: str, variable: str, usual: str) -> str:
    asked = os.environ.get(variable)
    if asked and not (CSRC / room / asked).is_dir():
        raise FileNotFoundError(f"{variable}={asked}: there is no folder csrc/{room}/{asked}")
    name = asked or usual
    return name if (CSRC / room / name).is_dir() else "generic"


def engine(processor: str | None = None, os_name: str | None = None) -> list[Path]:
    """The folders of the engine without Python: the engine itself, its processor and its system."""
    return [CSRC / "engine", CSRC / "arch" / (processor or arch()), CSRC / "os" / (os_name or system())]


def sources(*folders: Path) -> list[Path]:
    """The C and assembly files of these folders."""
    return sorted(path for folder in folders for path in folder.iterdir() if path.suffix in (".c", ".S"))


def includes(*folders: Path) -> list[Path]:
    """Where the headers of these folders are, those that all processors and all systems share included."""
    return [*folders, CSRC / "arch", CSRC / "os"]


def includes_of(file: Path) -> list[Path]:
    """Where one file of csrc finds headers: a processor's file those of that processor, a system's of that system."""
    room, folder, *_ = file.relative_to(CSRC).parts
    processor = folder if room == "arch" else None
    os_name = folder if room == "os" else None
    return includes(*engine(processor, os_name), CSRC / "cpython", CSRC / "testing")
