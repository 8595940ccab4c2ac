"""Fixtures of the tests of operators: a server in this process, a process to reach, and the command that reaches it."""

import pytest
from reached import environment, run, start

from jumplabel import StaticKey, serve
from jumplabel._remote import socket_folder

__all__ = ["environment", "run", "start"]


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files, and no folder for running users."""
    folder = tmp_path / "tmp"
    folder.mkdir(0o700)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(socket_folder, "RUN_USER", str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    return folder


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "sockets"


@pytest.fixture
def server(folder):
    with serve(folder) as server:
        yield server


@pytest.fixture
def keys():
    return StaticKey("rack.tracing"), StaticKey("rack.strict", default=True)
