"""Functions of the standard library, with tests of keys planted in them, do what they do undecorated.

Every module's planted source is loaded twice, undecorated and decorated. Every function is then called, in both, with
the same seeded arguments, with all keys off, all on, and flipped in the middle of calls; with and without a tracer.
Results, exceptions, the lines of tracebacks, arguments afterwards, marks passed on the way, traced lines, and all
of the code objects but the code itself must be the same.

A small part of this is in the test run; the rest by either of

    JUMPLABEL_DIFFERENTIAL=5000 python -m pytest tests/bytecode/test_same_meaning.py
    python tests/bytecode/test_same_meaning.py --functions 5000 --seed 1 [--modules textwrap difflib]

A difference is reported with the seed that leads to it again; ``--keep DIR`` writes the planted sources there.
"""

import argparse
import ast
import contextlib
import faulthandler
import gc
import importlib
import io
import os
import re
import sys
import traceback
import types
import warnings
from dataclasses import dataclass, field, fields
from pathlib import Path
from random import Random

import pytest
from planting import (
    CONDITIONS,
    EXPRESSIONS,
    LEAVES,
    LEAVES_LOOPS,
    NO_SITES,
    OTHER_VALUES,
    STATEMENTS,
    Planter,
    Plants,
    loaded,
    loads_of_keys,
    planted_code,
    source_of,
    undecorated,
)

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
AVOIDED = {
    *("main", "_main", "test", "_test", "open", "open_code", "system", "breakpoint", "_copyfile", "__del__"),
    *("__hash__", "NamedNodeMap", "AttributeList"),  # by address, which xml.dom.minidom compares by, too
}

MARKS, LINES, ITEMS = 200, 2500, 12  # as far as a call is followed
SEED = 1
UNDECORATED_PAIRS = 4
"""How many pairs of undecorated modules are compared before a difference counts."""
REPEATS_LINES = sys.version_info[:2] == (3, 12)
"""3.12 reports a line again where it jumps to within the line after a call; the call of a hint is one."""


