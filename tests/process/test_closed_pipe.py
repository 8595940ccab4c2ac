"""Commands end quietly after their output has lost its reader, or without any output."""

import os
import socket
import subprocess
import sys

import pytest
from operators import MANY

from jumplabel import StaticKey, serve
from jumplabel._process.closed_pipe import STATUS, ends_quietly, has_reader

COMMAND = [sys.executable, "-m", "jumplabel"]
# PYTHONUNBUFFERED is not set: an interpreter reports, at its end, output that it cannot write from a buffer.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("JUMPLABEL_", "PYTHON"))}


def run(*arguments, out=subprocess.PIPE, errors=subprocess.PIPE, **more):
    """Run a command. Return status, stdout and stderr. Closes a given descriptor once the process has it."""
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], env=ENVIRONMENT, stdout=out, stderr=errors, **more)
    for descriptor in {out, errors} - {subprocess.PIPE, subprocess.STDOUT, None}:
        os.close(descriptor)
    printed, told = process.communicate(timeout=MANY)
    return process.returncode, printed, told


def without_reader():
    """Return the write end of a pipe without a reader."""
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.fixture
def served(tmp_path):
    """This process serves more keys than fit into a pipe."""
    with serve(tmp_path / "sockets"):
        kept = [StaticKey(f"rack.{n:04}.{'x' * 40}") for n in range(2000)]
        yield os.getpid()
        assert kept


def commands(pid):
    return [
        ["keys", pid],
        ["keys", "--tree", pid],
        ["enable", pid, "rack.*"],
        ["watch", pid],
        ["info"],
        ["info", "json"],
    ]


@pytest.mark.parametrize("number", range(6))
def test_output_without_a_reader_ends_a_command_quietly(served, number):
    command = commands(served)[number]
    assert run(*command, out=without_reader(), errors=without_reader())[0] == STATUS
    status, _, told = run(*command, out=without_reader())
    assert (status, told) in [(STATUS, b""), (STATUS, b"jumplabel: watching process %d\n" % served)]


# argparse ignores an error of its own writes.
@pytest.mark.parametrize("command", ["--help", "keys --help", "run --help"])
def test_help_without_a_reader_ends_quietly(command):
    status, _, told = run(*command.split(), out=without_reader())
    assert status in (0, STATUS) and told == b""


@pytest.mark.parametrize("command", ["keys", "--no-such-option", "enable 1"])
def test_errors_of_arguments_without_a_reader_end_quietly(command):
    status, printed, _ = run(*command.split(), errors=without_reader())
    assert status in (2, STATUS) and printed == b""


def test_a_reader_that_has_enough_ends_a_command_quietly(served):
    process = subprocess.Popen([*COMMAND, "keys", str(served)], env=ENVIRONMENT, stdout=-1, stderr=-1)
    assert process.stdout.readline() == b"state  users  sites  key\n"
    process.stdout.close()
    assert (process.wait(MANY), process.stderr.read()) == (STATUS, b"")
    process.stderr.close()


@pytest.mark.parametrize(
    "arguments",
    [["keys", 99999999], ["dis", "x"], ["keys", 1, "!a"], ["stress", "--seconds", 0], ["demo", "--threads", 0]],
)
def test_errors_without_a_reader_end_a_command_quietly(arguments):
    assert run(*arguments, errors=without_reader()) == (STATUS, b"", None)


@pytest.mark.parametrize(("arguments", "status"), [(["keys", 99999999], 1), (["keys"], 2), (["dis", "x"], 2)])
def test_with_stderr_closed_from_the_start_errors_do_not_go_to_stdout(arguments, status):
    assert run(*arguments, preexec_fn=lambda: os.close(2), errors=None) == (status, b"", None)


def test_with_stdout_closed_from_the_start_a_command_does_its_work(served):
    key = StaticKey("cellar.tracing")
    assert run("enable", served, key.name, preexec_fn=lambda: os.close(1), out=None) == (0, None, b"")
    assert key.enabled


def test_a_program_handles_its_own_closed_pipe(tmp_path):
    (tmp_path / "program.py").write_text("""
import sys
try:
    print(1, flush=True)
except BrokenPipeError:
    sys.stderr.write("mine")
    raise
""")
    script = str(tmp_path / "program.py")
    status, _, told = run("run", script, out=without_reader())
    command, out = [sys.executable, script], without_reader()
    plain = subprocess.run(command, env=ENVIRONMENT, stdout=out, stderr=subprocess.PIPE)
    os.close(out)
    assert (status, told) == (plain.returncode, plain.stderr) and told.startswith(b"mineTraceback")


def test_another_broken_pipe_is_an_error(capfd):
    with pytest.raises(BrokenPipeError), ends_quietly():
        raise BrokenPipeError


def test_output_with_a_reader(tmp_path, capfd):
    read, write = os.pipe()
    left, right = socket.socketpair()
    with open(write, "w") as pipe, open(tmp_path / "file", "w") as file, right, right.makefile("w") as connection:
        assert has_reader(pipe) and has_reader(file) and has_reader(connection) and has_reader(None)
        os.close(read)
        left.close()
        assert not has_reader(pipe) and not has_reader(connection)
    assert has_reader(file)


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["keys"], "PID"),
        (["watch"], "PID"),
        (["keys", "--tree"], "PID"),
        (["enable"], "PID, PATTERN"),
        (["enable", 1], "PATTERN"),
        (["disable", 1], "PATTERN"),
        (["level"], "PID, LOGGER, LEVEL"),
        (["level", 1, "shop"], "LEVEL"),
    ],
)
def test_the_missing_streams_are_the_expected_ones(arguments, missing):
    status, _, told = run(*arguments)
    assert status == 2 and told.decode().endswith(f"the following arguments are required: {missing}\n")
