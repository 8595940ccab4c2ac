"""The folder that processes serve in: what forks, ends and crashes leave in it, and how it is found."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from operators import wait_for
from socket_folders import NOBODY, keys, own_keys, root_only

from jumplabel import RemoteError, StaticKey, serve
from jumplabel._remote import ask, process_tree, remote_exec, socket_folder

SERVE = """
import os, signal, sys, time
import jumplabel
signal.alarm(60)
key = jumplabel.StaticKey("shop.tracing")
server = jumplabel.serve()
print(os.getpid(), server.path, flush=True)
"""


@pytest.fixture
def process(temporary):
    """process(script) returns a process that serves by default, its own pid, and the path of its socket."""
    running = []

    def process(script="input()", *before, preamble=SERVE):
        child = subprocess.Popen(
            [*before, sys.executable, "-W", "ignore::DeprecationWarning", "-c", f"{preamble}\n{script}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(child)
        line = child.stdout.readline()
        assert line, child.stderr.read()
        number, path = line.split()
        return child, int(number), Path(path)

    yield process
    for child in running:
        child.kill()
        child.communicate()


def ends(child):
    assert child.communicate("\n", timeout=60)[1] == "" and child.returncode == 0


@pytest.fixture(autouse=True)
def only_over_sockets(monkeypatch):
    def refuse(pid, timeout):
        raise RemoteError("not this way")

    monkeypatch.setattr(remote_exec, "connect", refuse)


# ---- forks, ends and crashes ----


FORK = """
read, write = os.pipe()
child = os.fork()
if child == 0:
    signal.alarm(60)
    os.close(write)
    print(os.getpid(), next(iter(jumplabel._remote.serving._servers)).path, flush=True)
    {child}
    sys.exit()
{parent}
"""


def test_children_share_the_folder_and_the_last_one_removes_it(temporary, process):
    parent, number, path = process(FORK.format(child="os.read(read, 1)", parent="input(); server.close(); input()"))
    child_number, child_path = parent.stdout.readline().split()
    assert Path(child_path).parent == path.parent
    assert keys(number) == keys(int(child_number)) == ["shop.tracing"]
    parent.stdin.write("\n")
    parent.stdin.flush()
    wait_for(lambda: not path.exists())
    assert [entry.name for entry in path.parent.iterdir()] == [f"{child_number}.sock"]
    assert keys(int(child_number)) == ["shop.tracing"]
    ends(parent)  # this closes the pipe, so the child ends
    wait_for(lambda: list(temporary.iterdir()) == [])


@pytest.mark.parametrize("options", ["os.WEXITED", "os.WEXITED | os.WNOWAIT"])
def test_children_that_end_past_the_interpreter_leave_nothing(temporary, process, options):
    """They leave nothing while they are zombies, either: their parent has not asked for them."""
    parent = f"os.waitid(os.P_PID, child, {options}); print(flush=True); input()"
    script = FORK.format(child="os._exit(0)", parent=parent)
    parent, _, path = process(script)
    parent.stdout.readline()
    parent.stdout.readline()
    assert len(os.listdir(path.parent)) == 2
    ends(parent)
    assert list(temporary.iterdir()) == []


def test_a_child_without_the_folder_makes_its_own(temporary, process):
    script = "import shutil; folder = os.path.dirname(server.path); shutil.rmtree(folder); open(folder, 'x').close()"
    parent, _, path = process(f"{script}\n{FORK.format(child='os.read(read, 1)', parent='input()')}")
    child_number, child_path = parent.stdout.readline().split()
    assert Path(child_path).parent != path.parent and Path(child_path).parent.parent == temporary
    assert keys(int(child_number)) == ["shop.tracing"]
    ends(parent)


def test_a_folder_that_a_crash_leaves_is_removed_when_the_next_one_is_made(temporary, process):
    crashed, _, path = process()
    living, number, living_path = process()
    crashed.send_signal(signal.SIGKILL)
    crashed.wait()
    assert path.exists()
    with serve() as server:
        assert {path.name for path in temporary.iterdir()} == {living_path.parent.name, Path(server.path).parent.name}
        assert keys(number) == ["shop.tracing"]
    ends(living)


@contextmanager
def listening(path):
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)
        listener.listen()
        yield


def private(temporary, n):
    path = temporary / f"jumplabel-sockets-{n:032x}"
    path.mkdir(0o700)
    return path


def test_folders_that_may_be_in_use_stay(temporary):
    """Folders with another's file in it, locked, of another mode, with a living socket, and others."""
    stays = [private(temporary, n) for n in range(4)]
    (stays[0] / "file").write_text("another's")
    locked = os.open(stays[1], os.O_RDONLY)
    fcntl.flock(locked, fcntl.LOCK_SH)
    stays[2].chmod(0o755)
    stays += [temporary / "jumplabel-sockets-x", temporary / f"jumplabel-sockets-{0:032x}.old", temporary / "another"]
    for path in stays[4:]:
        path.mkdir(0o700)
    (temporary / f"jumplabel-sockets-{9:032x}").symlink_to(temporary / "another")
    with listening(stays[3] / "99999999.sock"):  # of a process in another container, which is not visible here
        goes = private(temporary, 10)
        before = {path.name for path in temporary.iterdir()} - {goes.name}
        serve().close()
        assert {path.name for path in temporary.iterdir()} == before
    os.close(locked)
    serve().close()
    assert not stays[1].exists() and not stays[3].joinpath("99999999.sock").parent.joinpath("file").exists()


