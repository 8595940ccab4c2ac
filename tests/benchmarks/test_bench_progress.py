"""``python -m jumplabel bench`` takes turns between the rows of scripts, and shows its progress."""

import fcntl
import io
import os
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from importlib.util import find_spec
from itertools import pairwise
from types import SimpleNamespace

import pytest
from jumplabel.benchmarks.harness import bench, measuring, reporting, run_facts
from jumplabel.benchmarks.harness.progress import Progress

if not all(map(find_spec, (*bench.EXTRA, bench.CHARTS))):
    pytest.skip("needs jumplabel[bench]", allow_module_level=True)
import pyperf
from measurements import Terminal

SCRIPT = """
import sys
from rows import Rows
rows = Rows()
with open("{folder}/ran", "a") as file:
    file.write(" ".join(x for x in sys.argv[1:] if x in ("--worker", "--only", "a", "b", "--loops=2")) + "\\n")
for name in "{names}".split():
    if rows.wants(name):
        rows.runner.bench_time_func(name, lambda loops: loops * 1e-3)
"""


def test_rows_take_turns_and_curves_are_measured_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(bench.scripts_folder()))
    for name, names in (("two.py", "a b"), ("curve_one.py", "c")):
        (tmp_path / name).write_text(SCRIPT.format(folder=tmp_path, names=names))
    stream = Terminal()
    options = ["--values=1", "--warmups=0", "--min-time=0.003"]
    plan = measuring.Plan(["two.py"], 3, options, ["curve_one.py"], ["--loops=2"])
    suite = measuring.measure(pyperf, tmp_path, plan, stream)
    ran = [line for line in (tmp_path / "ran").read_text().splitlines() if "--worker" not in line]
    assert ran == ["", "--loops=2", *("--only a", "--only b") * 2]
    assert {row.get_name(): row.get_nvalue() for row in suite} == {"a": 3, "b": 3, "c": 1}
    assert run_facts.scripts_of(suite) == {"a": {"two.py"}, "b": {"two.py"}, "c": {"curve_one.py"}}
    for row in suite:
        assert len({run.get_loops() for run in row.get_runs() if run.values}) == 1  # those of the first round
    shown = stream.getvalue()
    steps = re.findall("round (.) of 3, (. of .: [^\r]*[^\r ])", shown)
    assert steps == [
        *(("1", "1 of 2: two.py"), ("1", "2 of 2: curve_one.py")),
        *((n, f"{i} of 2: {row} (two.py)") for n in "23" for i, row in ((1, "a"), (2, "b"))),
    ]
    assert shown.endswith(" \r")  # the line is cleared


# ---- progress ----


