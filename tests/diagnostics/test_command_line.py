"""python -m jumplabel, as a user runs it: in a process of its own, in a folder of theirs."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from itertools import pairwise

import pytest
from jumplabel.benchmarks.harness import bench, lookup, questions

import jumplabel._diagnostics.process_info
from jumplabel._diagnostics import disassemble

COMMAND = [sys.executable, "-m", "jumplabel"]

SHOP = """
from jumplabel import StaticKey, static_gate, static_switch

tracing = StaticKey("shop.tracing")
strict = StaticKey("shop.strict", default=True)

@static_gate(tracing)
def trace(event): ...

def checked(data): return data

@static_switch(strict, to=checked)
def parse(data): return data

class Cart:
    @classmethod
    @static_gate(tracing)
    def made(cls): ...

    @staticmethod
    @static_gate(strict)
    def total(): ...

    @static_gate(strict)
    def add(self, item): ...

    @property
    def owner(self): ...

plain = [parse]
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "broken.py").write_text("import a_module_that_is_not_there\n")

    def run(*arguments, status=0, **environment):
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr if status == 2 else done.stdout

    return run


@pytest.fixture(scope="module")
def native():
    jumplabel._diagnostics.process_info.start()
    if not jumplabel.info().native:
        pytest.skip(f"no trampolines here: {jumplabel.info().refusal}")


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


# ---- dis ----


def offsets_and_bytes(lines):
    found = [re.match(r" +(\d+)  ((?:[0-9a-f]{2} ?)+)(?:  |$)", line) for line in lines]
    return [(int(match[1]), bytes.fromhex(match[2])) for match in found if match]


@pytest.mark.parametrize("name", ["trace", "parse", "Cart.made", "Cart.total", "Cart.add"])
@pytest.mark.parametrize("extra", [True, False], ids=["capstone", "plain"])
def test_dis_shows_every_byte_of_the_code_once(run, native, tmp_path, name, extra):
    if extra:
        pytest.importorskip("capstone")
    else:
        (tmp_path / "capstone.py").write_text("raise ImportError\n")
    output = run("dis", f"shop:{name}")
    assert f"shop.{name}:" in output
    code = offsets_and_bytes(output.splitlines())
    for (offset, part), (following, _) in pairwise(code):
        assert offset + len(part) == following
    on = name in ("parse", "Cart.total", "Cart.add")
    assert code[0] == (0, code[0][1])
    assert (code[0][1][1:] == disassemble.NOP5) == (not on)
    assert ("jmp " in output.split("; the site")[0]) == on
    assert ("jumplabel[dis]" in output) == (not extra)
    words = re.findall(r"^ +(\d+)  (\w+) +(0x[0-9a-f]{16})", output, re.MULTILINE)
    switch_only = [("32", "off_entry")] if name == "parse" else []
    expected = [*switch_only, ("40", "on_entry"), ("48", "on_argument"), ("56", "off_argument")]
    assert [(offset, word) for offset, word, _ in words] == expected
    assert all(int(value, 16) for _, _, value in words)


def test_dis_names_instructions_and_what_they_read(run, native):
    pytest.importorskip("capstone")
    lines = run("dis", "shop:parse").splitlines()
    site = next(line for line in lines if "; the site" in line)
    on_path = next(line for line in lines if "the on path" in line)
    target = int(re.search(r"jmp (\d+)", site)[1])
    assert int(on_path.split()[0]) == target
    assert "mov rdi" in on_path and "on_argument" in on_path
    for word in ("off_argument", "off_entry", "on_entry"):
        assert any(line.endswith(f"; {word}") for line in lines)


def test_dis_of_a_function_with_branches(run, tmp_path):
    (tmp_path / "counter.py").write_text(COUNTER)
    lines = run("dis", "counter:Counter.add").splitlines()
    assert lines[0].endswith("counter.py:8") and "Counter.add" in lines[0]
    sites = [line for line in lines if "JUMP_FORWARD to" in line and "counter." in line]
    assert [line.split()[4:6] for line in sites] == [["on", "counter.strict,"], ["off", "counter.tracing,"]]
    assert [line.rpartition(":")[2] for line in sites] == ["9", "10"]
    assert any("RETURN_VALUE" in line for line in lines)
    assert "no site of" in run("dis", "counter:Counter.plain", status=2)


