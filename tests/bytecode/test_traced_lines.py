"""Statements over several lines show tracers the lines that they show without the import hook, while all is on."""

import logging
import random
import sys
from collections.abc import Callable
from textwrap import dedent, indent
from types import CodeType, FrameType, ModuleType
from typing import Any

import pytest
from broken_lines import Sources
from packages import Packages, records

import jumplabel
from jumplabel import install

Seen = list[tuple[Any, ...]]


@pytest.fixture
def both(packages: Packages) -> Callable[[str], tuple[ModuleType, ModuleType]]:
    """The module of a source, plain and instrumented, with its assertions on."""

    def load(source: str) -> tuple[ModuleType, ModuleType]:
        path = packages.write("broken", source)
        plain = packages.load("broken", path.read_text())
        packages.forget()
        install("broken", asserts=True)
        made = packages.load("broken", path.read_text())
        for key in jumplabel.keys():
            if key.name == "asserts.broken":
                key.enable()
        return plain, made

    return load


def traced(call: Callable[[], object]) -> Seen:
    seen: Seen = []

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename.endswith("broken.py"):
            seen.append((event, frame.f_code.co_qualname, frame.f_lineno))
            return trace
        return None

    sys.settrace(trace)
    try:
        seen.append(("result", call()))
    except Exception as error:
        seen.append(("raised", repr(error), lines_of(error)))
    finally:
        sys.settrace(None)
    return seen


def lines_of(error: BaseException) -> list[int]:
    lines, at = [], error.__traceback__
    while at is not None:
        lines.append(at.tb_lineno)
        at = at.tb_next
    return lines[1:]


def monitored(call: Callable[[], object]) -> Seen:
    """Return the lines, and the calls, of which none is ours."""
    monitoring, seen = sys.monitoring, []
    tool, events = monitoring.DEBUGGER_ID, monitoring.events

    def line(code: CodeType, number: int) -> None:
        if code.co_filename.endswith("broken.py"):
            seen.append(("line", code.co_qualname, number))

    def called(code: CodeType, offset: int, function: Any, arg: Any) -> None:
        if code.co_filename.endswith("broken.py"):
            seen.append(("call", code.co_qualname, getattr(function, "__qualname__", repr(function))))

    monitoring.use_tool_id(tool, "test")
    monitoring.register_callback(tool, events.LINE, line)
    monitoring.register_callback(tool, events.CALL, called)
    monitoring.set_events(tool, events.LINE | events.CALL)
    try:
        seen.append(("result", call()))
    except Exception as error:
        seen.append(("raised", repr(error)))
    finally:
        monitoring.set_events(tool, 0)
        for event in (events.LINE, events.CALL):
            monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)
    return seen


LOOKS = [traced, *([monitored] if sys.version_info >= (3, 12) else [])]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("seed", range(12))
def test_random_statements(both: Any, look: Callable[[Any], Seen], seed: int) -> None:
    plain, made = both(Sources(seed).source(3))
    with records("broken.lines", logging.DEBUG):
        for name in [name for name in vars(plain) if name.startswith("function_")]:
            for x in (None, 0, 1, 2, 3, 4):
                seen, new = (look(lambda module=module: getattr(module, name)(x)) for module in (plain, made))  # noqa: B023
                assert new == seen, (name, x)


PARENTHESES = """
    assert (
        x > 5
    ), "small"
"""
MESSAGE = """
    assert x > 5, (
        "small: %s"
        % x
    )
"""
NEGATED = """
    assert not (
        x in
        (1, 2)
    )
"""
COMPREHENSION = """
    assert [
        i
        for i in range(x)
        if (
            i > 1
        )
    ]
"""
TWO = """
    assert x; assert (
        x > 5
    )
"""
ASSERTS = [PARENTHESES, MESSAGE, NEGATED, COMPREHENSION, TWO]


