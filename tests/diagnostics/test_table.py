"""jump_table(), info(), the settings, and the state of the process that an import leaves alone."""

import ctypes
import functools
import os
import platform
import subprocess
import sys
import textwrap

import pytest

import jumplabel
from jumplabel import JumpEntry, SettingWarning, StaticKey, batch, static_gate, static_switch
from jumplabel._process.settings import configure

NOP = bytes.fromhex("2e0f1f440000")


def run(script, *options, **settings):
    """Run a script in a new process with these settings only, and return its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUMPLABEL_")}
    command = [sys.executable, "-P", *options, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, env=environment | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def site(entry):
    return ctypes.string_at(entry.address, 5)


def function(value):
    return value


LINE = function.__code__.co_firstlineno


class Class:
    def method(self):
        pass


# ---- entries ----


def test_an_entry_tells_all_about_its_site(key):
    gate = static_gate(key)(function)
    (entry,) = key.entries
    assert entry == JumpEntry(key.name, gate.__site__(), "gate", True, False, f"{__name__}.function:{LINE}")
    key.enable()
    (entry,) = key.entries
    assert entry == JumpEntry(key.name, gate.__site__(), "gate", True, True, f"{__name__}.function:{LINE}")
    with pytest.raises(AttributeError):
        entry.state = False


def test_an_entry_keeps_the_state_at_its_reading(key):
    gate = static_gate(key)(function)
    read = key.entries
    key.enable()
    del gate
    assert read[0].state is False and key.entries == ()


def test_an_entry_as_text():
    entry = JumpEntry("shop.tracing", 0x7F00_1234_5640, "gate", True, True, "shop.trace:12")
    assert str(entry) == "0x00007f0012345640  gate              on   shop.tracing  shop.trace:12"
    entry = JumpEntry("shop.tracing", 0x1000, "switch", False, False, "shop.parse:7")
    assert str(entry) == "0x0000000000001000  plain switch      off  shop.tracing  shop.parse:7"
    entry = JumpEntry("shop.tracing", 0x1000, "native_branch", True, False, "shop:7")
    assert str(entry) == "0x0000000000001000  native_branch     off  shop.tracing  shop:7"
    entry = JumpEntry("shop.tracing", 0x1000, "native_branch", False, False, "shop:7")
    assert str(entry) == "0x0000000000001000  plain branch      off  shop.tracing  shop:7"
    entry = JumpEntry("shop.sold", 0x1000, "tracepoint", False, False, "shop:9")
    assert str(entry) == "0x0000000000001000  plain tracepoint  off  shop.sold  shop:9"


@pytest.mark.parametrize(
    ("decorated", "owner"),
    [
        (function, f"{__name__}.function:{LINE}"),
        (Class.method, f"{__name__}.Class.method:{Class.method.__code__.co_firstlineno}"),
        (Class().method, f"{__name__}.Class.method:{Class.method.__code__.co_firstlineno}"),
        (functools.wraps(function)(lambda value: value), f"{__name__}.function:{LINE}"),
        (staticmethod(function), f"{__name__}.function:{LINE}"),
        (len, "builtins.len"),
        (functools.partial(function), "functools.partial"),
        (str.upper, "builtins.str.upper"),
    ],
)
def test_owners_are_named_like_code(key, decorated, owner):
    made = static_gate(key)(decorated)
    assert [entry.owner for entry in key.entries] == [owner]
    del made


def test_a_switch_is_named_after_what_it_decorates(key):
    switch = static_switch(key, to=len)(function)
    assert (key.entries[0].kind, key.entries[0].owner) == ("switch", f"{__name__}.function:{LINE}")
    assert switch(1) == 1


@pytest.mark.parametrize("name", ["Überschrift.функция", "lone surrogate \udc80", "nul \0 nul"])
def test_an_owner_may_have_any_name(key, name):
    def named():
        return "called"

    named.__qualname__ = name
    gate = static_gate(key)(named)
    key.enable()
    assert gate() == "called"
    first_word = name.split()[0]
    assert key.entries[0].owner.startswith(f"{__name__}.{first_word}") and first_word in repr(gate)


def test_sites_stand_apart_and_in_order(key):
    gates = [static_gate(key)(function) for _ in range(200)]
    addresses = [entry.address for entry in key.entries]
    assert addresses == sorted({gate.__site__() for gate in gates})
    assert all(address % 64 == 0 for address in addresses)


def test_a_toggle_rewrites_the_instruction(key):
    gates = [static_gate(key)(function), static_gate(key, default=object())(function)]
    gates += [static_switch(key, to=len)(function)]
    for enabled in (False, True, False, True):
        key.enable() if enabled else key.disable()
        assert [entry.state for entry in key.entries] == [enabled] * 3
        for gate in gates:
            code = ctypes.string_at(gate.__site__(), 64)
            assert code[:2] == b"\x2e\xe9" if enabled else code[:6] == NOP
            assert not enabled or 0 < int.from_bytes(code[2:6], "little", signed=True) < 64 - 6


def test_the_table_is_every_entry_of_every_key(key, request):
    other = StaticKey(request.node.nodeid + " other", default=True)
    gates = [static_gate(each)(function) for each in (key, other, key)]
    table = jumplabel.jump_table()
    assert table == sorted(table)
    assert tuple(entry for entry in table if entry.key == key.name) == key.entries and len(key.entries) == 2
    assert tuple(entry for entry in table if entry.key == other.name) == other.entries
    assert other.entries[0].state is True
    info = jumplabel.info()
    assert len(table) == info.native_sites + info.plain_sites + info.bytecode_sites
    gates.pop()
    assert len(key.entries) == 1 and len(jumplabel.jump_table()) == len(table) - 1


# ---- info ----


def test_info_tells_what_it_runs_on(key):
    gate = static_gate(key)(function)
    info = jumplabel.info()
    assert info.architecture == platform.machine()
    assert (info.native, info.sync_method in ("membarrier", "signal"), info.syncs_per_batch) == (True, True, 2)
    assert info.arena_bytes >= 64 * info.native_sites >= 64
    assert info.keys >= 1 and info.plain_sites == 0
    del gate
    assert jumplabel.info().native_sites == info.native_sites - 1


def test_counters_count_batches_sites_and_syncs(key, request):
    other = StaticKey(request.node.nodeid + " other")
    gates = [static_gate(key)(function) for _ in range(7)]
    before = jumplabel.info()

    def since():
        now = jumplabel.info()
        counts = now.batches, now.sites_patched, now.sync_calls
        return tuple(
            b - a for a, b in zip((before.batches, before.sites_patched, before.sync_calls), counts, strict=True)
        )

    key.enable()
    assert since() == (1, 7, 2)
    key.enable()
    key.inc()
    other.enable()  # without a site
    assert since() == (1, 7, 2)
    with batch():
        key.dec()
        key.dec()
        other.disable()
    assert since() == (2, 14, 4)
    gates.append(static_gate(key)(function))
    assert since() == (2, 14, 5)  # new code needs synchronization, too


def test_info_before_and_after_the_first_site():
    run("""
        import jumplabel
        from jumplabel import StaticKey, info, static_gate
        key = StaticKey("key")
        key.enable()
        at_first = info()
        assert (at_first.native, at_first.refusal, at_first.sync_method) == (None, None, None)
        assert (at_first.keys, at_first.native_sites, at_first.arena_bytes) == (1, 0, 0)
        assert at_first.batches == at_first.sync_calls == at_first.sites_patched == 0
        gate = static_gate(key)(len)
        then = info()
        assert (then.native, then.refusal, then.native_sites, then.plain_sites) == (True, None, 1, 0)
        assert then.sync_method in ("membarrier", "signal")
        assert then.arena_bytes > 0
    """)


def test_start_readies_the_process_before_the_first_site():
    run("""
        import jumplabel._diagnostics.process_info
        jumplabel._diagnostics.process_info.start()
        assert jumplabel.info().native is True and jumplabel.info().native_sites == 0
        assert jumplabel.info().arena_bytes > 0
    """)


# ---- settings ----


@pytest.mark.parametrize("name", ["JUMPLABEL_NATIVE", "JUMPLABEL_SYNC", "JUMPLABEL_SYNCS", "JUMPLABEL_POKE"])
@pytest.mark.parametrize("value", ["yes", "-1", "4", " 1", "MEMBARRIER", "none"])
def test_an_unknown_value_is_left_out_with_a_warning_that_lists_the_known(name, value):
    with pytest.warns(SettingWarning, match=rf"{name}='{value}' is left out: set it to one of .+, or not at all"):
        configure({name: value, "JUMPLABEL_SYNCS": "3"} if name != "JUMPLABEL_SYNCS" else {name: value})
    assert jumplabel.info().syncs_per_batch == (2 if name == "JUMPLABEL_SYNCS" else 3)  # the other settings are applied
    configure({})


USE = """
    import jumplabel
    from jumplabel import StaticKey, static_gate
    key = StaticKey("key")
    gate = static_gate(key)(lambda: "on")
    before = jumplabel.info()
    for state in ("on", None, "on", None):
        key.enable() if state else key.disable()
        assert gate() == state
    after = jumplabel.info()
    print(after.native, after.sync_method, after.syncs_per_batch, after.sync_calls - before.sync_calls, after.batches)
    print(after.word_batches, after.poke)
