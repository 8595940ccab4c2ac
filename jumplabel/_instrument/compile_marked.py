"""Compile a source to code with a site for each mark.

The compiler's output already has the sites, in their on state: each statement runs as the source says. So code without
keys behaves as the original code. Compiled code is a plain value that can be marshalled. instrumented_modules.py
attaches keys to the sites when a module runs the code.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from importlib.util import source_hash
from opcode import opname
from types import CodeType
from typing import NamedTuple

from jumplabel._bytecode.plan_sites import plan
from jumplabel._bytecode.scope import Scope
from jumplabel._instrument.definitions import Constant, compared, filled, is_filled, loads_of_follow
from jumplabel._instrument.marks import NO_LINE, is_mark
from jumplabel._instrument.options import Options
from jumplabel._keys.static_key import StaticKey
from jumplabel.errors import DecorationError

Way = tuple[int, ...]
"""The way from a module's code to a code object within it: at each level the index among the nested code objects."""

Site = tuple[int, int, int, bool, str, int]
"""Unit, arguments for off and on, twin, mark, line."""


class MarkedCode(NamedTuple):
    """A compiled source. A tuple of plain values."""

    code: CodeType
    sites: dict[Way, list[Site]]
    """The sites of each code object that has some."""
    left: list[tuple[int, str]]
    """Lines of statements without a site, and the reasons."""
    digest: bytes
    """The source's hash."""
    marks: list[str]
    """The marks of the sites, each once."""
    changed: list[tuple[Way, CodeType]]
    """The code objects that differ from the original's: those with sites, and the code objects around them."""
    is_filled: bool
    """No constant is to be replaced by an object, see with_objects()."""


def compile_marked(source: bytes, filename: str, options: Options, main: bool = False) -> MarkedCode:
    """Compile a source with a site for each mark. Raises what compile() raises.

    Two facts are known only after a compilation, so this compiles again with what it has learned:

    - Tests that cannot become sites. Their statements then stay as they are in the source.
    - The line of a statement's first instruction. The test in front of the statement must be on the same line.
    """
    from jumplabel._instrument.mark_statements import (
        mark,
    )  # imports syntax trees and symbol tables; a process that reads all code from files needs neither

    without: dict[int, str] = {}
    starts: dict[int, int] | None = None
    while True:
        marked = mark(source, filename, options, without.items(), main, starts)
        sites: dict[Way, list[Site]] = {}
        code = _with_sites(compile(marked.tree, filename, "exec", dont_inherit=True), (), sites)
        if starts is None and marked.longer:
            starts = _starts(code, sites)
            continue
        later = {line: marked.longer[place] for place, line in (starts or {}).items()}
        tests = {later.get(line, line): "its bytecode has no room for a site" for line in _tests_left(code)}
        if not tests:
            left = [(line, why) for line, why in marked.left]
            marks = list(dict.fromkeys(mark for way in sites for *_, mark, _ in sites[way]))
            changed = list(codes(code, _within(sites)))
            return MarkedCode(code, sites, left, source_hash(source), marks, changed, is_filled(code))
        if tests.keys() <= without.keys():
            raise DecorationError(f"there are tests without room on other lines than {sorted(tests)}")
        without |= tests


def compile_or_leave(source: bytes, filename: str, options: Options, main: bool = False) -> MarkedCode:
    """Compile a source with a site for each mark. If that is impossible, return the plain code and the reason.

    Raises what compile() raises.
    """
    try:
        return compile_marked(source, filename, options, main)
    except (DecorationError, RecursionError) as error:
        return left_whole(source, filename, error)


def left_whole(source: bytes, filename: str, why: Exception) -> MarkedCode:
    """Return a source's code without sites, with the reason in ``left``. Raises what compile() raises."""
    code = compile(source, filename, "exec", dont_inherit=True)
    return MarkedCode(code, {}, [(1, f"the module as a whole: {why}")], source_hash(source), [], [], True)


def with_objects(marked: MarkedCode, objects: Mapping[Constant, object]) -> MarkedCode:
    """Return the marked code with these objects in the place of constants. Code must not run before this."""
    if marked.is_filled:
        return marked
    code = filled(marked.code, objects)
    return marked._replace(code=code, changed=list(codes(code, {way for way, _ in marked.changed})))


def codes(code: CodeType, only: Container[Way] | None = None, way: Way = ()) -> Iterator[tuple[Way, CodeType]]:
    """Yield a code object and all code objects within it, or those at the ways in ``only``."""
    if only is None or way in only:
        yield way, code
        for i, inner in enumerate(_codes_in(code)):
            yield from codes(inner, only, (*way, i))


def _within(sites: Iterable[Way]) -> set[Way]:
    """Return the ways to code objects with sites, and to the code objects around them."""
    return {way[:n] for way in sites for n in range(len(way) + 1)}


def _codes_in(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


_SOME_KEY = object.__new__(StaticKey)
_SOME_KEY._key = None
"""A key for plans: they only ask whether a name stands for a key."""


def _with_sites(code: CodeType, way: Way, sites: dict[Way, list[Site]]) -> CodeType:
    """Return the code with a site for each test of a mark, in its on state, here and in nested code objects."""
    within = {id(inner): _with_sites(inner, (*way, i), sites) for i, inner in enumerate(_codes_in(code))}
    as_compiled, code = code, compared(code)
    marks = dict.fromkeys(filter(is_mark, code.co_names), _SOME_KEY)
    alone = code.replace(co_consts=tuple(None if id(one) in within else one for one in code.co_consts))
    made, _ = plan(alone, Scope(marks, {}, {}), strict=False, named=False) if marks else (None, {})
    if made:
        sites[way] = [(*site, path[1], line or code.co_firstlineno) for site, path, line in made.sites]
    if all(one is within.get(id(one), one) for one in code.co_consts) and not made and code is as_compiled:
        return code
    return code.replace(
        co_code=made.turned(lambda _: True) if made else code.co_code,
        co_consts=tuple(within.get(id(one), one) for one in code.co_consts),
    )


def _starts(code: CodeType, sites: dict[Way, list[Site]]) -> dict[int, int]:
    """Return the lines of the first instructions behind the tests and loads that got a line beyond the source.

    mark_statements.py gave them the line NO_LINE plus an index. The result is by that index.
    """
    starts: dict[int, int] = {}
    for way, one in codes(code):
        pairs = [(unit, unit + 1 + on) for unit, _, on, *_ in sites.get(way, ())] + loads_of_follow(one)
        lines = [line for line, *_ in one.co_positions()] if pairs else []
        for unit, then in pairs:
            line, first = lines[unit], lines[then]
            if line is not None and line >= NO_LINE and first is not None:
                starts[line - NO_LINE] = first
    return starts


def _tests_left(code: CodeType) -> Iterator[int]:
    """Yield the lines of tests that are no sites: the code would look their marks up as names."""
    for _, one in codes(code):
        marks = {i for i, name in enumerate(one.co_names) if is_mark(name)}
        if not marks:
            continue
        units, more = one.co_code, 0
        for at in range(0, len(units), 2):
            name, arg = opname[units[at]], units[at + 1] | more << 8
            more = arg if name == "EXTENDED_ARG" else 0
            if (name == "LOAD_GLOBAL" and arg >> 1 in marks) or (name == "LOAD_NAME" and arg in marks):
                yield next(line for start, end, line in one.co_lines() if start <= at < end) or one.co_firstlineno
