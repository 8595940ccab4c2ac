"""Random sequences of everything that one can do with keys and sites, against a model in pure Python.

The model knows of each key its users, its overrides and whether it lingers, and of open batches their steps; it
predicts what every call returns, which toggles are refused, and what ``info()``, ``jump_table()`` and ``key.entries``
say. Sites in bytecode are compared with the same function, undecorated, whose keys are the model's.

    python -m pytest tests/keys/test_state_machine.py --hypothesis-profile=deep

makes many more sequences, new ones each time.
"""

import contextlib
import copy
import gc
import itertools
import os
import pickle
import threading
import time
import types
import weakref

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from interrupting import interrupted
from site_checks import fork_quietly, in_thread

import jumplabel
from jumplabel import StaticKey, StaticKeyError, batch, static_branches, static_gate, static_switch
from jumplabel._keys import lingering

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
    """What a key is in an undecorated function: its model's state."""

    def __init__(self, model):
        self.model = model

    def __bool__(self):
        return self.model.enabled


def plainly(value):
    """With the models' names in the place of flags and keys."""
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
    """The code objects of what is decorated, and those in it."""
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
        """Whether the step is possible, in a transaction that found the key in that state."""
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
    """Something decorated. keys: those it depends on; addresses: of its sites."""

    def __init__(self, kind, made, keys, call, addresses=()):
        self.kind, self.made, self.keys, self.call, self.addresses = kind, made, keys, call, set(addresses)


def apply(steps):
    """All or nothing; the keys whose state changes, or None."""
    touched = {key: (key.state, key.enabled) for key, _ in steps}
    for key, step in steps:
        if not key.take(step, touched[key][0]):
            for each, (state, _) in touched.items():
                each.count, each.lingers = state
            return None
    return [key for key, (_, enabled) in touched.items() if key.enabled != enabled]


STEPS = st.sampled_from(["enable", "disable", "inc", "dec", "flush"])
INDEX = st.integers(0, 1000)


