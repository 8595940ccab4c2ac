"""Calls of a module's functions and methods, with arguments that are made up from a seed, or make sense."""

import ast
import io
import re
import types

AVOIDED = {
    *("main", "_main", "test", "_test", "open", "open_code", "system", "breakpoint", "_copyfile", "__del__"),
    *("__hash__", "NamedNodeMap", "AttributeList"),  # by address, which xml.dom.minidom compares by, too
}


# Calls besides, with arguments that make sense: the ones that are made up hardly ever do.
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


# ---- calls ----


def plain():
    """A new class. Its instances have the same place in every set."""
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
    """Return arguments: as many positional ones as it asks for, some more or one less, and some keywords."""
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
    """Call a function of the module, or a method of an instance that is made for it."""
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
    """Yields the paths of functions to call: (function,) or (class, method)."""
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
