"""Which statements of a source become sites, and which stay as they are. Nothing is run."""

import ast
import sys
from textwrap import dedent, indent

import pytest

from jumplabel._instrument.compile_marked import codes, compile_marked
from jumplabel._instrument.definitions import READY
from jumplabel._instrument.mark_statements import Left, mark
from jumplabel._instrument.marks import Statement, is_mark
from jumplabel._instrument.options import Options

ALL = Options(asserts=True)

BEFORE = "import logging, log\nlogger = logging.getLogger(__name__)\nTRACE = 5\n"


def marked(body: str, **options: bool) -> tuple[list[str], list[Left]]:
    """Return the marks in the body of a function, in order, and the statements that are left."""
    source = f"{BEFORE}def function(x):\n{indent(dedent(body).strip(), '    ')}\n"
    tree, n, left, _ = mark(source.encode(), "shop.py", Options(**{"asserts": True, **options}))
    marks = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and is_mark(node.id)]
    assert len(marks) == n
    return [one.removeprefix("jumplabel: ") for one in marks], left


@pytest.mark.parametrize(
    "body, expected",
    [
        ("logger.debug('a')", "logging logger debug"),
        ("logger.info('a %s', x)", "logging logger info"),
        ("logger.warning('a', extra={'x': x})", "logging logger warning"),
        ("logger.error(f'{x}')", "logging logger error"),
        ("logger.critical(*x, **x)", "logging logger critical"),
        ("logger.exception(x())", "logging logger exception"),
        ("logger.log(5, 'a')", "logging logger log 5"),
        ("logger.log(logging.DEBUG, 'a')", "logging logger log logging.DEBUG"),
        ("logger.log(TRACE, 'a')", "logging logger log TRACE"),
        ("log.logger.debug('a')", "logging log.logger debug"),
        ("log.Cart.log.debug('a')", "logging log.Cart.log debug"),
        ("if logger.isEnabledFor(logging.DEBUG): pass", "logging logger isEnabledFor logging.DEBUG"),
        ("if x and logger.isEnabledFor(10): pass", "logging logger isEnabledFor 10"),
        ("assert x, 'a'", "asserts"),
    ],
)
def test_statements_of_a_logger_that_can_be_found_get_a_site(body: str, expected: str) -> None:
    assert marked(body) == ([expected], [])
    assert marked(body, logging=False, asserts=False) == ([], [])
    if expected != "asserts":
        mark = f"jumplabel: {expected}"
        assert Statement.of(mark).mark == mark
        assert marked(body, asserts=False) == ([expected], [])
    else:
        assert marked(body, logging=False) == ([expected], [])


@pytest.mark.parametrize(
    "body, why",
    [
        ("x.debug('a')", "x exists only at run time"),
        ("self = x\nself.log.debug('a')", "self exists only at run time"),
        ("logger.log(x, 'a')", "its level is no number"),
        ("logger.log(x(), 'a')", "its level is no number"),
        ("logger.log(True, 'a')", "its level is no number"),
        ("logger.log(msg='a', level=5)", "its level is no number"),
        ("logger.debug(y := 1)", "awaits, yields or binds"),
        ("logger.debug((yield))", "awaits, yields or binds"),
        ("logger.debug([(y := z) for z in x])", "awaits, yields or binds"),
        ("async def inner():\n  logger.debug([y async for y in x])", "awaits, yields or binds"),
    ],
)
def test_other_logging_statements_stay_with_a_reason(body: str, why: str) -> None:
    marks, left = marked(body)
    assert not marks
    [(line, said)] = left
    assert why in said
    assert line == 4 + len(body.splitlines())  # the function's own is the fourth


@pytest.mark.parametrize(
    "body",
    [
        "y = logger.debug('a')",
        "logger().debug('a')",
        "logging.getLogger('b').debug('a')",
        "logger.warn('a')",  # which warns, whether it is on or not
        "logger.setLevel(5)",
        "debug('a')",
        "if not logger.isEnabledFor(10): pass",
        "while logger.isEnabledFor(10): pass",
        "if x or logger.isEnabledFor(10): pass",
        "lambda: logger.debug('a')",
        "class A: logger.debug('a')",
        "log.__logger.debug('a')",
    ],
)
def test_statements_that_do_not_log_stay(body: str) -> None:
    assert marked(body) == ([], [])


