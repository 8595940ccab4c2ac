"""Tracebacks, inspect, pdb, coverage and profilers take a function with sites for a plain one."""

import ast
import bdb
import cProfile
import dis
import faulthandler
import gc
import inspect
import io
import json
import os
import pdb
import pstats
import re
import subprocess
import sys
import textwrap
import traceback
import tracemalloc
from pathlib import Path
from types import FunctionType

import pytest
from processes import SCRIPTS
from site_checks import off_on_off
from tools import FILE, fail, jump_at, pair, run, turn


@pytest.fixture
def if_else(key, other_key):
    return pair("if_else", key, other_key)


# ---- tracebacks ----


def test_tracebacks_are_the_same(both, key, other_key):
    """They mark the same columns, wherever the function fails; run() formats them."""
    plain, decorated = both
    for _ in off_on_off(key):
        for _ in off_on_off(other_key):
            for at in range(1, len(run(plain)[0]) + 1):
                assert run(decorated, at, fail) == run(plain, at, fail)


def test_a_traceback_stays_as_it_is_when_the_key_is_turned(if_else, key):
    def failing(value):
        if value in (2, 4):
            fail()

    for enabled in off_on_off(key):
        with pytest.raises(ZeroDivisionError) as caught:
            if_else[1](failing)
        frame = caught.value.__traceback__.tb_next
        line = if_else[1].__code__.co_firstlineno + (3 if enabled else 6)
        before = traceback.format_exception(caught.value)
        turn(key)
        assert traceback.format_exception(caught.value) == before
        assert f"line {line}, in if_else\n    {'hit(2)' if enabled else 'hit(4)'}\n" in "".join(before)
        assert frame.tb_lineno == frame.tb_frame.f_lineno == line
        turn(key)


# ---- inspect, dis ----


def test_inspect_tells_the_same(both, key):
    plain, decorated = both
    for _ in off_on_off(key):
        assert inspect.getsource(decorated) == inspect.getsource(plain)
        assert inspect.signature(decorated) == inspect.signature(plain)
        assert inspect.getsourcelines(decorated) == inspect.getsourcelines(plain)
        assert ast.dump(ast.parse(textwrap.dedent(inspect.getsource(decorated))))


def test_closure_variables_are_the_same_but_for_what_only_tests_name(both, key, other_key):
    """From 3.14 on, inspect looks for names in the instructions. A site names nothing."""
    tested = {"key", "other_key", "switches", "likely", "unlikely"}
    plain, decorated = both
    for _ in off_on_off(key):
        theirs, ours = inspect.getclosurevars(plain), inspect.getclosurevars(decorated)
        assert ours.nonlocals == theirs.nonlocals
        assert ours.builtins == theirs.builtins
        assert theirs.globals.keys() - tested <= ours.globals.keys() <= theirs.globals.keys()
        assert theirs.unbound - tested <= ours.unbound <= theirs.unbound


def test_code_objects_tell_the_same_lines_and_positions(both, key):
    plain, decorated = (function.__code__ for function in both)
    run(both[1])
    for _ in off_on_off(key):
        assert list(decorated.co_lines()) == list(plain.co_lines())
        assert list(decorated.co_positions()) == list(plain.co_positions())
        assert len(decorated.co_code) == len(plain.co_code)
        assert list(dis.findlinestarts(decorated)) == list(dis.findlinestarts(plain))


def test_a_copy_of_the_code_is_as_the_function_was_then(if_else, key):
    """Copies are not turned later. co_code, which debuggers and serializers read, is of the moment, too."""
    function = if_else[1]
    for enabled in off_on_off(key):
        copy = FunctionType(function.__code__.replace(co_name="copy"), function.__globals__)
        assert copy.__code__.co_code == function.__code__.co_code
        for _ in range(2):
            assert [value for value, _ in run(copy)[0]] == ([1, 2, 3, 5] if enabled else [1, 4, 5])
            turn(key)


@pytest.mark.parametrize("options", [{}, {"adaptive": True}, {"show_caches": True}], ids=["", "adaptive", "caches"])
def test_dis_works(both, key, options):
    for _ in off_on_off(key):
        dis.dis(both[1], file=(out := io.StringIO()), **options)
        assert "JUMP_FORWARD" in out.getvalue()
        run(both[1])


