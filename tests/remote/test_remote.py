"""python -m jumplabel {keys,enable,disable,watch} PID, as an operator runs it, on processes that do not expect it."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from operators import MANY, connect, wait_for
from reached import COMMAND, FOREVER, SERVED, both_ways, ends, process_folder

from jumplabel import RemoteError, StaticKey, serve
from jumplabel.__main__ import main
from jumplabel._remote import ask, connections, remote_exec

# ---- one process ----


@both_ways
def test_keys(start, run, way):
    process = start(FOREVER, **way)
    table = "state  users  sites  key\non         1      0  shop.strict\noff        0      1  shop.tracing\n"
    assert run("keys", process.pid) == table
    assert run("keys", process.pid, "*.tracing").splitlines() == table.splitlines()[::2]
    assert "no key matches cellar.*" in run("keys", process.pid, "cellar.*", status=1)


@both_ways
def test_enable_and_disable(start, run, way):
    process = start("ready(); run(lambda: tracing and not strict); assert gate('abc') == 3", **way)
    assert run("enable", process.pid, "shop.*") == "already  shop.strict\nchanged  shop.tracing\n"
    assert run("disable", process.pid, "shop.s*") == "changed  shop.strict\n"
    assert ends(process) == ("", "")


@both_ways
def test_a_key_that_refuses_says_why_and_makes_the_status_nonzero(start, run, way):
    process = start(f"strict.inc(); tracing.enable(); {FOREVER}", **way)
    output = run("disable", process.pid, "shop.*", status=1)
    assert re.fullmatch(r"refused  shop.strict: .*let each of them call dec\(\)\nchanged  shop.tracing\n", output)
    assert "no key matches nothing, none" in run("disable", process.pid, "nothing", "none", status=1)


@both_ways
def test_watch(start, run, environment, way):
    process = start("ready(); run(lambda: tracing); run(lambda: not tracing)", **way)
    command = [*COMMAND, "watch", str(process.pid), "shop.tracing"]
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as watch:
        assert watch.stderr.readline() == f"jumplabel: watching process {process.pid}\n"
        run("enable", process.pid, "shop.*")
        run("disable", process.pid, "shop.*")
        for change in ("off -> on", "on -> off"):
            told = watch.stdout.readline()
            assert re.fullmatch(rf"\d\d:\d\d:\d\d\.\d{{6}}  shop.tracing  {change}  1 site\n", told), told
        assert ends(process) == ("", "")
        assert "has ended" in watch.stderr.readline() and watch.wait(60) == 0


def test_watch_ends_by_an_interrupt(start, environment):
    process = start(FOREVER, **SERVED)
    command = [*COMMAND, "watch", str(process.pid)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as watch:
        watch.stderr.readline()
        watch.send_signal(signal.SIGINT)
        assert (watch.wait(60), watch.stderr.read()) == (0, "")


def test_names_reach_the_terminal_escaped(start, run):
    process = start("""hostile = jumplabel.StaticKey("a\\x1b[31m\\nb"); ready(); run()""", **SERVED)
    assert r"'a\x1b[31m\nb'" in run("keys", process.pid, "a*")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("keys", 0), "0 is no process"),
        (("keys", -1), "-1 is no process"),
        (("enable", 1), "PATTERN"),
        (("enable", 1, "!a"), "takes nothing in"),
        (("keys", 1, "x" * 4096), "too long"),
        (("keys", "--timeout", "0", 1), "no number of seconds"),
        (("keys", "--timeout", "nan", 1), "no number of seconds"),
    ],
)
def test_bad_arguments(run, arguments, why):
    if arguments[1] == -1:
        arguments = ("keys", "--", -1)
    assert why in run(*arguments, status=2)


def test_a_missing_process(run):
    assert "process 99999999: there is no such process" in run("keys", 99999999, status=1)


def test_a_process_without_python(run):
    with subprocess.Popen(["sleep", "60"]) as process:
        output = run("keys", process.pid, status=1)
        assert "it serves no socket" in output and "JUMPLABEL_SERVE=1" in output
        process.kill()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="here it can")
def test_without_a_socket_an_older_python_says_what_to_do(start, run):
    output = run("keys", start(FOREVER).pid, status=1)
    assert "that takes 3.14 on both sides" in output and "jumplabel.serve()" in output


def test_the_socket_is_found_wherever_it_is(start, run, tmp_path):
    process = start(f"server = jumplabel.serve({str(tmp_path / 'elsewhere')!r}); {FOREVER}")
    assert "shop.tracing" in run("keys", process.pid, XDG_RUNTIME_DIR="")


# ---- the client's own checks, of the server ----


@pytest.fixture
def found(tmp_path, monkeypatch):
    """A folder in which the operator looks for this process's socket."""
    folder = tmp_path / "sockets"
    monkeypatch.setattr(ask, "_folders", lambda pid, uid: [str(folder)])
    monkeypatch.setattr(remote_exec, "connect", lambda pid, timeout: pytest.fail("not this way", pytrace=False))
    return folder


