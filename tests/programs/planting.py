"""Plants tests of keys at random places in the functions of a module's source, and loads what becomes of it.

The planted source is the same whether its functions are then decorated or not, and so can be compared with itself.
Neutral plants leave the meaning of a function as it was, whatever the keys are, and if they change in the middle of it:
the module's own tests still pass. The others may also return, leave loops, or put something else in the place of a
value.

What planted code uses is put into the module's namespace before it runs; all of it is named ``_planted_...``.
"""

import ast
import builtins
import contextlib
import copy
import dis
import importlib.machinery
import importlib.util
import itertools
import sys
import types
from random import Random
from types import CodeType

import jumplabel
from jumplabel import StaticKey, likely, static_branches, unlikely

KEYS = ["_planted_a", "_planted_b", "_planted_flags.key_c", "_planted_flags.Flags.key_d", "_planted_flags.key_a"]
HINTED = ["_planted_likely({})", "_planted_unlikely({})", "_planted_hints.likely({})", "_planted_hints.unlikely({})"]
NAMES_OF_KEYS = {"_planted_a", "_planted_b", "_planted_cell", "key_a", "key_c", "key_d"}

MARK = "_planted_mark({})"
LONG = "\n".join(["    {mark}"] * 60)
"""More than a site can jump over, on every version."""

# {test} is the test of a key, {mark} a mark, another one at each place
STATEMENTS = [
    "if {test}: {mark}",
    "if {test}: {mark}\nelse: {mark}",
    "if not {test}: {mark}",
    "if not {test}: {mark}\nelse: {mark}",
    "if {mark}: {mark}\nelif {test}: {mark}",
    "if {test}: {mark}\nelif {test}: {mark}\nelif not {test}: {mark}\nelse: {mark}",
    "if {test} and {mark}: {mark}",
    "if {mark} and {test}: {mark}\nelse: {mark}",
    "if {test} or {mark}: {mark}",
    "if {mark} or not {test}: {mark}\nelse: {mark}",
    "if not ({test} and {mark} or {test}): {mark}",
    "if {test} and (not {test} or {mark}): {mark}\nelse: {mark}",
    "if {test}: pass",
    "if {test}:\n    if {test}: {mark}\n    else: {mark}",
    "while {test}:\n    {mark}\n    break",
    "while not {test}:\n    {mark}\n    break\nelse: {mark}",
    "while {test} and {mark}:\n    {mark}\n    if not {test}: break",
    "while True:\n    {mark}\n    if {test}: break\n    {mark}\n    if not {test}: break",
    "for _planted_i in _planted_three:\n    {mark}\n    if {test}: continue\n    if {test}: break\nelse: {mark}",
    "for _planted_i in _planted_three:\n    if {test}: {mark}",
    "for _planted_i in _planted_three:\n    if not {test}: continue\n    {mark}",
    "try:\n    assert {test}, {mark}\nexcept AssertionError: {mark}",
    "try:\n    assert not {test}\nexcept AssertionError: {mark}\nelse: {mark}\nfinally:\n    if {test}: {mark}",
    "assert {test} or True",
    "assert {mark} or not {test} or True",
    "try: {mark}\nfinally:\n    if {test}: {mark}",
    "with _planted_null:\n    if {test}: {mark}\n    else: {mark}",
    "match {mark}:\n    case 0 if {test}: {mark}\n    case _:\n        if not {test}: {mark}",
    "_planted_mark({mark} if {test} else {mark})",
    "_planted_mark({test} and {mark})",
    "_planted_mark({test} or {mark})",
    "_planted_mark({mark} and {test} or {mark})",
    "_planted_mark(not {test} or {mark})",
    "_planted_mark(({test} and {mark}) or ({test} or {mark}))",
    "_planted_mark(1 < ({test} and 2 or 3) < 4)",
    "_planted_mark([i for i in _planted_three if {test}])",
    "_planted_mark([i for i in _planted_three if {test} or i])",
    "_planted_mark(({{i for i in _planted_three if not {test}}}, {{i: i for i in _planted_three if {test} and i}}))",
    "_planted_mark([(i if {test} else -i) for i in _planted_three if i if {test}])",
    "_planted_mark(_planted_list(({test} and i) for i in _planted_three if {test} or i))",
    "_planted_mark((lambda i: {mark} if {test} else i)(1))",
    "def _planted_inner(i):\n    if {test}: {mark}\n    yield {test} and i\n"
    "    while not {test}:\n        yield {mark}\n        return\n_planted_mark(_planted_list(_planted_inner(7)))",
    "async def _planted_async():\n    async with _planted_null:\n        if {test}: return {mark}\n"
    "    return {test} or 1\n_planted_mark(_planted_run(_planted_async()))",
    "_planted_local = _planted_value\nif _planted_local: {mark}",
    "if {test}:\n" + LONG,
    "if not {test}:\n" + LONG + "\nelse: {mark}",
    "while {test}:\n" + LONG + "\n    break",
    "for _planted_i in _planted_three:\n    if {test}: continue\n" + LONG,
    "_planted_mark({test} and (" + ", ".join(["{mark}"] * 60) + "))",
]
LEAVES = ["if {test}: return", "if not {test}: return", "if {test}: raise ValueError({mark})"]
LEAVES_LOOPS = ["if {test}: continue", "if {test}: break", "if not {test}: break", "if {test} and {mark}: continue"]

