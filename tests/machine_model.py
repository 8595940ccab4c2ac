"""What test_state_machine.py expects: a model of keys, batches and overrides; and functions with tests of two keys."""

import types

from jumplabel import StaticKey

# ---- functions ----


SOURCES = """
def if_():
    if k: return "k"
    elif l: return "l"
    else: return 0
#
def values():
    return k and 1, l or 2, 3 if k and l else 4, not k
#
def while_():
    n = 0
    while k and n < 3:
        n += 1
        if not l: break
    return n
#
def comprehensions():
    return [i for i in range(3) if k or i], {i: l and i for i in "ab" if not k}
#
def assertion():
    try:
        assert k, "off"
    except AssertionError as error: return str(error)
    return l or 0
#
def nested():
    def one(n):
        return (lambda: n if k else -n)() if l else two(n)
    def two(n):
        return k or n
    return one(7)
#
class class_:
    def __new__(cls): return cls.one(), cls.two(), cls.inner.three(object())
    @classmethod
    def one(cls): return 1 if k else 2
    @staticmethod
    def two(): return k or l
    class inner:
        def three(self): return [l for _ in "ab" if k]
#
def generator():
    while True:
        if k: yield "k"
        yield l and 1
        yield 0 if k else 2
#
def try_():
    for i in range(2):
        try:
            if k: raise ValueError
            if l: continue
            return i
        except ValueError:
            if l: return "both"
        finally:
            if k and l: i = 7
    return "end", i
#
def long():
    n = 0
    if k:
        n += 1; LONG
    while l:
        n += 5
        if n > 9: break
        LONG
    return n
""".replace("LONG", "n -= 1; n += 1; " * 60)
TEMPLATES = {source.split()[1].rstrip("():"): source for source in SOURCES.split("#")}
"""k and l are keys; what a call returns is to be seen at once, or step by step."""


class Flag:
    """Stands for a key in an undecorated function: its truth is the model's state."""

    def __init__(self, model):
        self.model = model

    def __bool__(self):
        return self.model.enabled


def plainly(value):
    """Return the value with names in the place of flags and keys."""
    if isinstance(value, Flag):
        return value.model.name
    if isinstance(value, StaticKey):
        return value.name
    if isinstance(value, list | tuple):
        return type(value)(map(plainly, value))
    if isinstance(value, dict):
        return {name: plainly(one) for name, one in value.items()}
    return value


def codes_of(thing):
    """Return the code objects of what is decorated, and those in them."""
    if isinstance(thing, type):
        return [code for one in vars(thing).values() for code in codes_of(getattr(one, "__func__", one))]
    if isinstance(thing, types.FunctionType):
        return codes_of(thing.__code__)
    if isinstance(thing, types.CodeType):
        return [thing, *(code for one in thing.co_consts for code in codes_of(one))]
    return []


def where(code):
    first = id(code) + type(code).__basicsize__
    return range(first, first + len(code.co_code))


# ---- the model ----


class Key:
    def __init__(self, key, name, on):
        self.key, self.name = key, name
        self.count, self.lingers = int(on), False
        self.overrides = []  # (manager, enabled), newest first

    @property
    def enabled(self):
        return self.overrides[0][1] if self.overrides else self.count > 0 or self.lingers

    @property
    def state(self):
        return self.count, self.lingers

    def take(self, step, was):
        """Take a step in a transaction that found the key in state `was`. Return whether it is possible."""
        if (step == "disable" and self.count > 1) or (step == "dec" and not self.count):
            return False
        if step == "flush":
            self.lingers = False
        else:
            counts = {"enable": self.count or 1, "inc": self.count + 1, "dec": self.count - 1, "disable": 0}
            self.count = counts[step]
            self.lingers = step == "dec" and not self.count and any(was) and self.key.deferred > 0
        return True


def state_of(key):
    return key.count, key._key.until > 0


class Batch:
    def __init__(self, manager):
        self.manager = manager
        self.steps = []


class Site:
    """Something decorated, the keys that it depends on, and the addresses of its sites."""

    def __init__(self, kind, made, keys, call, addresses=()):
        self.kind, self.made, self.keys, self.call, self.addresses = kind, made, keys, call, set(addresses)


def apply(steps):
    """Take all steps or none. Return the keys that change their state, or None if a step is impossible."""
    touched = {key: (key.state, key.enabled) for key, _ in steps}
    for key, step in steps:
        if not key.take(step, touched[key][0]):
            for each, (state, _) in touched.items():
                each.count, each.lingers = state
            return None
    return [key for key, (_, enabled) in touched.items() if key.enabled != enabled]


def leave(manager, fails):
    if not fails:
        manager.__exit__(None, None, None)
        return
    error = ZeroDivisionError()
    assert not manager.__exit__(ZeroDivisionError, error, None)
