"""Mark the statements of a source that become sites. Changes a syntax tree; compiles, imports and runs nothing.

A statement `logger.debug(...)` becomes `if MARK: logger.debug(...)`, an `assert` becomes `if MARK: assert ...`. A mark
is a global. No source can have its name, which says what the site is for. compile_marked.py makes a site of each test
of a mark before the code runs, so the global never exists. Every node keeps its line and column in the source.
"""

import ast
import symtable
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from jumplabel._instrument.definitions import FOLLOW, READY
from jumplabel._instrument.logger_names import LoggerNames, is_call_of_a_method
from jumplabel._instrument.marks import ASSERTS, NO_LINE, Statement
from jumplabel._instrument.name_bindings import is_bound_once, names, set_through_globals
from jumplabel._instrument.options import Options
from jumplabel._program.name_watch import HEARS_ALL

METHODS = {"debug", "info", "warning", "error", "critical", "exception"}
GUARD = "isEnabledFor"


class Left(NamedTuple):
    """A logging statement or assertion without a site: its line, and why it has none."""

    line: int
    why: str


class MarkedTree(NamedTuple):
    """A marked syntax tree."""

    tree: ast.Module
    marks: int
    """The number of marks in it."""
    left: list[Left]
    longer: list[int]
    """The lines of statements whose first instruction may be on another line."""


def mark(
    source: bytes,
    filename: str,
    options: Options,
    without: Iterable[tuple[int, str]] = (),
    main: bool = False,
    starts: Mapping[int, int] | None = None,
) -> MarkedTree:
    """Return the marked tree of a source. Raises what compile() raises for the source.

    without  (line, why) of statements that have to stay as they are
    main     the source is a program: put READY before its `if __name__ == "__main__":`
    starts   the lines of the first instructions of the statements in `longer`, by index. None: they are not known yet.
             Each such statement's mark is then on a line of its own, from NO_LINE on, for compile_marked.py to find
    """
    tree: Any = _tree(source, filename, "exec")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tree has just given the same warnings
        top = symtable.symtable(source, filename, "exec")  # type: ignore[arg-type]  # takes bytes, too
    marker = _Marker(options, tree, top, dict(without), starts)
    if main:
        ready = [_is_of_the_name(statement) for statement in tree.body]
        for statement in tree.body[ready.index(True) :] if any(ready) else ():
            marker.rebound.update(*(names(node) for node in ast.walk(statement) if not _is_load(node)))
        marker.visit(tree)
        tree.body[:] = [one for statement in tree.body for one in _ready_before(statement)]
    else:
        marker.visit(tree)
    return MarkedTree(tree, marker.marks, marker.left, marker.longer)


def _tree(source: bytes | str, filename: str, mode: str) -> Any:
    """Return the syntax tree of a source. Raises what compile() raises for the source.

    CPython 3.11 counts the depth of the tree that it makes in one variable for all threads. A garbage collection in the
    middle runs Python code, and so lets another thread make a tree. The first thread then fails, with a correct source.
    So it tries again. A lock would not do: a finalizer in the collection might wait for the thread that has it.
    """
    for left in reversed(range(_TRIES)):
        try:
            return compile(source, filename, mode, ast.PyCF_ONLY_AST, dont_inherit=True)
        except (SystemError, RecursionError) as error:
            if not left or (isinstance(error, RecursionError) and left < _TRIES - 1):
                raise


_TRIES = 100


class _Scope(NamedTuple):
    """A function, and its symbols."""

    node: Any
    table: symtable.SymbolTable


