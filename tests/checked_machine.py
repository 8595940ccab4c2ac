"""The state of test_state_machine.py's machine, and what it checks after each step."""

import gc
import itertools

import pytest
from hypothesis.stateful import RuleBasedStateMachine, invariant
from machine_model import apply, leave, plainly, state_of

import jumplabel
from jumplabel import StaticKeyError


class CheckedMachine(RuleBasedStateMachine):
    number = itertools.count()

    def __init__(self):
        super().__init__()
        gc.collect()
        self.name = f"machine {next(CheckedMachine.number)}"
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
        """Count a transaction that has changed the states of these keys."""
        native = sum(map(self.native_sites, keys))
        self.sites_patched += native
        self.batches_done += native > 0

    def expect(self, steps, act):
        changed = apply(steps)
        if changed is None:
            with pytest.raises(StaticKeyError, match=r"other users|without an inc"):
                act()
        else:
            act()
            self.changed(changed)

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
