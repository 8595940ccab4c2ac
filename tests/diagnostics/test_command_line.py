"""``python -m jumplabel`` as a user runs it: in a new process, in a folder with a user's modules."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
from jumplabel.benchmarks.harness import bench, lookup, questions

import jumplabel._diagnostics.process_info

COMMAND = [sys.executable, "-m", "jumplabel"]


def facts(output):
    return dict(line.split(maxsplit=1) for line in output.split("\n\n")[0].splitlines())


# ---- info ----


def test_info_tells_what_the_process_runs_on(run):
    jumplabel._diagnostics.process_info.start()
    here, there = jumplabel.info(), facts(run("info"))
    assert there["architecture"] == here.architecture
    assert there["native"] == ("yes" if here.native else "no")
    assert there["sync_method"] == (here.sync_method or "-")
    assert there["native_sites"] == "0"
    assert set(there) == {name for name in dir(here) if not name.startswith("_")}


def test_info_without_modules_has_no_sites(run):
    assert "no sites" in run("info")


def test_info_prints_the_jump_table_of_the_modules(run, native):
    output = run("info", "shop")
    assert facts(output)["native_sites"] == "5"
    rows = [re.split(r"\s{2,}", line) for line in output.split("\n\n")[1].splitlines()]
    assert rows[0] == ["address", "kind", "state", "key, owner"]
    assert sorted(row[1:] for row in rows[1:]) == [
        ["gate", "off", "shop.tracing, shop.Cart.made:16"],
        ["gate", "off", "shop.tracing, shop.trace:7"],
        ["gate", "on", "shop.strict, shop.Cart.add:24"],
        ["gate", "on", "shop.strict, shop.Cart.total:20"],
        ["switch", "on", "shop.strict, shop.parse:12"],
    ]
    assert len({row[0] for row in rows[1:]}) == 5


def test_info_marks_plain_branches(run):
    output = run("info", "shop", JUMPLABEL_NATIVE="0")
    assert facts(output)["native"] == "no"
    assert facts(output)["plain_sites"] == "5"
    assert output.count("  plain gate ") == 4
    assert output.count("  plain switch ") == 1


# ---- mistakes ----


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["dis", "shop"], "module:name"),
        (["dis", "shop:"], "module:name"),
        (["dis", "no_shop:parse"], "no module 'no_shop'"),
        (["dis", "shop:missing"], "no 'missing'"),
        (["dis", "shop:Cart.missing"], "no 'missing'"),
        (["dis", "shop:plain"], "no site of static_gate"),
        (["dis", "shop:Cart.owner"], "no site of static_gate"),
        (["info", "no_shop"], "no module 'no_shop'"),
        (["info", "shop.part"], "no module 'shop.part'"),
        (["info", ".shop"], "no absolute name"),
        (["demo", "--seconds", "0"], "--seconds"),
        (["demo", "--threads", "0"], "--threads"),
        (["stress", "--seconds", "-1"], "--seconds"),
    ],
)
def test_a_mistake_is_answered_in_one_line(run, arguments, says):
    error = run(*arguments, status=2)
    assert says in error
    assert error.startswith("jumplabel: ") and error.count("\n") == 1


def test_a_module_that_cannot_import_another_shows_where(run):
    run("info", "broken", status=1)


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["info", "--nonsense"], ["demo", "--nonsense"]])
def test_unknown_arguments_are_refused(run, arguments):
    assert "usage:" in run(*arguments, status=2)


# ---- demo ----

SUMMARY = re.compile(
    r"([\d,]+) calls, ([\d,]+) of them between two toggles, in .* s\n"
    r"([\d,]+) toggles, traps: .* 0 chained, 0 wrong results\n$"
)


def number(text):
    return int(text.replace(",", ""))


def check_summary(output):
    calls, between, toggles = map(number, SUMMARY.search(output).groups())
    assert calls >= between > 0
    assert toggles > 10


def test_demo_shows_the_site_and_no_wrong_result(run, native):
    output = run("demo", "--seconds", "1.2")
    check_summary(output)
    reports = [line for line in output.splitlines() if "calls/s" in line]
    assert reports and all(line.endswith(" 0 wrong") for line in reports)
    before, *during, after = [line for line in output.splitlines() if line.startswith("site ")]
    assert before.endswith("2e 0f 1f 44 00 00  nop5")
    assert after.startswith("site after ") and after.endswith(("nop5", "jmp 19"))
    states = {line.split(maxsplit=8)[8] for line in during}
    assert {"nop5", "jmp 19"} <= states <= {"nop5", "jmp 19", "int3, tail of nop5", "int3, tail of jmp 19"}


def test_demo_without_trampolines(run):
    output = run("demo", "--seconds", "0.6", "--threads", "1", JUMPLABEL_NATIVE="0")
    check_summary(output)
    assert "plain branch" in output and "site " not in output


def test_demo_ends_at_once_on_ctrl_c(tmp_path):
    # A shell's background jobs ignore SIGINT, and their children inherit this.
    command = ["env", "--default-signal=INT", *COMMAND, "demo", "--seconds", "60"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        demo.stdout.readline()
        time.sleep(0.3)  # while the site is watched
        interrupted = time.monotonic()
        demo.send_signal(signal.SIGINT)
        output, error = demo.communicate(timeout=30)
    assert time.monotonic() - interrupted < 10
    assert demo.returncode == 130
    assert not error
    check_summary(output)


def test_demo_finds_a_site_that_does_not_follow(tmp_path):
    """The toggles reach no site, so the command must fail."""
    (tmp_path / "lame.py").write_text(
        "import runpy, sys\n"
        "from jumplabel import StaticKey\n"
        "StaticKey.enable = lambda key: None\n"
        "sys.argv = ['jumplabel', 'demo', '--seconds', '0.6']\n"
        "runpy.run_module('jumplabel', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "lame.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert number(re.search(r"([\d,]+) wrong results", done.stdout)[1]) > 0


# ---- bench ----

needs_extra = pytest.mark.skipif(not all(map(find_spec, bench.EXTRA)), reason="needs jumplabel[bench]")
SMALLEST = ["--processes", "1", "--values", "1", "--warmups", "0", "--loops", "1"]


NAMES = [
    name
    for question in questions.QUESTIONS
    for column in question.columns
    for row in column.rows.values()
    for name in lookup.names_of(row).values()
]


@pytest.mark.slow
@needs_extra
def test_bench_prints_one_table_and_writes_what_it_measured(run, tmp_path):
    output = run("bench", *SMALLEST, "--quiet", "-o", "first.json", "--append", "all.json")
    for question in questions.QUESTIONS:
        assert f"### {question.title}\n\n{question.note}" in output
    assert f"python -m jumplabel bench {shlex.join(SMALLEST)} --quiet -o first.json" in output
    suite = json.loads((tmp_path / "first.json").read_text())
    names = [row.get("metadata", suite["metadata"]).get("name") for row in suite["benchmarks"]]
    monitored = {name for name in NAMES if "sys.monitoring" in name}
    assert set(names) == set(NAMES) - (monitored if sys.version_info < (3, 12) else set())
    for name, row in zip(names, suite["benchmarks"], strict=True):
        values = [value for one in row["runs"] for value in one.get("values", ())]
        assert len(values) == (2 if name in ("partial", "direct call") else 1)  # two scripts have these rows
    assert json.loads((tmp_path / "all.json").read_text()) == suite
    assert run("bench", "--report", "all.json") == output


@needs_extra
@pytest.mark.parametrize(("file", "says"), [("shop.py", "shop.py exists"), ("no/folder.json", "does not exist")])
def test_bench_looks_at_its_output_before_it_measures(run, file, says):
    error = run("bench", "--quiet", "-o", file, status=2)
    assert says in error and error.count("\n") == 1


@pytest.mark.parametrize("missing", [*bench.EXTRA, bench.CHARTS])
def test_bench_says_which_extra_it_needs(run, tmp_path, missing):
    file = tmp_path / f"{missing.replace('.', '/')}.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"raise ModuleNotFoundError('no', name={missing!r})\n")
    error = run("bench", "--results", ".", status=2)
    assert f"{missing} is missing: pip install 'jumplabel[bench]'" in error and error.count("\n") == 1