class _Marker(ast.NodeTransformer):
    """Puts marks into a syntax tree."""

    def __init__(
        self,
        options: Options,
        tree: ast.Module,
        top: symtable.SymbolTable,
        without: dict[int, str],
        starts: Mapping[int, int] | None,
    ) -> None:
        self.options = options
        self.without = without
        self.starts = starts
        self.longer: list[int] = []
        self.marks = 0
        self.left: list[Left] = []
        self.logger_names = LoggerNames(tree)
        self.tables: dict[tuple[str, int], list[symtable.SymbolTable]] = {}
        self.rebound: set[str | None] = set()
        """Globals that may be rebound unheard, because no dict is watched. None among them: any global may."""
        for node in ast.walk(tree) if not HEARS_ALL else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                self.rebound.update(set_through_globals(node))
        for table in _tables(top):
            self.tables.setdefault((table.get_name(), table.get_lineno()), []).append(table)
            for symbol in table.get_symbols() if table.get_type() != "module" else ():
                if symbol.is_declared_global() and (symbol.is_assigned() or symbol.is_imported()):
                    self.rebound.add(symbol.get_name())
        self.scopes: list[_Scope | None] = [None]
        """The scopes around the visited node, outermost first; None for a class and for the module."""
        self.follows: list[bool] = []
        """For each function around the node, whether a mark in it is for a logger in its closure."""
        self.declared: list[bool] = [False]
        """For each scope, whether the mark of assertions is a global there: by itself in functions, else declared."""

    # ---- scopes ----

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        tables = [table for table in self.tables.get((node.name, node.lineno), ()) if table.get_type() == "function"]
        self.follows.append(False)
        start = self._start(node, node.body[0].lineno - 1)
        self._enter(node, _Scope(node, tables[0]) if len(tables) == 1 else None, is_function=True)
        if self.follows.pop():
            node.decorator_list.append(_following(node, start))
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self.visit_FunctionDef(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._enter(node, None, is_function=False)
        return node

    def _enter(self, node: Any, scope: _Scope | None, is_function: bool) -> None:
        """Visit the body of a function or class, which has all of its statements."""
        self.scopes.append(scope)
        self.declared.append(is_function)
        node.body = self.visit(ast.Module(node.body, [])).body
        self.scopes.pop()
        self.declared.pop()

    # ---- statements ----

    def visit_Assert(self, node: ast.Assert) -> ast.AST | list[ast.stmt]:
        start = self._start(node, node.end_lineno or node.lineno)
        if not self.options.asserts or sys.flags.optimize or self._has_to_stay(node):
            return node
        marked = self._marked(node, ASSERTS)
        if start != node.lineno:
            marked.lineno = marked.end_lineno = marked.test.lineno = marked.test.end_lineno = start
            marked.col_offset = 0
        if self.declared[-1]:
            return marked
        self.declared[-1] = True
        return [ast.copy_location(ast.Global([ASSERTS]), node), marked]

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if not isinstance(node.value, ast.Call):
            return node
        found = self._statement(node.value)
        if found is None or self._has_to_stay(node):
            return node
        why = _why_evaluated([*node.value.args, *node.value.keywords], self.options.only_pure)
        if why:
            if not self.logger_names.is_something_else(found.logger):
                self.left.append(Left(node.lineno, why))
            return node
        return self._marked(node, self._mark_for(found))

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        test = node.test
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            test.values = [value for one in test.values for value in self._guard(one)]
        else:
            values = self._guard(test)
            if len(values) > 1:
                node.test = ast.copy_location(ast.BoolOp(ast.And(), values), test)
        return node

    def _guard(self, test: ast.expr) -> list[ast.expr]:
        """Return what to test in place of a test: a mark before a call of ``isEnabledFor``."""
        found = self._statement(test, guard=True) if isinstance(test, ast.Call) else None
        if found is None or self._has_to_stay(test):
            return [test]
        self.marks += 1
        return [_name(self._mark_for(found), test), test]

    def _start(self, node: ast.stmt, last: int) -> int:
        """Return the line of a statement's first instruction.

        last  the last line on which that may be
        """
        if last <= node.lineno:
            return node.lineno
        self.longer.append(node.lineno)
        place = len(self.longer) - 1
        return NO_LINE + place if self.starts is None else self.starts.get(place, node.lineno)

    def _has_to_stay(self, node: ast.stmt | ast.expr) -> bool:
        if node.lineno not in self.without:
            return False
        self.left.append(Left(node.lineno, self.without[node.lineno]))
        return True

    def _marked(self, node: ast.stmt, mark: str) -> ast.If:
        self.marks += 1
        return ast.copy_location(ast.If(_name(mark, node), [node], []), node)

    def _mark_for(self, statement: Statement) -> str:
        if statement.free:
            self.follows[-1] = True
        return statement.mark

    # ---- what is a logging statement ----

    def _statement(self, call: ast.Call, guard: bool = False) -> Statement | None:
        """Return what a call of a logger's method says. None for another call, and for a logger not known in advance.

        guard  the call is a test, so its method is ``isEnabledFor``
        """
        path = _path(call.func)
        if not self.options.logging or path is None or len(path) < 2 or self.scopes[-1] is None:
            return None
        *logger, method = path
        if method != GUARD if guard else method not in METHODS and method != "log":
            return None
        if not guard and not is_call_of_a_method(method, call):
            return None
        level: int | tuple[str, ...] | None = None
        if method in ("log", GUARD):
            level = self._level(call)
            if level is None or (guard and (len(call.args) > 1 or call.keywords)):
                self._leave(call, "its level is no number, and no name that can be looked up")
                return None
        where = self._where(logger[0])
        if where is None:
            self._leave(call, f"{logger[0]} exists only at run time")
            return None
        return Statement(tuple(logger), method, level, where == "free")

    def _level(self, call: ast.Call) -> int | tuple[str, ...] | None:
        first = call.args[0] if call.args else None
        if isinstance(first, ast.Constant):
            return first.value if type(first.value) is int else None
        path = _path(first)
        return path if path is not None and self._where(path[0]) == "global" else None

    def _where(self, name: str) -> str | None:
        """Return where a function finds a name: ``"global"`` or ``"free"``.

        None for a name that may be unbound when the function is made, or bound again unheard.
        """
        scope = self.scopes[-1]
        assert scope is not None
        if name not in scope.table.get_identifiers():  # a private name in a class, which the compiler changes
            return None
        symbol = scope.table.lookup(name)
        if symbol.is_global():
            return "global" if HEARS_ALL or self.rebound.isdisjoint((name, None)) else None
        if symbol.is_free():
            outer = next((one for one in self.scopes[-2::-1] if one and _is_local_of(one.table, name)), None)
            return "free" if outer and is_bound_once(outer.node, name) else None
        return None

    def _leave(self, call: ast.Call, why: str) -> None:
        *logger, method = _path(call.func) or ("", "")
        if not self.logger_names.may_be_a_logger(tuple(logger), method, call):
            return
        if call.lineno not in [left.line for left in self.left]:
            self.left.append(Left(call.lineno, why))


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _is_local_of(table: symtable.SymbolTable, name: str) -> bool:
    return name in table.get_identifiers() and table.lookup(name).is_local()


def _why_evaluated(arguments: list[Any], only_pure: bool) -> str | None:
    """Return why arguments have to be evaluated also while the statement is off; None if they do not have to be."""
    for argument in arguments:
        for node in ast.walk(argument):
            if isinstance(node, _DOING) or (isinstance(node, ast.comprehension) and node.is_async):
                return "an argument awaits, yields or binds a name"
            if only_pure and isinstance(node, _CALLING):
                return "an argument calls something"
            if only_pure and isinstance(node, ast.keyword) and node.arg is None:
                return "an argument calls something"
    return None


_DOING = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)