# ---- frame.f_lineno = N ----


def test_a_debugger_can_jump_where_the_function_can_go(if_else, key):
    """It can jump nowhere else: the interpreter finds what a switched-off key skips out of reach, and refuses."""
    on, off = range(3, 5), range(6, 7)
    for enabled in off_on_off(key):
        for line in (1, 2, 7, *(on if enabled else off)):
            for to in (1, 2, 7, *(on if enabled else off)):
                if (line, to) != (7, 1) and line != to:
                    assert jump_at(if_else[1], line, to) == jump_at(if_else[0], line, to), (enabled, line, to)
        for to in off if enabled else on:
            hits, refusal = jump_at(if_else[1], 2, to)
            assert hits == [(1, if_else[0].__code__.co_firstlineno + 1)] and "unreachable" in refusal
        assert run(if_else[1]) == run(if_else[0])


# ---- pdb ----

BACKENDS = ["settrace", "monitoring"] if sys.version_info >= (3, 14) else ["settrace"]


@pytest.fixture(params=BACKENDS)
def session(request):
    """session(function, *commands): what pdb writes, and what run() returns."""

    def session(function, *commands):
        bdb.Breakpoint.clearBreakpoints()
        options = {"backend": request.param} if sys.version_info >= (3, 14) else {}
        stdin, stdout = io.StringIO("".join(f"{command}\n" for command in (*commands, "c"))), io.StringIO()
        debugger = pdb.Pdb(skip=["jumplabel.*"], stdin=stdin, stdout=stdout, nosigint=True, readrc=False, **options)
        before = sys.gettrace()
        gc.disable()  # it may run code of others, which the debugger would stop in
        try:
            outcome = run(lambda hit: debugger.runcall(function, hit))
        finally:
            gc.enable()
            sys.settrace(before)
            bdb.Breakpoint.clearBreakpoints()
        return stdout.getvalue(), outcome

    return session


def stops(transcript, function):
    """The lines, counted from the function's first, at which it stopped."""
    lines = re.findall(r"^(?:\(Pdb\) )*> .*forms\.py\((\d+)\)", transcript, re.MULTILINE)
    return [int(line) - function.__code__.co_firstlineno for line in lines]


def test_pdb_turns_the_key_at_the_line_of_the_test(if_else, key, session):
    """The next line is one of the new branch."""
    first = if_else[0].__code__.co_firstlineno
    for enabled in off_on_off(key):
        command = f"!key.{'disable' if enabled else 'enable'}()"
        commands = [f"b {first + 2}", "c", command, "n", "n", "p key.enabled"]
        transcript, outcome = session(if_else[1], *commands)
        turn(key)
        assert (transcript, outcome) == session(if_else[0], *commands)
        assert stops(transcript, if_else[0])[-3:] == ([2, 6, 7] if enabled else [2, 3, 4])
        assert [value for value, _ in outcome[0]] == ([1, 4, 5] if enabled else [1, 2, 3, 5])
        turn(key)


def test_a_breakpoint_in_a_branch_is_hit_once_it_is_on(both_loops, key, session):
    plain, decorated = both_loops
    line = decorated.__code__.co_firstlineno + 3
    never = session(decorated, f"b {line}", "c")
    assert never == session(plain, f"b {line}", "c") and stops(never[0], plain) == [1]
    commands = [f"b {line}", "!switches.key.enable()", "c", "!switches.key.disable()", "n", "n", "n", "n"]
    hit = session(decorated, *commands)
    assert hit == session(plain, *commands) and stops(hit[0], plain) == [1, 3, 1, 2, 5, 1]
    assert [value for value, _ in hit[1][0]] == [0, -1, -2]


@pytest.fixture
def both_loops(key, other_key):
    """Three times `if switches.key:`, with a line for each state."""
    return pair("attribute", key, other_key)


@pytest.mark.parametrize(
    "command", ["s", "n", "unt", "r", "b {test}\nc\nunt {last}", "tbreak {test}\nc\nw\nl\nll\nwhatis hit"]
)
def test_pdb_goes_through_the_same_lines(both, key, session, command):
    plain, decorated = both
    first = plain.__code__.co_firstlineno
    command = command.format(test=first + 2, last=first + 4)
    for _ in off_on_off(key):
        assert session(decorated, *[command] * 9) == session(plain, *[command] * 9)