@pytest.mark.parametrize("argument", ["x()", "f'{x}'", "[y for y in x]", "*x", "**x", "x if x() else 1"])
def test_only_pure_leaves_arguments_that_call(argument: str) -> None:
    marks, left = marked(f"logger.debug('a', {argument})", only_pure=True)
    assert not marks
    assert [said for _, said in left] == ["an argument calls something"]


@pytest.mark.parametrize("argument", ["x", "x.y", "x[0]", "x + 1", "'a' 'b'", "(x, [1], {2: 3})", "not x", "f'{{}}'"])
def test_only_pure_takes_arguments_without_a_visible_call(argument: str) -> None:
    assert marked(f"logger.debug('a', {argument})", only_pure=True) == (["logging logger debug"], [])


CLOSURES = [
    ("def outer(log):\n  def inner():\n    log.debug('a')", True),
    ("def outer():\n  log = make()\n  def inner():\n    log.debug('a')", True),
    ("def outer():\n  log: object = make()\n  async def inner():\n    log.debug('a')", True),
    ("def outer(x):\n  if x:\n    log = make()\n  def inner():\n    log.debug('a')", True),
    ("def outer(log):\n  def inner():\n    def innermost():\n      log.debug('a')", True),
    ("def outer(log):\n  class A:\n    def inner(self):\n      log.debug('a')", True),
    ("def outer(log):\n  def inner():\n    log.debug('a')\n  log = make()", False),
    ("class A:\n  def outer(self):\n    __log.debug('a')", False),
    ("def outer():\n  for log in logs:\n    def inner():\n      log.debug('a')", False),
    ("def outer():\n  while True:\n    log = make()\n    def inner():\n      log.debug('a')", False),
    ("def outer():\n  log = make()\n  def inner():\n    log.debug('a')\n  log = make()", False),
    ("def outer():\n  log = make()\n  def inner():\n    log.debug('a')\n  del log", False),
    ("def outer():\n  def inner():\n    log.debug('a')\n  import log", False),
    ("def outer():\n  def inner():\n    log.debug('a')\n  with x as log: pass", False),
    ("def outer():\n  def inner():\n    log.debug('a')\n  (log := 1)", False),
    ("def outer():\n  log, y = make()\n  def inner():\n    log.debug('a')", False),
    ("def outer(log):\n  def set():\n    nonlocal log\n    log = 1\n  def inner():\n    log.debug('a')", False),
    ("def outer(log):\n  def inner():\n    nonlocal log\n    log.debug('a')", False),
    ("def outer():\n  try: pass\n  except E as log: pass\n  def inner():\n    log.debug('a')", False),
    ("def outer(x):\n  match x:\n    case [log]: pass\n  def inner():\n    log.debug('a')", False),
    ("def outer(x):\n  def log(): pass\n  def inner():\n    log.debug('a')", False),
]


@pytest.mark.parametrize("source, is_one", CLOSURES)
def test_the_logger_of_a_closure_must_be_bound_once(source: str, is_one: bool) -> None:
    tree, n, left, _ = mark(source.encode(), "shop.py", ALL)
    assert (n, len(left)) == ((1, 0) if is_one else (0, 1))
    if is_one:
        inner = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        assert [bool(node.decorator_list) for node in inner] == [False] * (len(inner) - 1) + [True]


@pytest.mark.parametrize(
    "source",
    [
        "def rebind():\n  class A:\n    global logger\n    logger = 1\ndef f():\n  logger.debug('a')",
        "def rebind():\n  global logger\n  logger = 1\ndef f():\n  logger.debug('a')",
        "def rebind():\n  def inner():\n    global logger\n    import logger\ndef f():\n  logger.debug('a')",
    ],
)
def test_a_global_that_functions_rebind_gets_a_site_where_dicts_are_watched(source: str) -> None:
    assert mark(source.encode(), "shop.py", ALL).marks == (sys.version_info >= (3, 12))


def test_modules_and_classes_have_sites_for_assertions_only() -> None:
    source = "assert a\nlogger.debug('a')\nclass A:\n  assert b\n  assert c\n  logger.debug('b')\nif x:\n  assert d\n"
    found = compile_marked(source.encode(), "shop.py", ALL)
    assert {way: [line for *_, line in sites] for way, sites in found.sites.items()} == {(): [1, 8], (0,): [4, 5]}
    assert found.left == []


