"""Functions of the standard library, with tests of keys planted in them, do what they do undecorated.

Every module's planted source is loaded twice, undecorated and decorated. Every function is then called, in both, with
the same seeded arguments, with all keys off, all on, and flipped in the middle of calls; with and without a tracer.
Results, exceptions, the lines of tracebacks, arguments afterwards, marks passed on the way, traced lines, and all
of the code objects but the code itself must be the same.

A small part of this is in the test run; the rest by either of

    JUMPLABEL_DIFFERENTIAL=5000 python -m pytest tests/bytecode/test_same_meaning.py
    python tests/programs/same_meaning.py --functions 5000 --seed 1 [--modules textwrap difflib]

A difference is reported with the seed that leads to it again; ``--keep DIR`` writes the planted sources there.
"""

import argparse
import ast
import contextlib
import faulthandler
import gc
import importlib
import io
import re
import sys
import traceback
import types
import warnings
from dataclasses import dataclass, field, fields
from pathlib import Path
from random import Random

from made_up_calls import RIGHT, call, targets
from planted_modules import Plants, loaded, loads_of_keys, planted_code, source_of, undecorated
from planting import Planter

from jumplabel import StaticKey, static_branches

MODULES = """
_collections_abc _markupbase _py_abc _pydatetime _pydecimal _strptime _weakrefset abc argparse ast base64 bisect
calendar codecs codeop collections colorsys configparser contextlib copy copyreg csv dataclasses datetime difflib dis
email._encoded_words email._header_value_parser email._parseaddr email._policybase email.base64mime email.charset
email.contentmanager email.encoders email.errors email.feedparser email.generator email.header email.headerregistry
email.iterators email.message email.parser email.policy email.quoprimime email.utils encodings.idna encodings.punycode
enum fnmatch fractions functools genericpath getopt graphlib heapq html html.parser http.cookies ipaddress json
json.decoder json.encoder json.scanner mimetypes ntpath numbers operator optparse pickle pickletools plistlib posixpath
pprint quopri re re._compiler re._parser reprlib shlex statistics string stringprep symtable textwrap token
tokenize tomllib._parser tomllib._re traceback types typing unittest.util urllib.parse weakref wsgiref.headers
xml.dom.minidom xml.etree.ElementPath xml.etree.ElementTree xml.sax.saxutils
""".split()
ACCELERATORS = {
    *("_bisect", "_collections", "_datetime", "_decimal", "_elementtree", "_functools", "_heapq", "_json", "_operator"),
    *("_pickle", "_statistics"),
}

MARKS, LINES, ITEMS = 200, 2500, 12  # as far as a call is followed
SEED = 1
UNDECORATED_PAIRS = 4
"""How many pairs of undecorated modules are compared before a difference counts."""
REPEATS_LINES = sys.version_info[:2] == (3, 12)
"""3.12 reports a line again where it jumps to within the line after a call; the call of a hint is one."""


class EndlessError(BaseException):
    """The call goes on for longer than is looked at."""


# ---- what is to be seen of a call ----


@dataclass
class Seen:
    result: list = field(default_factory=list)
    marks: list = field(default_factory=list)
    lines: list = field(default_factory=list)
    states: list = field(default_factory=list)
    """Of the keys, after the call."""


def described(thing):
    try:
        text = repr(thing)
    except Exception as error:
        text = f"repr: {type(error).__name__} {error}"
    return f"{type(thing).__qualname__} {re.sub('0x[0-9a-f]+', '0x', text[:1000])}"


def failure(error, filename):
    frames = [(line, frame.f_code.co_name) for frame, line in traceback.walk_tb(error.__traceback__)]
    names = {frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)}
    return [type(error).__qualname__, described(error), frames[2:] if filename in names else None]


def see(module, path, plants, seed, state, traced):
    """Call it, use what it returns, and write down all of it."""
    seen = Seen()
    filename = module.__file__
    chance = Random(seed)

    def flip(share):
        if state == "flips" and chance.random() < share:
            plants.flip(chance.randrange(len(plants.keys)))

    def mark(marked):
        seen.marks.append(described(marked))
        if len(seen.marks) > MARKS:
            raise EndlessError
        flip(0.2)
        return len(seen.marks) % 3

    def tracer(frame, event, _):
        if frame.f_code.co_filename != filename:
            return None
        line = event, frame.f_code.co_qualname, frame.f_lineno
        if REPEATS_LINES and seen.lines[-1:] == [line]:
            return tracer
        seen.lines.append(line)
        if len(seen.lines) > LINES:
            raise EndlessError
        flip(0.1)
        return tracer

    plants.set_all(state == "on")
    plants.hook = mark
    before = sys.gettrace()
    try:
        if traced:
            sys.settrace(tracer)
        made, given = call(module, path, Random(seed))
        seen.result.append(described(made))
        for item in items(made):
            seen.result.append(described(item))
            flip(0.5)
        seen.result.append([described(one) for one in given])
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        seen.result += failure(error, filename)
    finally:
        sys.settrace(before)
        plants.hook = None
    seen.states = [key.enabled for key in plants.keys]
    return seen


