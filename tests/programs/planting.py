"""Plants tests of keys at random places in the functions of a module's source, and loads what becomes of it.

The planted source is the same whether its functions are then decorated or not, and so can be compared with itself.
Neutral plants leave the meaning of a function as it was, whatever the keys are, and if they change in the middle of it:
the module's own tests still pass. The others may also return, leave loops, or put something else in the place of a
value.

What planted code uses is put into the module's namespace before it runs; all of it is named ``_planted_...``.
"""

import ast
import copy
import itertools
from random import Random

from plant_templates import (
    CONDITIONS,
    CRASHES,
    EXPRESSIONS,
    GIVE_THE_KEY,
    HINTED,
    KEYS,
    LEAVES,
    LEAVES_LOOPS,
    MARK,
    NO_SITES,
    OTHER_VALUES,
    STATEMENTS,
)


class Planter(ast.NodeTransformer):
    """Each function that is not defined in another one also gets the decorator ``_planted_decorate``."""

    def __init__(self, seed: object, neutral: bool, density: float = 0.12, as_bools: bool = False) -> None:
        self.random = Random(f"{seed}")
        self.neutral = neutral
        self.density = density
        self.as_bools = as_bools
        """Whether a tracer is to see no difference between keys and bools: no hints, which are calls, no values that
        are the key, and nothing that may stay an ordinary test, which calls ``StaticKey.__bool__``."""
        self.statements = [one for one in STATEMENTS if not (as_bools and one in NO_SITES | GIVE_THE_KEY)]
        self.marks = itertools.count(1)
        self.depth = 0  # of functions
        self.loops = [False]  # whether a break would leave a loop, in each function
        self.cell = False  # whether a closure variable is a key
        self.others = 0 if neutral else self.random.choice([0, 0.01, 0.1])  # the share of plants that are not neutral

    # ---- templates ----

    def fill(self, template: str, e: ast.expr | None = None) -> list[ast.stmt]:
        while "{test}" in template:
            template = template.replace("{test}", self.test(), 1)
        while "{mark}" in template:
            template = template.replace("{mark}", MARK.format(next(self.marks)), 1)
        tree = ast.parse(template.replace("{e}", "_planted_here").replace("{{", "{").replace("}}", "}"))
        return _Replace(e).visit(tree).body

    def test(self) -> str:
        test = self.random.choice(KEYS + ["_planted_cell"] * 3 * self.cell)
        return self.random.choice(HINTED).format(test) if not self.as_bools and self.random.random() < 0.15 else test

    def chosen(self, templates: list[str], others: list[str] = ()) -> str:
        """Return one of the templates, and at times one that is not neutral."""
        if others and self.random.random() < self.others:
            return self.random.choice(others)
        return self.random.choice(templates)

    # ---- functions ----

    def visit_FunctionDef(self, node):
        if not self.depth:
            self.cell = not self.as_bools and self.random.random() < 0.3
            self.cell = self.cell and not (node.args.defaults or node.args.kw_defaults)
            self.cell = self.cell and not node.decorator_list and not _annotated(node)
        self.function(node, node.body)
        if self.depth:
            return node
        node.decorator_list.append(ast.Name("_planted_decorate", ast.Load()))
        return self.in_factory(node) if self.cell else node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node):
        if self.depth:
            self.function(node, None)
        return node

    def function(self, node, body):
        self.depth += 1
        self.loops.append(False)
        if body is None:
            node.body = self.visit(node.body)
        else:
            node.body = self.block(body)
        self.loops.pop()
        self.depth -= 1

    def in_factory(self, node):
        """Put the function into a factory, so that its closure has a key. All else about it stays."""
        factory = "_planted_factory"
        made = ast.parse(f"def {factory}(_planted_cell): return {node.name}\n{node.name} = {factory}(_planted_b)")
        made.body[0].body.insert(0, node)
        rename = f"{node.name}.__qualname__ = {node.name}.__qualname__.replace('{factory}.<locals>.', '')"
        return [*made.body, *ast.parse(f"{rename}\ndel {factory}").body]

    def visit_ClassDef(self, node):
        """Plant only in the functions of a class: its body is no function's."""
        if self.as_bools and node.name in CRASHES:
            return node
        cell = self.cell
        node.body = [made for statement in node.body for made in _list(self.in_no_function(statement))]
        self.cell = cell
        return node

    def in_no_function(self, statement):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return self.visit(statement)
        for name in ("body", "orelse", "finalbody"):
            if isinstance(getattr(statement, name, None), list):
                block = getattr(statement, name)
                setattr(statement, name, [made for inner in block for made in _list(self.in_no_function(inner))])
        return statement

    def visit_Module(self, node):
        node.body = [made for statement in node.body for made in _list(self.in_no_function(statement))]
        return node

    # ---- statements ----

    def block(self, body):
        planted = []
        for i, statement in enumerate(body):
            is_docstring = i == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if is_docstring or isinstance(statement, ast.Global | ast.Nonlocal):
                planted.append(statement)
                continue
            if self.random.random() < self.density:
                others = LEAVES + LEAVES_LOOPS * 3 if self.loops[-1] else LEAVES
                planted += self.fill(self.chosen(self.statements, others))
            made = self.visit(statement)
            if self.random.random() < self.density / 4 and _size(made) < 60:
                twice = ast.parse(f"if {self.test()}: pass\nelse: pass").body
                twice[0].body, twice[0].orelse = [made], [copy.deepcopy(made)]
                made = twice[0]
            planted.append(made)
        return planted

    def visit_For(self, node):
        node.iter = self.visit(node.iter)
        self.loop(node)
        return node

    visit_AsyncFor = visit_For

    def visit_While(self, node):
        node.test = self.condition(node.test)
        self.loop(node)
        return node

    def loop(self, node):
        outer, self.loops[-1] = self.loops[-1], True
        node.body = self.block(node.body)
        self.loops[-1] = outer
        node.orelse = self.block(node.orelse)

    def visit_If(self, node):
        node.test = self.condition(node.test)
        node.body, node.orelse = self.block(node.body), self.block(node.orelse)
        if node.orelse and self.random.random() < self.density and _size(node.orelse[0]) < 60:
            between = self.fill("if {test}: {mark}\nelse: pass")[0]
            between.body += copy.deepcopy(node.orelse)
            between.orelse = node.orelse
            node.orelse = [between]
        return node

    def visit_With(self, node):
        for item in node.items:
            item.context_expr = self.visit(item.context_expr)
        node.body = self.block(node.body)
        return node

    visit_AsyncWith = visit_With

    def visit_Try(self, node):
        node.body, node.orelse = self.block(node.body), self.block(node.orelse)
        node.finalbody = self.block(node.finalbody)
        for handler in node.handlers:
            handler.body = self.block(handler.body)
        return node

    def visit_TryStar(self, node):
        return node  # no break, continue or return in its handlers

    def visit_match_case(self, node):
        node.guard = node.guard and self.condition(node.guard)
        node.body = self.block(node.body)
        return node

    def visit_AnnAssign(self, node):
        node.value = node.value and self.visit(node.value)
        return node

    def visit_Assert(self, node):
        node.test = self.condition(node.test)
        return node

    # ---- expressions ----

    def visit(self, node):
        if not isinstance(node, ast.expr):
            return super().visit(node)
        if isinstance(node, ast.JoinedStr) or type(node).__name__ == "TemplateStr":
            return node  # their inside has a syntax of its own
        node = super().visit(node)
        if self.depth and self.random.random() < self.density / 4 and _is_value(node) and _size(node) < 30:
            return self.fill(self.chosen(EXPRESSIONS, OTHER_VALUES), node)[0].value
        return node

    def condition(self, node):
        node = self.visit(node)
        if self.random.random() < self.density and not (self.as_bools and isinstance(node, ast.Constant)):
            return self.fill(self.chosen(CONDITIONS), node)[0].value
        return node

    def visit_IfExp(self, node):
        node.test = self.condition(node.test)
        node.body, node.orelse = self.visit(node.body), self.visit(node.orelse)
        return node

    def visit_comprehension(self, node):
        node.iter = self.visit(node.iter)
        node.ifs = [self.condition(condition) for condition in node.ifs]
        if self.depth and self.random.random() < self.density:
            node.ifs.append(self.fill("{test} or True")[0].value)
        return node


class _Replace(ast.NodeTransformer):
    def __init__(self, e: ast.expr | None) -> None:
        self.e = e

    def visit_Name(self, node):
        return copy.deepcopy(self.e) if node.id == "_planted_here" else node


def _list(made):
    return made if isinstance(made, list) else [made]


def _size(node: ast.AST) -> int:
    return sum(1 for _ in ast.walk(node))


def _is_value(node: ast.expr) -> bool:
    """Whether another expression can stand in its place."""
    if isinstance(node, ast.Starred | ast.Slice):
        return False
    if isinstance(node, ast.Tuple) and any(isinstance(element, ast.Slice | ast.Starred) for element in node.elts):
        return False
    return isinstance(getattr(node, "ctx", ast.Load()), ast.Load)


def _annotated(node) -> bool:
    arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    return bool(node.returns or any(argument.annotation for argument in arguments))
