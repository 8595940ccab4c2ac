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
import os
import pickle
import threading
import time
import types
import weakref

import pytest
from checked_machine import CheckedMachine
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from interrupting import interrupted
from machine_model import TEMPLATES, Batch, Flag, Key, Site, apply, codes_of, leave, plainly, state_of, where
from site_checks import fork_quietly, in_thread

import jumplabel
from jumplabel import StaticKey, StaticKeyError, batch, static_branches, static_gate, static_switch
from jumplabel._keys import lingering

STEPS = st.sampled_from(["enable", "disable", "inc", "dec", "flush"])
INDEX = st.integers(0, 1000)


class Machine(CheckedMachine):
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
        """Drop a key with all its sites, unless a batch or an override holds it."""
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
        """Batches that are open here do not count."""
        model = self.key(i)
        self.expect([(model, step)], lambda: in_thread(getattr(model.key, step)))

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
        """All lingering keys go off, in one transaction."""
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
        """Overrides end in any order."""
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
        """Interrupt a batch in another thread: all of it has taken place, or nothing."""
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
        """Some switches are over a gate."""
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


TestMachine = Machine.TestCase
TestMachine.settings = settings()