"""


@pytest.mark.parametrize(
    ("settings", "result"),
    [
        ({}, "True membarrier 2 8 4"),
        ({"JUMPLABEL_POKE": "int3"}, "True membarrier 2 8 4"),
        ({"JUMPLABEL_POKE": "word"}, "True membarrier 2 8 4 by words"),
        ({"JUMPLABEL_POKE": "word", "JUMPLABEL_SYNCS": "3"}, "True membarrier 3 8 4 by words"),
        ({"JUMPLABEL_NATIVE": "1", "JUMPLABEL_SYNC": "", "JUMPLABEL_SYNCS": ""}, "True membarrier 2 8 4"),
        ({"JUMPLABEL_SYNC": "membarrier", "JUMPLABEL_SYNCS": "2"}, "True membarrier 2 8 4"),
        ({"JUMPLABEL_SYNC": "signal"}, "True signal 2 8 4"),
        ({"JUMPLABEL_SYNCS": "3"}, "True membarrier 3 12 4"),
        ({"JUMPLABEL_SYNC": "signal", "JUMPLABEL_SYNCS": "3"}, "True signal 3 12 4"),
        ({"JUMPLABEL_NATIVE": "0"}, "False None 2 0 0"),
    ],
)
def test_settings_do_what_they_say(settings, result):
    facts, words = run(USE, **settings).splitlines()
    assert facts == result.removesuffix(" by words")
    assert words == f"{4 if result.endswith(' by words') else 0} {settings.get('JUMPLABEL_POKE', 'auto')}"


# ---- what an import leaves alone ----

PROCESS = """
    import re, threading
    from pathlib import Path

    def process():
        status = Path("/proc/self/status").read_text()
        signals = {name: re.search(f"{name}:\\t(.*)", status)[1] for name in ("SigCgt", "SigIgn", "SigBlk")}
        return signals, len(list(Path("/proc/self/task").iterdir())), ours(), threading.enumerate()

    def ours():
        return [line for line in Path("/proc/self/maps").read_text().splitlines() if "memfd:jumplabel" in line]

    def executable():
        lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
        return [line for line in lines if "x" in line[1] and not (line[5:] and line[5].startswith("/usr/"))]