def refusal(pid=None, timeout=MANY, command="keys"):
    try:
        request = {"command": command, "patterns": ["none"]}
        return list(ask.ask(pid or os.getpid(), request, timeout))
    except (RemoteError, pytest.fail.Exception) as error:
        return f"{error.__context__}" if isinstance(error, pytest.fail.Exception) else str(error)


@pytest.mark.parametrize("how", ["open to others", "a symbolic link"])
def test_a_folder_that_is_not_private_is_not_trusted(found, how, monkeypatch):
    with serve(found):
        assert refusal() == []
        monkeypatch.setattr(remote_exec, "connect", lambda pid, timeout: (_ for _ in ()).throw(RemoteError("no")))
        if how == "open to others":
            found.chmod(0o755)
        else:
            found.rename(found.with_name("real"))
            found.symlink_to("real")
        assert how in refusal()
        if how == "open to others":
            found.chmod(0o700)
        else:
            found.unlink()
            found.with_name("real").rename(found)


def test_an_impostor_is_not_asked(found, monkeypatch):
    monkeypatch.setattr(remote_exec, "connect", lambda pid, timeout: (_ for _ in ()).throw(RemoteError("no")))
    found.mkdir(0o700)
    with subprocess.Popen(["sleep", "60"]) as process, socket.socket(socket.AF_UNIX) as impostor:
        impostor.bind(str(found / f"{process.pid}.sock"))
        impostor.listen()
        assert f"is that of another process, {os.getpid()}" in refusal(process.pid)
        process.kill()


STATE = b'{"key": "a", "on": true, "users": 0, "sites": 0}\n'


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "hung up without an answer"),
        (b"hello\n", "does not answer as jumplabel does"),
        (b"1\n", "does not answer as jumplabel does"),
        (b"[" * 100_000 + b"\n", "does not answer as jumplabel does"),
        (STATE, "broke off"),
        (b'{"error": "because"}\n', "it refuses: because"),
        (b'{"error": 1}\n', "a field is missing, or of another type"),
        (b'{"x": 1}\n{"end": true}\n', "a field is missing, or of another type"),
        (b'{"key": "a", "on": 1, "users": 0, "sites": 0}\n{"end": true}\n', "a field is missing, or of another type"),
        (b'{"watching": []}\n', "a field is missing, or of another type"),
        (None, "does not answer in time"),
    ],
)
def test_a_bad_answer(theirs, answer, why):
    if answer is not None:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
    assert why in refusal(timeout=0.05 if answer is None else MANY)


@pytest.fixture
def theirs(monkeypatch):
    """The process's end of the operator's connection. The test plays the process."""
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(ask, "_connect", lambda pid, timeout: ours)
    with theirs:
        yield theirs


@pytest.mark.parametrize(
    ("piece", "pause", "why"),
    [
        (STATE, 0, "more lines than any answer has"),
        (STATE.replace(b"a", b"a" * 200), 0, "more bytes than any answer has"),
        (b"[", 0.001, "does not answer in time"),
    ],
)
def test_an_answer_without_an_end_is_given_up(theirs, monkeypatch, piece, pause, why):
    monkeypatch.setattr(ask, "_MOST_LINES", 500)
    monkeypatch.setattr(ask, "_MOST_BYTES", 1000 * len(STATE))

    def send():
        with contextlib.suppress(OSError):
            for _ in range(2000):
                theirs.sendall(piece)
                time.sleep(pause)
            theirs.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    assert why in refusal(timeout=0.05 if pause else MANY)
    thread.join()


