"""Functions made at random out of a grammar do the same with ``@static_branches`` as without.

Conditions, statements and their nesting are drawn: tests of keys in ifs, loops, try, with and match statements, in
comprehensions, generators and coroutines, in bodies longer than a site can jump over. The undecorated function is
called with the same keys in the same states, flipped at the same places. planting.py plants tests in code that people
wrote; here it is code that no programmer would write.

    python -m pytest tests/bytecode/test_random_functions.py --hypothesis-profile=deep

makes many more functions, new ones each time.
"""

import contextlib
import gc
import re
import sys
import traceback
import types
import warnings

from hypothesis import given, note, settings
from hypothesis import strategies as st
from planted_modules import loads_of_keys

from jumplabel import StaticKey, info, likely, static_branches, unlikely

FILE = "<random>"
MARKS = 150  # as far as a call is followed
ITEMS = 8
KEYS = ["key_a", "cell", "flags.key_c", "flags.inner.key_d", "likely(key_a)", "unlikely(cell)", "likely(flags.key_c)"]

# {e} is an expression, another one at each place; mark() returns 0, 1 or 2, and may flip a key
ATOMS = [*KEYS, *KEYS, "mark(1)", "x", "x > 1", "None", "'text'"]
EXPRESSIONS = [
    *("(not {e})", "({e})", "({e} and {e})", "({e} or {e})", "({e} and {e} or {e})", "(not ({e} or {e}))"),
    *("({e} == {e})", "({e} if {e} else {e})", "(w := {e})", "mark(({e}, {e}))", "len([{e}, *({e} or '')])"),
    *("[{e} for y in range(3) if {e}]", "{y: {e} for y in range(2) if {e} or y}", "{y for y in 'ab' if not {e}}"),
    *("list({e} for y in range(2) if y if {e} for z in 'ab')", "(lambda x: {e} if {e} else x)(2)", "str({e})"),
    *("(0 < ({e} and 1) < 2)", "any({e} for y in range(3))"),
]
SIMPLE = [
    *("mark({e})", "x = {e}", "x = {e}", "assert {e}, mark(3)", "raise ValueError({e})", "mark(4)", "pass", "x += 1"),
    *("taken({e})", "raise KeyError(5)", "del w", "mark(6); " * 60, "x = x; " * 90, "mark(x); " * 30),
]
# {b} is a block
COMPOUND = [
    *("if {e}: {b}", "if {e}: {b} else: {b}", "if {e}: {b} elif {e}: {b} else: {b}", "if {e}: {b} elif {e}: {b}"),
    *("while {e}: {loop}", "while {e}: {loop} else: {b}", "while not {e} and mark(7): {loop}", "while True: {loop}"),
    *("for x in range(3): {loop}", "for i in 'ab': {loop} else: {b}"),
    *("try: {b} except (ValueError, TypeError) as error: {b}", "try: {b} finally: {final}"),
    *(
        "try: {b} except Exception: {b} else: {b} finally: {final}",
        "try: {b} except KeyError: {b} except Exception: {b}",
    ),
    *("with swallow(TypeError), null({e}) as x: {b}", "with null({e}): {b}"),
    *("match {e}: {cases}", "def inner(x=1): {function}", "class Inner: {method}"),
]
ASYNC = [
    "async with null({e}) as x: {b}",
    "async for x in numbers(): {loop}",
    "x = [{e} async for y in numbers() if {e}]",
]
FLAVOURS = ["plain", "plain", "generator", "coroutine", "async generator"]


class Writer:
    """Fills in templates by what is drawn."""

    def __init__(self, draw):
        self.choose = lambda choices: draw(st.sampled_from(choices))
        self.number = lambda most: draw(st.integers(0, most))

    def expression(self, depth):
        if depth <= 0 or not self.number(2):
            return self.choose(ATOMS)
        return self.fill(self.choose(EXPRESSIONS), depth - 1)

    def fill(self, template, depth):
        return re.sub(r"\{e\}", lambda _: self.expression(depth), template)

    def function(self, flavour, depth):
        lines = ["x = 1", *self.block(flavour, depth, False)]
        if "generator" in flavour:
            lines.append("yield x")
        return lines if "generator" in flavour else [*lines, self.fill("return {e}", 2)]

    def block(self, flavour, depth, in_loop, leaves=True):
        """in_loop, leaves: whether it may leave a loop, and the function."""
        return [line for _ in range(1 + self.number(2)) for line in self.statement(flavour, depth, in_loop, leaves)]

    def statement(self, flavour, depth, in_loop, leaves):
        if depth <= 0 or not self.number(2):
            simple = [*SIMPLE, *(["break", "continue", "if {e}: continue", "if {e}: break"] * in_loop)]
            simple += ["return", "if {e}: return"] * leaves
            simple += ["mark((yield {e}))", "yield {e}"] * 2 * ("generator" in flavour)
            simple += ["return {e}"] * (leaves and flavour != "async generator")
            simple += ["mark(await pause({e}))"] * 2 * (flavour in ("coroutine", "async generator"))
            return [self.fill(self.choose(simple), 2)]
        choices = COMPOUND + ASYNC * 2 * (flavour in ("coroutine", "async generator"))
        lines = []
        for part in re.split(r"(?<=[^ ]) (?=else:|elif|except|finally)", self.fill(self.choose(choices), 2)):
            head, _, what = part.rpartition(": {")
            if not what.endswith("}") or not head:
                lines.append(part)
                continue
            lines.append(f"{head}:")
            lines += ["    " + line for line in self.body(what[:-1], flavour, depth - 1, in_loop, leaves)]
            lines += {"function": ["taken(inner())"], "method": ["taken(Inner().method())"]}.get(what[:-1], [])
        return lines

    def body(self, what, flavour, depth, in_loop, leaves):
        if what == "loop":
            return ["mark(8)", *self.block(flavour, depth, True, leaves)]
        if what == "final":
            return self.block(flavour, depth, False, False)
        if what == "cases":
            lines = []
            for pattern in ("0 | None", "[y, *_]", "_"):
                guard = self.fill(" if {e}", 2) if pattern != "_" or self.number(1) else ""
                lines += [f"case {pattern}{guard}:", *self.indented(self.block(flavour, depth, in_loop, leaves))]
            return lines
        if what == "function":
            return self.function(self.choose(["plain", "generator"]), depth)
        if what == "method":
            return [
                self.fill("y = {e}", 2).replace("w := ", ""),
                "def method(self):",
                *self.indented(self.function("plain", depth)),
            ]
        return self.block(flavour, depth, in_loop, leaves)

    def indented(self, lines):
        return ["    " + line for line in lines]


