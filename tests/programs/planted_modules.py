"""Loads modules with planted tests of keys, their functions decorated or not; planting.py plants them."""

import ast
import builtins
import contextlib
import dis
import importlib.machinery
import importlib.util
import sys
import types
from random import Random
from types import CodeType

from plant_templates import NAMES_OF_KEYS
from planting import Planter

import jumplabel
from jumplabel import StaticKey, likely, static_branches, unlikely

# ---- loading ----


def planted_code(
    source: str, filename: str, seed: object, neutral: bool, one_line: bool = False, as_bools: bool = False
) -> CodeType:
    """Return the code of the source with plants.

    one_line  what is planted is on the line that it was planted beside, or on the next one
    """
    planter = Planter(seed, neutral, as_bools=as_bools)
    tree = planter.visit(ast.parse(source))
    if not one_line:
        return compile(ast.unparse(tree), filename, "exec", dont_inherit=True)
    _locate(tree, planter.random, 0 if as_bools else 0.05)  # a test on two lines may stay an ordinary one
    return compile(ast.fix_missing_locations(tree), filename, "exec", dont_inherit=True)


def _locate(tree: ast.AST, random: Random, next_line: float, line: int = 1) -> None:
    """Give nodes from templates, which have lines of their own, the line that they were planted at."""
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
    """Return how often the code, and what is defined in it, loads a key in order to test it."""
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
    """Return the source of a module of the standard library, and its file. Raises ImportError."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin or not spec.has_location:
        spec = importlib.machinery.PathFinder.find_spec(name, None)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise ImportError(f"no source of {name}")
    return importlib.machinery.SourceFileLoader(name, spec.origin).get_source(name), spec.origin


def loaded(name: str, code: CodeType, plants: Plants, decorate, blocked=(), instead=None) -> types.ModuleType:
    """Return a module of that name, beside the loaded one.

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
