"""An operator reaches a process that has prepared nothing for it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest
from operators import wait_for
from reached import COMMAND, FOREVER, NOBODY, TARGET, ends, reaches_in, root_only

from jumplabel import StaticKey
from jumplabel._remote import ask, remote_exec, serving


@reaches_in
def test_a_process_without_jumplabel_is_left_as_it_is(start, run):
    process = start(
        """
import os, select, sys, threading
before = None
def state():
    return sorted(sys.modules), sorted(globals()), threading.active_count(), len(os.listdir("/proc/self/task"))
before = state()
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.001)[0]:
    pass
assert state() == before, (state(), before)
""",
        preamble="",
    )
    assert "it has no jumplabel" in run("keys", process.pid, status=1)
    assert ends(process) == ("", "")


@reaches_in
def test_nothing_stays_behind(start, run):
    process = start(
        """
import select
import jumplabel._remote.serving
def state():
    n_files = len(os.listdir("/proc/self/fd"))
    return sorted(globals()), threading.active_count(), n_files, jumplabel._remote.serving._servers
before = end = None
before = state()
ready()
while not select.select([sys.stdin], [], [], 0.001)[0]:
    pass
end = time.monotonic() + 8
while (state() != before or len(os.listdir("/proc/self/task")) > 1) and time.monotonic() < end:
    time.sleep(0.001)
assert state() == before and len(os.listdir("/proc/self/task")) == 1
"""
    )
    run("keys", process.pid)
    run("enable", process.pid, "*")
    assert ends(process) == ("", "")


@reaches_in
def test_a_main_thread_that_does_not_run_the_script(start, run):
    """When it does at last, the request is not carried out any more, and no answer is sent."""
    process = start("ready(); sys.stdin.readline(); run(lambda: True); time.sleep(0.01); print(tracing.enabled)")
    assert "main thread has not come by for 0.2 s" in run("enable", "--timeout", "0.2", process.pid, "*", status=1)
    assert ends(process) == ("False\n", "")


@reaches_in
@pytest.mark.parametrize("lost", [1, 0])
def test_a_question_that_may_be_lost_is_asked_again(start, monkeypatch, lost):
    """A question may be lost where a process has just been forked. A late process serves once, and says nothing."""
    asked, wait = [], remote_exec._Folder.wait

    def ask_perhaps_in_vain(pid, script):
        asked.append(script)
        if len(asked) > lost:
            sys.remote_exec(pid, script)
        time.sleep(0.1)  # it runs the script

    monkeypatch.setattr(remote_exec, "_ASK_AGAIN", 0.1)
    monkeypatch.setattr(remote_exec, "_remote_exec", ask_perhaps_in_vain)
    monkeypatch.setattr(remote_exec._Folder, "wait", lambda *each: wait(*each) if len(asked) > 1 else None)
    process = start("ready(); run(lambda: tracing); time.sleep(0.2); print(tracing.enabled)")
    request = {"command": "enable", "patterns": ["*.tracing"]}
    assert [answer["key"] for answer in ask.ask(process.pid, request, 10)] == ["shop.tracing"]
    assert len(asked) == 3 and asked[0] == asked[1] and asked[2] == os.devnull
    assert ends(process) == ("True\n", "")


@reaches_in
def test_a_process_that_lets_no_other_in(start, run):
    process = start(FOREVER, PYTHON_DISABLE_REMOTE_DEBUG="1")
    assert "PYTHON_DISABLE_REMOTE_DEBUG or -X disable-remote-debug is set in it" in run("keys", process.pid, status=1)
    process = start(FOREVER)
    output = run("keys", process.pid, status=1, PYTHON_DISABLE_REMOTE_DEBUG="1")
    assert "PYTHON_DISABLE_REMOTE_DEBUG or -X disable-remote-debug is set here" in output


def test_another_python_is_told_which_one_to_take():
    error = "Can't send commands from a Python 3.15 process to a Python 3.14 process"
    why = remote_exec._explained(os.getpid(), error)
    assert error in why and f"it runs {os.path.realpath(sys.executable)}" in why and "use its own" in why


@reaches_in
@root_only
def test_a_user_that_may_not_look_into_it_is_told(start, environment):
    process = start(FOREVER)
    script = f"""