# Nodes that visibly call something. Operators and attributes may call something, too, and are not among them.
_CALLING = (
    ast.Call,
    ast.FormattedValue,
    ast.Starred,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


def _path(node: ast.AST | None) -> tuple[str, ...] | None:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute) and not (node.attr.startswith("__") and not node.attr.endswith("__")):
        holder = _path(node.value)
        return None if holder is None else (*holder, node.attr)
    return None


def _name(name: str, where: ast.stmt | ast.expr) -> ast.expr:
    """Return a name on the first line of the node that it stands before: tracers then see one line, not two."""
    return _placed(ast.Name(name, ast.Load()), where)


def _is_load(node: ast.AST) -> bool:
    return isinstance(getattr(node, "ctx", None), ast.Load)


def _is_of_the_name(statement: ast.stmt) -> bool:
    test = statement.test if isinstance(statement, ast.If) else None
    return isinstance(test, ast.Compare) and _path(test.left) == ("__name__",)


def _ready_before(statement: ast.stmt) -> list[ast.stmt]:
    if not (isinstance(statement, ast.If) and _is_of_the_name(statement)):
        return [statement]
    ready, nothing = (ast.copy_location(_constant(value), statement.test) for value in (READY, None))
    compare = ast.copy_location(ast.Compare(ready, [ast.Lt()], [nothing]), statement.test)
    return [ast.copy_location(ast.Expr(compare), statement.test), statement]


def _following(function: ast.FunctionDef | ast.AsyncFunctionDef, line: int) -> ast.expr:
    """Return the decorator FOLLOW, whose call is on this line.

    The line of a function's first decorator is also the line of the function, and has to stay. So the decorator is a
    formatted string on that line. In it stands the constant alone, on a line of its own; such a string takes no
    instruction.
    """
    constant = _placed(_constant(FOLLOW), function)
    constant.lineno = constant.end_lineno = line
    return _placed(ast.JoinedStr([constant]), function)


def _constant(value: Any) -> ast.Constant:
    return ast.Constant(value)


def _placed(node: ast.expr, where: ast.stmt | ast.expr) -> ast.expr:
    node.lineno = node.end_lineno = where.lineno
    node.col_offset = node.end_col_offset = where.col_offset
    return node
