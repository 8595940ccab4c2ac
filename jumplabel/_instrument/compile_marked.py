"""Code with a site for each mark, from a source; and the keys of those sites, when a module is to run it.

The sites are in the code before anything runs, and lead to what the source says, as when on: code that nobody attaches
to keys does what it always did. Compiled code is a plain value, which can be marshalled.
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
"""Down from a module's code: which one of the code objects within it, of those within that."""

Site = tuple[int, int, int, bool, str, int]
"""Unit, arguments for off and on, twin, mark, line."""


class Marked(NamedTuple):
    """What a source was compiled to. A tuple of plain values."""

    code: CodeType
    sites: dict[Way, list[Site]]
    """Of each code object that has some."""
    left: list[tuple[int, str]]
    """Lines of statements without a site, and why they have none."""
    digest: bytes
    """Of the source."""
    marks: list[str]
    """Of the sites, each once."""
    changed: list[tuple[Way, CodeType]]
    """The code objects with sites, and what they are in: all that is not as the original."""
    is_filled: bool
    """Whether nothing is to be put in the place of constants, see with_objects()."""


def compile_marked(source: bytes, filename: str, options: Options, main: bool = False) -> Marked:
    """The code, without a site where there is nothing to mark. Raises what compile() raises.

    A test that cannot be made a site is found out by trying. Its statement then stays as it is in the source. So is the
    line of the first instruction of a statement, on which what stands before it has to be.
    """
    from jumplabel._instrument.mark_statements import (
        mark,
    )  # it needs syntax trees and symbol tables, which a filled cache spares us

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
            return Marked(code, sites, left, source_hash(source), marks, changed, is_filled(code))
        if tests.keys() <= without.keys():
            raise DecorationError(f"there are tests without room on other lines than {sorted(tests)}")
        without |= tests


def compile_or_leave(source: bytes, filename: str, options: Options, main: bool = False) -> Marked:
    """The same, but where that is beyond us: then it is the plain code, and says why."""
    try:
        return compile_marked(source, filename, options, main)
    except (DecorationError, RecursionError) as error:
        return left_whole(source, filename, error)


def left_whole(source: bytes, filename: str, why: Exception) -> Marked:
    """The plain code, which says why. Raises what compile() raises."""
    code = compile(source, filename, "exec", dont_inherit=True)
    return Marked(code, {}, [(1, f"the module as a whole: {why}")], source_hash(source), [], [], True)


def with_objects(marked: Marked, objects: Mapping[Constant, object]) -> Marked:
    """The same with these objects in the place of constants, as it has to be before it runs."""
    if marked.is_filled:
        return marked
    code = filled(marked.code, objects)
    return marked._replace(code=code, changed=list(codes(code, {way for way, _ in marked.changed})))


def codes(code: CodeType, only: Container[Way] | None = None, way: Way = ()) -> Iterator[tuple[Way, CodeType]]:
    """A code object and all within it, or those at these ways."""
    if only is None or way in only:
        yield way, code
        for i, inner in enumerate(_codes_in(code)):
            yield from codes(inner, only, (*way, i))


def _within(sites: Iterable[Way]) -> set[Way]:
    """The ways to code with sites, and to what such code is in."""
    return {way[:n] for way in sites for n in range(len(way) + 1)}


def _codes_in(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


_SOME_KEY = object.__new__(StaticKey)
_SOME_KEY._key = None
"""For plans, which ask only whether there is one."""


def _with_sites(code: CodeType, way: Way, sites: dict[Way, list[Site]]) -> CodeType:
    """The code, and all within it, with a site for each test of a mark, as when on."""
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
    """The lines of what comes behind that which is on no line of the source."""
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
    """The lines of marks that the code would still look up."""
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
