"""Code with a site for each mark, from a source; and the keys of those sites, when a module is to run it.

The sites are in the code before anything runs, and lead to what the source says, as when on: code that nobody attaches
to keys does what it always did. Compiled code is a plain value, which can be marshalled.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from importlib.util import source_hash
from opcode import opname
from types import CodeType
from typing import NamedTuple

from jumplabel.code_objects import keep, make_branches
from jumplabel.errors import DecorationError
from jumplabel.functions import printable
from jumplabel.keys import StaticKey, address
from jumplabel.marking import Options, is_mark, mark
from jumplabel.planning import plan
from jumplabel.scope import Scope

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


def compile_marked(source: bytes, filename: str, options: Options, main: bool = False) -> Marked:
    """The code, without a site where there is nothing to mark. Raises what compile() raises.

    A test that cannot be made a site is found out by trying. Its statement then stays as it is in the source.
    """
    without: dict[int, str] = {}
    while True:
        marked = mark(source, filename, options, without.items(), main)
        sites: dict[Way, list[Site]] = {}
        code = _with_sites(compile(marked.tree, filename, "exec", dont_inherit=True), (), sites)
        tests = {line: "its bytecode has no room for a site" for line in _tests_left(code)}
        if not tests:
            return Marked(code, sites, [(line, why) for line, why in marked.left], source_hash(source))
        if tests.keys() <= without.keys():
            raise DecorationError(f"there are tests without room on other lines than {sorted(tests)}")
        without |= tests


def compile_or_leave(source: bytes, filename: str, options: Options, main: bool = False) -> Marked:
    """The same, but where that is beyond us: then it is the plain code, and says why."""
    try:
        return compile_marked(source, filename, options, main)
    except (DecorationError, RecursionError) as error:
        code = compile(source, filename, "exec", dont_inherit=True)
        return Marked(code, {}, [(1, f"the module as a whole: {error}")], source_hash(source))


def attach(code: CodeType, sites: Iterable[Site], key_of: Callable[[str], StaticKey], module: str) -> None:
    """Give the sites of code that nobody runs yet to their keys, which will live as long as the code.

    key_of  the key for a mark
    Raises MemoryError, and RuntimeError where other tools leave no room for a record on code objects; then no site is
    its key's.
    """
    keys = {name: key_of(name) for *_, name, _ in sites}
    owners = f"{module}.{code.co_qualname}:"
    branches = [(address(keys[name]), printable(f"{owners}{line}"), *site) for *site, name, line in sites]
    make_branches(code, branches)
    keep(code, keys.values())


def codes(code: CodeType, only: Container[Way] | None = None, way: Way = ()) -> Iterator[tuple[Way, CodeType]]:
    """A code object and all within it, or those at these ways."""
    if only is None or way in only:
        yield way, code
        for i, inner in enumerate(_codes_in(code)):
            yield from codes(inner, only, (*way, i))


def within(marked: Marked) -> set[Way]:
    """The ways to code with sites, and to what such code is in: all that is not as the original."""
    return {way[:n] for way in marked.sites for n in range(len(way) + 1)}


def _codes_in(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


_SOME_KEY = object.__new__(StaticKey)
_SOME_KEY._key = None
"""For plans, which ask only whether there is one."""


def _with_sites(code: CodeType, way: Way, sites: dict[Way, list[Site]]) -> CodeType:
    """The code, and all within it, with a site for each test of a mark, as when on."""
    within = {id(inner): _with_sites(inner, (*way, i), sites) for i, inner in enumerate(_codes_in(code))}
    marks = dict.fromkeys(filter(is_mark, code.co_names), _SOME_KEY)
    alone = code.replace(co_consts=tuple(None if id(one) in within else one for one in code.co_consts))
    made, _ = plan(alone, Scope(marks, {}, {}), strict=False, named=False) if marks else (None, {})
    if made:
        sites[way] = [(*site, path[1], line or code.co_firstlineno) for site, path, line in made.sites]
    if all(one is within.get(id(one), one) for one in code.co_consts) and not made:
        return code
    return code.replace(
        co_code=made.turned(lambda _: True) if made else code.co_code,
        co_consts=tuple(within.get(id(one), one) for one in code.co_consts),
    )


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