@pytest.mark.parametrize("statement", ASSERTS)
@pytest.mark.parametrize("around", ["for i in range(2):", "if x:", "try:\n    pass\nfinally:", "class C:"])
def test_assertions(both: Any, statement: str, around: str) -> None:
    body = f"{around}\n{indent(dedent(statement).strip(), '    ')}\nreturn x"
    plain, made = both(f"def check(x):\n{indent(body, '    ')}\n")
    for x in (9, 1, 0):
        assert traced(lambda: made.check(x)) == traced(lambda: plain.check(x))  # noqa: B023


def test_an_assertion_that_is_off_shows_one_line(both: Any) -> None:
    source = "def check(x):\n    assert (\n        x > 5\n    ), 'small'\n    return x\n"
    _, made = both(source)
    key = jumplabel.key("asserts.broken")
    assert [line for event, _, line in traced(lambda: made.check(9))[:-1] if event == "line"] == [3, 5]
    key.disable()
    assert [line for event, _, line in traced(lambda: made.check(1))[:-1] if event == "line"] == [3, 5]


CLOSURES = {
    "defaults": "def inner(a=\n  (f(x)),\n  b=0):",
    "constants": "def inner(a=0, b=\n  1):",
    "a constant": "def inner(a=\n  1):",
    "decorated": "@same\n@(\n same)\ndef inner(a=(\n  f(x))):",
    "decorated with constants": "@same\ndef inner(a=0, b=(\n  1)):",
    "a call without arguments": "def inner(a=f(), b=(\n  f\n  )()):",
    "a conditional expression": "def inner(a=f() if f(x)\n  else (\n  f()), *, b=(x or\n  f())):",
    "a lambda": "def inner(a=(lambda: 1\n  )()):",
    "annotated": "def inner(a: (\n  f()) = 1, *args: f()\n) -> (\n  f()):",
    "first in its block": "if x:\n def nothing(): pass\nelse:\n pass\ndef inner():",
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("kind", CLOSURES)
def test_definitions_of_closures(both: Any, kind: str, look: Callable[[Any], Seen]) -> None:
    source = f"""\
import logging
logger = logging.getLogger("broken.lines")
def f(x=1): return x
def same(function): return function
def make(x):
    log = logger
{indent(CLOSURES[kind], "    ")}
            log.debug("inner")
            return a if x > 3 else x
    return inner.__defaults__, inner.__kwdefaults__, inner()
"""
    if "a=" not in CLOSURES[kind] and "a:" not in CLOSURES[kind]:
        source = source.replace("return a if x > 3 else x", "return x")
    plain, made = both(source)
    with records("broken.lines", logging.DEBUG) as handler:
        for x in (0, 1, 5):
            assert look(lambda: made.make(x)) == look(lambda: plain.make(x))  # noqa: B023
        assert handler.take() == ["inner"] * 6
    assert made.make.__code__.co_consts != plain.make.__code__.co_consts


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters are new in 3.12")
@pytest.mark.parametrize("look", LOOKS)
def test_definitions_of_generic_closures(both: Any, look: Callable[[Any], Seen]) -> None:
    plain, made = both(
        """
        import logging
        logger = logging.getLogger("broken.lines")
        def make(x):
            log = logger
            def inner[T: (int, str)](a: T = (
                x), *, b=(
                3)) -> T:
                log.debug("inner")
                return a
            return inner(), inner.__type_params__[0].__name__
        """
    )
    with records("broken.lines", logging.DEBUG) as handler:
        assert look(lambda: made.make(2)) == look(lambda: plain.make(2))
        assert handler.take() == ["inner"] * 2
    with records("broken.lines", logging.WARNING) as handler:
        assert made.make(2) == plain.make(2) and handler.take() == []


def test_coverage_has_the_same_lines(both: Any) -> None:
    """Coverage counts the lines in the code's line table."""
    plain, made = both(Sources(random.Random(7).randrange(100)).source(2))

    def lines(code: CodeType) -> set[int | None]:
        within = [one for one in code.co_consts if isinstance(one, CodeType)]
        return {line for *_, line in code.co_lines()}.union(*map(lines, within))

    for name in ("function_0", "function_1"):
        assert lines(getattr(made, name).__code__) == lines(getattr(plain, name).__code__)
