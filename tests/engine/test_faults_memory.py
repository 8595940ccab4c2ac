"""Memory that Python does not get, at any point: an error that says so, and every site as its key says."""

import pytest
from processes import run, script

SITES = script("denied_sites")
SWEEP = script("memory_sweep")


@pytest.mark.parametrize("kind", ["gate", "switch"])
def test_without_memory_a_callable_is_made_or_not(kind):
    """Memory is missing only in the step that makes it: before that, CPython 3.12 itself crashes without memory."""
    run(
        SITES,
        SWEEP,
        f"""
        before = entries()
        address = int(ffi.cast("uintptr_t", key._key))
        for made, raised in without_memory(type(sites[0]), {kind!r}, key, address, None, len, "owner"):
            assert entries() == before + (not raised)
            del made
            toggles_work()
        """,
    )


def test_without_memory_a_call_has_a_target_more_or_not():
    run(
        SITES,
        SWEEP,
        """
        for room in range(8):  # for so many more, before it needs memory for them
            call = jumplabel.StaticCall(len)
            for state in range(room):
                assert call.__lead__(-state, len, False) == 0
            states, targets = iter(range(2, 1000)), gc.get_referents(call).count(len)
            for error, raised in without_memory(lambda: call.__lead__(next(states), len, False)):
                targets += error == 0
                assert gc.get_referents(call).count(len) == targets
                assert call.func is len and call("four") == 4
        """,
    )


def test_without_memory_a_function_has_all_its_branches_or_none():
    """Memory is missing only in the steps that make them: before that, CPython 3.11 itself crashes without memory."""
    run(
        SITES,
        SWEEP,
        script("memory_for_branches"),
    )


def test_without_memory_the_sites_of_a_module_are_made_or_not():
    """Several code objects get theirs in one call: each has all of its sites, or none."""
    run(
        SITES,
        SWEEP,
        """
        from jumplabel._bytecode.code_objects import branches_of, make_branches_of_module

        def arguments():
            codes = [toggles_work.__code__.replace(co_name=name) for name in "ab"]  # nothing runs it
            marked = [(0, 0, 1, False, "mark", 7), (1, 0, 1, False, "mark", 8)]
            return "shop", {"mark": key._address}, [(code_object, marked) for code_object in codes]

        def make():
            make_branches_of_module(*left.pop())

        given = [arguments() for _ in range(300)]
        left = given[:]
        before, refusals = entries(), 0
        for _, raised in without_memory(make):
            made = [len(branches_of(code_object)) for code_object, _ in given.pop()[2]]
            assert made in ([[0, 0], [2, 0], [2, 2]] if raised else [[2, 2]])
            assert entries() == before
            refusals += bool(raised)
        assert refusals
        """,
    )


def test_without_memory_no_branch_is_overlooked():
    """The function is decorated again."""
    run(
        SITES,
        SWEEP,
        """
        from jumplabel._bytecode.code_objects import branches_of
        code_object = sites[2].__code__
        there = branches_of(code_object)
        assert there
        for found, raised in without_memory(branches_of, code_object):
            assert raised or found == there
        """,
    )


def test_without_memory_a_toggle_is_done_or_not():
    run(
        SITES,
        SWEEP,
        """
        def both():
            with batch():
                key.enable()
                other.enable()

        both()  # the first one makes a context, and CPython 3.11 crashes where there is no memory for it
        key.disable()
        other.disable()
        for toggle in (key.enable, both):
            for _, raised in without_memory(toggle):
                assert raised or key.enabled
                assert toggle is not both or key.enabled == other.enabled
                expect(key.enabled)
                key.disable()
                other.disable()
                toggles_work()
        """,
    )


def test_a_batch_that_was_never_entered_swallows_nothing():
    """A signal handler raises right behind the call that opens it."""
    run(
        SITES,
        """
        batches = sys.modules["jumplabel._keys.batches"]
        variable = batches.collecting

        class Interrupted:
            get, reset = variable.get, variable.reset

            def set(self, value):
                variable.set(value)
                raise KeyboardInterrupt

        batches.collecting = Interrupted()
        try:
            with batch():
                raise AssertionError("entered")
        except KeyboardInterrupt:
            pass
        batches.collecting = variable
        sites = make()
        toggles_work()
        """,
    )