def test_every_node_keeps_its_place() -> None:
    """Records, tracers and tracebacks show lines and columns. They are the compiler's own."""
    source = b'''
def function(x):
    """A docstring."""
    for y in x:
        logger.debug(
            "a %s",
            y,
        )
    assert (
        x
    ), "b"
    try:
        if logger.isEnabledFor(10) and x:
            pass
    finally:
        logger.info("c")
'''
    plain = dict(codes(compile(source, "shop.py", "exec", dont_inherit=True)))
    found = compile_marked(source, "shop.py", ALL)
    new = dict(codes(found.code))
    assert plain.keys() == new.keys()
    for way, code in plain.items():
        assert (new[way].co_firstlineno, new[way].co_qualname) == (code.co_firstlineno, code.co_qualname)
        assert {*code.co_positions()} - {*new[way].co_positions()} == set()
        assert {line for _, _, line in code.co_lines()} == {line for _, _, line in new[way].co_lines()}
    assert [line for *_, line in found.sites[(0,)]] == [5, 10, 13, 16, 16]  # what is finally done is compiled twice


def test_a_statement_whose_test_has_no_room_for_a_site_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from jumplabel._bytecode.tests_become_sites import CannotRewriteError, Rewriting

    make_site = Rewriting.make_site

    def refuse_line_3(rewriting: Rewriting, test: object, **options: bool) -> None:
        if test.line == 3:  # type: ignore[attr-defined]
            raise CannotRewriteError("for the test's sake")
        make_site(rewriting, test, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Rewriting, "make_site", refuse_line_3)
    source = b"def function(x):\n    logger.debug('a')\n    logger.debug('b')\n    logger.debug('c')\n"
    found = compile_marked(source, "shop.py", ALL)
    assert [line for *_, line in found.sites[(0,)]] == [2, 4]
    assert found.left == [(3, "its bytecode has no room for a site")]
    assert found.code.co_consts[0].co_names.count("jumplabel: logging logger debug") == 1


def test_a_source_that_cannot_be_compiled_fails_as_without_marks() -> None:
    with pytest.raises(SyntaxError, match=r"shop\.py, line 2"):
        compile_marked(b"x = 1\nx = = 2\n", "shop.py", ALL)
    with pytest.raises((SyntaxError, ValueError), match="null bytes"):
        compile_marked(b"x = 1\0", "shop.py", ALL)


def test_sources_are_decoded_as_they_say() -> None:
    source = "# -*- coding: latin-1 -*-\ndef f():\n    logger.debug('é')\n    return 'é'\n".encode("latin-1")
    space: dict[str, object] = {"logger": type("", (), {"debug": lambda text: None})}
    exec(compile_marked(source, "shop.py", ALL).code, space)
    assert space["f"]() == "é"  # type: ignore[operator]


def test_code_that_is_attached_to_no_key_does_what_the_source_says() -> None:
    source = b"def f(x):\n  logger.debug('a')\n  if logger.isEnabledFor(10):\n    x += 1\n  assert x\n  return x\n"
    found = compile_marked(source, "shop.py", ALL)
    said: list[str] = []
    space: dict[str, object] = {"logger": type("", (), {"debug": said.append, "isEnabledFor": lambda level: True})}
    exec(found.code, space)
    assert (space["f"](1), said) == (2, ["a"])  # type: ignore[operator]
    with pytest.raises(AssertionError):
        space["f"](-1)  # type: ignore[operator]


def test_a_program_says_when_it_is_ready() -> None:
    source = "def f(): pass\nif __name__ == '__main__':\n    f()\nif x: pass\n"
    tree = mark(source.encode(), "shop.py", ALL, main=True).tree
    assert ast.unparse(tree.body[1]) == f"{READY!r} < None"
    assert [statement.lineno for statement in tree.body] == [1, 2, 2, 4]
    assert len(mark(source.encode(), "shop.py", ALL).tree.body) == 3


@pytest.mark.parametrize(
    "binding",
    [
        "logger = 1",
        "import logger",
        "for logger in x: pass",
        "class logger: pass",
        "try: pass\n  except E as logger: pass",
        "del logger",
    ],
)
def test_names_that_a_program_binds_after_ready_have_no_site_without_watchers(binding: str) -> None:
    source = f"def f():\n  logger.debug('a')\nother = 1\nif __name__ == '__main__':\n  other = 2\n  {binding}\n"
    assert mark(source.encode(), "shop.py", ALL, main=True).marks == (sys.version_info >= (3, 12))
    assert mark(source.encode(), "shop.py", ALL).marks == 1
