"""The folder of a server's socket: what is refused as one, and dead sockets in it."""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from operators import ask, connect, descriptors

from jumplabel import RemoteError, SettingError, serve
from jumplabel._process.settings import folder_to_serve
from jumplabel._remote import serving

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")

NOBODY = 65534

# ---- the folder ----


def as_file(path):
    path.write_text("")


def as_link(path):
    path.with_name("real").mkdir(0o700)
    path.symlink_to("real")


def of_another_user(path):
    path.mkdir(0o700)
    os.chown(path, NOBODY, -1)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.mkdir(0o755), r"is open to others \(0755\)"),
        (lambda path: (path.mkdir(), path.chmod(0o710)), r"is open to others \(0710\)"),
        (lambda path: (path.mkdir(), path.chmod(0o701)), r"is open to others \(0701\)"),
        (as_link, "is a symbolic link"),
        (as_file, "Not a directory"),
        pytest.param(of_another_user, f"belongs to user {NOBODY}, not to 0", marks=root_only),
    ],
)
def test_a_folder_that_is_not_private_is_refused(folder, make, why):
    make(folder)
    before = descriptors()
    with pytest.raises(RemoteError, match=why):
        serve(folder)
    assert descriptors() == before
    if folder.is_dir():
        assert list(folder.iterdir()) == []


def test_a_link_is_refused_with_a_slash_behind_it_too(folder):
    as_link(folder)
    with pytest.raises(RemoteError, match="symbolic link"):
        serve(f"{folder}/")


def test_a_folder_is_not_made_in_a_missing_one(tmp_path):
    with pytest.raises(RemoteError, match="No such file or directory; name one"):
        serve(tmp_path / "none" / "sockets")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["", "sockets", "./x", b"/tmp", 1, object(), "/a\0b", "/tmp/\ud800"])
def test_a_path_that_is_no_folder_is_refused(wrong):
    with pytest.raises(RemoteError):
        serve(wrong)


def test_a_folder_is_private_and_may_have_a_long_name(tmp_path):
    folder = tmp_path / ("x" * 200)
    with serve(folder) as server:
        assert folder.stat().st_mode & 0o7777 == 0o700
        assert Path(server.path).stat().st_mode & 0o7777 == 0o600
        listener = f"/proc/self/fd/{os.open(folder, os.O_RDONLY)}/{os.getpid()}.sock"
        assert ask(listener, "keys", "none") == []
        os.close(int(listener.split("/")[4]))


def test_a_folder_that_stays_locked_is_given_up(folder, monkeypatch):
    monkeypatch.setattr(serving, "_FOLDER_SECONDS", 0.02)
    folder.mkdir(0o700)
    before = descriptors()
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(RemoteError, match=r"keeps the folder .* locked"):
            serve(folder)
    finally:
        os.close(held)
    assert descriptors() == before
    serve(folder).close()


def test_the_environment_variable(tmp_path):
    for value, folder in (("", None), ("0", None), ("1", ""), ("/run/shop", "/run/shop")):
        assert folder_to_serve({"JUMPLABEL_SERVE": value}) == folder
    assert folder_to_serve({}) is None
    with pytest.raises(SettingError, match="JUMPLABEL_SERVE='yes' is left out: set it to 1, or"):
        folder_to_serve({"JUMPLABEL_SERVE": "yes"})


# ---- stale sockets ----


def test_dead_sockets_go_and_living_ones_stay(folder):
    serves = f"import jumplabel, os; jumplabel.serve({str(folder)!r}); print(flush=True); "
    dead = subprocess.Popen([sys.executable, "-c", serves + "os._exit(0)"], stdout=subprocess.PIPE)
    assert dead.wait(60) == 0
    living = subprocess.Popen([sys.executable, "-c", serves + "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    living.stdout.readline()
    (folder / "123.sock.txt").write_text("not ours")
    (folder / "x.sock").write_text("not ours")
    sockets = {f"{living.pid}.sock", "123.sock.txt", "x.sock"}
    try:
        assert set(os.listdir(folder)) == sockets  # the second process has removed the socket of the first
        crashed = socket.socket(socket.AF_UNIX)
        crashed.bind(str(folder / f"{dead.pid}.sock"))
        elsewhere = socket.socket(socket.AF_UNIX)  # of a process in another container, which is not visible here
        elsewhere.bind(str(folder / "99999999.sock"))
        elsewhere.listen()
        crashed.close()
        with serve(folder) as server:
            assert set(os.listdir(folder)) == sockets | {"99999999.sock", Path(server.path).name}
            assert ask(folder / f"{living.pid}.sock", "keys") == []
        elsewhere.close()
    finally:
        living.communicate(b"\n", timeout=60)
        dead.stdout.close()
    assert living.returncode == 0


def test_sockets_of_killed_workers_go_when_their_parent_ends(folder):
    with serve(folder):
        pass  # which makes the folder
    script = f"""
import jumplabel, os, signal
jumplabel.serve({str(folder)!r})
workers = [os.fork() or os.read(0, 1) or os._exit(0), os.fork() or os.kill(os.getpid(), signal.SIGTERM)]
for pid in workers:
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print(any(os.path.exists(f"{folder}/{{pid}}.sock") for pid in workers))  # one may have removed the socket of the other
for pid in workers:
    os.waitpid(pid, 0)
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert os.listdir(folder) == []


def test_a_locked_folder_does_not_keep_a_server_from_its_end(folder):
    server = serve(folder)
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(folder / "99999999.sock"))
    holder = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        server.close()
        assert os.listdir(folder) == ["99999999.sock"]
    finally:
        os.close(holder)
    serve(folder).close()
    assert os.listdir(folder) == []


def test_a_dead_socket_of_our_own_pid_goes(folder):
    folder.mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(folder / f"{os.getpid()}.sock"))
    with serve(folder) as server:
        assert ask(server.path, "keys", "none") == []


def test_a_living_socket_of_our_own_pid_stays(folder):
    folder.mkdir(0o700)
    path = folder / f"{os.getpid()}.sock"
    with socket.socket(socket.AF_UNIX) as elsewhere:
        elsewhere.bind(str(path))
        elsewhere.listen()
        with pytest.raises(RemoteError, match="in use by another process"):
            serve(folder)
        connect(path).close()


def test_the_socket_of_another_is_not_removed(folder):
    server = serve(folder)
    os.unlink(server.path)
    Path(server.path).write_text("another's")
    server.close()
    assert Path(server.path).read_text() == "another's"
