"""How a test becomes a site in its own room, and code that is refused."""

import dis
import itertools
import sys
import types
from opcode import opmap

import pytest
from site_checks import nothing_made

from jumplabel import DecorationError, static_branches
from jumplabel._bytecode import instructions
from jumplabel._bytecode.find_tests import read
from jumplabel._bytecode.tests_become_sites import HAS_TWIN, Rewriting, _jump

JUMP_FORWARD, EXTENDED_ARG = opmap["JUMP_FORWARD"], opmap["EXTENDED_ARG"]


def code_of(body, head="def f(x):"):
    space = {}
    exec(f"{head}\n    {body}", space)
    return space["f"].__code__


def rewritten(code):
    """The code with every test of the name `key` made a site."""
    rewriting = Rewriting(read(code))
    for test in rewriting.reading.tests:
        if test.path == ("global", "key"):
            rewriting.make_site(test)
    plan = rewriting.plan({})
    return plan, plan.make(code, {path: "the key" for path in plan.constants}, {})


def runs_to(code, test, unit, argument):
    """Follow a jump with this argument until it leaves the test's room: to where, and what was pushed on the way."""
    units = code.co_code
    pushed = []
    extended = 0
    assert units[2 * unit] == JUMP_FORWARD
    unit += 1 + argument
    while test.start <= unit < test.past:
        name, arg = dis.opname[units[2 * unit]], extended << 8 | units[2 * unit + 1]
        extended = arg if name == "EXTENDED_ARG" else 0
        unit += 1
        if name == "LOAD_CONST":
            pushed.append(code.co_consts[arg])
        elif name in ("JUMP_FORWARD", "JUMP_BACKWARD"):
            unit += arg if name == "JUMP_FORWARD" else -arg
        else:
            assert name == "EXTENDED_ARG"
    return unit, pushed


FORMS = ["if key: x()", "if not key: x()", "while key: x()", "return key and x", "return key or x", "assert key"]
FORMS += [f"if key: {'x(); ' * n}" for n in (15, 20, 25, 30, 50, 3000)]  # 255 units are among them, and 65535
forms = pytest.mark.parametrize("form", FORMS, ids=[f"{form[:20]} {len(form)}" for form in FORMS])


@forms
def test_each_state_leads_where_the_test_led(form):
    code = code_of(form)
    plan, new = rewritten(code)
    tests = {test.start: test for test in read(code).tests if test.path == ("global", "key")}
    assert [site.unit for site, _, _ in plan.sites] == list(tests)
    for site, _, line in plan.sites:
        test = tests[site.unit]
        assert line == test.line == 2
        for state, argument in ((False, site.off), (True, site.on)):
            taken = state == test.jumps_if
            leads = (test.jump.target, ["the key"] * test.keeps) if taken else (test.past, [])
            assert runs_to(new, test, site.unit, argument) == leads
            if site.twin:
                assert runs_to(new, test, site.unit + 1, argument - 1) == leads


@forms
def test_nothing_outside_the_rooms_changes(form):
    code = code_of(form)
    rooms = [test for test in read(code).tests if test.path == ("global", "key")]
    _, new = rewritten(code)
    changed = {i // 2 for i in range(len(code.co_code)) if new.co_code[i] != code.co_code[i]}
    assert changed <= {unit for room in rooms for unit in range(room.start, room.past)}
    assert not read(new).tests  # which also finds every unit to be an instruction or a cache


def test_a_site_has_a_twin_where_tracers_need_it():
    plan, new = rewritten(code_of("if key: x()"))
    ((site, _, _),) = plan.sites
    assert site.twin is HAS_TWIN is (sys.version_info >= (3, 12))
    assert (new.co_code[2 * site.unit + 2] == JUMP_FORWARD) is HAS_TWIN
    assert new.co_code[2 * site.unit : 2 * site.unit + 2] == bytes((JUMP_FORWARD, site.off))


@pytest.mark.parametrize(
    "distance", [0, 1, 2, 253, 254, 255, 256, 257, 258, 259, 65534, 65536, 65539, 1 << 24, (1 << 24) + 5]
)
def test_a_jump_is_as_long_as_it_must_be(distance):
    here = 1 << 25
    target = here + 1 + distance
    code = _jump(here, target)
    *prefixes, (opcode, last) = zip(code[::2], code[1::2], strict=True)
    assert all(prefix == EXTENDED_ARG for prefix, _ in prefixes)
    argument = int.from_bytes(bytes([*(arg for _, arg in prefixes), last]), "big")
    end = here + len(code) // 2
    assert opcode == JUMP_FORWARD
    assert end + argument == target
    if len(prefixes):  # no room was wasted
        assert abs(target - (end - 1)) > (1 << 8 * len(prefixes)) - 3


# ---- refused ----


def patched(code, unit, *units):
    new = bytearray(code.co_code)
    new[2 * unit : 2 * unit + len(units)] = bytes(units)
    return code.replace(co_code=bytes(new))


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda code: patched(code, len(code.co_code) // 2 - 3, JUMP_FORWARD, 200), "into the middle|middle of"),
        (lambda code: patched(code, len(code.co_code) // 2 - 1, EXTENDED_ARG, 1), "middle|cannot be read"),
    ],
)
def test_bytecode_that_no_compiler_makes_is_refused(key, break_it, says):
    def function(x):
        if key:
            return x
        x += 1
        return [x, x, x]

    good = function.__code__
    function.__code__ = bad = break_it(good)
    with nothing_made(), pytest.raises(DecorationError, match=says) as refused:
        static_branches(function)
    assert function.__code__ is bad
    where = f"{good.co_qualname}, {good.co_filename}:{good.co_firstlineno}: "
    assert where in str(refused.value) and str(refused.value).endswith("it is left as it was")


def test_a_name_that_is_not_there_is_refused(key):
    space = {"key": key}
    exec("def f(x):\n    if x: x.a\n    if key: x.b = 1", space)
    function = space["f"]
    code = function.__code__
    store = next(each for each in read(code).instructions if each.name == "STORE_ATTR")
    function.__code__ = patched(code, store.start, opmap["STORE_ATTR"], 200)
    with nothing_made(), pytest.raises(DecorationError, match="names what is not there"):
        static_branches(function)


def test_an_instruction_that_has_no_name_is_refused(key, monkeypatch):
    def function(x):
        return [x, x, x] if key else x

    names = list(dis.opname)
    names[opmap["BUILD_LIST"]] = "<103>"
    monkeypatch.setattr(instructions, "opname", names)
    monkeypatch.setattr("opcode.opname", names)  # the package bytecode looks here
    monkeypatch.setattr(instructions, "_kind", instructions._kind.__wrapped__)
    with nothing_made(), pytest.raises(DecorationError, match=r"unknown instruction, <103>, at unit \d+"):
        static_branches(function)


def test_a_code_object_that_does_not_come_out_as_planned_is_refused(key, monkeypatch):
    def function():
        return 1 if key else 2

    code = function.__code__
    monkeypatch.setattr("jumplabel._bytecode.tests_become_sites._UNCHANGED", ["co_code"])
    with nothing_made(), pytest.raises(DecorationError, match="another code object"):
        static_branches(function)
    assert function.__code__ is code


def test_a_function_that_names_no_key_is_not_even_read(key, monkeypatch):
    monkeypatch.setattr("jumplabel._bytecode.plan_sites.read", lambda code: pytest.fail("was read"))

    def function(x):
        if x.key or types.MethodType:
            return itertools.count
        return [dis for _ in x if not pytest]

    assert static_branches(function) is function