def items(made):
    """Yields the first items of an iterator or asynchronous iterator, and what a coroutine or generator returns."""
    if hasattr(made, "__next__"):
        step = made.__next__
    elif isinstance(made, types.CoroutineType):
        step = lambda: made.send(None)  # noqa: E731
    elif isinstance(made, types.AsyncGeneratorType):
        step = lambda: run(made.__anext__())  # noqa: E731
    else:
        return
    for _ in range(ITEMS):
        try:
            yield step()
        except (StopIteration, StopAsyncIteration) as stop:
            yield "end", getattr(stop, "value", None)
            return
    if hasattr(made, "close"):
        made.close()


def run(awaitable):
    try:
        awaitable.send(None)
    except StopIteration as stop:
        return stop.value
    return "suspended"


# ---- comparing ----


@dataclass
class Counts:
    modules: int = 0
    functions: int = 0
    codes: int = 0
    tests: int = 0
    sites: int = 0
    calls: int = 0
    endless: int = 0
    failed: int = 0
    """Calls that ended with an exception, in both."""
    noise: int = 0
    """Calls that differ, of functions that also differ between undecorated modules: they ask for addresses."""
    marked: int = 0
    """Calls that passed a mark."""

    def __add__(self, other):
        return Counts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


class Pair:
    """A module with plants, undecorated and decorated."""

    made = 0

    def __init__(self, name, seed, decorate=static_branches):
        importlib.import_module(name)
        source, filename = source_of(name)
        Pair.made += 1
        self.name, self.seed, self.counts = name, f"{seed} {name}", Counts(modules=1)
        self.plants = Plants(f"planted {Pair.made} {self.seed}")
        one_line = Random(self.seed).random() < 0.4
        self.code = planted_code(source, f"{filename} (planted)", self.seed, neutral=False, one_line=one_line)
        options = {"blocked": ACCELERATORS, "instead": {"open": _no_file, "input": _no_file, "print": _no_print}}
        self.functions = []
        self.plain = loaded(name, self.code, self.plants, self.before, **options)
        self.decorated = loaded(name, self.code, self.plants, decorate, **options)
        self.counts.sites = self.plants.sites()

    def before(self, function):
        self.functions.append(function)
        self.counts.tests += loads_of_keys(function.__code__)
        return function

    def differences(self, most=None):
        """Yields (path, call, what differs) of each call that does not do the same."""
        paths = [path for path in dict.fromkeys(targets(self.plain)) if path in set(targets(self.decorated))]
        if most is not None and len(paths) > most:
            paths = Random(self.seed).sample(paths, most)
        self.counts.functions = len(paths)
        paths += [(expression,) for expression in RIGHT.get(self.name, ())]
        for path in paths:
            gc.collect()
            for repetition in range(3):
                seed = f"{self.seed} {path} {repetition}"
                for state in ("off", "on", "flips"):
                    ends = self.calls(path, seed, state, traced=True)
                    if isinstance(ends, str):
                        yield path, (repetition, state, "traced"), ends
                    for again in range(2 if ends is True else 0):
                        what = self.calls(path, seed, state, traced=False)
                        if isinstance(what, str):
                            yield path, (repetition, state, f"untraced {again}"), what

    def calls(self, path, seed, state, traced):
        """Return True where both do the same, False where they do as far as they are followed, or what is different."""
        self.counts.calls += 1
        plain = see(self.plain, path, self.plants, seed, state, traced)
        decorated = see(self.decorated, path, self.plants, seed, state, traced)
        for one in fields(Seen):
            left, right = getattr(plain, one.name), getattr(decorated, one.name)
            if left != right:
                return f"{one.name}: {_first_difference(left, right)}"
        self.counts.failed += any("Error" in str(part) for part in plain.result[:1])
        self.counts.marked += bool(plain.marks)
        endless = "EndlessError" in plain.result or len(plain.lines) > LINES
        self.counts.endless += endless
        return not endless


def _first_difference(left, right):
    for i, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return f"at {i}: {left[max(i - 3, 0) : i]}, then {one!r}, decorated {other!r}"
    return f"{left[len(right) :]!r} or decorated {right[len(left) :]!r} at the end"