@pytest.fixture
def clock(monkeypatch):
    """A clock for tqdm, which the test sets."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("tqdm.std.time", lambda: clock.now)
    return clock


def run_rounds(clock, stream, seconds=10.0):
    """Three rounds of two scripts. The second script takes three times as long and has three rows."""
    progress = Progress(stream, 3)
    progress.round({"a.py": 1.0, "b.py": 1.0})
    for script, took in (("a.py", seconds), ("b.py", 3 * seconds)):
        progress.begin(script)
        clock.now += took
        progress.end(script)
    rows = {"a1": seconds, "b1": seconds, "b2": seconds, "b3": seconds}
    for _ in range(2):
        progress.round(rows)
        for row in rows:
            progress.begin(row)
            clock.now += seconds
            progress.end(row)
    progress.close()


def test_progress_on_a_terminal_is_one_line(clock):
    stream = Terminal()
    run_rounds(clock, stream)
    shown = stream.getvalue()
    assert "\n" not in shown and shown.endswith("\r")
    lines = [re.sub(r"\|.*\|", "|", line.strip()) for line in shown.split("\r") if line.strip()]
    assert lines == [
        "0 % | ? left;",  # before the first step
        "0 % | ? left; round 1 of 3, 1 of 2: a.py",
        "17 % | 00:50 left; round 1 of 3, 2 of 2: b.py",
        "33 % | 01:20 left; round 2 of 3, 1 of 4: a1",
        "42 % | 01:10 left; round 2 of 3, 2 of 4: b1",
        "50 % | 01:00 left; round 2 of 3, 3 of 4: b2",
        "58 % | 00:50 left; round 2 of 3, 4 of 4: b3",
        "67 % | 00:40 left; round 3 of 3, 1 of 4: a1",
        "75 % | 00:30 left; round 3 of 3, 2 of 4: b1",
        "83 % | 00:20 left; round 3 of 3, 3 of 4: b2",
        "92 % | 00:10 left; round 3 of 3, 4 of 4: b3",
    ]
    for before, after in pairwise(shown.split("\r")):
        assert len(after) >= len(before.rstrip())  # the former line is overwritten


def test_the_time_left_follows_the_time_that_steps_take(clock):
    stream = io.StringIO()
    progress = Progress(stream, 2)
    progress.round({"a.py": 1.0})
    progress.begin("a.py")
    clock.now += 100
    progress.end("a.py")
    progress.round({"a1": 40.0, "a2": 40.0})
    progress.begin("a1")
    clock.now += 120  # three times the expected time: 140 s of 180 s took 220 s
    progress.end("a1")
    progress.begin("a2")
    assert [line.partition(";")[0] for line in stream.getvalue().splitlines()[1:]] == [
        "56 % done, about 1 min left",
        "78 % done, about 1 min left",
    ]


@pytest.mark.parametrize(("rows", "columns", "width"), [(24, 60, 59), (0, 0, 79)], ids=["known", "unknown"])
def test_progress_fits_into_the_terminal(monkeypatch, rows, columns, width):
    ours, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
    with open(terminal, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        progress = Progress(stream, 3)
        progress.round({"a" * 200: 1.0})
        progress.begin("a" * 200)
    *_, line = read_all(ours).decode().split("\r")
    assert len(line) == width and line.endswith("aaa")


def read_all(terminal):
    """Read what was written to the closed other end of a pseudo-terminal, and close this one."""
    found = b""
    with open(terminal, "rb", buffering=0) as file, suppress(OSError):  # EIO: this was all
        while part := file.read(1000):
            found += part
    return found


def test_progress_elsewhere_is_a_line_a_round_and_one_a_minute(clock):
    stream = io.StringIO()
    run_rounds(clock, stream)
    assert stream.getvalue().splitlines() == [
        "round 1 of 3, 1 of 2: a.py",
        "33 % done, about 1 min left; round 2 of 3, 1 of 4: a1",
        "67 % done, about 40 s left; round 3 of 3, 1 of 4: a1",
    ]
    stream = io.StringIO()
    run_rounds(clock, stream, seconds=35.0)
    lines = stream.getvalue().splitlines()
    steps = [re.search("round (.) of 3.*, (.) of", line).groups() for line in lines]
    assert steps == [("1", "1"), ("2", "1"), ("2", "3"), ("3", "1"), ("3", "3")]
    assert lines[1] == "33 % done, about 5 min left; round 2 of 3, 1 of 4: a1"


@pytest.mark.parametrize("stream", [None, io.StringIO(), Terminal()])
def test_progress_writes_to_its_stream_only(clock, capfd, stream):
    run_rounds(clock, stream)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("quiet", [False, True])
def test_standard_output_without_a_terminal_is_the_report_only(tmp_path, quiet):
    command = [sys.executable, "-m", "jumplabel", "bench", "--only", "gate", "-p1", "--values=1", "--warmups=0", "-l1"]
    done = subprocess.run(
        [*command, "--output", "new.json", *["--quiet"] * quiet],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    suite = pyperf.BenchmarkSuite.load(str(tmp_path / "new.json"))
    assert done.stdout.splitlines() == list(reporting.report_lines(suite))
    assert done.stderr == ("" if quiet else "round 1 of 1, 1 of 1: gate.py\n")
