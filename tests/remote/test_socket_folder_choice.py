"""Which folder a process serves in, and which folders it refuses."""

import os
from pathlib import Path

import pytest
from operators import descriptors
from socket_folders import NOBODY, own_keys, root_only

from jumplabel import RemoteError, serve
from jumplabel._remote import remote_exec, serving, socket_folder


@pytest.fixture(autouse=True)
def only_over_sockets(monkeypatch):
    def refuse(pid, timeout):
        raise RemoteError("not this way")

    monkeypatch.setattr(remote_exec, "connect", refuse)


def test_it_is_in_the_folder_of_the_user_that_is_logged_in(temporary, monkeypatch, tmp_path):
    uid = os.getuid()
    assert list(socket_folder.default_folders(uid)) == []
    (tmp_path / "run" / str(uid)).mkdir(0o700)
    (tmp_path / "xdg").mkdir(0o700)
    by_system = str(tmp_path / "run" / str(uid) / "jumplabel")
    assert list(socket_folder.default_folders(uid)) == [by_system]
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{tmp_path}/xdg/")
    assert list(socket_folder.default_folders(uid)) == [str(tmp_path / "xdg" / "jumplabel"), by_system]
    assert list(socket_folder.default_folders(uid + 1)) == []
    with serve() as server:
        assert Path(server.path).parent == tmp_path / "xdg" / "jumplabel"
        assert serve(tmp_path / "xdg" / "jumplabel") is serve() is server


@pytest.mark.parametrize(
    "xdg",
    [
        lambda path: path.mkdir(0o777) or path.chmod(0o777),
        lambda path: path.mkdir() or path.chmod(0o770),
        lambda path: path.write_text(""),
        lambda path: None,
        pytest.param(lambda path: path.mkdir(0o700) or os.chown(path, NOBODY, -1), marks=root_only),
    ],
    ids=["open to all", "open to a group", "a file", "missing", "another user's"],
)
def test_a_folder_that_another_user_can_write_is_passed_over(temporary, monkeypatch, tmp_path, xdg):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "xdg"))
    xdg(tmp_path / "xdg")
    assert list(socket_folder.default_folders(os.getuid())) == []


@pytest.mark.parametrize("value", ["", "relative", "/x\0y", "\udcff"])
def test_a_value_that_is_no_folder_is_passed_over(temporary, monkeypatch, value):
    monkeypatch.setattr(os, "environ", {"XDG_RUNTIME_DIR": value})
    assert list(socket_folder.default_folders(os.getuid())) == []


def as_file(path):
    path.write_text("")


def as_link(path):
    path.symlink_to("/")


def open_to_others(path):
    path.mkdir()
    path.chmod(0o755)


def of_another_user(path):
    path.mkdir(0o700)
    os.chown(path, NOBODY, -1)


@pytest.mark.parametrize(
    "make",
    [as_file, as_link, open_to_others, pytest.param(of_another_user, marks=root_only)],
    ids=lambda make: make.__name__,
)
def test_without_that_folder_a_private_one_is_made(temporary, monkeypatch, tmp_path, make):
    (tmp_path / "xdg").mkdir(0o700)
    make(tmp_path / "xdg" / "jumplabel")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "xdg"))
    with serve() as server:
        assert Path(server.path).parent.parent == temporary
        assert serve() is server


def test_a_private_folder_has_a_name_that_cannot_be_guessed_and_goes_with_its_server(temporary):
    before, names = descriptors(), set()
    for _ in range(3):
        with serve() as server:
            [folder] = temporary.iterdir()
            names.add(folder.name)
            assert (folder / f"{os.getpid()}.sock") == Path(server.path)
            assert folder.stat().st_mode & 0o7777 == 0o700
            assert len(folder.name.removeprefix("jumplabel-sockets-")) == 32
            assert own_keys() == []
        assert list(temporary.iterdir()) == [] and descriptors() == before
    assert len(names) == 3


def test_without_room_for_temporary_files_there_is_an_error(temporary, monkeypatch):
    monkeypatch.setattr(socket_folder, "temporary_folders", lambda: [])
    with pytest.raises(RemoteError, match="there is no folder for temporary files"):
        serve()


def test_folders_for_temporary_files_are_the_existing_ones(monkeypatch, tmp_path):
    for value in ("", "relative", str(tmp_path / "none")):
        monkeypatch.setenv("TMPDIR", value)
        assert socket_folder.temporary_folders()[0] == "/tmp"
    monkeypatch.setenv("TMPDIR", f"{tmp_path}/")
    assert socket_folder.temporary_folders()[:2] == [str(tmp_path), "/tmp"]


def test_a_folder_that_is_removed_while_it_is_made_is_made_again(temporary, monkeypatch):
    """Another process may take it for a folder that was left, until it is locked."""
    lock, removed = serving.lock_folder, []

    def remove_before(folder, seconds):
        if len(removed) < 2:
            [path] = temporary.iterdir()
            removed.append(path)
            path.rmdir()
        lock(folder, seconds)

    monkeypatch.setattr(serving, "lock_folder", remove_before)
    before = descriptors()
    with serve() as server:
        assert Path(server.path).parent not in removed and len(removed) == 2
        assert own_keys() == []
    assert list(temporary.iterdir()) == [] and descriptors() == before


@pytest.mark.parametrize("what, error", [("start_own_thread", RuntimeError), ("unix_socket", OSError)])
def test_a_server_that_cannot_start_leaves_nothing(temporary, monkeypatch, what, error):
    def refuse(*_):
        raise error("just now")

    monkeypatch.setattr(serving, what, refuse)
    before = descriptors()
    with pytest.raises(RemoteError, match="just now"):
        serve()
    assert list(temporary.iterdir()) == [] and descriptors() == before
