"""Entries of bytecode sites: what owns them, how long they live, and that equal code is made once."""

import ctypes
import gc
import os
import subprocess
import sys
import textwrap
import tracemalloc
import types
import weakref

import pytest
from site_checks import make, nothing_made, off_on_off

import jumplabel
from jumplabel import DecorationError, StaticKey, static_branches, static_gate

# ---- the table ----


def test_an_entry_says_what_it_is(key):
    function = static_branches(make(key))
    (entry,) = key.entries
    code = function.__code__
    first = id(code) + type(code).__basicsize__
    assert (entry.key, entry.kind, entry.native, entry.what) == (key.name, "branch", False, "branch")
    assert first <= entry.address < first + len(code.co_code)
    assert entry.owner == f"{make.__module__}.make.<locals>.function:{code.co_firstlineno + 1}"
    assert str(entry).split()[1:3] == ["branch", "off"]
    assert entry in jumplabel.jump_table()
    for enabled in off_on_off(key):
        assert key.entries[0].state is enabled


def test_info_counts_bytecode_sites_and_native_ones_apart(key):
    before = jumplabel.info()
    function = static_branches(make(key))
    gate = static_gate(key)(lambda: None)
    after = jumplabel.info()
    assert after.bytecode_sites == before.bytecode_sites + 1
    assert after.native_sites + after.plain_sites == before.native_sites + before.plain_sites + 1
    key.enable()
    assert jumplabel.info().sites_patched == after.sites_patched + after.native_sites - before.native_sites
    del function, gate


def test_bytecode_sites_need_no_executable_memory_and_no_handler():
    program = """
        import signal
        from jumplabel import StaticKey, info, static_branches

        key = StaticKey("k")

        @static_branches
        def function():
            return 1 if key else 2

        key.enable()
        assert function() == 1
        assert info().native is None and info().arena_bytes == 0 and info().sync_calls == 0
        assert signal.getsignal(signal.SIGTRAP) is signal.SIG_DFL
        sigcgt = next(line for line in open("/proc/self/status") if line.startswith("SigCgt"))
        assert not int(sigcgt.split()[1], 16) >> (signal.SIGTRAP - 1) & 1
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


# ---- how long ----


def test_entries_go_with_their_function_at_once(key):
    function = static_branches(make(key))
    code = weakref.ref(function.__code__)
    assert len(key.entries) == 1
    del function
    assert code() is None and not key.entries


def test_entries_live_as_long_as_what_runs_the_code(key):
    @static_branches
    def generator():
        while True:
            yield "on" if key else "off"

    running = generator()
    del generator
    assert len(key.entries) == 1
    for enabled in off_on_off(key):
        assert next(running) == ("on" if enabled else "off")
    del running
    assert not key.entries


def test_entries_of_nested_code_live_as_long_as_it(key):
    @static_branches
    def outer():
        def inner():
            return "on" if key else "off"

        return inner, 1 if key else 2

    inner, _ = outer()
    assert len(key.entries) == 2
    del outer
    assert len(key.entries) == 1
    for enabled in off_on_off(key):
        assert inner() == ("on" if enabled else "off")
    del inner
    assert not key.entries


def test_cycles_are_collected():
    class Key(StaticKey):
        pass

    key = Key("tests.cycle")
    key.function = static_branches(make(key))
    key.function.key = key
    gone = weakref.ref(key)
    del key
    gc.collect()
    assert gone() is None
    StaticKey("tests.cycle")


def test_a_key_that_is_not_held_any_more(request):
    key = StaticKey(request.node.nodeid)
    function = static_branches(make(key))
    function.__closure__[0].cell_contents = None
    key.enable()
    del key
    gc.collect()
    assert function() == "on"
    StaticKey(request.node.nodeid).enable()
    assert function() == "on"


def test_a_value_keeps_its_key(request):
    """The code has the key among its constants."""
    space = {"flags": types.ModuleType("flags")}
    space["flags"].key = StaticKey(request.node.nodeid)
    exec("def function():\n    return flags.key and 1", space)
    static_branches(space["function"])
    found = weakref.ref(space["flags"].key)
    del space["flags"].key
    assert space["function"]() is found() is not None
    del space["function"]
    assert found() is None


# ---- made once ----


def test_functions_of_a_factory_share_their_code(key):
    functions = [static_branches(make(key)) for _ in range(10_000)]
    assert len({id(function.__code__) for function in functions}) == 1 and len(key.entries) == 1
    for enabled in off_on_off(key):
        assert {function() for function in functions} == {"on" if enabled else "off"}
    del functions[1:]
    assert len(key.entries) == 1
    functions.clear()
    assert not key.entries


def test_a_function_is_read_once_however_often_its_factory_is_called(key, monkeypatch):
    static_branches(make(key))
    monkeypatch.setattr("jumplabel._bytecode.plan_sites.read", lambda code: pytest.fail("read again"))
    assert not key.entries
    for enabled in off_on_off(key):
        assert static_branches(make(key))() == ("on" if enabled else "off")
    assert static_branches(make(StaticKey("tests.another")))() == "off"


def test_functions_of_a_factory_that_have_keys_of_their_own(request):
    keys = [StaticKey(f"{request.node.nodeid} {i}", default=i % 2 == 0) for i in range(20)]
    functions = [static_branches(make(key)) for key in keys]
    again = [static_branches(make(key)) for key in keys]
    for i, key in enumerate(keys):
        assert functions[i].__code__ is again[i].__code__ and len(key.entries) == 1
        assert functions[i]() == ("on" if key.enabled else "off")
        key.disable() if key.enabled else key.enable()
        assert [function() for function in functions] == ["on" if key.enabled else "off" for key in keys]


def test_the_plan_of_one_function_is_not_taken_for_another(key):
    """The same code, with something else under the same names."""
    code = make(key).__code__
    other = types.FunctionType(code, globals(), closure=(types.CellType(0),))
    mine = types.FunctionType(code, globals(), closure=(types.CellType(key),))
    for _ in range(2):
        static_branches(mine)
        static_branches(other)
        assert other.__code__ is code and mine.__code__ is not code
        mine.__code__ = code
    with pytest.raises(DecorationError, match="make"):
        static_branches(types.FunctionType(code, globals(), closure=(types.CellType(),)), strict=True)


@pytest.mark.skipif(os.environ.get("PYTHON_JIT") == "1", reason="the memory of what the JIT makes of our own code")
def test_decorations_leave_nothing_behind(key):
    def some():
        for _ in range(1000):
            static_branches(make(key))
            static_branches(eval("lambda: 1 if key else 2", {"key": key}))

    some()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5):
            some()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()
    assert not key.entries


# ---- nothing happens by halves ----


def test_no_memory_for_the_sites_of_the_second_function(key, monkeypatch):
    from jumplabel._bytecode import new_code

    make_branches = new_code.make_branches

    def fails(code, made):
        if "Thing.two" in made[0][1]:
            raise MemoryError
        make_branches(code, made)

    class Thing:
        def one(self):
            return [1 for _ in "a" if key], 1 if key else 2

        def two(self):
            return (lambda: 1 if key else 2)()

    codes = [function.__code__ for function in (Thing.one, Thing.two)]
    monkeypatch.setattr(new_code, "make_branches", fails)
    with nothing_made(), pytest.raises(MemoryError):
        static_branches(Thing)
    assert [function.__code__ for function in (Thing.one, Thing.two)] == codes


def test_an_audit_hook_forbids_new_code():
    """An audit hook that raises; its error is the caller's, and the function stays as it was."""
    program = """
        import sys
        from jumplabel import StaticKey, static_branches

        key = StaticKey("k")

        def function():
            return 1 if key else 2

        def hook(event, args):
            if event == "object.__setattr__" and args[1] == "__code__":
                raise PermissionError("no new code")

        code = function.__code__
        sys.addaudithook(hook)
        try:
            static_branches(function)
        except PermissionError:
            pass
        else:
            raise AssertionError
        assert function.__code__ is code and not key.entries
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def test_an_audit_hook_forbids_the_second_code_of_a_class():
    program = """
        import sys
        from jumplabel import StaticKey, static_branches

        key = StaticKey("k")

        class Thing:
            def one(self):
                return 1 if key else 2

            def two(self):
                return 1 if key else 2

        def hook(event, args):
            if event == "object.__setattr__" and args[1] == "__code__" and args[0] is Thing.two:
                raise PermissionError("no new code")

        codes = Thing.one.__code__, Thing.two.__code__
        sys.addaudithook(hook)
        try:
            static_branches(Thing)
        except PermissionError:
            pass
        else:
            raise AssertionError
        assert (Thing.one.__code__, Thing.two.__code__) == codes and not key.entries
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