# What is called besides: with arguments that make sense, as far as nobody guesses them.
TEXT = "'The quick brown fox: it jumps -- over a lazy-dog.  (And on.) ' * 3"
MAIL = "'From: A <a@b.example>\\nTo: =?utf-8?q?=C3=A9?= <c@d.example>, e@f.example\\nSubject: s\\n\\nbody\\n'"
RIGHT = {
    "_pydatetime": [
        "datetime(2024, 2, 29, 12).strftime('%A %d')",
        "date.fromisoformat('2024-02-29') - date(2023, 1, 1)",
    ],
    "_pydecimal": [
        *(
            "Decimal('1.25') / Decimal(3)",
            "Decimal('-7.5e3').sqrt()",
            "+Decimal('1e-9')",
            "format(Decimal('1234.5'), ',.2f')",
        ),
        *(
            "Decimal('2.5').quantize(Decimal(1))",
            "Decimal(2) ** Decimal('0.5')",
            "Decimal(100).ln()",
            "Decimal(7) // 2",
        ),
    ],
    "ast": [
        "literal_eval('[1, {2: (3, -4)}]')",
        "dump(parse('def f(a, *b): return a + b'))",
        "unparse(parse('x = y if z else w'))",
    ],
    "base64": [
        "b32decode(b32encode(b'some bytes'))",
        "b85decode(b85encode(b'some bytes'))",
        "a85encode(b'some', wrapcol=9)",
    ],
    "calendar": ["calendar(2024)", "TextCalendar(6).formatmonth(2024, 2)", "HTMLCalendar().formatyear(2023, 4)"],
    "collections": [
        "Counter('some words').most_common(3)",
        "namedtuple('Pair', 'a b')(1, 2)",
        "ChainMap({1: 2}, {3: 4})",
    ],
    "csv": ["Sniffer().sniff('a;b;c\\n1;2;3\\n4;5;6\\n')", "Sniffer().has_header('a,b\\n1,2\\n3,4\\n')"],
    "dataclasses": ["make_dataclass('D', ['x', ('y', int, 3)], order=True, frozen=True)(1)"],
    "difflib": [
        *("list(unified_diff('abcxe', 'abyde'))", "list(ndiff(['some line', 'b'], ['some lime', 'c']))"),
        "SequenceMatcher(None, 'a private word', 'private words').get_opcodes()",
    ],
    "email.feedparser": [f"(p := FeedParser(), p.feed({MAIL}), p.close().as_string())[-1]"],
    "enum": ["list(Enum('E', 'a b c'))", "IntFlag('F', 'a b c')(5)"],
    "fnmatch": ["translate('a*[b-d]?.[!x]')", "filter(['a.py', 'b.c'], '*.py')"],
    "fractions": [
        "Fraction('3/4') ** 2 + Fraction(1.25)",
        "Fraction(355, 113).limit_denominator(20)",
        "format(Fraction(1, 3), '')",
    ],
    "functools": [
        "reduce(lambda a, b: a * b, [1, 2, 3], 4)",
        "sorted('cab', key=cmp_to_key(lambda a, b: (a > b) - (a < b)))",
    ],
    "graphlib": [
        "list(TopologicalSorter({1: [2, 3], 2: [4], 3: [4]}).static_order())",
        "TopologicalSorter({1: [2], 2: [1]}).prepare()",
    ],
    "heapq": [
        "nsmallest(3, [5, 1, 4, 2])",
        "list(merge([1, 4], [2, 3], reverse=False))",
        "nlargest(2, 'some', key=ord)",
    ],
    "html": ["unescape('&lt;a&gt; &amp &#233; &notit; &unknown')", "escape('<\"')"],
    "html.parser": [
        "(p := HTMLParser(), p.feed('<!DOCTYPE x><p a=\"1\">t &amp; u<!-- c --></p><br/>'), p.close(), p.getpos())[-1]"
    ],
    "ipaddress": [
        "list(ip_network('10.0.0.0/29').subnets())",
        "ip_address('2001:db8::1').exploded",
        "ip_interface('1.2.3.4/20').network",
    ],
    "json": ["dumps({'a': [1, 2.5, None], 'b': {'c': True}}, indent=2)", 'loads(\'[1, {"a": [2.5, "x"]}]\')'],
    "json.decoder": ['JSONDecoder().decode(\'[1, {"a": [2.5, "x\\\\n"]}, null]\')', "JSONDecoder().decode('[1, }')"],
    "json.encoder": ["JSONEncoder(indent=1, sort_keys=True).encode({'b': [1, 2.5, 'x'], 'a': (None, True)})"],
    "pickle": ["_loads(_dumps({'a': [1, (2, 3.5), {4}], 'b': b'x'}, p))".replace("p)", f"{p})") for p in range(5)],
    "pprint": [f"pformat([{TEXT}, {{'a': list(range(30))}}, ('b', {{1, 2}})], width=30)"],
    "quopri": ["decodestring(encodestring('é = some text\\n'.encode(), quotetabs=True))"],
    "re._compiler": ["compile('(a|b)*c{2,3}?[x-z]\\\\b', 0).pattern", "compile('(?i:s)[^é]', 0).flags"],
    "re._parser": [
        "parse('(?P<n>a|b)*(?=c{2,3}?)[^x-z]\\\\d(?:u)+')",
        "parse('(a')",
        "parse_template('\\\\1x', __import__('re').compile('(a)'))",
    ],
    "shlex": [
        "split('a \"b c\" d\\'e\\' # f', comments=True)",
        "quote('a b')",
        "list(shlex('x=1; y && z', punctuation_chars=True))",
    ],
    "statistics": [
        "linear_regression([1, 2, 3], [2, 4, 7])",
        "quantiles([1, 2, 3, 4, 9], n=4)",
        "stdev([1.5, 2, 4])",
        "NormalDist(1, 2).inv_cdf(0.3)",
    ],
    "string": [
        "Formatter().format('{0!r:>9} {a[0]}', 'x', a=[1])",
        "Template('$a ${b} $$').substitute(a=1, b=2)",
        "capwords('a b')",
    ],
    "textwrap": [
        f"fill({TEXT}, 20)",
        f"wrap({TEXT}, 12, max_lines=3, break_on_hyphens=False)",
        "dedent('  a\\n    b\\n')",
        "indent('a\\nb', '> ')",
    ],
    "tokenize": ["list(generate_tokens(iter('def f(x):\\n  return x + 1\\n'.splitlines(True)).__next__))"],
    "tomllib._parser": ["loads('a = 1\\n[b]\\nc = [1, \"x\", 2024-01-01]\\nd.e = {f = true}\\n')", "loads('a = [1')"],
    "urllib.parse": [
        "urlsplit('http://u@h:80/p;q?a=b#f').geturl()",
        "urljoin('http://a/b/c', '../d')",
        "parse_qsl('a=b&c=%20d')",
        "quote('a b/é')",
    ],
    "xml.dom.minidom": ["parseString('<a b=\"1\"><c>t</c></a>').toprettyxml()"],
    "xml.etree.ElementTree": [
        "tostring(fromstring('<a b=\"1\"><c>t</c></a>'))",
        "fromstring('<a><c/><c x=\"1\"/></a>').findall('./c[@x]')",
    ],
}