@st.composite
def sources(draw):
    writer = Writer(draw)
    flavour = writer.choose(FLAVOURS)
    head = "async def f():" if flavour in ("coroutine", "async generator") else "def f():"
    lines = [head, *writer.indented(writer.function(flavour, 3))]
    return "\n".join(["def factory(cell):", *writer.indented(lines), "    return f"])


# ---- what is to be seen of a call ----


class EndlessError(BaseException):
    pass


def described(value):
    """Describe a value without addresses and numbers of sites."""
    return f"{type(value).__qualname__} {re.sub('0x[0-9a-f]+|[0-9]+ sites?', '', repr(value)[:300])}"


class World:
    """The namespace of the functions, and its keys."""

    def __init__(self, keys):
        self.keys = keys
        a, self.cell, c, d = self.keys
        flags = types.ModuleType("flags")
        flags.key_c, flags.inner = c, type("inner", (), {"key_d": d})
        self.namespace = {"key_a": a, "flags": flags, "likely": likely, "unlikely": unlikely, "mark": self.mark}
        self.namespace |= {"taken": self.taken, "swallow": contextlib.suppress, "null": contextlib.nullcontext}
        self.namespace |= {"numbers": numbers, "pause": pause, "__name__": "random_functions"}
        self.marks, self.flips = [], []

    def made(self, code):
        space = dict(self.namespace)
        exec(code, space)
        return space["factory"](self.cell)

    def flip(self):
        which = self.flips[len(self.marks) % len(self.flips)]
        if which < len(self.keys):
            key = self.keys[which]
            key.disable() if key.enabled else key.enable()

    def mark(self, value):
        self.marks.append(described(value))
        if len(self.marks) > MARKS:
            raise EndlessError
        self.flip()
        return len(self.marks) % 3

    def taken(self, value):
        """All the items of an iterator are marked."""
        for item in value if isinstance(value, types.GeneratorType) else [value]:
            self.mark(item)

    def see(self, function, states, flips):
        """Marks, results, the exception with the lines it came along, and the states in which the keys are left."""
        for key, on in zip(self.keys, states, strict=True):
            key.enable() if on else key.disable()
        self.marks, self.flips = [], flips
        results = []
        try:
            made = function()
            results.append(described(made))
            for item in items(made):
                results.append(described(item))
                self.flip()
        except (Exception, EndlessError) as error:
            lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == FILE]
            results += [described(error), lines]
        return self.marks, results, [key.enabled for key in self.keys]


async def numbers():
    for i in range(3):
        await pause(i)
        yield i


@types.coroutine
def pause(value):
    yield value
    return value


def items(made):
    if isinstance(made, types.AsyncGeneratorType):
        made = drained(made)
    if not isinstance(made, types.GeneratorType | types.CoroutineType):
        return
    try:
        for i in range(ITEMS):
            try:
                yield made.send(i or None)
            except StopIteration as stop:
                yield "end", stop.value
                return
    finally:
        made.close()


async def drained(generator):
    async with contextlib.aclosing(generator):
        async for item in generator:
            await pause(item)


# ---- the test ----

STATES = st.lists(st.booleans(), min_size=4, max_size=4)
FLIPS = st.lists(st.integers(0, 9), min_size=1, max_size=12)  # 4 to 9: no flip


def test_random_functions_do_the_same_decorated(request, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # generators are dropped half-way
    tests = sites = marks = 0
    keys = [StaticKey(f"{request.node.nodeid}.{letter}") for letter in "abcd"]

    @settings(max_examples=3 * settings().max_examples)
    @given(sources(), st.lists(st.tuples(STATES, FLIPS), min_size=1, max_size=3))
    def check(source, calls):
        nonlocal tests, sites, marks
        note(source)
        gc.collect()
        world = World(keys)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            code = compile(source, FILE, "exec")
        plain, decorated = world.made(code), world.made(code)
        before = info().bytecode_sites
        static_branches(decorated)
        tests += loads_of_keys(plain.__code__)
        sites += info().bytecode_sites - before
        off_on = [([on] * 4, [9]) for on in (False, True, False)]
        for _ in range(2):  # the second time what the interpreter has specialized
            for states, flips in off_on + calls:
                expected = world.see(plain, states, flips)
                marks += len(expected[0])
                assert world.see(decorated, states, flips) == expected

    gc.disable()  # it would end forgotten generators, which pass marks, at any moment
    try:
        check()
    finally:
        gc.enable()
    assert sites > 0.3 * tests > 0 and marks > 0
    print(f"{tests} loads of keys, {sites} sites, {marks} marks")
