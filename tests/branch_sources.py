"""Functions from source, with a test of a key, for tests of branches."""

import textwrap

PLACES = {
    "global": ("KEY = key", "KEY"),
    "closure": ("", "local"),
    "module": ("flags = ModuleType('flags'); flags.tracing = key", "flags.tracing"),
    "class": ("class flags: tracing = key", "flags.tracing"),
    "base class": ("class base: tracing = key\nclass flags(base): pass", "flags.tracing"),
    "array": ("flags = StaticKeyArray(key.name, ['tracing']); key = flags.tracing", "flags.tracing"),
    "array in a class": (
        "class flags: features = StaticKeyArray(key.name, ['search'])\nkey = flags.features.search",
        "flags.features.search",
    ),
    "module in a module": ("a = ModuleType('a'); a.b = ModuleType('b'); a.b.c = key", "a.b.c"),
}

HEAD = """
from contextlib import suppress
from types import ModuleType
import jumplabel
from jumplabel import StaticKeyArray, likely, unlikely
show = lambda *values: str(["key" if value is key else value for value in values])
{define}
def factory(local):
    def f(x):
        out = ''
        {test}
        return out or None
    return f
f, twin = factory(key), factory(key)
"""


def build(source, key):
    """Return the function f that the source defines, and its twin that stays undecorated."""
    space = {"key": key, "__name__": "built"}
    exec(source, space)
    return space["f"], space["twin"]


def build_test(test, define, key):
    return build(HEAD.format(define=define, test=textwrap.indent(test, "    ").lstrip()), key)


# ---- what stays as it is ----

HOLDER = """
holder = type('Holder', (), {})(); holder.key = key
call = type('Call', (type(key),), {'__call__': lambda self: key})('called ' + key.name)
"""