NO_SITES = {"_planted_mark(not {test} or {mark})", "_planted_local = _planted_value\nif _planted_local: {mark}"}
"""Of STATEMENTS: a value that is not jumped on, and a local variable."""

GIVE_THE_KEY = {one for one in STATEMENTS if "yield {test} and" in one or "({test} and i) for" in one}
"""Of STATEMENTS: generators that yield the key itself."""

CRASHES = {"JumpTestCase"}
"""Classes of test_sys_settrace: to set ``f_lineno`` in what is planted crashes CPython 3.13, with bools too."""

# {e} is the expression in whose place this is put
EXPRESSIONS = [
    "{e} if {test} else {e}",
    "{e} if not {test} else {e}",
    "{e} if {test} and {mark} else {e}",
    "{e} if {test} else {e} if {test} else {e}",
    "({test} and None, {e})[1]",
    "({e}, {test} or 0)[0]",
]
CONDITIONS = [
    "{e} and ({test} or True)",
    "({test} or True) and {e}",
    "({test} and False) or {e}",
    "not (not {e} or ({test} and False))",
]
OTHER_VALUES = [
    "({mark}, {e})[1] if {test} else {e}",
    "({test} and {e}) if {test} else {e}",
    "({test} or {e}) if not {test} else {e}",
    "{test} and {e}",
    "{test} or {e}",
    "{e} if {test} else None",
]


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
        """One of the templates; at times one of those that are not neutral."""
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
        """The function's closure has a key; in every other respect it is where it was."""
        factory = "_planted_factory"
        made = ast.parse(f"def {factory}(_planted_cell): return {node.name}\n{node.name} = {factory}(_planted_b)")
        made.body[0].body.insert(0, node)
        rename = f"{node.name}.__qualname__ = {node.name}.__qualname__.replace('{factory}.<locals>.', '')"
        return [*made.body, *ast.parse(f"{rename}\ndel {factory}").body]

    def visit_ClassDef(self, node):
        """Its body is no function's: only the functions in it are planted."""
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


# ---- loading ----


def planted_code(
    source: str, filename: str, seed: object, neutral: bool, one_line: bool = False, as_bools: bool = False
) -> CodeType:
    """one_line: what is planted is on the line of what it was planted beside, or on the next one."""
    planter = Planter(seed, neutral, as_bools=as_bools)
    tree = planter.visit(ast.parse(source))
    if not one_line:
        return compile(ast.unparse(tree), filename, "exec", dont_inherit=True)
    _locate(tree, planter.random, 0 if as_bools else 0.05)  # a test on two lines may stay an ordinary one
    return compile(ast.fix_missing_locations(tree), filename, "exec", dont_inherit=True)


def _locate(tree: ast.AST, random: Random, next_line: float, line: int = 1) -> None:
    """Templates were parsed by themselves, and have lines of their own."""
    for node in ast.iter_child_nodes(tree):
        if getattr(node, "lineno", line) < line:
            node.lineno = node.end_lineno = line + (random.random() < next_line)
            node.col_offset, node.end_col_offset = 0, 1
        _locate(node, random, next_line, max(line, getattr(node, "lineno", line)))


