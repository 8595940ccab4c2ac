"""Fixtures of the tests of files with marked code."""

import sys
from pathlib import Path
from typing import Any

import pytest

from jumplabel._instrument import code_cache


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Files are written, below a folder of the test's."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the sources that are compiled."""
    found: list[str] = []
    compile_or_leave = code_cache.compile_or_leave

    def note(source: bytes, filename: str, options: Any) -> Any:
        found.append(Path(filename).name)
        return compile_or_leave(source, filename, options)

    monkeypatch.setattr(code_cache, "compile_or_leave", note)
    return found