# ---- the copy that co_code keeps ----


def test_a_copy_of_the_code_is_in_the_state_of_its_moment(key):
    function = static_branches(make(key))
    for enabled in off_on_off(key):
        for _ in range(2):
            copy = types.FunctionType(function.__code__.replace(), globals(), closure=function.__closure__)
            assert copy(0) == ("on" if enabled else "off")
    copy = types.FunctionType(function.__code__.replace(), globals(), closure=function.__closure__)
    key.enable()
    assert (function(), copy(0)) == ("on", "off")


# ---- the fast way to call ----


@pytest.mark.skipif(sys.version_info < (3, 13), reason="a changed function gets a new version when it is called")
def test_only_a_function_that_has_the_version_of_its_code_gets_that_of_its_new_code(key):
    """Another one has none: it may have other globals, or other defaults, than the version promises."""

    def version(function):
        """PyFunctionObject.func_version, a word of 32 bits, is the last of the structure."""
        return ctypes.c_uint32.from_address(id(function) + types.FunctionType.__basicsize__ - 8).value

    made = make(key)
    assert version(made) > 1
    before = version(made)
    static_branches(made)
    assert version(made) not in (0, 1, before)
    changed = make(key)
    changed.__defaults__ = (1,)
    static_branches(changed)
    other = types.FunctionType(make(key).__code__, {}, closure=(types.CellType(key),))
    static_branches(other)
    assert made.__code__ is changed.__code__ is other.__code__
    assert version(changed) in (0, 1) and version(other) in (0, 1)
