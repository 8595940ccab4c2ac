"""What sites in bytecode cost, counted: bytes, instructions, what is read. Times are for the benchmarks."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from types import FunctionType

import pytest

from jumplabel import planning, static_branches

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
@pytest.mark.parametrize(("tests", "functions"), [(1, 2000), (5, 500), (100, 100)])
def test_a_site_takes_less_than_300_bytes(tests, functions):
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tests), str(functions)],
        env={**os.environ, "PYTHONMALLOC": "malloc"},
        capture_output=True,
        text=True,
    )
    if "undefined symbol: mallinfo2" in done.stderr:
        pytest.skip("needs mallinfo2: glibc 2.33")
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout) < 300


# ---- instructions ----

CHECKS, PASSES = 10, 1000

# One loop, with different things between its statements. Valgrind writes what it counted, and begins anew, at every
# getloadavg(): before each loop, and behind it.
INSTRUCTIONS = """
import json, os, sys
from opcode import opmap
from jumplabel import StaticKey, static_branches

checks, passes = map(int, sys.argv[1:])
off, on = StaticKey("off"), StaticKey("on", default=True)
body = "done = True"

def loop(check):
    names = {"off": off, "on": on, "FLAG": False, "SET": True}
    between = "  " + check + "\\n  done = None\\n"
    exec("def loop(n):\\n for _ in range(n):\\n" + between * checks, names)
    return names["loop"]

def planted():
    function = loop("pass")
    code = function.__code__
    units = bytearray(code.co_code)
    places = [i for i in range(0, len(units), 2) if units[i] == opmap["NOP"]]
    assert len(places) == checks
    for i in places:
        units[i : i + 2] = opmap["JUMP_FORWARD"], 0
    function.__code__ = code.replace(co_code=bytes(units))
    return function

loops = {
    "deleted": loop(""),
    "site": static_branches(loop("if off: " + body)),
    "flag": loop("if FLAG: " + body),
    "planted": planted(),
    "nop": loop("pass"),
    "deleted, on": loop(body),
    "site, on": static_branches(loop("if on: " + body)),
    "flag, on": loop("if SET: " + body),
}
assert (len(off.entries), len(on.entries)) == (checks, checks)
for run in loops.values():
    for _ in range(3):  # the interpreter specializes and, with a JIT, compiles
        run(passes)
    os.getloadavg()
    run(passes)
    os.getloadavg()
print(json.dumps(list(loops)))
"""


@pytest.fixture(scope="module")
def instructions(tmp_path_factory):
    """How many machine instructions each check takes in the loop, by callgrind."""
    if not shutil.which("valgrind"):
        pytest.skip("needs valgrind")
    folder = tmp_path_factory.mktemp("callgrind")
    done = subprocess.run(
        [
            *("valgrind", "--tool=callgrind", "--dump-before=getloadavg", f"--callgrind-out-file={folder}/out"),
            *(sys.executable, "-c", INSTRUCTIONS, str(CHECKS), str(PASSES)),
        ],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    loops = json.loads(done.stdout)
    counts = {}
    for i, name in enumerate(loops):
        part = (folder / f"out.{2 * i + 2}").read_text()
        counts[name] = int(re.search(r"^(?:summary|totals): (\d+)", part, re.MULTILINE)[1]) / CHECKS / PASSES
    return {name: n - counts["deleted, on" if name.endswith("on") else "deleted"] for name, n in counts.items()}


def test_a_site_that_is_off_is_one_jump(instructions):
    assert instructions["planted"] > 1
    assert instructions["site"] == pytest.approx(instructions["planted"], abs=0.1)
    assert instructions["site"] < instructions["flag"] / 2


def test_a_site_that_is_on_is_one_jump_too(instructions):
    assert instructions["site, on"] == pytest.approx(instructions["planted"], abs=0.1)
    assert instructions["site, on"] < instructions["flag, on"] / 2


# ---- decorating ----


@pytest.fixture
def read_names(monkeypatch):
    """The names of the code objects whose bytecode is read."""
    names = []
    read = planning.read

    def noted(code):
        names.append(code.co_name)
        return read(code)

    monkeypatch.setattr(planning, "read", noted)
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