import os, sys
from jumplabel.__main__ import main
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
sys.argv[1:] = ["keys", "{process.pid}"]
sys.exit(main())
"""
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "we may not look into it" in done.stderr, done.stderr


@reaches_in
@root_only
def test_root_reaches_the_processes_of_others():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        become = f"os.setresgid({NOBODY}, {NOBODY}, {NOBODY}); os.setresuid({NOBODY}, {NOBODY}, {NOBODY})"
        script = f"{TARGET}\n{become}; ready(); run(lambda: tracing)"
        environment = {**os.environ, "TMPDIR": folder}
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.readline()
            done = subprocess.run([*COMMAND, "enable", str(process.pid), "*"], env=environment, capture_output=True)
            assert done.returncode == 0, done.stderr
            assert (process.wait(60), process.stderr.read()) == (0, b"")
        assert os.listdir(folder) == []


@reaches_in
def test_several_at_once_take_turns(start, environment):
    process = start(FOREVER)
    command = [*COMMAND, "keys", str(process.pid)]
    several = [subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) for _ in range(5)]
    outputs = {one.communicate(timeout=60) for one in several}
    assert len(outputs) == 1 and [one.returncode for one in several] == [0] * 5, outputs


@reaches_in
def test_a_batch_of_the_main_thread_collects_nothing_of_ours(start, run):
    process = start("ready()\nwith jumplabel.batch(): run(lambda: tracing)")
    assert run("enable", process.pid, "*.tracing") == "changed  shop.tracing\n"
    assert ends(process) == ("", "")


@reaches_in
def test_a_process_that_is_just_importing_jumplabel_is_waited_for(start, run, environment):
    process = start(
        """
import importlib.util, sys, threading, time
import select
class Slow:
    def find_spec(name, path=None, target=None):
        if name == "jumplabel._sites.tracepoint":
            print("ready", flush=True)
            while not select.select([sys.stdin], [], [], 0.001)[0]:
                pass
            sys.meta_path.remove(Slow)
sys.meta_path.insert(0, Slow)
import jumplabel
tracing = jumplabel.StaticKey("shop.tracing")
while not tracing:
    time.sleep(0.001)
""",
        preamble="",
    )
    command = [*COMMAND, "enable", str(process.pid), "*"]
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as enable:
        wait_for(lambda: len(os.listdir(f"/proc/{process.pid}/task")) == 2)
        process.stdin.write("\n")
        process.stdin.flush()
        printed, complaints = enable.communicate(timeout=60)
    assert "changed" in printed or "no key matches" in complaints
    if not printed:
        run("enable", process.pid, "*")
    assert ends(process) == ("", "")


# The script itself. Every version can run it.


@pytest.fixture
def script(tmp_path):
    return remote_exec._SCRIPT.replace("{folder}", ascii(str(tmp_path))), tmp_path


def test_the_script_serves_the_operator(script, reported):
    code, folder = script
    key = StaticKey("shop.tracing")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen()
        exec(code, names := {})
        assert [name for name in names if name not in ("__builtins__", "_thread", "posix", "sys", "begin")] == []
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b'{"command": "enable", "patterns": ["shop.tracing"]}\n')
            assert b"changed" in connection.recv(1000) and key
    wait_for(lambda: not serving._servers)
    assert reported == []


def test_the_script_says_why_it_cannot(script, reported, monkeypatch):
    code, folder = script
    exec(code, {})  # no socket listens
    wait_for(lambda: (folder / "refused").exists())
    assert "its jumplabel cannot serve: FileNotFoundError" in (folder / "refused").read_text()

    def no_thread(*_):
        raise RuntimeError("can't start new thread")

    (folder / "refused").unlink()
    with monkeypatch.context() as patch:
        patch.setattr("_thread.start_new_thread", no_thread)
        exec(code, {})
    assert "no thread can be started in it: RuntimeError" in (folder / "refused").read_text()
    (folder / "refused").unlink()
    folder.rename(folder.with_name("gone"))  # as after the operator has gone
    exec(code, {})
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "jumplabel")
        exec(code, {})
    wait_for(lambda: not serving._servers)
    folder.with_name("gone").rename(folder)
    assert os.listdir(folder) == [] and reported == []


def test_an_interrupt_within_the_script_is_the_programs(script, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("_thread.start_new_thread", interrupted)
    caught = []
    before = signal.signal(signal.SIGINT, lambda *_: caught.append("it"))
    try:
        exec(script[0], {})
        wait_for(lambda: caught)
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught == ["it"]
