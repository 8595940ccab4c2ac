"""Count the machine instructions of a test or a call by valgrind's callgrind. Every run gives the same counts.

    python benchmarks/instructions.py                 # this interpreter's, as a Markdown table
    python benchmarks/instructions.py --json > FILE   # store the counts
    python benchmarks/instructions.py FILE ...        # a table of stored counts, one column for each file

The count of an empty loop is subtracted from each loop's, so the rest is one statement's. *Ours* are the instructions
outside the interpreter: in a trampoline, or in the engine's library. They do not depend on the interpreter's build, and
``tests/bytecode/test_cost.py`` keeps them from growing. This script does not use pyperf, and needs valgrind only.
"""

import argparse
import functools
import itertools
import json
import mmap
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from ctypes import CFUNCTYPE, Array, addressof, c_char, c_uint64, create_string_buffer
from opcode import opmap
from pathlib import Path
from typing import Any

STATEMENTS, PASSES = 10, 300
WARM_PASSES, JIT_PASSES = (
    1000,
    6000,
)  # run before counting: until the interpreter has specialized, or a JIT has compiled
ARGUMENT = object()
Run = Callable[[int], object]
Counts = dict[str, dict[str, float]]

# ---- what is counted ----


def define(source: str, **names: Any) -> Any:
    """Return the function ``made`` of a source, with code and globals of its own."""
    exec(source, names)
    return names["made"]


def loop(statement: str, **names: Any) -> Any:
    """Return a function that runs a number of passes, each with STATEMENTS statements. It returns ``hits``.

    The loop itself makes no objects.
    """
    lines = "".join(f"  {line}\n" for line in statement.splitlines()) * STATEMENTS or "  pass\n"
    source = f"def made(n):\n hits, argument = 0, ARGUMENT\n for _ in repeat(None, n):\n{lines} return hits\n"
    return define(source, ARGUMENT=ARGUMENT, repeat=itertools.repeat, **names)


def check(name: str, result: object, expected: object) -> None:
    if result is not expected:
        raise AssertionError(f"{name}: {result!r}, not {expected!r}")


def planted() -> Run:
    """Return the loop with a site's single instruction in the place of each test."""
    run = loop("pass\ndone = None")
    units = bytearray(run.__code__.co_code)
    places = [i for i in range(0, len(units), 2) if units[i] == opmap["NOP"]]
    if len(places) != STATEMENTS:
        raise AssertionError(f"{len(places)} NOPs, not {STATEMENTS}")
    for i in places:
        units[i : i + 2] = opmap["JUMP_FORWARD"], 0
    run.__code__ = run.__code__.replace(co_code=bytes(units))
    return run  # type: ignore[no-any-return]


def branches() -> Iterator[tuple[str, Run]]:
    """Yield loops by name. ``deleted`` has no test: when off no body either, when on the body alone."""
    from jumplabel import StaticKey, static_branches

    yield "planted jump", planted()
    for state in ("off", "on"):
        on = state == "on"
        key = StaticKey(f"benchmarks.instructions.{state}", default=not on)
        runs = {
            "deleted": loop("hits = True\ndone = None" if on else "done = None"),
            "global flag": loop("if FLAG: hits = True\ndone = None", FLAG=on),
            "static branch": static_branches(loop("if key: hits = True\ndone = None", key=key), strict=True),
        }
        check("sites", len(key.entries), STATEMENTS)
        check("the branch, the other way", runs["static branch"](1) is True, not on)
        (key.enable if on else key.disable)()
        for name, run in runs.items():
            check(f"{name} {state}", run(1), True if on else 0)
            yield f"{name} {state}", run


def function(x: object) -> object:
    return x


