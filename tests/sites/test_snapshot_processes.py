"""Snapshots in processes of their own: forks, refused patches, and every setting."""

import pytest
from processes import run, script
from snapshots import make, set_state, snapshot, variants

import jumplabel._sites.snapshots
from jumplabel import PatchError, StaticKey
from jumplabel._sites.snapshots import MOST_VARIANTS


@pytest.fixture
def keys(request):
    return [StaticKey(f"{request.node.nodeid} {i}") for i in range(5)]


KEYS = script("snapshot_keys")

SETTINGS = {
    "native": {},
    "plain": {"JUMPLABEL_NATIVE": "0"},
    "words": {"JUMPLABEL_POKE": "word"},
    "signal": {"JUMPLABEL_SYNC": "signal"},
    "jit": {"PYTHON_JIT": "1"},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_all_states_with_every_setting(setting):
    script = f"""
        with OtherThread():
            cycle()
        native = {setting != "plain"}
        assert [entry.native for key in keys for entry in key.entries] == [native] * 7
        def hot(n):
            return [function() for _ in range(n)]
        for state in (0, 31, 9, 0):
            set_state(state)
            assert set(hot(5000)) == {{state}}
        """
    run(KEYS, script, **SETTINGS[setting])


def test_parent_and_child_have_snapshots_of_their_own():
    script = """
        set_state(3)
        running = states()
        assert function() == 3 == next(running)

        def child():
            cycle()
            assert next(running) == 3
            set_state(12)

        def grandchild():
            assert function() == 3
            child()
            assert function() == 12
            forked(child)
            assert function() == 12

        forked(child)
        forked(grandchild)
        assert function() == 3 == next(running) and all(key.enabled for key in (a, b)) and not c
        cycle()
        """
    run(KEYS, script)
    run(KEYS, script, JUMPLABEL_NATIVE="0")


def test_a_child_forked_while_another_thread_makes_a_variant():
    script = """
        import jumplabel._sites.snapshots
        real = jumplabel._sites.snapshots._Variants._make
        entered, go_on = threading.Event(), threading.Event()

        def slow(self, state):
            if threading.current_thread() is not threading.main_thread():
                entered.set()
                go_on.wait()
            return real(self, state)

        jumplabel._sites.snapshots._Variants._make = slow
        other = threading.Thread(target=function)
        other.start()
        entered.wait()
        forked(lambda: (cycle(), set_state(0)))
        go_on.set()
        other.join()
        cycle()
        """
    run(KEYS, script)


def test_a_call_is_right_where_its_patch_is_refused(keys, monkeypatch):
    """It costs no patch each time, which may take long to be refused."""
    function = make(keys)
    real, tried = jumplabel._sites.snapshots.lead, []

    def refused(*arguments):
        tried.append(arguments)
        raise PatchError(1, "refused")

    monkeypatch.setattr("jumplabel._sites.snapshots.lead", refused)
    codes = {id(function()[1]) for _ in range(100)}
    assert len(codes) == 1 and function.__target__(0) is None
    assert 2 < len(tried) < 10
    for state in range(17):
        set_state(keys, state)
        assert function()[0] == state
    assert len(variants(function)) <= MOST_VARIANTS
    monkeypatch.setattr("jumplabel._sites.snapshots.lead", real)
    set_state(keys, 3)
    n_calls = 0
    while function.__target__(3) is None:
        assert function()[0] == 3 and (n_calls := n_calls + 1) < 2**17


def test_a_call_is_right_where_the_kernel_refuses():
    script = """
        set_state(3)
        assert function() == 3
        seccomp.refuse("membarrier")
        refused(errno.EPERM, a.disable)
        assert function() == 3 == function()
        for _ in range(10):
            assert next(states()) == 3  # for the first time
        assert states.__target__(3) is None and function.__target__(3) is not None
        """
    run(KEYS, script, JUMPLABEL_SYNC="membarrier")


def test_no_memory_for_a_variant_is_the_callers_to_know(key, monkeypatch):
    @snapshot
    def function():
        return 1 if key else 0

    def fails(self, state):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("jumplabel._bytecode.new_code.Template.variant", fails)
        with pytest.raises(MemoryError):
            function()
    assert function() == 0