@root_only
def test_folders_of_other_users_are_ignored(temporary):
    own, another = private(temporary, 1), private(temporary, 2)
    os.chown(another, NOBODY, -1)
    assert socket_folder.folders_in(str(temporary), {os.getuid()}) == [str(own)]
    assert socket_folder.folders_in(str(temporary), {NOBODY}) == [str(another)]
    assert socket_folder.folders_in(str(temporary / "none"), {NOBODY}) == []


# ---- finding the socket ----


def test_the_socket_is_found_whatever_the_folders_are_called(temporary, process, monkeypatch, tmp_path):
    child, number, path = process("os.chdir('/'); os.environ['TMPDIR'] = '/'; input()")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert keys(number) == ["shop.tracing"]
    moved = path.parent.rename(tmp_path / "moved")
    path.parent.mkdir(0o700)
    assert keys(number) == ["shop.tracing"]
    (moved / path.name).rename(moved / "gone")
    with pytest.raises(RemoteError, match="it has none open"):
        keys(number)
    (moved / "gone").rename(moved / path.name)
    ends(child)


def test_another_socket_by_that_name_is_not_asked(temporary, process):
    """A process may have folders open in which other processes serve."""
    script = f"""
other = {str(temporary)!r} + "/other"
os.mkdir(other, 0o700)
opened = os.open(other, os.O_RDONLY)
print(flush=True)
input()
"""
    child, number, path = process(script)
    child.stdout.readline()
    with listening(temporary / "other" / path.name):
        assert keys(number) == ["shop.tracing"]
        path.unlink()
        with pytest.raises(RemoteError, match=f"is that of another process, {os.getpid()}, of user {os.getuid()}"):
            keys(number)
    ends(child)


def test_a_user_that_had_the_number_before_is_not_asked(temporary, monkeypatch):
    """The kernel reports the pid and user from when the process began to listen. The pid may have been reused since."""
    with serve():
        mine = StaticKey("test_socket_folder.mine")
        assert own_keys() == [mine.name]
        monkeypatch.setattr(ask, "peer", lambda connection: (os.getpid(), os.getuid() + 1))
        with pytest.raises(RemoteError, match=f"of another process, {os.getpid()}, of user {os.getuid() + 1}"):
            own_keys()


def test_known_places_are_tried_if_the_process_may_not_be_looked_into(temporary, process, monkeypatch, tmp_path):
    child, number, _ = process()
    look = os.listdir

    def refuse(path):
        if str(path).startswith("/proc/"):
            raise PermissionError
        return look(path)

    monkeypatch.setattr(ask.os, "listdir", refuse)
    assert keys(number) == ["shop.tracing"]
    monkeypatch.setattr(socket_folder, "temporary_folders", lambda: [])
    monkeypatch.setattr(ask, "temporary_folders", lambda: [])
    with pytest.raises(RemoteError, match="it has none open"):
        keys(number)
    ends(child)


AS_NOBODY = f"""
import ctypes, os, signal, sys, time  # while it may read them all
import jumplabel.__main__
from jumplabel._remote import ask, serving
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
"""
HIDDEN = "assert ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) == 0  # PR_SET_DUMPABLE\n"


@root_only
def test_only_its_own_user_finds_a_process_that_hides_its_files(temporary, process):
    """A process hides its files when Python was given capabilities."""
    for folder in (temporary, *temporary.parents[:3]):
        folder.chmod(0o755)
    temporary.chmod(0o1777)
    hostile = private(temporary, 1)
    os.chown(hostile, NOBODY - 1, -1)
    child, number, path = process(preamble=AS_NOBODY + HIDDEN + SERVE)
    assert path.stat().st_uid == NOBODY
    with listening(hostile / path.name):
        assert keys(number) == ["shop.tracing"]  # root
        asks = f"print(list(ask.ask({number}, {{'command': 'keys', 'patterns': ['shop.*']}}, 20)))"
        for user, found in ((NOBODY, True), (NOBODY - 2, False)):
            script = AS_NOBODY.replace(str(NOBODY), str(user)) + asks
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
            assert ("shop.tracing" in done.stdout) is found, done
    ends(child)


@root_only
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare(1), of util-linux")
def test_a_process_in_a_container_is_found(temporary, process, tmp_path):
    """It has other pids, and other files: its own /tmp."""
    if subprocess.run(["unshare", "-pmf", "true"], capture_output=True).returncode:
        pytest.skip("this system makes no namespaces")
    mount = f"import subprocess; subprocess.run(['mount', '-t', 'tmpfs', 'none', {str(temporary)!r}], check=True)\n"
    child, inside, path = process("input()", "unshare", "-pmf", "--mount-proc", preamble=mount + SERVE)
    [outside] = [pid for pid in process_tree.descendants(child.pid) if pid != child.pid]
    assert inside == 1 != outside and path.name == "1.sock" and not path.exists()
    assert keys(outside) == ["shop.tracing"]
    ends(child)