class EndlessError(BaseException):
    """The call goes on for longer than anybody looks."""


# ---- calls ----


def plain():
    """A class that nobody has left anything on, whose instances are in the same place of every set."""
    return type("Plain", (), {"name": "plain", "value": 3, "__hash__": lambda self: 3})


def nothing(*args):
    return None


def everything(*args):
    return args


class Stream(io.StringIO):
    def __repr__(self):
        return f"Stream({self.getvalue()!r})"


TEXTS = [
    "",
    "a",
    "7",
    "-1.5e3",
    "some words, in a row\nand more",
    "a=1;b=2",
    "<p a='x'>t</p>",
    "%Y-%m-%d",
    '{"a": [1, 2]}',
]
TEXTS += [
    "2024-02-29",
    "10.0.0.1/24",
    "http://u@h:80/p;q?a=b#f",
    "[a]\nb = 1\n",
    "(a|b)*c",
    "=?utf-8?q?x=20y?=",
    "*.py",
]
TEXTS += [
    "a@b.example, 'C D' <c@d.example>",
    "def f(x): return x + 1\n",
    "text/plain; charset=utf-8",
    "--a=1",
    "é\u20ac",
]
VALUES = {
    "text": lambda random: random.choice(TEXTS),
    "bytes": lambda random: random.choice(TEXTS).encode(),
    "int": lambda random: random.choice([0, 1, 2, 3, 5, 8, 12, 31, 100, -1, -7]),
    "number": lambda random: random.choice([0.0, 0.5, 1.25, -3.5, 2, 10, True]),
    "list": lambda random: [value(random, random.choice(["int", "text"])) for _ in range(random.randrange(4))],
    "numbers": lambda random: sorted(random.randrange(9) for _ in range(random.randrange(6))),
    "pairs": lambda random: [(value(random, "text"), value(random, "int")) for _ in range(random.randrange(3))],
    "tuple": lambda random: tuple(VALUES["list"](random)),
    "dict": lambda random: dict(VALUES["pairs"](random)),
    "iterator": lambda random: iter(VALUES["list"](random)),
    "callable": lambda random: random.choice([str, len, repr, everything, nothing]),
    "class": lambda random: random.choice([int, str, plain(), list, ValueError]),
    "object": lambda random: plain()(),
    "stream": lambda random: Stream(value(random, "text")),
    "pattern": lambda random: re.compile("[a-c]+"),
    "tree": lambda random: ast.parse("x = [a for b in c if d]\n"),
    "none": lambda random: None,
}
KINDS = {
    "text": "s str string text source data line name key prefix url pattern pat format fmt word label title value msg",
    "int": "n i index width size pos year month day length count level base lo hi depth k places month1 exp",
    "number": "x y z number num r g h v mu sigma p a",
    "list": "seq iterable items lst args words lines argv iterables population data it",
    "numbers": "heap xs",
    "callable": "f func function fn callback method predicate user_function call fget",
    "class": "cls type typ klass tp exc_type",
    "stream": "fp file stream fin output out input write_file",
    "tree": "node tree",
    "dict": "mapping dict d kwargs context ns namespace memo",
}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names.split()}


def value(random, kind=None):
    return VALUES[kind or random.choice(list(VALUES))](random)


def arguments(random, function):
    """Positional ones, as many as it asks for, or some more or one less."""
    code = getattr(function, "__func__", function).__code__
    names = code.co_varnames[: code.co_argcount][int(isinstance(function, types.MethodType)) :]
    most = len(names) + 2 * bool(code.co_flags & 4)
    least = len(names) - len(function.__defaults__ or ())
    n = random.randint(least, most) if random.random() < 0.95 else max(least - 1, 0)
    names = [*names, "", ""][:n]
    kinds = [KIND_OF.get(name) if random.random() < 0.7 else None for name in names]
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    chosen = [name for name in keywords if name not in (function.__kwdefaults__ or {}) or random.random() < 0.3]
    return [value(random, kind) for kind in kinds], {name: value(random, KIND_OF.get(name)) for name in chosen}