class Machine(RuleBasedStateMachine):
    number = itertools.count()

    def __init__(self):
        super().__init__()
        gc.collect()
        self.name = f"machine {next(Machine.number)}"
        self.keys, self.sites, self.running, self.batches = [], [], [], []
        self.made = 0
        self.factories = {}
        self.before = jumplabel.info()
        self.batches_done = self.sites_patched = 0

    def teardown(self):
        while self.batches:
            leave(self.batches.pop().manager, fails=True)
        for key in self.keys:
            while key.overrides:
                leave(key.overrides.pop()[0], fails=False)
        for each in (self.keys, self.sites, self.running):
            each.clear()

    def key(self, i):
        return self.keys[i % len(self.keys)]

    def native_sites(self, key):
        return sum(site.kind != "branches" and site.keys[0] is key for site in self.sites)

    def changed(self, keys):
        """The states of these keys have been changed, in one transaction."""
        native = sum(map(self.native_sites, keys))
        self.sites_patched += native
        self.batches_done += native > 0

    # ---- keys ----

    @rule(on=st.booleans(), deferred=st.sampled_from([0, 3600]))
    def make_key(self, on, deferred):
        self.made += 1
        name = f"{self.name}.{self.made % 4}"
        if any(key.name == name for key in self.keys):
            with pytest.raises(StaticKeyError, match=r"get it with jumplabel\.key"):
                StaticKey(name, default=on, deferred=deferred)
        else:
            self.keys.append(Key(StaticKey(name, default=on, deferred=deferred), name, on))

    @precondition(lambda self: self.keys)
    @rule(i=INDEX, how=st.integers(0, 3))
    def the_same_key(self, i, how):
        model = self.key(i)
        ways = [
            copy.copy,
            copy.deepcopy,
            lambda key: pickle.loads(pickle.dumps(key)),
            lambda key: jumplabel.key(key.name),
        ]
        assert ways[how](model.key) is model.key

    @precondition(lambda self: self.keys)
    @rule(i=INDEX)
    def drop_key(self, i):
        """With all its sites, unless a batch or an override holds it."""
        model = self.key(i)
        if model.overrides or any(key is model for each in self.batches for key, _ in each.steps):
            return
        self.running = [each for each in self.running if model not in each[2]]
        self.sites = [site for site in self.sites if model not in site.keys]
        self.keys.remove(model)
        reference, model.key = weakref.ref(model.key), None
        gc.collect()
        assert reference() is None
        with pytest.raises(StaticKeyError, match="there is no StaticKey"):
            jumplabel.key(model.name)

    # ---- toggles ----

    @precondition(lambda self: self.keys)
    @rule(i=INDEX, step=STEPS)
    def toggle(self, i, step):
        model = self.key(i)
        if self.batches:
            getattr(model.key, step)()
            self.batches[-1].steps.append((model, step))
        else:
            self.expect([(model, step)], getattr(model.key, step))

    @precondition(lambda self: self.keys)
    @rule(i=INDEX, step=STEPS)
    def toggle_in_another_thread(self, i, step):
        """Whatever batch is open here."""
        model = self.key(i)
        self.expect([(model, step)], lambda: in_thread(getattr(model.key, step)))

    def expect(self, steps, act):
        changed = apply(steps)
        if changed is None:
            with pytest.raises(StaticKeyError, match=r"other users|without an inc"):
                act()
        else:
            act()
            self.changed(changed)

    @precondition(lambda self: self.keys)
    @rule(i=INDEX, step=STEPS, n=st.integers(0, 8))
    def toggle_interrupted(self, i, step, n):
        """It has taken place, or it has not."""
        model = self.key(i)
        if self.batches or apply([(copy.copy(model), step)]) is None:
            return
        interrupted(n, getattr(model.key, step))
        if state_of(model.key) != model.state:
            self.changed(apply([(model, step)]))

    @rule()
    def time_passes(self):
        """Whatever lingers goes off, in one transaction."""
        models = [key for key in self.keys if key.lingers]
        before = [model.enabled for model in models]
        lingering._expire(time.monotonic_ns() + 7200 * 10**9)
        for model in models:
            model.lingers = False
        self.changed([model for model, enabled in zip(models, before, strict=True) if model.enabled != enabled])

    # ---- overrides ----

    @precondition(lambda self: self.keys)
    @rule(i=INDEX, on=st.booleans(), thread=st.booleans())
    def begin_override(self, i, on, thread):
        model = self.key(i)
        manager = model.key.override(on)
        if self.batches and not thread:
            with pytest.raises(StaticKeyError, match="put the batch inside it"):
                manager.__enter__()
            return
        before = model.enabled
        in_thread(manager.__enter__) if thread else manager.__enter__()
        model.overrides.insert(0, (manager, on))
        self.changed([model] * (model.enabled != before))

    @precondition(lambda self: any(key.overrides for key in self.keys))
    @rule(i=INDEX, which=INDEX, fails=st.booleans())
    def end_override(self, i, which, fails):
        """In any order."""
        models = [key for key in self.keys if key.overrides]
        model = models[i % len(models)]
        before = model.enabled
        manager, _ = model.overrides.pop(which % len(model.overrides))
        leave(manager, fails)
        self.changed([model] * (model.enabled != before))

    # ---- batches ----

    @precondition(lambda self: len(self.batches) < 3)
    @rule()
    def begin_batch(self):
        manager = batch()
        manager.__enter__()
        self.batches.append(Batch(manager))

    @precondition(lambda self: self.batches)
    @rule(fails=st.booleans())
    def end_batch(self, fails):
        ended = self.batches.pop()
        if fails:
            leave(ended.manager, fails)
        elif self.batches:
            leave(ended.manager, fails)
            self.batches[-1].steps += ended.steps
        else:
            self.expect(ended.steps, lambda: leave(ended.manager, fails))

    @precondition(lambda self: self.keys)
    @rule(steps=st.lists(st.tuples(INDEX, STEPS), max_size=6), n=st.none() | st.integers(0, 120))
    def whole_batch(self, steps, n):
        """In another thread, and interrupted there: all of it has taken place, or nothing."""
        steps = [(self.key(i), step) for i, step in steps]

        def act():
            with batch():
                for model, step in steps:
                    getattr(model.key, step)()

        if n is None:
            self.expect(steps, lambda: in_thread(act))
            return
        with contextlib.suppress(StaticKeyError):
            in_thread(lambda: interrupted(n, act))
        models = dict.fromkeys(model for model, _ in steps)
        before = {model: model.state for model in models}
        changed = apply(steps)
        if any(state_of(model.key) != model.state for model in models):
            for model, state in before.items():
                model.count, model.lingers = state
            changed = []
        elif all(model.state == state for model, state in before.items()):
            changed = []
        self.changed(changed or [])

    # ---- sites ----

    @precondition(lambda self: self.keys)
    @rule(i=INDEX, method=st.booleans(), default=st.sampled_from([None, 0, "off", ()]))
    def make_gate(self, i, method, default):
        model = self.key(i)
        made = static_gate(model.key, default=default)(lambda *args: args)
        bound = types.MethodType(made, self.made) if method else made
        args = (self.made, 1) if method else (1,)
        self.sites.append(
            Site("gate", made, [model], lambda: (bound(1), args if model.enabled else default), [made.__site__()])
        )

    @precondition(lambda self: self.keys)
    @rule(i=INDEX, over=INDEX)
    def make_switch(self, i, over):
        """At times over a gate."""
        model = self.key(i)
        gates = [site for site in self.sites if site.kind == "gate"]
        below = gates[over % len(gates)].made if gates and over % 2 else abs
        made = static_switch(model.key, to=lambda x: ("on", x))(below)

        def call():
            return made(1), ("on", 1) if model.enabled else below(1)

        keys = [model, *(gates[over % len(gates)].keys if below is not abs else ())]
        self.sites.append(Site("switch", made, keys, call, [made.__site__()]))

    @precondition(lambda self: self.keys)
    @rule(
        i=INDEX,
        j=INDEX,
        template=st.sampled_from(sorted(TEMPLATES)),
        closure=st.booleans(),
        n=st.none() | st.integers(0, 400),
    )
    def make_branches(self, i, j, template, closure, n):
        k, l = self.key(i), self.key(j)  # noqa: E741
        pairs = (k.key, l.key), (Flag(k), Flag(l))
        if closure:
            if template not in self.factories:
                body = TEMPLATES[template].replace("\n", "\n    ")
                space = {}
                exec(f"def factory(k, l):{body}\n    return {template}", space)
                self.factories[template] = space["factory"]
            made, plain = (self.factories[template](*pair) for pair in pairs)
        else:
            spaces = [dict(zip("kl", pair, strict=True)) for pair in pairs]
            for space in spaces:
                exec(TEMPLATES[template], space)
            made, plain = (space[template] for space in spaces)
        if n is not None:
            interrupted(n, lambda: static_branches(made))
        assert static_branches(made) is made
        ranges = [where(code) for code in codes_of(made)]
        entries = {*k.key.entries, *l.key.entries}
        addresses = {entry.address for entry in entries if any(entry.address in one for one in ranges)}
        assert addresses and all(entry.owner for entry in entries)
        site = Site("branches", made, [k, l], None, addresses)
        if template == "generator":
            site.call = lambda: (0, 0)
            self.running.append((made(), plain(), [k, l], site))
        else:
            site.call = lambda: (made(), plain())
        self.sites.append(site)

    @precondition(lambda self: self.running)
    @rule(i=INDEX, drop=st.booleans())
    def next_of_generator(self, i, drop):
        made, plain, keys, site = self.running[i % len(self.running)]
        assert plainly(next(made)) == plainly(next(plain))
        if drop:  # the function; the generator keeps its code
            self.sites = [each for each in self.sites if each is not site]
            self.running[i % len(self.running)] = (
                made,
                plain,
                keys,
                Site("branches", None, keys, None, site.addresses),
            )

    @precondition(lambda self: self.sites)
    @rule(i=INDEX)
    def drop_site(self, i):
        site = self.sites[i % len(self.sites)]
        if site.kind == "gate" and any(each.kind == "switch" for each in self.sites):
            return  # which may be over it
        del self.sites[i % len(self.sites)]
        del site
        gc.collect()  # functions know themselves, by their globals

    # ---- other threads, other processes ----

    @precondition(lambda self: self.keys)
    @rule(i=INDEX)
    def storm(self, i):
        """Others toggle while we call; what they leave is what they found."""
        model = self.key(i)

        def toggle():
            for _ in range(30):
                model.key.inc()
                model.key.dec()

        threads = [threading.Thread(target=toggle) for _ in range(2)]
        for thread in threads:
            thread.start()
        for site in self.sites:
            with contextlib.suppress(AssertionError):
                site.call()
        for thread in threads:
            thread.join()
        info = jumplabel.info()
        self.batches_done = info.batches - self.before.batches
        self.sites_patched = info.sites_patched - self.before.sites_patched
        model.lingers = not model.count and model.key.deferred > 0

    @rule(i=INDEX)
    def fork(self, i):
        if i % 4:
            return
        pid = fork_quietly()
        if not pid:
            status = 1
            with contextlib.suppress(BaseException):
                self.check_keys()
                self.check_calls()
                for model in self.keys:
                    in_thread(model.key.inc)
                    apply([(model, "inc")])
                self.check_keys()
                self.check_calls()
                status = 0
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    @rule()
    def collect(self):
        gc.collect()

    # ---- what is to be seen ----

    @invariant()
    def check_keys(self):
        all_sites = [*self.sites, *(each[3] for each in self.running)] if self.running else self.sites
        expected = set()
        for model in self.keys:
            assert (model.key.count, model.key.enabled, bool(model.key)) == (model.count, model.enabled, model.enabled)
            assert state_of(model.key) == model.state
            entries = model.key.entries
            assert {entry.state for entry in entries} <= {model.enabled}
            assert {entry.key for entry in entries} <= {model.name}
            addresses = {entry.address for entry in entries}
            assert addresses <= {address for site in all_sites if model in site.keys for address in site.addresses}
            expected |= set(entries)
        addresses = {address for site in all_sites for address in site.addresses}
        assert {entry.address for entry in expected} == addresses
        ours = {model.name for model in self.keys}
        table = [entry for entry in jumplabel.jump_table() if entry.key in ours]
        assert len(table) == len(expected) and set(table) == expected
        assert ours <= {key.name for key in jumplabel.keys()}

    @invariant()
    def check_calls(self):
        for site in self.sites:
            made, plain = site.call()
            assert plainly(made) == plainly(plain)

    @invariant()
    def check_info(self):
        info, before = jumplabel.info(), self.before
        native = sum(site.kind != "branches" for site in self.sites)
        assert info.keys - before.keys == len(self.keys)
        assert info.native_sites + info.plain_sites - before.native_sites - before.plain_sites == native
        assert info.int3_chained == before.int3_chained
        if info.native:
            assert info.batches - before.batches == self.batches_done
            assert info.sites_patched - before.sites_patched == self.sites_patched


def leave(manager, fails):
    if not fails:
        manager.__exit__(None, None, None)
        return
    error = ZeroDivisionError()
    assert not manager.__exit__(ZeroDivisionError, error, None)


TestMachine = Machine.TestCase
TestMachine.settings = settings()
