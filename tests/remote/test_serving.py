"""jumplabel.serve(): requests and answers, the operator's user, the socket's place, and its end.

Hostile clients and forks are in test_serving_processes.py, the command line in test_remote.py.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from operators import ask, connect, descriptors, lines, request, rest, states, talk, wait_for

import jumplabel
from jumplabel import RemoteError, SettingError, StaticKey, serve, static_gate
from jumplabel._process.settings import folder_to_serve
from jumplabel._remote import connections, operator_requests, serving

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")
NOBODY = 65534


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


# ---- requests and answers ----


def test_keys_are_listed_with_their_state_users_and_sites(server, keys):
    tracing, strict = keys
    gates = [static_gate(tracing)(len), static_gate(tracing)(abs)]
    strict.inc()
    assert ask(server.path, "keys", "rack.*") == [
        {"key": "rack.strict", "on": True, "users": 2, "sites": 0},
        {"key": "rack.tracing", "on": False, "users": 0, "sites": len(gates)},
    ]
    assert [answer["key"] for answer in ask(server.path, "keys", "rack.*", "!*.strict")] == ["rack.tracing"]
    assert ask(server.path, "keys", "cellar.*") == []


def test_a_key_is_switched_and_so_are_its_sites(server, keys):
    gate = static_gate(keys[0])(lambda: "on")
    assert ask(server.path, "enable", "rack.tracing") == [{"key": "rack.tracing", "outcome": "changed"}]
    assert gate() == "on" and keys[0].count == 1
    assert ask(server.path, "enable", "rack.tracing") == [{"key": "rack.tracing", "outcome": "already"}]
    assert keys[0].count == 1
    assert ask(server.path, "disable", "rack.tracing") == [{"key": "rack.tracing", "outcome": "changed"}]
    assert gate() is None
    assert ask(server.path, "disable", "rack.tracing") == [{"key": "rack.tracing", "outcome": "already"}]


def test_one_key_refuses_and_the_others_are_switched(server, keys):
    other = StaticKey("rack.zebra", default=True)
    keys[1].inc()
    refused, changed = ask(server.path, "disable", "rack.strict", "rack.zebra")
    assert refused["outcome"] == "refused" and "other users" in refused["why"]
    assert changed == {"key": "rack.zebra", "outcome": "changed"} and not other and keys[1]


def test_a_key_that_an_override_holds_is_switched_for_later(server, keys):
    with keys[0].override(False):
        (answer,) = ask(server.path, "enable", "rack.tracing")
        assert answer["outcome"] == "changed" and "override" in answer["why"] and not keys[0]
    assert keys[0]


def test_a_key_that_lingers_is_taken(server):
    key = StaticKey("rack.lingers", deferred=1000)
    key.inc()
    key.dec()
    assert ask(server.path, "enable", key.name) == [{"key": key.name, "outcome": "changed"}]
    assert key.count == 1


def test_a_name_may_be_anything(server):
    key = StaticKey('rack."\n\x1b[0m\U0001f511')
    assert ask(server.path, "enable", "rack.?*[[]0m?") == [{"key": key.name, "outcome": "changed"}]


def test_a_request_may_come_in_pieces(server, keys):
    with connect(server.path) as connection:
        for byte in request("enable", "rack.tracing"):
            connection.sendall(bytes([byte]))
        assert lines(rest(connection))[0]["outcome"] == "changed"


def test_a_key_that_has_gone_is_left_out(server, monkeypatch):
    monkeypatch.setattr(operator_requests, "keys", lambda: [StaticKey("rack.gone")])
    for command in ("keys", "enable"):
        assert ask(server.path, command, "rack.gone") == []


def test_an_operator_keeps_no_key_alive(server, monkeypatch):
    kept = [StaticKey(f"kept.{n}.{'x' * 1000}") for n in range(2000)]
    with connect(server.path) as connection:
        connection.sendall(request("keys", "kept.*"))
        assert connection.recv(1, socket.MSG_PEEK)
        wait_for(lambda: any(client.out for client in server._connections._clients.values()))
        kept.clear()
        assert sum(key.name.startswith("kept.") for key in jumplabel.keys()) <= 1
        assert 0 < len(lines(rest(connection))) < 2000


def test_any_other_error_of_a_key_is_reported_too(server, keys, monkeypatch):
    def fail(self):
        raise MemoryError("just now")

    monkeypatch.setattr(StaticKey, "enable", fail)
    (answer,) = ask(server.path, "enable", "rack.tracing")
    assert answer == {"key": "rack.tracing", "outcome": "refused", "why": "MemoryError('just now')"}


@pytest.fixture
def clock(server, monkeypatch):
    """The server's clock: a list with the time. Only the test moves it."""
    now = [time.monotonic()]
    monkeypatch.setattr(connections, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(("seconds", "all_of_it"), [(0.2, True), (0.4, False)])
def test_a_slow_reader_has_a_deadline_for_the_whole_answer(server, clock, monkeypatch, seconds, all_of_it):
    """Each 64 KiB that the client reads take this many seconds."""
    monkeypatch.setattr(connections, "_LONG_TURN", float("inf"))  # the time passes within a turn, too
    kept = [StaticKey(f"kept.{n}.{'x' * 1000}") for n in range(4000)]
    received = b""
    with connect(server.path) as connection:
        connection.sendall(request("keys", "kept.*"))
        while data := connection.recv(1 << 14):
            received += data
            clock[0] += seconds * len(data) / (1 << 16)
    assert received.endswith(b'{"end": true}\n') == all_of_it
    assert received.count(b"\n") == len(kept) + 1 if all_of_it else 1 << 20 < len(received) < 3 << 20


def test_the_time_of_another_clients_toggle_is_not_counted_as_slowness(server, clock, monkeypatch):
    kept = [StaticKey(f"kept.{n}.{'x' * 1000}") for n in range(1000)]

    def toggles(request):
        clock[0] += 100
        yield operator_requests.END

    with connect(server.path) as connection:
        connection.sendall(request("keys", "kept.*"))
        wait_for(lambda: any(client.out for client in list(server._connections._clients.values())))
        monkeypatch.setattr(operator_requests, "answers", toggles)
        assert ask(server.path, "enable", "none") == ask(server.path, "enable", "none") == []
        assert rest(connection).count(b"\n") == len(kept) + 1


# ---- bad requests ----

ENABLE = b'{"command": "enable", "patterns": ["rack.*"]}'
NO_REQUESTS = {
    "nothing": b"\n",
    "words": b"enable rack.*\n",
    "a list": b'["enable", "rack.*"]\n',
    "a string": b'"enable"\n',
    "no patterns": b'{"command": "enable"}\n',
    "no command": b'{"patterns": ["rack.*"]}\n',
    "one field more": b'{"command": "enable", "patterns": ["rack.*"], "eval": "1"}\n',
    "a field twice": b'{"command": "keys", "command": "enable", "patterns": ["rack.*"]}\n',
    "another command": b'{"command": "eval", "patterns": ["rack.*"]}\n',
    "no string for a command": b'{"command": ["enable"], "patterns": ["rack.*"]}\n',
    "one string for patterns": b'{"command": "enable", "patterns": "rack.*"}\n',
    "an object for patterns": b'{"command": "enable", "patterns": {"rack.*": 1}}\n',
    "a number among patterns": b'{"command": "enable", "patterns": ["rack.*", 1]}\n',
    "no pattern": b'{"command": "enable", "patterns": []}\n',
    "an empty pattern": b'{"command": "enable", "patterns": ["rack.*", ""]}\n',
    "patterns that only take out": b'{"command": "enable", "patterns": ["!shop"]}\n',
    "too many patterns": b'{"command": "enable", "patterns": ["rack.*' + b",a" * 100 + b'"]}\n',
    "not UTF-8": ENABLE.replace(b"rack", b"rac\xff") + b"\n",
    "UTF-16": ENABLE.decode().encode("utf-16") + b"\n",
    "a NUL": b"\0" + ENABLE + b"\n",
    "deep": b"[" * 4000 + b"\n",
    "a large number": b"1" * 4000 + b"\n",
    "not a number": b"NaN\n",
    "two lines": ENABLE + b"\n" + ENABLE + b"\n",
    "an empty line behind": ENABLE + b"\n\n",
    "more than a line": ENABLE + b"\nx",
    "one byte too many": ENABLE.ljust(4096) + b"\n",
    "no end": ENABLE.ljust(4097),
}


@pytest.mark.parametrize("sent", NO_REQUESTS.values(), ids=NO_REQUESTS)
def test_a_bad_request_changes_nothing(server, keys, sent, reported):
    (answer,) = talk(server.path, sent)
    assert list(answer) == ["error"]
    assert [key.count for key in keys] == [0, 1]
    assert states(server.path, "rack.*") == {"rack.strict": True, "rack.tracing": False}
    assert reported == []


def test_the_longest_request(server, keys):
    assert len(talk(server.path, ENABLE.ljust(4095) + b"\n")) == 3


def test_a_client_that_sends_half_a_request_and_goes_is_forgotten(server, keys, reported):
    with connect(server.path) as connection:
        connection.sendall(ENABLE)
    assert states(server.path, "rack.*")["rack.tracing"] is False
    wait_for(lambda: not server._connections._clients)
    assert reported == []


def test_an_error_of_ours_is_reported_and_others_are_served(server, keys, monkeypatch, reported):
    def fail(request):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(operator_requests, "answers", fail)
        assert talk(server.path, request("keys")) == []
    assert [type(error) for _, error in reported] == [ZeroDivisionError]
    assert states(server.path, "rack.strict") == {"rack.strict": True}


# ---- the operator's user ----


def test_another_user_is_dropped(server, monkeypatch):
    monkeypatch.setattr(connections, "peer", lambda connection: (1, os.geteuid() + 1))
    assert talk(server.path, request("keys")) == []


AS_NOBODY = """
import os, sys
sys.path[:0] = {path!r}
from operators import talk, request
os.setgroups([])
os.setresgid({user}, {user}, {user})
os.setresuid({user}, {user}, {user})
print(talk({socket!r}, request("keys")))
"""


@root_only
def test_another_user_is_dropped_even_if_the_folder_is_open():
    with tempfile.TemporaryDirectory() as parent, serve(f"{parent}/sockets") as server:
        for path in (parent, f"{parent}/sockets", server.path):
            os.chmod(path, 0o777)
        key = StaticKey("rack.tracing")
        for user, answered in ((0, True), (NOBODY, False)):
            script = AS_NOBODY.format(path=[str(Path(__file__).parent.parent)], user=user, socket=server.path)
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
            assert (repr(key.name) in done.stdout, done.stderr) == (answered, ""), done.stdout


@root_only
def test_every_users_process_serves_root():
    with tempfile.TemporaryDirectory() as parent:
        os.chown(parent, NOBODY, -1)
        os.seteuid(NOBODY)
        try:
            server = serve(f"{parent}/sockets")
        finally:
            os.seteuid(0)
        os.seteuid(NOBODY)  # also while the server accepts the connection
        try:
            script = AS_NOBODY.format(path=[str(Path(__file__).parent.parent)], user=0, socket=server.path)
            child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, user=0)
            assert "end" in child.stdout, child.stderr
        finally:
            os.seteuid(0)
            server.close()


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


