"""A module whose functions test a name in every form, in every place where a name may be."""

import itertools
import types

from places import run

import jumplabel

FORMS = """
@static_branches(strict=True)
def form_if():
    if {name}:
        return "on"
    return "off"

@static_branches(strict=True)
def form_not():
    if not {name}:
        return "off"
    return "on"

@static_branches(strict=True)
def form_elif():
    if not one:
        return "never"
    elif {name}:
        return "on"
    return "off"

@static_branches(strict=True)
def form_while():
    while {name}:
        return "on"
    return "off"

@static_branches(strict=True)
def form_expression():
    return "on" if {name} else "off"

@static_branches(strict=True)
def form_and():
    if one and {name} and one:
        return "on"
    return "off"

@static_branches(strict=True)
def form_or():
    if {name} or not one:
        return "on"
    return "off"

@static_branches(strict=True)
def form_hint():
    if likely({name}):
        return "on"
    if unlikely({name}):
        return "never"
    return "off"

@static_branches(strict=True)
def form_assert():
    try:
        assert {name}
    except AssertionError:
        return "off"
    return "on"

@static_branches(strict=True)
def form_comprehension():
    return ["on" for _ in range(1) if {name}][0:] and "on" or "off"

@static_branches(strict=True)
def form_inner():
    def inner():
        return (lambda: "on" if {name} else "off")()
    return inner()

made = static_branches(strict=True)(lambda: lambda: "on" if {name} else "off")()

def form_made_before():
    return made()

@static_branches(strict=True)
def form_generator():
    def steps():
        if {name}:
            yield "on"
        else:
            yield "off"
    return next(steps())

@static_branches(strict=True)
class Class:
    @property
    def state(self):
        return "on" if {name} else "off"

    @classmethod
    def all(cls):
        return "on" if {name} else "off"

def form_property():
    return Class().state

def form_classmethod():
    return Class.all()
"""

WHERE = {
    "a global": ("tracing = StaticKey(KEY)", "tracing", None, "tracing"),
    "of a module": ("flags.tracing = StaticKey(KEY)", "flags.tracing", "flags", "tracing"),
    "of a class": ("class Flags: tracing = StaticKey(KEY)", "Flags.tracing", "Flags", "tracing"),
    "inherited": (
        "class Base: tracing = StaticKey(KEY)\nclass Flags(Base): pass",
        "Flags.tracing",
        "Base",
        "tracing",
    ),
    "the holder": ("class Flags: tracing = StaticKey(KEY)", "Flags.tracing", None, "Flags"),
    "of an array": (
        "flags = StaticKeyArray(KEY.removesuffix('.tracing'), ['tracing'])",
        "flags.tracing",
        None,
        "flags",
    ),
}


_numbers = itertools.count()


class Shop(types.ModuleType):
    """A module that is called so, with the functions of the forms."""

    def __init__(self, where):
        super().__init__("shop")
        setup, name, holder, self.attribute = WHERE[where]
        self.one, self.flags, self.KEY = [1], types.ModuleType("flags"), f"shop{next(_numbers)}.tracing"
        run(setup + FORMS.format(name=name), space=vars(self))
        self.holder = getattr(self, holder) if holder else self
        self.key = jumplabel.key(self.KEY)

    def states(self):
        return {form(): name for name, form in vars(self).items() if name.startswith("form_")}

    def all_are(self, state):
        states = self.states()
        assert states.keys() == {state}, states

    def other(self, truth):
        """What the holder's attribute is to stand for."""
        if self.attribute == "tracing":
            return truth
        return types.SimpleNamespace(tracing=truth)
