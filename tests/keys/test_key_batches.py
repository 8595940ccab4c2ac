"""``batch()``: keys that are toggled together, or not at all."""

import asyncio
import contextvars
import sys
import types

import pytest
from key_checks import assert_state, gated
from site_checks import in_thread

import jumplabel
from jumplabel import StaticKeyError, batch


def test_a_batch_shows_nothing_until_it_ends(key):
    gate = gated(key)
    with batch():
        key.inc()
        key.inc()
        assert_state(key, gate, 0, False)
    assert_state(key, gate, 2, True)


def test_a_batch_is_one_transaction_of_two_syncs(keys):
    gates = [gated(key) for key in keys for _ in range(20)]
    before = jumplabel.info()
    with batch():
        for key in keys:
            key.inc()
            key.enable()
    after = jumplabel.info()
    assert after.batches == before.batches + 1
    assert after.sync_calls == before.sync_calls + 2
    assert after.sites_patched == before.sites_patched + 60
    assert [gate(1) for gate in gates] == [1] * 60


def test_a_batch_that_changes_no_state_patches_nothing(key):
    gate = gated(key)
    before = jumplabel.info()
    with batch():
        key.enable()
        key.disable()
    with batch():
        pass
    assert jumplabel.info() == before
    assert_state(key, gate, 0, False)


def test_steps_of_a_batch_are_taken_in_order(key):
    gate = gated(key)
    with batch():
        key.inc()
        key.inc()
        key.dec()
        key.disable()
        key.enable()
    assert_state(key, gate, 1, True)


def test_an_exception_drops_the_batch(keys):
    with pytest.raises(ZeroDivisionError), batch():
        keys[0].enable()
        raise ZeroDivisionError
    assert [key.count for key in keys] == [0, 0, 0]
    keys[1].enable()
    assert keys[1].enabled


@pytest.mark.parametrize("step", ["dec", "disable"])
def test_an_impossible_step_drops_the_batch_and_is_named(keys, step):
    gates = [gated(key) for key in keys]
    if step == "disable":
        keys[1].inc()
        keys[1].inc()
    before = [key.count for key in keys], jumplabel.info()
    with pytest.raises(StaticKeyError) as caught, batch():
        keys[0].enable()
        getattr(keys[1], step)()
        keys[2].enable()
    assert keys[1].name in str(caught.value) and f"{step}()" in str(caught.value)
    assert ([key.count for key in keys], jumplabel.info()) == before
    assert [gate(1) for gate in gates] == [None, 1 if step == "disable" else None, None]


def test_a_nested_batch_is_applied_with_the_outer_one(keys):
    with batch():
        keys[0].enable()
        with batch():
            keys[1].enable()
        assert not keys[1]
        with pytest.raises(ZeroDivisionError), batch():
            keys[2].enable()
            raise ZeroDivisionError
    assert [key.enabled for key in keys] == [True, True, False]


def test_the_outer_batch_drops_its_nested_ones(keys):
    with pytest.raises(ZeroDivisionError), batch():
        with batch():
            keys[0].enable()
        raise ZeroDivisionError
    assert not keys[0]


def test_a_batch_belongs_to_its_thread(keys):
    ours, theirs, _ = keys
    with batch():
        ours.enable()
        in_thread(theirs.enable)
        assert theirs.enabled and not ours.enabled
    assert ours.enabled


def test_a_batch_belongs_to_its_task(keys):
    async def task(key, entered, others):
        with batch():
            key.enable()
            entered.set()
            await others.wait()
            assert not key
        assert key

    async def main():
        first, second, third = asyncio.Event(), asyncio.Event(), asyncio.Event()
        # The first task's batch is open while the second one's opens and ends.
        tasks = [asyncio.create_task(task(keys[0], first, third)), asyncio.create_task(task(keys[1], second, first))]
        await tasks[1]
        assert keys[1].enabled and not keys[0].enabled
        keys[2].enable()
        assert keys[2].enabled
        third.set()
        await tasks[0]
        assert keys[0].enabled

    asyncio.run(main())


def test_a_task_made_in_a_batch_is_not_in_it(keys):
    ours, theirs, _ = keys

    async def enable(key):
        key.enable()

    async def main():
        with batch():
            ours.enable()
            await asyncio.create_task(enable(theirs))
            assert theirs.enabled and not ours.enabled

    asyncio.run(main())


def test_a_thread_with_a_copy_of_the_context_is_not_in_the_batch(keys):
    ours, theirs, _ = keys
    with batch():
        ours.enable()
        in_thread(contextvars.copy_context().run, theirs.enable)
        assert theirs.enabled and not ours.enabled


def test_no_toggle_is_lost_to_a_batch_that_has_ended(keys):
    ours, theirs, late = keys

    async def enable(key):
        key.enable()

    async def main():
        with batch():
            ours.enable()
            task = asyncio.create_task(enable(theirs))
            asyncio.get_running_loop().call_soon(late.enable)
        await task

    asyncio.run(main())
    assert [key.enabled for key in keys] == [True, True, True]


def test_batches_that_end_out_of_order(keys):
    first, second, _ = keys
    outer, inner = batch(), batch()
    outer.__enter__()
    first.inc()
    inner.__enter__()
    second.inc()
    outer.__exit__(None, None, None)
    assert (first.count, second.count) == (1, 0)
    inner.__exit__(None, None, None)
    assert (first.count, second.count) == (1, 1)


def test_a_batch_while_asyncio_is_being_imported(keys, monkeypatch):
    monkeypatch.setitem(sys.modules, "asyncio.tasks", types.ModuleType("asyncio.tasks"))
    with batch():
        keys[0].enable()
        assert not keys[0].enabled
    assert keys[0].enabled
