"""How ``python -m jumplabel bench`` takes turns between the rows of scripts, and what it shows meanwhile."""

import io
import re
from importlib.util import find_spec
from itertools import pairwise

import pytest
from jumplabel.benchmarks.harness import bench, measuring, run_facts
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
        assert len({run.get_loops() for run in row.get_runs() if run.values}) == 1  # as the first round found out
    shown = stream.getvalue()
    steps = re.findall("round (.) of 3.*?, (. of .: [^\r]*[^\r ])", shown)
    assert steps == [
        *(("1", "1 of 2: two.py"), ("1", "2 of 2: curve_one.py")),
        *((n, f"{i} of 2: {row} (two.py)") for n in "23" for i, row in ((1, "a"), (2, "b"))),
    ]
    assert shown.endswith(" \r")  # nothing is left of it


# ---- progress ----


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def rounds(stream, seconds=10.0):
    """Two scripts, the second of which takes as long again and has three rows; three rounds."""
    clock = Clock()
    progress = Progress(stream, 3, clock)
    progress.round(["a.py", "b.py"])
    for script, took in (("a.py", seconds), ("b.py", 3 * seconds)):
        progress.begin(script)
        clock.now += took
        assert progress.end(script) == took
    rows = {"a1": seconds, "b1": seconds, "b2": seconds, "b3": seconds}
    for _ in range(2):
        progress.round(list(rows), rows)
        for row in rows:
            progress.begin(row)
            clock.now += seconds
            progress.end(row)
    progress.close()
    return stream and stream.getvalue()


def test_progress_on_a_terminal_is_one_line():
    shown = rounds(Terminal())
    assert "\n" not in shown and shown.endswith("\r")
    lines = [line.strip() for line in shown.split("\r") if line.strip()]
    assert lines == [
        "round 1 of 3, 1 of 2: a.py",
        "17 % done, about 50 s left; round 1 of 3, 2 of 2: b.py",
        "33 % done, about 1 min left; round 2 of 3, 1 of 4: a1",
        "42 % done, about 1 min left; round 2 of 3, 2 of 4: b1",
        "50 % done, about 1 min left; round 2 of 3, 3 of 4: b2",
        "58 % done, about 50 s left; round 2 of 3, 4 of 4: b3",
        "67 % done, about 40 s left; round 3 of 3, 1 of 4: a1",
        "75 % done, about 30 s left; round 3 of 3, 2 of 4: b1",
        "83 % done, about 20 s left; round 3 of 3, 3 of 4: b2",
        "92 % done, about 10 s left; round 3 of 3, 4 of 4: b3",
    ]
    for before, after in pairwise(shown.split("\r")):
        assert len(after) >= len(before.rstrip())  # nothing of the former line stays


def test_progress_fits_into_the_terminal():
    stream = Terminal()
    progress = Progress(stream, 3, Clock())
    progress.round(["a" * 200])
    progress.begin("a" * 200)
    assert len(stream.getvalue()) == 80  # with the carriage return


def test_progress_elsewhere_is_a_line_a_round_and_one_a_minute():
    lines = rounds(io.StringIO()).splitlines()
    assert [re.search("round .", line)[0] for line in lines] == ["round 1", "round 2", "round 3"]
    assert not any("\r" in line for line in lines)
    lines = rounds(io.StringIO(), seconds=35.0).splitlines()
    steps = [re.search("round (.) of 3.*, (.) of", line).groups() for line in lines]
    assert steps == [("1", "1"), ("2", "1"), ("2", "3"), ("3", "1"), ("3", "3")]
    assert lines[1] == "33 % done, about 5 min left; round 2 of 3, 1 of 4: a1"


def test_progress_may_be_shown_nowhere():
    assert rounds(None) is None