def instance(random, cls):
    init = next((vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base)), None)
    for _ in range(3):
        try:
            if not isinstance(init, types.FunctionType):
                return cls(*VALUES["list"](random)) if random.random() < 0.5 else cls()
            args, kwargs = arguments(random, types.MethodType(init, cls))
            return cls(*args, **kwargs)
        except Exception:
            continue
    return cls.__new__(cls)


def call(module, path, random):
    """Of a function of the module, or of a method of an instance that is made for it."""
    if path[0] in RIGHT.get(module.__name__, ()):
        return eval(path[0], vars(module)), []
    holder = getattr(module, path[0])
    if len(path) == 1:
        function, given = holder, [None]
    else:
        given = [instance(random, holder)]
        function = getattr(given[0], path[1])
    unwrapped = function
    while hasattr(unwrapped, "__wrapped__"):
        unwrapped = unwrapped.__wrapped__
    if not isinstance(unwrapped, types.FunctionType | types.MethodType):
        return function, given  # a property
    args, kwargs = arguments(random, unwrapped)
    return function(*args, **kwargs), [*given, args, kwargs]


def targets(module):
    """Where the functions are that are called: (function,) or (class, method)."""
    for name, holder in list(vars(module).items()):
        if name.startswith("_planted") or name in AVOIDED or getattr(holder, "__module__", "") != module.__name__:
            continue
        if isinstance(holder, types.FunctionType) or hasattr(holder, "__wrapped__"):
            yield (name,)
        elif isinstance(holder, type):
            for attribute, member in list(vars(holder).items()):
                member = getattr(member, "__func__", member)
                if isinstance(member, types.FunctionType | property) and attribute not in AVOIDED:
                    yield (name, attribute)


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
    """The first items of an iterator or asynchronous iterator, and what a coroutine or generator returns."""
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
        """(path, call, what differs) of each call that does not do the same."""
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
        """True: they do the same; False: so they do, as far as one looks; otherwise what is different."""
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
    """(counts, differences) of a module; None where it cannot be loaded twice."""
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
    """Whatever planted functions say, wherever they are called from."""
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


# ---- the tests ----


@pytest.mark.parametrize("hinted", [False, True])
@pytest.mark.parametrize("template", [*STATEMENTS, *LEAVES, *LEAVES_LOOPS, *EXPRESSIONS, *CONDITIONS, *OTHER_VALUES])
def test_what_is_planted_becomes_sites(request, template, hinted):
    plants = Plants(request.node.nodeid)
    body = template.replace("{e}", "x").replace("{test}", "_planted_likely(_planted_a)" if hinted else "_planted_a")
    body = re.sub("{mark}", "_planted_mark(1)", body).replace("{{", "{").replace("}}", "}")
    body = f"if x and ({body}): pass" if template in CONDITIONS else f"return {body}" if "{e}" in template else body
    source = "def f(x):\n    for _ in x:\n" + "".join(f"        {line}\n" for line in body.splitlines())
    namespace = dict(plants.namespace)
    exec(source, namespace)
    n_tests = loads_of_keys(namespace["f"].__code__)
    static_branches(namespace["f"])
    assert plants.sites() == (0 if template in NO_SITES else n_tests)
    assert n_tests > 0 or "_planted_local" in template


def sample(functions, seed, names=None):
    """Compares modules in a seeded order until that many functions were: (name, seed, counts, differences) of each."""
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


def test_planted_functions_do_what_they_do_undecorated():
    total, found = Counts(), []
    for name, seed, counts, differences in sample(int(os.environ.get("JUMPLABEL_DIFFERENTIAL", "300")), SEED):
        total += counts
        found += [(name, seed, *difference) for difference in differences]
    assert not found, f"{len(found)} differences, the first: {found[:5]}"
    assert total.sites > 0.75 * total.tests > 0
    assert total.failed < 0.8 * total.calls and total.marked > 0.2 * total.calls
    assert total.noise < 0.03 * total.calls


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
