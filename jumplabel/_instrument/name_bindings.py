"""Find where a source binds a name. Reads syntax trees."""

import ast
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_bound_once(function: Function, name: str) -> bool:
    """Return whether a variable keeps its value once an inner function has been made.

    That is so for a parameter that the function never binds, and for a single assignment outside loops.
    """
    bound = list(_bindings(function, name))
    arguments = function.args
    parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    if any(one is not None and one.arg == name for one in parameters):
        return not bound
    return len(bound) == 1 and not bound[0][1] and isinstance(bound[0][0], ast.Assign | ast.AnnAssign)


def _bindings(node: ast.AST, name: str, in_loop: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Yield each node that binds or deletes a name, in any scope within, and whether it is in a loop."""
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
            # Other nodes with the name: an import, a def or class, an except clause, a pattern, a nonlocal statement.
            not isinstance(child, ast.Name | ast.arg | ast.Attribute | ast.keyword) and name in names(child)
        ):
            yield child, in_loop
            yield from _bindings(child, name, loop)
        else:
            yield from _bindings(child, name, loop)


def names(node: ast.AST) -> list[str]:
    """Return the strings in the fields of a node, which may be names."""
    values = [value for _, value in ast.iter_fields(node)]
    if isinstance(node, ast.Constant):
        return []
    if isinstance(node, ast.alias):
        return [node.asname or node.name.partition(".")[0]]
    return [one for value in values for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def set_through_globals(tree: ast.AST) -> Iterator[str | None]:
    """Yield the globals that are set by ``globals()[name] = ...``, ``globals().update(...)`` and the like.

    Yields None for a name that the source does not tell.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and _is_globals(node.value) and not isinstance(node.ctx, ast.Load):
            yield node.slice.value if isinstance(node.slice, ast.Constant) and type(node.slice.value) is str else None
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_globals(node.func.value):
            if node.func.attr == "update" and not node.args:
                yield from (word.arg for word in node.keywords)
            elif node.func.attr in _CHANGING:
                first = node.args[0] if node.args else None
                yield first.value if isinstance(first, ast.Constant) and type(first.value) is str else None


_CHANGING = {"update", "setdefault", "pop", "popitem", "clear", "__setitem__", "__delitem__", "__ior__"}


def _is_globals(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "globals"
