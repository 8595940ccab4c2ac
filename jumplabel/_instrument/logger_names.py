"""Tell by names and arguments which calls in a source are of a logger's methods. Reads syntax trees.

Other objects have methods of the same names: ``future.exception()``, ``parser.error("...")``, ``math.log(x)``. Where
the object can be found before the statement runs, its class decides. This module is for the other statements:
``instrumented()`` lists as left those that are logging statements by all that the source says.
"""

import ast
import re

Path = tuple[str, ...]

_WORDS = {"log", "logger", "logging", "logs", "loggers", "lg", "lgr", "l"}
_NOT_LOGS = {"dialog", "catalog", "analog", "blog", "backlog", "changelog", "prolog", "monolog"}
_MAKERS = {"getlogger", "getchild", "logger", "loggeradapter", "gettasklogger", "bind"}


def is_call_of_a_method(method: str, call: ast.Call) -> bool:
    """Return whether a logger's method can be called with these arguments: it needs a message."""
    given = len(call.args) + sum(word.arg in ("msg", "level", "event") for word in call.keywords)
    if any(isinstance(one, ast.Starred) for one in call.args) or any(word.arg is None for word in call.keywords):
        return True
    return given >= (2 if method == "log" else 1)


class LoggerNames:
    """The names in a module that stand for loggers, and those that stand for other objects."""

    def __init__(self, tree: ast.Module) -> None:
        self._loggers = {name for node in ast.walk(tree) for name in _named_loggers(node)}
        self._others = {name for node in ast.walk(tree) for name in _named_others(node)} - self._loggers

    def may_be_a_logger(self, logger: Path, method: str, call: ast.Call) -> bool:
        """Return whether the object is a logger by its name, by its assignment, or by the arguments of the call."""
        name = logger[-1]
        if name in ("self", "cls"):
            return False
        return (
            method == "isEnabledFor"
            or name in self._loggers
            or _is_named_logger(name)
            or (method == "debug" and _is_text(call.args[0] if call.args else None))
        )

    def is_something_else(self, logger: Path) -> bool:
        """Return whether the source shows that the object is no logger: a module, or the result of another call."""
        name = logger[-1]
        return name in self._others and not _is_named_logger(name)


def _is_named_logger(name: str) -> bool:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[0-9]+", "_", name).lower().split("_")
    return any(
        word in _WORDS or word.endswith("logger") or (word.endswith("log") and word not in _NOT_LOGS) for word in words
    )


def _named_loggers(node: ast.AST) -> list[str]:
    """Return the names and attributes to which a node binds a logger."""
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        is_annotated = isinstance(node, ast.AnnAssign) and _names_logger_class(node.annotation)
        return [_last_name(target) for target in targets] if is_annotated or _makes_a_logger(node.value) else []
    if isinstance(node, ast.arg):
        return [node.arg] if node.annotation is not None and _names_logger_class(node.annotation) else []
    if isinstance(node, ast.alias):
        return [node.asname] if node.asname and _is_named_logger(node.name) else []
    return []


def _named_others(node: ast.AST) -> list[str]:
    """Return the names to which a node binds an object that seems to be no logger."""
    if isinstance(node, ast.Import):
        return [one.asname or one.name for one in node.names]
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
        return [_last_name(target) for target in node.targets] if not _makes_a_logger(node.value) else []
    return []


def _makes_a_logger(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and _last_name(value.func).replace("_", "").lower() in _MAKERS


def _names_logger_class(annotation: ast.expr) -> bool:
    parts = [node for node in ast.walk(annotation) if isinstance(node, ast.Name | ast.Attribute | ast.Constant)]
    names = [_last_name(node) for node in parts]
    return any(re.search(r"Logger(Adapter)?\b", name) for name in names)


def _last_name(node: ast.AST) -> str:
    """Return the last part of a dotted name, or the text of a string; empty for any other node."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _is_text(argument: ast.expr | None) -> bool:
    if isinstance(argument, ast.BinOp):
        return _is_text(argument.left)
    return isinstance(argument, ast.JoinedStr) or (
        isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    )