def callables() -> Iterator[tuple[str, Any, object]]:
    """Yield the name of each row, its callable, and the result of a call with ARGUMENT.

    Each of ours is first called in its other state, then toggled. So valgrind without --smc-check=all, which misses
    changed code, would give a wrong result.
    """
    from jumplabel import StaticCall, StaticKey, Tracepoint, static_branches, static_gate, static_switch

    kinds: dict[str, tuple[Any, object, object]] = {
        "gate": (lambda key: static_gate(key)(function), None, ARGUMENT),
        "switch": (lambda key: static_switch(key, to=returns_none)(function), ARGUMENT, None),
        "snapshot": (
            lambda key: static_branches(strict=True, snapshot=True)(
                define("def made(x):\n if key: return None\n return x", key=key)
            ),
            ARGUMENT,
            None,
        ),
    }
    for kind, (make, off, on) in kinds.items():
        for state in ("off", "on"):
            key = StaticKey(f"benchmarks.instructions.{kind}.{state}", default=state == "off")
            call = make(key)
            check(f"{kind}, the other way", call(ARGUMENT), on if state == "off" else off)
            (key.enable if state == "on" else key.disable)()
            yield f"{kind} {state}", call, on if state == "on" else off

    point = Tracepoint("benchmarks.instructions")
    seen: list[object] = []
    point.register(seen.append)
    point(ARGUMENT)
    check("tracepoint, the other way", seen[0], ARGUMENT)
    point.unregister(seen.append)
    yield "tracepoint, no probe", point, None
    swapped = StaticCall(returns_none)
    check("static call, the other way", swapped(ARGUMENT), None)
    swapped.update(function)
    yield "static call", swapped, ARGUMENT

    yield "C built-in", {}.get, None
    yield "direct call", function, ARGUMENT
    for state in ("off", "on"):
        on = state == "on"
        early = define("def made(x):\n if not FLAG:\n  return None\n return x", FLAG=on)
        yield f"early return {state}", early, ARGUMENT if on else None
        yield f"wraps wrapper {state}", wrapper(on), None if on else ARGUMENT


def returns_none(x: object) -> object:
    return None


def wrapper(on: bool) -> Any:
    source = """def made(*args, **kwargs):
    if FLAG:
        return other(*args, **kwargs)
    return function(*args, **kwargs)"""
    return functools.wraps(function)(define(source, FLAG=on, other=returns_none, function=function))


def rows() -> Iterator[tuple[str, Run]]:
    yield from branches()
    for name, call, result in callables():
        check(name, call(ARGUMENT), result)
        yield name, loop("call(argument)", call=call)


# ---- inside valgrind ----

# valgrind.h: the request, with the address of its arguments (rdi, moved into rax). It is four rotations without effect,
# and an exchange. The result is in rdx.
REQUEST = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
RUNNING_ON_VALGRIND = 0x1001
# callgrind.h: VG_USERREQ_TOOL_BASE('C', 'T'), and an enumeration from there.
ZERO_STATS, DUMP_STATS_AT, START_INSTRUMENTATION = (0x43540000 + n for n in (1, 3, 4))


def requests() -> Callable[..., None]:
    """Return ``request(code, text)``, which makes a request of valgrind. Without valgrind it does nothing."""
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(REQUEST)
    machine_code = c_char.from_buffer(page)
    call = CFUNCTYPE(c_uint64, c_uint64)(addressof(machine_code))
    call.keeps = machine_code  # type: ignore[attr-defined]  # keeps the page mapped

    def request(code: int, text: Array[c_char] | None = None) -> None:
        arguments = (c_uint64 * 6)(code, addressof(text) if text else 0)
        call(addressof(arguments))

    return request


def count() -> None:
    """Run each loop, warmed up, between two requests. Dumps of anything else have another name, or none."""
    from jumplabel import StaticKey, info, static_gate

    loops = {"nothing": loop(""), **dict(rows())}
    refusal = info().refusal
    if refusal:
        sys.exit(f"no native sites here: {refusal}")
    request, facts = requests(), interpreter()
    for run in loops.values():
        run(JIT_PASSES if facts["JIT"] else WARM_PASSES)

    def between(first: int, run: Run, passes: int, last: int, text: Array[c_char]) -> None:
        request(first)
        run(passes)
        request(last, text)

    names = {name: create_string_buffer(name.encode()) for name in loops}
    for _ in range(WARM_PASSES):
        between(RUNNING_ON_VALGRIND, loops["nothing"], 1, RUNNING_ON_VALGRIND, names["nothing"])
    request(START_INSTRUMENTATION)
    for name, run in loops.items():
        between(ZERO_STATS, run, PASSES, DUMP_STATS_AT, names[name])
    gate: Any = static_gate(StaticKey("benchmarks.instructions.arena"))(function)
    print(json.dumps({"interpreter": facts, "arena": mapping_of(gate.__site__())}))


def mapping_of(address: int) -> list[int]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(number, 16) for number in line.split()[0].split("-"))
        if start <= address < end:
            return [start, end]
    raise AssertionError(f"nothing is mapped at {address:#x}")