# ---- close ----


def test_close_leaves_nothing_behind(folder):
    serve(folder).close()
    before = descriptors()
    for _ in range(3):
        server = serve(folder)
        with connect(server.path) as waiting:
            assert states(server.path, "none") == {}
            server.close()
            assert rest(waiting) == b""
        assert os.listdir(folder) == [] and server not in serving._servers
        assert descriptors() == before
        server.close()
        assert "closed" in repr(server)


def test_a_second_call_returns_the_same_server(folder, tmp_path):
    with serve(folder) as server:
        assert serve(f"{folder}/") is server
        with serve(tmp_path / "others") as other:
            assert other is not server and ask(other.path, "keys", "none") == ask(server.path, "keys", "none") == []
    with serve(folder) as later:
        assert later is not server and ask(later.path, "keys", "none") == []


def test_descriptors_are_not_inherited_by_other_programs(folder):
    def inherited():
        command = [sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd'))"]
        return subprocess.run(command, close_fds=False, capture_output=True, check=True).stdout

    before = inherited()
    with serve(folder) as server, connect(server.path) as connection:
        connection.sendall(b"{")
        wait_for(lambda: server._connections._clients)
        assert inherited() == before


@pytest.mark.parametrize("end", ["pass", "sys.exit(3)", "1 / 0", "jumplabel.serve().close()"])
def test_the_end_of_the_interpreter_removes_the_socket(folder, end):
    script = f"import os, sys, jumplabel; print(jumplabel.serve().path, flush=True); {end}"
    environment = {**os.environ, "JUMPLABEL_SERVE": "1", "XDG_RUNTIME_DIR": str(folder.parent)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    made = folder.parent / "jumplabel"
    assert Path(done.stdout.strip()).parent == made and os.listdir(made) == []
    assert ("ZeroDivisionError" in done.stderr) == bool(done.stderr)


def test_a_kill_leaves_the_socket(folder):
    script = f"import jumplabel; jumplabel.serve({str(folder)!r}); print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert os.listdir(folder) == [f"{child.pid}.sock"]
    serve(folder).close()
    assert os.listdir(folder) == []
