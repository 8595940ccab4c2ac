"""What sites in bytecode cost, counted: bytes, instructions, what is read. Times are for the benchmarks."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import FunctionType

import pytest

from jumplabel import static_branches
from jumplabel._bytecode import plan_sites
from jumplabel._program.name_watch import HEARS_ALL

# ---- memory ----

# Every byte is glibc's to count, in a process with no other allocator.
MEMORY = """
import ctypes, gc, sys
from jumplabel import StaticKey, static_branches

class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
        ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Mallinfo2

def used():
    gc.collect()
    found = mallinfo2()
    return found.uordblks + found.hblkhd

def made(n):
    functions = []
    for _ in range(n):
        names = {"key": key}
        exec(source, names)
        functions.append(names["f"])
    return functions

tests, n = map(int, sys.argv[1:])
source = "def f(x):" + " \\n if key: x += 1" * tests + "\\n return x\\n"
key = StaticKey("memory")
warm = [static_branches(function) for function in made(10)]  # and what is made but once
functions, before = made(n), len(key.entries)
without = used()
for function in functions:
    static_branches(function)
print((used() - without) / (len(key.entries) - before))
"""


@pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="free-threaded builds have one allocator")
@pytest.mark.parametrize(("tests", "functions", "watched"), [(1, 2000, 344), (5, 500, 280), (100, 100, 253)])
def test_a_site_takes_less_than_300_bytes(tests, functions, watched):
    """``watched``: from 3.12 on, where the names in the functions' modules are watched, here one module for each."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tests), str(functions)],
        env={**os.environ, "PYTHONMALLOC": "malloc", "PYTHON_JIT": "0"},  # traces would be counted, too
        capture_output=True,
        text=True,
    )
    if "undefined symbol: mallinfo2" in done.stderr:
        pytest.skip("needs mallinfo2: glibc 2.33")
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout) < (watched if HEARS_ALL else 300)


# ---- instructions ----

SCRIPT = Path(__file__).parent.parent.parent / "benchmarks" / "instructions.py"


@pytest.fixture(scope="module")
def counted():
    """What benchmarks/instructions.py counts under this interpreter."""
    if not shutil.which("valgrind"):
        pytest.skip("needs valgrind")
    done = subprocess.run([sys.executable, SCRIPT, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def jit(counted):
    return counted["interpreter"]["JIT"]


@pytest.fixture
def instructions(counted):
    """Of each statement."""
    return {name: row["instructions"] for name, row in counted["rows"].items()}


@pytest.mark.parametrize("state", ["off", "on"])
def test_a_site_is_one_jump(instructions, jit, state):
    deleted = instructions[f"deleted {state}"]
    site, flag = (instructions[f"{name} {state}"] - deleted for name in ("static branch", "global flag"))
    jump = instructions["planted jump"] - instructions["deleted off"]
    assert jump > (-1 if jit else 1)
    assert site == pytest.approx(jump, abs=0.5)
    assert site < flag / 2


def test_a_call_takes_three_instructions_of_ours(counted):
    """Site, argument, and on; or back. None is counted by one more, where it is not immortal."""
    ours = {name: row["ours"] for name, row in counted["rows"].items() if row["ours"]}
    back = 3 if sys.version_info >= (3, 12) else 4
    assert ours == {
        **{"gate off": back, "tracepoint, no probe": back},
        **dict.fromkeys(["gate on", "switch off", "switch on", "snapshot off", "snapshot on", "static call"], 3),
    }


def test_what_the_interpreter_adds_to_a_call_that_returns(instructions, jit):
    """The shares are 0.85 on 3.11, 0.83, 0.76, 0.72 and 0.66 on 3.15; of the early return, about half."""
    most = {(3, 11): 0.92, (3, 12): 0.9}.get(sys.version_info[:2], 0.85)
    assert instructions["gate off"] < most * instructions["C built-in"]
    assert jit or instructions["gate off"] < 0.7 * instructions["early return off"]
    assert instructions["tracepoint, no probe"] == pytest.approx(instructions["gate off"], abs=1)


def test_what_the_interpreter_adds_to_a_call_that_goes_on(instructions, jit):
    """As much for all of ours, and less than half of what it adds to a wrapper in Python."""
    for name in ("gate on", "static call"):
        assert instructions[name] == pytest.approx(instructions["switch off"], abs=1)
    for state in ("off", "on"):
        assert instructions[f"switch {state}"] < (0.65 if jit else 0.5) * instructions[f"wraps wrapper {state}"]


def test_counts_that_were_kept_are_a_table(counted, tmp_path):
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps(counted))
    done = subprocess.run([sys.executable, SCRIPT, kept, kept], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    gate = round(counted["rows"]["gate off"]["instructions"]), round(counted["rows"]["gate off"]["ours"])
    cell = "{} ({})".format(*gate)
    assert f"| gate off | {cell} | {cell} |" in done.stdout.splitlines()


def test_without_valgrind_the_counts_say_so(tmp_path):
    done = subprocess.run([sys.executable, SCRIPT], env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "needs valgrind; Debian, Ubuntu: apt install valgrind\n"


def test_without_trampolines_there_is_nothing_to_count():
    environment = {**os.environ, "JUMPLABEL_NATIVE": "0"}
    done = subprocess.run([sys.executable, SCRIPT, "--within"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "no native sites here: switched off by JUMPLABEL_NATIVE=0\n"


@pytest.mark.parametrize("text", ["no counts", "[]", '{"rows": {}}'])
def test_a_file_of_something_else_is_no_table(tmp_path, text):
    (tmp_path / "kept.json").write_text(text)
    done = subprocess.run([sys.executable, SCRIPT, tmp_path / "kept.json"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "kept.json is not what --json printed" in done.stderr


# ---- decorating ----


@pytest.fixture
def read_names(monkeypatch):
    """The names of the code objects whose bytecode is read."""
    names = []
    read = plan_sites.read

    def noted(code):
        names.append(code.co_name)
        return read(code)

    monkeypatch.setattr(plan_sites, "read", noted)
    return names


def test_a_function_that_names_no_key_is_not_read(key, read_names):
    def names_none(flag):
        def inner():
            return os.path.join("a", "b") if read_names else None

        return [os.sep for _ in range(3) if flag and json.decoder and pytest], inner

    code = names_none.__code__
    assert static_branches(names_none).__code__ is code
    assert read_names == []


def test_the_code_of_a_closure_is_read_once(key, read_names):
    def outer():
        def inner():
            return 1 if key else 0

        return inner

    first, second = static_branches(outer()), static_branches(outer())
    assert read_names == ["inner"]
    assert first.__code__ is second.__code__
    again = FunctionType(outer().__code__.replace(), {}, None, None, first.__closure__)
    static_branches(again)
    assert read_names == ["inner", "inner"]