def _no_file(*args, **kwargs):
    raise OSError("no files here")


def _no_print(*args, **kwargs):
    pass


def compared(name, seed, most=None):
    """Return (counts, differences) of a module, or None where it cannot be loaded twice."""
    with _quiet():
        try:
            pair = Pair(name, seed, undecorated)
        except Exception:
            return None
        pair = Pair(name, seed)
        found = [*structural(pair), *pair.differences(most)]
        noise = set()
        for _ in range(UNDECORATED_PAIRS):  # what depends on addresses differs in some pairs only
            if any(path not in noise for path, *_ in found):
                noise.update(path for path, *_ in Pair(name, seed, undecorated).differences(most))
        pair.counts.noise = sum(path in noise for path, *_ in found)
        found = [difference for difference in found if difference[0] not in noise]
    return pair.counts, found


@contextlib.contextmanager
def _quiet():
    """Silence whatever planted functions print, warn of or raise in finalizers."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    gc.disable()  # it would run planted functions at any moment
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        gc.enable()
        gc.collect()
        sys.unraisablehook = hook


# ---- the code objects ----

SAME = """argcount posonlyargcount kwonlyargcount nlocals stacksize flags names varnames freevars cellvars filename name
qualname firstlineno linetable exceptiontable""".split()


def structural(pair):
    decorated = {}
    for function in _all_functions(pair.decorated):
        decorated.setdefault((function.__qualname__, function.__code__.co_firstlineno), function.__code__)
    for function in pair.functions:
        key = (function.__qualname__, getattr(function, "__code__", None) and function.__code__.co_firstlineno)
        if key in decorated:
            for what in code_differences(function.__code__, decorated[key], pair.counts):
                yield (function.__qualname__,), "code", what


def _all_functions(module):
    return [one for one in gc.get_objects() if type(one) is types.FunctionType and one.__globals__ is vars(module)]


def code_differences(plain, decorated, counts):
    counts.codes += 1
    for name in SAME:
        if getattr(plain, f"co_{name}") != getattr(decorated, f"co_{name}"):
            yield f"{plain.co_qualname}: co_{name}"
    if len(plain.co_code) != len(decorated.co_code):
        yield f"{plain.co_qualname}: the size of its code"
    n = len(plain.co_consts)
    if not all(isinstance(constant, StaticKey) for constant in decorated.co_consts[n:]):
        yield f"{plain.co_qualname}: its new constants"
    for one, other in zip(plain.co_consts, decorated.co_consts[:n], strict=True):
        if isinstance(one, types.CodeType):
            yield from code_differences(one, other, counts)
        elif one is not other and (type(one) is not type(other) or repr(one) != repr(other)):
            yield f"{plain.co_qualname}: the constant {one!r}"


def sample(functions, seed, names=None):
    """Compare modules in a seeded order until so many functions were. Yields (name, seed, counts, differences)."""
    n = 0
    for round_ in range(1000):
        round_seed = f"{seed}.{round_}"
        order = list(names or MODULES)
        Random(round_seed).shuffle(order)
        any_loaded = False
        for name in order:
            if n >= functions:
                return
            answer = compared(name, round_seed, min(functions - n, max(functions // 8, 25)))
            if answer is None:
                continue
            any_loaded = True
            n += answer[0].functions
            yield name, round_seed, *answer
        assert any_loaded, "no module could be loaded"


def main():
    parser = argparse.ArgumentParser(description="Compare planted functions, decorated and undecorated.")
    parser.add_argument("--functions", type=int, default=5000)
    parser.add_argument("--seed", default=SEED)
    parser.add_argument("--modules", nargs="*")
    parser.add_argument("--keep", type=Path, help="write the planted sources of modules with differences there")
    options = parser.parse_args()
    faulthandler.enable()
    total, n_found = Counts(), 0
    for name, seed, counts, differences in sample(options.functions, options.seed, options.modules):
        faulthandler.dump_traceback_later(300, exit=True)
        total += counts
        n_found += len(differences)
        for difference in differences[:10]:
            print("DIFFERENT", name, f"seed {seed!r}", *difference)
        if differences and options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            planter = Planter(f"{seed} {name}", neutral=False)
            tree = planter.visit(ast.parse(source_of(name)[0]))
            (options.keep / f"{name}-{seed}.py").write_text(ast.unparse(tree) + "\n")
        print(name, counts, f"{len(differences)} differences", flush=True)
    faulthandler.cancel_dump_traceback_later()
    print(total, f"{n_found} differences")
    return bool(n_found)


if __name__ == "__main__":
    sys.exit(main())