@pytest.mark.parametrize(("command", "may"), [("enable", True), ("keys", False)])
def test_a_lost_answer_says_whether_the_command_may_have_taken_effect(theirs, command, may):
    assert ("may have taken effect all the same: look with 'keys'" in refusal(timeout=0.2, command=command)) == may


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("enable", {"key": "a", "outcome": "\x1b[2J"}),
        ("enable", {"key": "a", "outcome": "refused", "why": "\x1b[2J"}),
        ("enable", {"error": "\x1b[2J"}),
        ("watch", {"time": 1e300, "key": "\x1b[2J", "old": False, "new": True, "sites": 1}),
    ],
)
def test_answers_reach_the_terminal_escaped(theirs, monkeypatch, capsys, command, answer):
    if command == "watch":
        theirs.sendall(b'{"watching": []}\n')
    theirs.sendall(json.dumps(answer).encode() + b'\n{"end": true}\n')
    monkeypatch.setattr(sys, "argv", ["jumplabel", command, str(os.getpid()), "a"])
    main()
    out, errors = capsys.readouterr()
    assert r"\x1b[2J" in out + errors and "\x1b" not in out + errors


def test_a_busy_server_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "CLIENTS", 1)
    with serve(tmp_path / "sockets") as server:
        held = connect(server.path)
        key = StaticKey("shop.tracing")
        request = {"command": "keys", "patterns": [key.name]}
        with pytest.raises(RemoteError, match="busy"):
            list(ask.ask(os.getpid(), request, 0.5))
        monkeypatch.setattr(ask, "sleep", lambda seconds: held.close())
        assert [answer["key"] for answer in ask.ask(os.getpid(), request, MANY)] == [key.name]
        assert held.fileno() < 0


# ---- a tree of processes ----


WORKERS = """
workers = []
may_end, end = os.pipe()
for n in range(3):
    pid = os.fork()
    if not pid:
        signal.alarm(60)
        {work}
        os.close(end)
        run(lambda: tracing)
        os.read(may_end, 1)
        os._exit(7)
    workers.append(pid)
ready()
print(*workers, flush=True)
run(lambda: tracing)
sys.stdin.readline()
os.close(end)
for pid in workers:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
"""


@both_ways
def test_all_workers_with_one_command(start, run, way):
    process = start(WORKERS.format(work="pass"), **way)
    workers = process.stdout.readline().split()
    if way:
        wait_for(lambda: len(os.listdir(process_folder(process))) == 4)
    output = run("enable", "--tree", process.pid, "*.tracing")
    assert sorted(output.split()) == sorted([str(process.pid), *workers, *["changed", "shop.tracing"] * 4])
    assert ends(process) == ("", "")


def test_a_process_that_cannot_be_reached_is_named_and_the_others_are_served(start, run):
    process = start(WORKERS.format(work="n == 1 and jumplabel.serve().close()"), **SERVED)
    workers = process.stdout.readline().split()
    folder = process_folder(process)
    wait_for(lambda: len(os.listdir(folder)) == 3 and f"{workers[1]}.sock" not in os.listdir(folder))
    os.kill(int(workers[1]), signal.SIGSTOP)
    output = run("enable", "--tree", "--timeout", "2", process.pid, "*.tracing", status=1)
    assert f"process {workers[1]}: it serves no socket" in output and output.count("it serves no socket") == 1
    for pid in (process.pid, workers[0], workers[2]):
        assert f"{pid:>7}  changed  shop.tracing\n" in output
    os.kill(int(workers[1]), signal.SIGCONT)


def test_a_server_that_is_stopped_does_not_answer(start, run):
    process = start(FOREVER, **SERVED)
    os.kill(process.pid, signal.SIGSTOP)
    assert "does not answer in time" in run("keys", "--timeout", "0.5", process.pid, status=1)


def test_watching_a_tree(start, environment):
    process = start(WORKERS.format(work="pass"), **SERVED)
    workers = process.stdout.readline().split()
    wait_for(lambda: len(os.listdir(process_folder(process))) == 4)
    command = [*COMMAND, "watch", "--tree", str(process.pid)]
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as watch:
        for _ in range(4):
            watch.stderr.readline()
        command = [*COMMAND, "enable", "--tree", str(process.pid), "*.tracing"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        told = {watch.stdout.readline().split()[0] for _ in range(4)}
        assert told == {str(process.pid), *workers}
        assert ends(process)[1] == ""
        assert watch.wait(60) == 0
