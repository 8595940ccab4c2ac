"""A child of a fork has code of its own for every site of its parent, however many there are."""

import pytest
from processes import run

FORK = """
    key, other = StaticKey("key"), StaticKey("other")
    gates = [static_gate(key)(lambda n: n) for _ in range(3000)]  # in several regions
    gates += [static_gate(other)(lambda n: n)]
    key.enable()
    key.disable()
    OFF = bytes.fromhex("2e0f1f440000")

    def all_are(state):
        assert key.enabled is state
        assert [gate(1) for gate in gates[:-1]] == [1 if state else None] * 3000
        assert all((bytes == OFF) is not state for bytes in code(key))
"""

FORK_CASES = [
    pytest.param("pass", {}, id="membarrier"),
    pytest.param("pass", {"JUMPLABEL_SYNC": "signal"}, id="signal"),
    pytest.param("seccomp.refuse('memfd_create')", {}, id="without memfd"),
    pytest.param("seccomp.refuse('membarrier')", {}, id="without membarrier"),
]


@pytest.mark.usefixtures("seccomp_filters")
@pytest.mark.parametrize(("refusals", "settings"), FORK_CASES)
def test_a_child_has_its_own_code(refusals, settings):
    run(
        FORK,
        refusals,
        """
        def child():
            all_are(False)
            key.enable()
            all_are(True)
            os.write(toggled, b"x")
            os.read(look_again, 1)
            all_are(True)
            assert not other and gates[-1](1) is None

        before = code(key)
        has_toggled, toggled = os.pipe()
        look_again, look = os.pipe()
        pid = fork(child)
        os.close(toggled)
        assert os.read(has_toggled, 1) == b"x"
        assert code(key) == before
        all_are(False)
        key.enable()
        other.enable()
        key.disable()
        os.write(look, b"x")
        assert ended(pid) == 0
        all_are(False)
        assert gates[-1](1) == 1
        """,
        **settings,
    )


def test_a_grandchild_has_its_own_code_too():
    run(
        FORK,
        """
        def child():
            key.enable()
            forked(grandchild)
            all_are(True)
            late = static_gate(key)(lambda: "late")
            assert late() == "late"

        def grandchild():
            all_are(True)
            key.disable()
            all_are(False)

        forked(child)
        all_are(False)
        """,
    )


def test_counters_start_anew_in_a_child():
    run(
        FORK,
        """
        def counters():
            now = info()
            return (now.batches, now.sites_patched, now.sync_calls, now.int3_current, now.int3_previous, now.int3_stale)

        def child():
            assert counters() == (0,) * 6
            assert (info().native, info().native_sites, info().keys) == (True, 3001, 2)
            key.enable()
            assert counters()[:3] == (1, 3000, 2)

        before = counters()
        assert before[:2] == (2, 6000)
        forked(child)
        assert counters() == before
        """,
    )


def test_forking_leaves_no_mapping_and_no_file():
    run(
        FORK,
        """
        before = Traces()
        for _ in range(3):
            forked(lambda: None)
        assert vars(Traces()) == vars(before)

        def child():
            assert len(Traces().mappings) == len(before.mappings) and Traces().files == before.files

        forked(child)
        """,
    )


@pytest.mark.usefixtures("seccomp_filters")
@pytest.mark.parametrize(("refusals", "settings"), FORK_CASES)
def test_forks_while_another_thread_toggles(refusals, settings):
    run(
        FORK,
        refusals,
        """
        def child():
            state = key.enabled
            all_are(state)
            key.disable() if state else key.enable()
            all_are(not state)

        with OtherThread(lambda: (key.enable(), key.disable())):
            for _ in range(50):
                forked(child)
        all_are(False)
        """,
        **settings,
    )


@pytest.mark.usefixtures("seccomp_filters")
def test_a_child_that_could_not_get_its_own_code_does_not_write_its_parents():
    run(
        FORK,
        """
        seccomp.refuse_executable_memory()

        def child():
            before = code(key)
            assert "a copy of the parent's code refused" in info().refusal
            refused(errno.ENOMEM, key.enable)
            refused(errno.ENOMEM, key.override(True).__enter__)
            assert code(key) == before and key.count == 0
            all_are(False)
            made = static_gate(other)(lambda n: n)
            assert [entry.native for entry in other.entries].count(False) == 1
            gates.clear()
            assert len(key.entries) == 0 and made(1) is None

        forked(child)
        all_are(False)
        key.enable()
        all_are(True)
        """,
    )
