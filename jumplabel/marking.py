"""Which statements of a source are for sites? Changes a syntax tree; compiles, imports and runs nothing.

A statement `logger.debug(...)` becomes `if MARK: logger.debug(...)`, an `assert` becomes `if MARK: assert ...`. A mark
is a global with a name that no source can have, which says what the site is for. marked_code.py makes a site of its
test before anything runs, so there never is such a global. Every node keeps the place it had in the source.
"""

import ast
import symtable
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from jumplabel.marks import ASSERTS, Options, Statement
from jumplabel.name_watch import HEARS_ALL

FOLLOW = ("jumplabel.closures", "follow")
"""The decorator of functions whose logger is in a closure."""
READY = ("jumplabel.import_hook", "main_is_ready")

METHODS = {"debug", "info", "warning", "error", "critical", "exception"}
GUARD = "isEnabledFor"


class Left(NamedTuple):
    """A statement that looked like one for a site, and why it is none."""

    line: int
    why: str


class Marked(NamedTuple):
    tree: ast.Module
    marks: int
    left: list[Left]


def mark(
    source: bytes, filename: str, options: Options, without: Iterable[tuple[int, str]] = (), main: bool = False
) -> Marked:
    """The marked tree of a source. Raises what compile() does for it.

    without  (line, why) of statements that have to stay as they are
    main     it is a program, which says READY before it comes to its own `if __name__ == "__main__":`
    """
    tree: Any = _tree(source, filename, "exec")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has just been said, of the tree
        top = symtable.symtable(source, filename, "exec")  # type: ignore[arg-type]  # bytes will do
    marker = _Marker(options, top, dict(without))
    if main:
        ready = [_is_of_the_name(statement) for statement in tree.body]
        for statement in tree.body[ready.index(True) :] if any(ready) else ():
            marker.rebound.update(*(_names(node) for node in ast.walk(statement) if not _is_load(node)))
        marker.visit(tree)
        tree.body[:] = [one for statement in tree.body for one in _ready_before(statement)]
    else:
        marker.visit(tree)
    return Marked(tree, marker.marks, marker.left)


def _tree(source: bytes | str, filename: str, mode: str) -> Any:
    """Return a source's syntax tree. Raises what compile() raises for it.

    CPython 3.11 counts the depth of a tree that it makes in a place that all threads share. A collection in the middle
    of one tree may run Python, so let another thread make another; then the first one fails, though nothing is wrong
    with its source. That is tried again, not kept from happening by a lock: a finalizer might wait for its owner.
    """
    for left in reversed(range(_TRIES)):
        try:
            return compile(source, filename, mode, ast.PyCF_ONLY_AST, dont_inherit=True)
        except (SystemError, RecursionError) as error:
            if not left or (isinstance(error, RecursionError) and left < _TRIES - 1):
                raise


_TRIES = 100


class _Scope(NamedTuple):
    node: Any
    table: symtable.SymbolTable
    """Of a function."""