"""


def test_importing_and_using_keys_changes_nothing_in_the_process():
    run(
        PROCESS
        + """
    before = process()
    import jumplabel
    assert process() == before and not ours()

    key, other = jumplabel.StaticKey("key"), jumplabel.StaticKey("other")
    key.inc()
    with key.override(False), jumplabel.batch():
        key.dec()
        other.enable()
    jumplabel.info(), jumplabel.jump_table(), jumplabel.keys(), repr(key)
    assert process() == before and not ours()

    anonymous = [line for line in executable() if len(line) == 5]
    gate = jumplabel.static_gate(key)(len)
    after = process()
    assert sorted(line.split()[1] for line in ours()) == ["r-xs", "rw-s"]
    assert [line for line in executable() if len(line) == 5] == anonymous
    assert int(before[0]["SigCgt"], 16) ^ int(after[0]["SigCgt"], 16) == 1 << 5 - 1  # SIGTRAP
    assert before[1] == after[1]
    """
    )


def test_no_mapping_is_ever_writable_and_executable():
    """A thread checks without pause while sites are made, patched, dropped and forked."""
    run(
        PROCESS
        + """
    import os
    from jumplabel import StaticKey, info, static_gate

    def work():
        try:
            while len(exits) < 5 or looks <= 10:
                gates = [static_gate(key)(len) for _ in range(2000)]
                key.enable()
                key.disable()
                if not os.fork():
                    key.enable()
                    os._exit(0)
                exits.append(os.wait()[1])
        finally:
            done.append(True)

    key, done, exits, looks = StaticKey("key"), [], [], 0
    thread = threading.Thread(target=work)
    thread.start()
    while not done:
        accesses = [line.split()[1] for line in Path("/proc/self/maps").read_text().splitlines()]
        assert not [access for access in accesses if "w" in access and "x" in access], accesses
        looks += 1
    thread.join()
    assert set(exits) == {0} and info().arena_bytes > 64 * 2000
    """,
        "-W",
        "ignore::DeprecationWarning",
    )


def test_importing_is_fast():
    """Importing takes less than 50 ms beyond the dependencies. (The dependency bytecode alone takes 15 ms.)"""

    def share():
        report = run("import cffi, bytecode, jumplabel", "-X", "importtime")
        times = {line.split("|")[2].strip(): int(line.split("|")[1]) for line in report.splitlines()[1:]}
        return times["jumplabel"] / times["bytecode"]

    assert min(share() for _ in range(5)) < 3
