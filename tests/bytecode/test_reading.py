"""What is read of a code object: its instructions, the tests among them; and what that costs."""

import argparse
import asyncio.tasks
import dis
import gc
import itertools
import opcode
import subprocess
import sys
import tokenize
import types
from opcode import opmap, opname

import pytest

from jumplabel import static_branches
from jumplabel._bytecode import find_tests
from jumplabel._bytecode.find_tests import read

MODULES = [argparse, asyncio.tasks, dis, tokenize]


def codes(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


def code_of(body, head="def f(x, y):"):
    space = {}
    exec(f"{head}\n    {body}", space)
    return space["f"].__code__


def units_of(code, *units):
    return code.replace(co_code=bytes(units) + code.co_code)


# ---- instructions ----

LONG = code_of(
    "while x:\n        " + "y.name.other = [x, y]; " * 9000 + f"z = y{' + y' * 300}"
)  # a jump of 65536 units


def compiled(module):
    with open(module.__file__) as file:
        return compile(file.read(), module.__file__, "exec", dont_inherit=True)


@pytest.mark.parametrize("module", [*MODULES, None])
def test_instructions_are_those_that_dis_shows(module):
    for code in codes(compiled(module) if module else LONG):
        lines = [line for start, end, line in code.co_lines() for _ in range(start, end, 2)]
        shown, starts = [], [0]
        for one, after in itertools.pairwise([*dis.get_instructions(code), None]):
            if one.opname != "EXTENDED_ARG":
                start, end = starts[-1], after.offset // 2 if after else len(code.co_code) // 2
                target = one.argval // 2 if one.opcode in (*dis.hasjrel, *dis.hasjabs) else None
                shown.append((one.opname, one.arg or 0, start, end, lines[one.offset // 2], target))
                starts.append(end)
        assert read(code).instructions == shown


def test_the_facts_of_every_opcode_are_those_of_the_interpreter():
    caches = opcode._inline_cache_entries  # by opcode up to 3.12, later by name
    first_of_tools = getattr(opcode, "MIN_INSTRUMENTED_OPCODE", 256)  # 3.12
    known = 0
    for number, name in enumerate(opname[:256]):
        kind = find_tests._kind(number)
        if name == "CACHE" or opmap.get(name) != number or number >= first_of_tools:
            assert kind is None
            continue
        expected = caches[number] if isinstance(caches, list) else caches.get(name, 0)
        assert kind[:2] == (name, expected)
        assert abs(kind.jumps) == (number in opcode.hasjrel)
        known += 1
    assert known > 100


@pytest.mark.parametrize("module", MODULES)
def test_targets_are_those_of_jumps_and_of_exceptions(module):
    handlers = 0
    for code in codes(compiled(module)):
        entries = {entry.target // 2 for entry in dis.Bytecode(code).exception_entries}
        found = read(code)
        assert found.targets == entries | {one.target for one in found.instructions if one.target is not None}
        handlers += len(entries)
    assert handlers > 10


def test_code_without_lines_is_read():
    code = code_of("return x if key else y").replace(co_linetable=b"")
    found = read(code)
    assert len(found.tests) == 1
    assert {one.line for one in found.instructions} == {None}


# ---- tests ----


@pytest.mark.parametrize("hint", ["likely", "hints.likely", "hints.more.likely"])
def test_a_test_by_way_of_a_hint_is_found(hint):
    (test,) = read(code_of(f"if {hint}(key.name): return x")).tests
    assert test.path == ("global", "key", "name") and test.hint == ("global", *hint.split("."))


def test_what_is_negated_is_the_value_itself():
    assert read(code_of("return not likely(key)")).negations == [(("global", "key"), 2)]
    assert read(code_of("return not likely(key).enabled")).negations == []


def test_values_that_nobody_uses_are_dropped():
    for body in ("key and x()", "return key and x()"):
        found = read(code_of(body))
        assert [found.is_dropped_at(test.jump.target) for test in found.tests if test.keeps] in ([True], [])
    found = read(code_of("z = key and x()"))
    assert [found.is_dropped_at(test.jump.target) for test in found.tests] == [False]


def test_names_that_the_code_itself_binds():
    assert read(code_of("global a, b; a = 1; del b; x.c = 1; del x.d; z = 1")).rebinds == {*"abcd"}
    outer = code_of("v = w = 1\n    def g():\n        nonlocal v, w; v = 1; del w; z = 1; return lambda: z")
    assert [read(code).rebinds for code in codes(outer)] == [set(), {"v", "w"}, set()]


# ---- what no compiler makes ----


def test_an_argument_is_extended_only_where_there_is_one():
    code = code_of("return [x, y] if key else y")
    nop = units_of(code, opmap["EXTENDED_ARG"], 0, opmap["NOP"], 0)
    assert read(nop).instructions[0][:4] == ("NOP", 0, 0, 2)
    with pytest.raises(ValueError, match=r"cannot be read: .*POP_TOP has no argument"):
        read(units_of(code, opmap["EXTENDED_ARG"], 0, opmap["POP_TOP"], 0))
    with pytest.raises(ValueError, match=r"cannot be read: .*LOAD_CONST argument must be in the range"):
        read(units_of(code, *(opmap["EXTENDED_ARG"], 255) * 3, opmap["LOAD_CONST"], 0))


def test_a_cache_that_belongs_to_no_instruction_is_refused():
    with pytest.raises(ValueError, match=r"unknown instruction, CACHE, at unit 1$"):
        read(units_of(code_of("return x"), opmap["NOP"], 0, opmap["CACHE"], 0))


def test_an_argument_that_extends_nothing_is_refused():
    code = code_of("return x")
    with pytest.raises(ValueError, match="ends in the middle of an instruction"):
        read(code.replace(co_code=code.co_code + bytes((opmap["EXTENDED_ARG"], 0))))


def test_a_handler_in_the_middle_of_an_instruction_is_refused():
    code = code_of("try: x.a\n    except OSError: y.b")
    start, length, target, depth = code.co_exceptiontable[:4]
    assert target in read(code).targets
    wrong = next(unit for unit in range(target) if unit not in read(code).at)
    broken = bytes((start, length, wrong, depth)) + code.co_exceptiontable[4:]
    with pytest.raises(ValueError, match=f"into the middle of an instruction, to unit {wrong}$"):
        read(code.replace(co_exceptiontable=broken))
    whole = read(code.replace(co_exceptiontable=code.co_exceptiontable + bytes((start | 128, length, wrong))))
    assert wrong not in whole.targets  # half an entry is none


def test_a_constant_that_is_not_there_is_none_of_a_key(key):
    def function(x):
        if key:
            return [x, "a constant"]
        return x

    code = function.__code__
    load = next(one for one in read(code).instructions if one.name == "LOAD_CONST")
    units = bytearray(code.co_code)
    units[2 * load.start + 1] = 200
    function.__code__ = code.replace(co_code=bytes(units))
    assert static_branches(function, snapshot=True) is not function


# ---- cost ----


def test_of_a_call_that_is_tested_few_arguments_are_looked_at(monkeypatch):
    code = code_of("if f(" + "x, " * 25 + "y): return x")
    looked_at = []
    monkeypatch.setattr(find_tests._Reader, "loaded_at", lambda self, first: looked_at.append(first))
    assert not read(code).tests
    assert len(looked_at) == 3


FORMS = ["if key: x += 1", "x = key and x; x += 1", "if x: return key and y", "x = not y"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("snapshot", [False, True])
@pytest.mark.parametrize("closure", [False, True])
def test_the_work_grows_as_the_function_does(key, form, snapshot, closure):
    if snapshot and "key and" in form and (closure or "=" in form):
        pytest.skip("a value of a key, or without room on 3.11: it is refused")
    functions = [with_tests(key, form, tests, closure) for tests in (10, 10, 40)]
    # Not the first one: what is done but once is done there, and 3.12 and later only begin to trace.
    _, few, many = [executed(static_branches, function, snapshot=snapshot) for function in functions]
    assert 1000 < many < 4.4 * few


def with_tests(key, form, tests, closure):
    body = "\n        ".join([form] * tests + ["return (1 if key else y) + x"])
    space = {"key": key}
    exec(f"def outer({'key' if closure else ''}):\n    def f(x, y):\n        {body}\n    return f", space)
    return space["outer"](*[key] * closure)


def executed(function, *args, **kwargs):
    """How many instructions of Python's a call takes."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    gc.disable()  # what others left is not of the call
    sys.settrace(trace)
    try:
        function(*args, **kwargs)
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def test_what_reads_is_not_read_by_the_import_hook_itself(tmp_path):
    (tmp_path / "shop.py").write_text("def sell(n):\n    assert n\n")
    script = """
import jumplabel
jumplabel.install("*", asserts=True)
import shop
assert [(one.name, one.sites) for one in jumplabel.instrumented()] == [("shop", 1)]
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