COUNTER = """from jumplabel import StaticKey, static_branches

tracing = StaticKey("counter.tracing")
strict = StaticKey("counter.strict", default=True)

@static_branches
class Counter:
    def add(self, n):
        if strict: assert n
        if tracing: print(n)
        return n

    def plain(self): ...
"""


@pytest.mark.parametrize("extra", [True, False], ids=["capstone", "plain"])
def test_dis_of_a_native_branch(run, native, tmp_path, extra):
    if extra:
        pytest.importorskip("capstone")
    else:
        (tmp_path / "capstone.py").write_text("raise ImportError\n")
    (tmp_path / "letters.py").write_text(LETTERS)
    lines = run("dis", "letters:branch").splitlines()
    assert re.fullmatch("letters:8: native_branch of letters.upper, on, at 0x[0-9a-f]{16}", lines[0])
    code = offsets_and_bytes(lines)
    assert code[0] == (0, bytes.fromhex("2ee906000000"))  # the site: a jump to 12
    assert b"".join(part for _, part in code)[6:18:6] == b"\xff\xff"  # jmp *off_entry; jmp *on_entry
    words = [line.split(maxsplit=3) for line in lines if "_entry  " in line]
    assert [(word[:2], re.search("calling <.*?(lambda|ord)>", word[3])[1]) for word in words] == [
        (["32", "off_entry"], "lambda"),
        (["40", "on_entry"], "ord"),
    ]
    if extra:
        assert [line.rpartition("; ")[2] for line in lines[2:5]] == ["the site", "off_entry", "on_entry, the on path"]
    assert "plain branch in C" in run("dis", "letters:branch", JUMPLABEL_NATIVE="0")
    assert "  plain branch      on     letters.upper, letters:8\n" in run("info", "letters", JUMPLABEL_NATIVE="0")


LETTERS = """import cffi
from jumplabel import StaticKey, native_branch

ffi = cffi.FFI()
upper = StaticKey("letters.upper", default=True)
callback = ffi.callback("int(int)")

branch = native_branch(upper, off=callback(lambda n: n), on=callback(ord))
"""


PROBED = """from jumplabel import StaticCall, Tracepoint

none, one, two = Tracepoint("probed.none"), Tracepoint("probed.one"), Tracepoint("probed.two")

@one.register
@two.register
def probe(x): ...

two.register(print)

class Holder:
    @StaticCall
    def call(self): ...

def target(self): ...

Holder.call.update(target)
off = StaticCall(probe)
off.update(None)
"""

LEADS_TO = {"none": None, "one": "<function probe ", "two": "(<function probe ", "Holder.call": "<function target "}


@pytest.mark.parametrize(("name", "target"), [*LEADS_TO.items(), ("off", None)])
@pytest.mark.parametrize("extra", [True, False], ids=["capstone", "plain"])
def test_dis_says_where_a_site_leads(run, native, tmp_path, name, target, extra):
    if extra:
        pytest.importorskip("capstone")
    else:
        (tmp_path / "capstone.py").write_text("raise ImportError\n")
    (tmp_path / "probed.py").write_text(PROBED)
    first, _, site, *output = run("dis", f"probed:{name}").splitlines()
    kind = "call" if name in ("Holder.call", "off") else "tracepoint"
    assert f": {kind} of probed." in first and f", {'on' if target else 'off'}, at 0x" in first
    at = [line for line in output if line.startswith("the target's, at ")]
    if not target:
        assert "nop5" in site and at == []
        return
    address, leads_to = (int(re.search("0x[0-9a-f]{16}", line)[0], 16) for line in (first, at[0]))
    assert f"the site, to {leads_to:#018x}" in site
    assert int(re.search(r"jmp (-?\d+)", site)[1]) == leads_to - address
    words = [line.split(maxsplit=3) for line in output[output.index(at[0]) :] if re.match(" +4[08]  [a-z_]+ +0x", line)]
    assert [word[:2] for word in words] == [["40", "entry"], ["48", "argument"]]
    assert words[1][3].startswith(target)


def test_dis_of_a_plain_branch(run):
    assert "plain branch" in run("dis", "shop:parse", JUMPLABEL_NATIVE="0")


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
    # What a shell runs in the background ignores SIGINT, and so would all that it starts.
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
    """The check itself: with a key whose toggles reach no site, the demonstration must fail."""
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
