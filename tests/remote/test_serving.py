"""jumplabel.serve(): requests and answers, the operator's user, the socket's place, and its end.

Hostile clients and forks are in test_serving_processes.py, the command line in test_remote.py.
"""

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
from jumplabel import StaticKey, serve, static_gate
from jumplabel._remote import connections, operator_requests, serving

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")
NOBODY = 65534


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


def test_an_answer_whose_lines_fill_the_buffer_exactly_is_sent_to_its_end(server, monkeypatch):
    room = connections._AHEAD // 4
    answer = {"key": "x" * (room - len(operator_requests.line({"key": ""})))}
    assert len(operator_requests.line(answer)) == room
    monkeypatch.setattr(operator_requests, "answers", lambda request: iter([*[answer] * 100, operator_requests.END]))
    assert ask(server.path, "keys", "*") == [answer] * 100


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