class _Marker(ast.NodeTransformer):
    def __init__(self, options: Options, top: symtable.SymbolTable, without: dict[int, str]) -> None:
        self.options = options
        self.without = without
        self.marks = 0
        self.left: list[Left] = []
        self.tables: dict[tuple[str, int], list[symtable.SymbolTable]] = {}
        self.rebound: set[str] = set()
        """Globals whose next value may not be heard of, where no dict is watched."""
        for table in _tables(top):
            self.tables.setdefault((table.get_name(), table.get_lineno()), []).append(table)
            for symbol in table.get_symbols() if table.get_type() != "module" else ():
                if symbol.is_declared_global() and (symbol.is_assigned() or symbol.is_imported()):
                    self.rebound.add(symbol.get_name())
        self.scopes: list[_Scope | None] = [None]
        """The functions around; None for a class, and for the module."""
        self.follows: list[bool] = []
        self.declared: list[bool] = [False]
        """Of each scope, whether the mark of assertions is known to be a global. Only functions need not be told."""

    # ---- scopes ----

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        tables = [table for table in self.tables.get((node.name, node.lineno), ()) if table.get_type() == "function"]
        self.follows.append(False)
        self._enter(node, _Scope(node, tables[0]) if len(tables) == 1 else None, is_function=True)
        if self.follows.pop():
            node.decorator_list.append(_imported(FOLLOW, node))
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self.visit_FunctionDef(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self._enter(node, None, is_function=False)
        return node

    def _enter(self, node: Any, scope: _Scope | None, is_function: bool) -> None:
        """Only the body: there are no statements elsewhere."""
        self.scopes.append(scope)
        self.declared.append(is_function)
        node.body = self.visit(ast.Module(node.body, [])).body
        self.scopes.pop()
        self.declared.pop()

    # ---- statements ----

    def visit_Assert(self, node: ast.Assert) -> ast.AST | list[ast.stmt]:
        if not self.options.asserts or sys.flags.optimize or self._has_to_stay(node):
            return node
        marked = self._marked(node, ASSERTS)
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
            self.left.append(Left(node.lineno, why))
            return node
        return self._marked(node, self._used(found).mark)

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
        found = self._statement(test, guard=True) if isinstance(test, ast.Call) else None
        if found is None or self._has_to_stay(test):
            return [test]
        self.marks += 1
        return [_name(self._used(found).mark, test), test]

    def _has_to_stay(self, node: ast.stmt | ast.expr) -> bool:
        if node.lineno not in self.without:
            return False
        self.left.append(Left(node.lineno, self.without[node.lineno]))
        return True

    def _marked(self, node: ast.stmt, mark: str) -> ast.If:
        self.marks += 1
        return ast.copy_location(ast.If(_name(mark, node), [node], []), node)

    def _used(self, found: Statement) -> Statement:
        if found.free:
            self.follows[-1] = True
        return found

    # ---- what is a logging statement ----

    def _statement(self, call: ast.Call, guard: bool = False) -> Statement | None:
        """What a call says, if it is one of a logger's methods and the logger can be found before it runs."""
        path = _path(call.func)
        if not self.options.logging or path is None or len(path) < 2 or self.scopes[-1] is None:
            return None
        *logger, method = path
        if method != GUARD if guard else method not in METHODS and method != "log":
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
        """Where a function finds a name that is bound before it runs; None: it may not be, or may be bound anew."""
        scope = self.scopes[-1]
        assert scope is not None
        if name not in scope.table.get_identifiers():  # the compiler gives a name with two underscores another one
            return None
        symbol = scope.table.lookup(name)
        if symbol.is_global():
            return "global" if HEARS_ALL or name not in self.rebound else None
        if symbol.is_free():
            outer = next((one for one in self.scopes[-2::-1] if one and _is_local_of(one.table, name)), None)
            return "free" if outer and _is_bound_once(outer, name) else None
        return None

    def _leave(self, call: ast.Call, why: str) -> None:
        if call.lineno not in [left.line for left in self.left]:
            self.left.append(Left(call.lineno, why))


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _is_local_of(table: symtable.SymbolTable, name: str) -> bool:
    return name in table.get_identifiers() and table.lookup(name).is_local()


def _is_bound_once(outer: _Scope, name: str) -> bool:
    """Whether a variable, once an inner function has been made, stays what it is: a parameter, or one assignment."""
    bound = list(_bindings(outer.node, name))
    arguments = outer.node.args
    parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    if any(one is not None and one.arg == name for one in parameters):
        return not bound
    return len(bound) == 1 and not bound[0][1] and isinstance(bound[0][0], ast.Assign | ast.AnnAssign)


def _bindings(node: ast.AST, name: str, in_loop: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Whatever binds or deletes a name, in any scope within, and whether it does so in a loop."""
    for child in ast.iter_child_nodes(node):
        loop = in_loop or isinstance(child, ast.For | ast.AsyncFor | ast.While)
        if isinstance(child, ast.Assign | ast.AnnAssign):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                yield child, in_loop
                targets = [target for target in targets if not isinstance(target, ast.Name)]
            for part in (*targets, child.value):
                if part is not None:
                    yield from _bindings(ast.Expr(part), name, in_loop)
        elif (isinstance(child, ast.Name) and child.id == name and not isinstance(child.ctx, ast.Load)) or (
            # An import, a def or class, an except clause, a pattern, a nonlocal statement: by any other node.
            not isinstance(child, ast.Name | ast.arg | ast.Attribute | ast.keyword) and name in _names(child)
        ):
            yield child, in_loop
            yield from _bindings(child, name, loop)
        else:
            yield from _bindings(child, name, loop)


def _names(node: ast.AST) -> list[str]:
    """The strings in the fields of a node: all that may be a name."""
    values = [value for _, value in ast.iter_fields(node)]
    if isinstance(node, ast.Constant):
        return []
    if isinstance(node, ast.alias):
        return [node.asname or node.name.partition(".")[0]]
    return [one for value in values for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _why_evaluated(arguments: list[Any], only_pure: bool) -> str | None:
    """Why arguments have to be evaluated, whether or not anybody looks at them."""
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

# What calls, as one can see: not what operators and attributes may do.
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
    """On the first line of what it stands before: a test on one line is one for tracers, too."""
    return _placed(ast.Name(name, ast.Load()), where)


def _is_load(node: ast.AST) -> bool:
    return isinstance(getattr(node, "ctx", None), ast.Load)


def _is_of_the_name(statement: ast.stmt) -> bool:
    test = statement.test if isinstance(statement, ast.If) else None
    return isinstance(test, ast.Compare) and _path(test.left) == ("__name__",)


def _ready_before(statement: ast.stmt) -> list[ast.stmt]:
    if not (isinstance(statement, ast.If) and _is_of_the_name(statement)):
        return [statement]
    test = statement.test
    call = ast.copy_location(ast.Call(_imported(READY, statement), [], []), test)
    return [ast.copy_location(ast.Expr(call), test), statement]


def _imported(what: tuple[str, str], where: ast.stmt) -> ast.expr:
    """What another module has, by `__import__(module, fromlist=[name]).name`, which binds no name; on this line."""
    module, name = what
    expression: ast.expr = _tree(f"__import__({module!r}, None, None, [{name!r}]).{name}", "<unknown>", "eval").body
    for node in ast.walk(expression):
        if isinstance(node, ast.expr):
            _placed(node, where)
    return expression


def _placed(node: ast.expr, where: ast.stmt | ast.expr) -> ast.expr:
    node.lineno = node.end_lineno = where.lineno
    node.col_offset = node.end_col_offset = where.col_offset
    return node
