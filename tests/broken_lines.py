"""Sources of statements over several lines, made at random, to compare what tracers see of them."""

import io
import random
import tokenize

STATEMENTS = [
    "logger.debug('a %s %s', x, (x, f(x)))",
    "logger.info(('b') , *[x], exc_info=(None))",
    "log.warning('c %s', (x + 1))",
    "log.log(15, 'd %s', [f(x), x])",
    "logger.error('e %s', {i: (i, x) for i in range(2) if (i or x)})",
    "assert (x is not None), ('none' + str(x))",
    "assert (x), 'zero'",
    "assert (x > 1), f'{(x)} is small'",
    "assert (x != 2 and (f(x) or x)), ('two', x)",
    "assert (x < 5 if (x) else (not x)), ('five')",
    "assert all(i < 3 for i in (x, x)), ('many')",
    "assert [i for i in (1, x) if (i)] != [(x)]",
    "assert not (x in {3, 4} or f(x) == (7))",
    "assert (lambda y: y + 1)(x), ('lambda')",
    "assert (await_(x)), ('awaited')",
    "x = f(x) if (x > 2) else (x + 1)",
    "seen.append((x, f(x)))",
]

GUARDED = "if (logger.isEnabledFor(10) and (x or f(x))):"

BLOCKS = [
    "for i in (range(2)):",
    "while f(x) < (3 + x) and (seen.append(0) or len(seen) % 3):",
    "if (x > 1):",
    "if (x or (f(x))):",
    "with (nothing()):",
    "try:",
    GUARDED,
]

CLOSURES = [
    "def inner(y=(f(x)), *, z: (int)=(x and f(x))):",
    "def inner(y=(lambda: (f(x)))(), z=[i for i in (x, 1) if i]):",
    "@same\n@(same)\ndef inner(y=(f(x)) or (x), z=f(y=(x))):",
    "def inner(y=0, z=(1)):",
]


class Sources:
    """Yields one function after another, each made of statements and blocks of them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def source(self, functions: int) -> str:
        head = [
            "import contextlib, logging",
            "logger = logging.getLogger('broken.lines')",
            "nothing = contextlib.nullcontext",
            "await_ = same = lambda x: x",
            "def f(x=1, y=0): return x + y - 1",
        ]
        parts = head + [self.function(f"function_{n}") for n in range(functions)]
        return "\n".join(parts) + "\n"

    def function(self, name: str) -> str:
        lines = ["log = logger", "seen = []", *self.body(2), "return seen, x"]
        return f"def {name}(x):\n{indented(lines)}"

    def body(self, depth: int) -> list[str]:
        """Return lines, of several statements each."""
        return [line for _ in range(self.chance.randint(1, 4)) for line in self.one(depth).split("\n")]

    def one(self, depth: int) -> str:
        if not depth or self.chance.random() < 0.6:
            return self.broken(self.chance.choice(STATEMENTS))
        if self.chance.random() < 0.25:
            return self.closure(depth)
        block = self.broken(self.chance.choice(BLOCKS))
        made = f"{block}\n{indented(self.body(depth - 1))}"
        if block == "try:":
            made += f"\nfinally:\n{indented(self.body(0))}"
        elif block.startswith("if") and self.chance.random() < 0.5:
            made += f"\nelse:\n{indented(self.body(depth - 1))}"
        return made

    def closure(self, depth: int) -> str:
        """Return a closure that uses the variable `log` of the function around it in each case."""
        *decorators, define = self.chance.choice(CLOSURES).split("\n")
        body = ["x = (y)", "seen = []", self.broken("log.debug('inner %s', (z))"), *self.body(depth - 1), "return x"]
        body = [line for one in body for line in one.split("\n")]
        define = self.broken(define)
        return "\n".join([*map(self.broken, decorators), define, indented(body), "seen.append(inner())"])

    def broken(self, statement: str) -> str:
        """Return the statement with line breaks at random places within its brackets."""
        often = self.chance.choice([0, 0.2, 0.7])
        depth, text, end = 0, "", (1, 0)
        for token in tokenize.generate_tokens(io.StringIO(statement).readline):
            if token.type in (tokenize.NEWLINE, tokenize.ENDMARKER, tokenize.NL):
                continue
            is_in_string = token.type in _PARTS_OF_STRINGS
            if depth and not is_in_string and not self._strings and self.chance.random() < often:
                text += "\n        "
            elif token.start > end:
                text += " "
            text, end = text + token.string, token.end
            depth += (token.string in ("(", "[", "{")) - (token.string in (")", "]", "}"))
            self._strings += token.type == _STRING_START
            self._strings -= token.type == _STRING_END
        return text

    _strings = 0


_STRING_START, _STRING_END = getattr(tokenize, "FSTRING_START", -1), getattr(tokenize, "FSTRING_END", -1)
_PARTS_OF_STRINGS = {_STRING_START, _STRING_END, getattr(tokenize, "FSTRING_MIDDLE", -1)} - {-1}


def indented(lines: list[str]) -> str:
    return "\n".join(f"    {line}" for line in "\n".join(lines).split("\n"))