class Plants:
    """The keys of planted code, and what else it finds in its module's namespace."""

    def __init__(self, name: str, bools: bool | None = None) -> None:
        """bools: in the place of each key stands this value."""
        self.keys = [] if bools is not None else [StaticKey(f"{name}.{letter}") for letter in "abcd"]
        a, b, c, d = self.keys or [bools] * 4
        self.flags = types.ModuleType("_planted_flags")
        self.flags.key_a, self.flags.key_c, self.flags.Flags = a, c, type("Flags", (), {"key_d": d})
        self.hook = None
        """Called with what each mark marks; the mark's value is what it returns."""
        self.namespace = {
            "_planted_a": a,
            "_planted_b": b,
            "_planted_value": b,
            "_planted_flags": self.flags,
            "_planted_likely": likely,
            "_planted_unlikely": unlikely,
            "_planted_hints": jumplabel,
            "_planted_mark": self.mark,
            "_planted_three": (0, 1, 2),
            "_planted_list": list,
            "_planted_null": contextlib.nullcontext(),
            "_planted_run": _run,
        }

    def mark(self, value):
        return self.hook(value) if self.hook else None

    def set_all(self, on: bool) -> None:
        for key in self.keys:
            if key.enabled != on:
                key.enable() if on else key.disable()

    def flip(self, i: int) -> None:
        key = self.keys[i % len(self.keys)]
        key.disable() if key.enabled else key.enable()

    def sites(self) -> int:
        return sum(len(key.entries) for key in self.keys)


def _run(coroutine):
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    return None


def loads_of_keys(code: CodeType) -> int:
    """How often it loads a key in order to test it, in what is defined in it too."""
    here = sum(instruction.argval in NAMES_OF_KEYS for instruction in dis.get_instructions(code) if _loads(instruction))
    return here + sum(loads_of_keys(constant) for constant in code.co_consts if isinstance(constant, CodeType))


def _loads(instruction) -> bool:
    return instruction.opname in ("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_ATTR", "LOAD_METHOD")


class Loader(importlib.machinery.SourceFileLoader):
    """Loads a module with neutral plants, its functions decorated or not."""

    def __init__(self, name: str, path: str, plants: Plants, decorate, seed: object, how: dict[str, bool]) -> None:
        super().__init__(name, path)
        self.plants, self.decorate, self.seed, self.how = plants, decorate, seed, how

    def get_code(self, fullname):
        source, seed = self.get_data(self.path).decode(), f"{self.seed} {fullname}"
        return planted_code(source, self.path, seed, neutral=True, **self.how)

    def exec_module(self, module):
        vars(module).update(self.plants.namespace, _planted_decorate=self.decorate)
        super().exec_module(module)


class Finder:
    """For sys.meta_path: the modules of these names are planted ones, ``how`` is for planted_code()."""

    def __init__(self, names, plants: Plants, decorate=static_branches, seed: object = 0, **how: bool) -> None:
        self.names, self.plants, self.decorate, self.seed, self.how = set(names), plants, decorate, seed, how
        self.loaded: list[str] = []

    def find_spec(self, name, path=None, target=None):
        if name not in self.names:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return None
        self.loaded.append(name)
        spec.loader = Loader(name, spec.origin, self.plants, self.decorate, self.seed, self.how)
        return spec


def undecorated(function):
    return function


def source_of(name: str) -> tuple[str, str]:
    """The source of a module of the standard library, and its file. Raises ImportError."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin or not spec.has_location:
        spec = importlib.machinery.PathFinder.find_spec(name, None)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise ImportError(f"no source of {name}")
    return importlib.machinery.SourceFileLoader(name, spec.origin).get_source(name), spec.origin


def loaded(name: str, code: CodeType, plants: Plants, decorate, blocked=(), instead=None) -> types.ModuleType:
    """A module of that name, beside the one that there is.

    blocked  modules that it fails to import, as accelerators that would replace its functions
    instead  what it finds instead of some built-in functions
    """

    def import_(imported, *args, **kwargs):
        if imported in blocked:
            raise ImportError(f"{imported} is blocked")
        return builtins.__import__(imported, *args, **kwargs)

    module = types.ModuleType(name)
    is_package = hasattr(sys.modules.get(name), "__path__")
    module.__package__ = name if is_package else name.rpartition(".")[0]
    module.__file__ = code.co_filename
    if is_package:
        module.__path__ = sys.modules[name].__path__
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": import_, **(instead or {})}
    vars(module).update(plants.namespace, _planted_decorate=decorate)
    exec(code, vars(module))
    return module