def test_pdb_jumps(if_else, key, session):
    first = if_else[0].__code__.co_firstlineno
    for enabled in off_on_off(key):
        commands = ["n", "n", f"j {first + 7}", "p 1", f"j {first + 2}", "n", f"j {first + 1}"]
        transcript, outcome = session(if_else[1], *commands)
        assert (transcript, outcome) == session(if_else[0], *commands)
        assert [value for value, _ in outcome[0]] == ([1, 1, 2, 3, 5] if enabled else [1, 1, 4, 5])


# ---- coverage ----

WAYS = [("ctrace", "line"), ("ctrace", "branch"), ("pytrace", "line"), ("pytrace", "branch")]
if sys.version_info >= (3, 12):
    WAYS.append(("sysmon", "line"))


@pytest.mark.parametrize(("core", "branch"), WAYS)
def test_coverage_measures_the_same(core, branch):
    """It does so in both states, and when the key is turned on the way."""
    for (lines, arcs), (our_lines, our_arcs) in measure(core, branch):
        assert our_lines == lines != []
        assert our_arcs == arcs and bool(arcs) == (branch == "branch")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="this core cannot measure branches before 3.14")
def test_coverage_of_branches_by_monitoring_knows_those_of_one_state(if_else):
    """A site raises no branch event. Coverage takes it for the jump that it was when the code was first run.

    So it misses the branch of the other state; all lines that ran are there.
    """

    def of_if_else(arcs):
        first = if_else[0].__code__.co_firstlineno
        return {(start - first, end - first) for start, end in arcs if {start, end} <= {*range(first, first + 8)}}

    measured = [({*map(tuple, arcs)}, {*map(tuple, ours)}) for (_, arcs), (_, ours) in measure("sysmon", "branch")]
    for arcs, ours in measured:
        assert {line for line, to in ours if line == to} == {line for line, to in arcs if line == to} != set()
        assert ours <= arcs
    for arcs, ours in measured[::2]:  # where the key stayed as it was
        assert of_if_else(ours) == of_if_else(arcs)
    for enabled, (arcs, ours) in enumerate(measured[1:4:2]):
        assert of_if_else(arcs) - of_if_else(ours) == ({(2, 6)} if enabled else {(2, 3)})


def measure(core, branch):
    """Return what coverage.py finds for plain functions and for those with sites: lines and arcs, in several states."""
    environment = os.environ | {"COVERAGE_CORE": core, "PYTHONPATH": str(Path(FILE).parent)}
    environment = {name: value for name, value in environment.items() if not name.startswith("COVERAGE_PROCESS")}
    command = [sys.executable, "-W", "error", SCRIPTS / "measure_coverage.py", branch]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


# ---- profilers, and others ----


def test_cprofile_counts_the_same_calls(both, key):
    def counts(function):
        profile = cProfile.Profile()
        profile.runcall(run, function)
        found = pstats.Stats(profile, stream=io.StringIO()).stats
        return {where: counts[:2] for where, counts in found.items() if where[0] == FILE}

    for _ in off_on_off(key):
        assert counts(both[1]) == counts(both[0]) != {}


def test_tracemalloc_finds_the_line(if_else, key):
    first, kept = if_else[0].__code__.co_firstlineno, []
    tracemalloc.start(2)
    try:
        for enabled in off_on_off(key):
            if_else[1](lambda value: kept.append(bytearray(1000)))
            frames = tracemalloc.get_object_traceback(kept[-2])
            assert (frames[0].filename, frames[0].lineno) == (FILE, first + (4 if enabled else 6))
    finally:
        tracemalloc.stop()


def test_faulthandler_shows_the_line(if_else, key, tmp_path):
    first = if_else[0].__code__.co_firstlineno
    for enabled in off_on_off(key):
        with open(tmp_path / "dump", "w+") as dump:
            if_else[1](lambda value: value in (2, 4) and faulthandler.dump_traceback(dump))
            dump.seek(0)
            assert f'File "{FILE}", line {first + (3 if enabled else 6)} in if_else' in dump.read()