def interpreter() -> dict[str, object]:
    jit = getattr(sys, "_jit", None)
    return {
        "version": platform.python_version(),
        "compiler": platform.python_compiler(),
        "JIT": bool(jit and jit.is_enabled()),
        "free-threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    }


# ---- outside ----


def measure(folder: Path) -> dict[str, Any]:
    """Count by callgrind under this interpreter.

    Returns {"interpreter": facts, "valgrind": version, "rows": {name: {"instructions": n, "ours": n}}}, where counts
    are for one statement. Raises FileNotFoundError without valgrind, and RuntimeError, with the output, if a run fails.

    folder  a folder for callgrind's files
    """
    valgrind = shutil.which("valgrind")
    if not valgrind:
        raise FileNotFoundError("needs valgrind; Debian, Ubuntu: apt install valgrind")
    options = [
        *("--tool=callgrind", "--smc-check=all", "--instr-atstart=no", f"--callgrind-out-file={folder}/counts"),
        *("--dump-instr=yes", "--dump-line=no", "--compress-pos=no", "--compress-strings=no"),
    ]
    command = [valgrind, *options, sys.executable, __file__, "--within"]
    done = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    found = json.loads(done.stdout)
    arena = range(*found["arena"])
    totals = dict(read_part(part.read_text(), arena) for part in folder.glob("counts.*"))
    nothing = totals.pop("nothing")[0]
    each = STATEMENTS * PASSES
    rows = {
        name: {"instructions": round((total - nothing) / each, 2), "ours": round(ours / each, 2)}
        for name, (total, ours) in sorted(totals.items())
        if name
    }
    version = subprocess.run([valgrind, "--version"], capture_output=True, text=True).stdout.strip()
    return {"interpreter": found["interpreter"], "valgrind": version, "rows": rows}


def read_part(text: str, arena: range) -> tuple[str, tuple[int, int]]:
    """Return the name of a dump, its total count of instructions, and the count of ours.

    Code of a library's file has its file name; code without a file has absolute addresses. A line after ``calls=`` is
    a sum of called code, which is counted elsewhere.
    """
    name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.MULTILINE)
    library, called = "", False
    total = ours = 0
    for line in text.splitlines():
        if line.startswith("ob="):
            library = line
        elif line.startswith("0x") and not called:
            address, *_, instructions = line.split()
            total += int(instructions)
            if "jumplabel/_engine." in library or (library == "ob=???" and int(address, 16) in arena):
                ours += int(instructions)
        called = line.startswith("calls=")
    return name[1] if name else "", (total, ours)


# ---- the table ----

TESTS = (
    *("deleted off", "static branch off", "planted jump", "global flag off"),
    *("deleted on", "static branch on", "global flag on"),
)
CALLS = (
    *("gate off", "tracepoint, no probe", "C built-in", "early return off", "gate on", "early return on"),
    *("switch off", "switch on", "snapshot off", "snapshot on", "static call"),
    *("direct call", "wraps wrapper off", "wraps wrapper on"),
)


def table(measured: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a table in Markdown, with one column for each measurement."""
    headings = [heading(one["interpreter"]) for one in measured]
    cells = {
        "a statement, and what a test adds": [(name, [test(name, one["rows"]) for one in measured]) for name in TESTS],
        "`call(argument)` (of them ours)": [(name, [call(one["rows"][name]) for one in measured]) for name in CALLS],
    }
    for title, lines in cells.items():
        yield from (f"| {' | '.join([title, *headings])} |", "|---" * (1 + len(measured)) + "|")
        yield from (f"| {' | '.join([name, *line])} |" for name, line in lines)
        yield ""
    for one in measured:
        facts = one["interpreter"]
        yield f"- {heading(facts)}: CPython {facts['version']}, {facts['compiler']}, {one['valgrind']}"


def heading(facts: dict[str, Any]) -> str:
    more = [name for name in ("JIT", "free-threaded") if facts[name]]
    return " ".join([".".join(facts["version"].split(".")[:2]), *more])


def test(name: str, rows: Counts) -> str:
    return f"{rows[name]['instructions']:.0f}" if name.startswith("deleted") else f"+{added(name, rows):.0f}"


def added(name: str, rows: Counts) -> float:
    """Return the instructions that a test adds to the same loop without it."""
    return rows[name]["instructions"] - rows["deleted on" if name.endswith(" on") else "deleted off"]["instructions"]


def call(row: dict[str, float]) -> str:
    return f"{row['instructions']:.0f}" + (f" ({row['ours']:.0f})" if row["ours"] else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="*", type=Path, help="what --json printed: nothing is measured")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--within", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.within:
        count()
        return
    measured = []
    for file in arguments.file:
        try:
            measured.append(json.loads(file.read_text()))
            list(table(measured))
        except (OSError, ValueError, KeyError, TypeError) as error:
            parser.error(f"{file} is not what --json printed: {error!r}")
    if not measured:
        with tempfile.TemporaryDirectory(prefix="jumplabel-instructions-") as folder:
            try:
                measured = [measure(Path(folder))]
            except (FileNotFoundError, RuntimeError) as error:
                sys.exit(str(error))
    if arguments.json:
        print(*map(json.dumps, measured), sep="\n")
    else:
        print(*table(measured), sep="\n")


if __name__ == "__main__":
    main()
