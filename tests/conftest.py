"""What several test files need: C programs of ours, and how long a stress test runs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENGINE = ["arena.c", "int3.c", "jump_label.c", "sync_core.c", "text_poke.c", "trampoline.c", "trampoline_x86_64.S"]


@pytest.fixture(scope="session")
def stress_seconds():
    return float(os.environ.get("JUMPLABEL_STRESS_SECONDS", "10"))


@pytest.fixture(scope="session")
def build_c(tmp_path_factory):
    """build_c(name, *options, engine=True): tests/c/<name>.c, linked with the engine; returns the file built."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("c")

    def build(name, *options, engine=True):
        sources = [ROOT / "tests" / "c" / f"{name}.c", *(ROOT / "csrc" / file for file in ENGINE if engine)]
        command = [compiler, "-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-pthread", f"-I{ROOT / 'csrc'}"]
        subprocess.run([*command, *options, *sources, "-o", folder / name], check=True)
        return folder / name

    return build
