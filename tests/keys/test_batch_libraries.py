"""Which tasks a batch belongs to under other libraries than asyncio: trio, curio, greenlet, gevent and eventlet."""

import asyncio
import contextvars
import importlib
import sys

import pytest
from batch_checks import does_not_wait, waits
from processes import run

from jumplabel import batch


def test_a_child_of_a_nursery_of_trio(ours, others):
    trio = pytest.importorskip("trio")

    async def other():
        does_not_wait(others)

    async def main():
        with batch():
            waits(ours)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(other)
            await trio.to_thread.run_sync(does_not_wait, others)
            waits(others)
        assert ours.enabled and others.enabled

    trio.run(main)


def test_a_task_of_curio(ours, others):
    try:
        curio = importlib.import_module("curio")
    except (ImportError, AttributeError) as error:  # 1.6 asks asyncio and ssl for what later Pythons do not have
        pytest.skip(f"no curio for this Python: {error}")

    async def other():
        does_not_wait(others)

    async def main():
        with batch():
            waits(ours)
            task = await curio.spawn(other)
            await task.join()
            waits(others)
        assert ours.enabled and others.enabled

    curio.run(main)


def test_coroutines_that_the_program_runs_in_turns(ours, others):
    """They run in one context, as in a library that knows none."""

    class Switch:
        def __await__(self):
            yield

    async def opener():
        with batch():
            waits(ours)
            await inner()

    async def inner():
        await Switch()
        waits(ours)

    async def other():
        does_not_wait(others)

    one, two = opener(), other()
    one.send(None)
    with pytest.raises(StopIteration):
        two.send(None)
    assert not ours.enabled
    with pytest.raises(StopIteration):
        one.send(None)
    assert ours.enabled


def test_generators_that_the_program_runs_in_turns_each_in_a_context(ours, others):
    """Twisted's inlineCallbacks does so."""

    def opener():
        with batch():
            waits(ours)
            yield
            waits(ours)

    one, context = opener(), contextvars.copy_context()
    context.run(next, one)
    does_not_wait(others)
    context.run(contextvars.copy_context).run(does_not_wait, others)  # which that made within
    context.run(next, one, None)
    assert ours.enabled


def test_a_greenlet(ours, others):
    greenlet = pytest.importorskip("greenlet").greenlet

    def opener():
        with batch():
            waits(ours)
            copied = greenlet(does_not_wait)
            copied.gr_context = contextvars.copy_context()
            copied.switch(others)
            shared = greenlet(does_not_wait)
            shared.gr_context = greenlet_context()
            shared.switch(others)
            contextvars.copy_context().run(waits, others)
        assert ours.enabled and others.enabled

    def greenlet_context():
        seen = []
        me = sys.modules["greenlet"].getcurrent()
        asks = greenlet(lambda: seen.append(me.gr_context))
        asks.switch()
        return seen[0]

    greenlet(opener).switch()
    assert ours.enabled


def test_a_greenlet_within_a_task_of_asyncio_that_shares_its_context(ours):
    """SQLAlchemy's greenlet_spawn does so."""
    greenlet = pytest.importorskip("greenlet").greenlet

    async def main():
        with batch():
            inner = greenlet(waits)
            context = []
            me = sys.modules["greenlet"].getcurrent()
            greenlet(lambda: context.append(me.gr_context)).switch()
            inner.gr_context = context[0]
            inner.switch(ours)
        assert ours.enabled

    asyncio.run(main())


GREEN = {
    "gevent": """
        import gevent
        spawn, wait, sleep = gevent.spawn, lambda green: green.get(), gevent.sleep
        """,
    "eventlet": """
        import warnings
        warnings.simplefilter("ignore")
        import eventlet
        spawn, wait, sleep = eventlet.spawn, lambda green: green.wait(), eventlet.sleep
        """,
}


@pytest.mark.parametrize("library", GREEN)
def test_a_green_thread(library):
    pytest.importorskip("greenlet")
    if library == "gevent":
        pytest.importorskip("gevent")
    run(
        GREEN[library],
        """
        ours, others = StaticKey("ours"), StaticKey("others")

        def other():
            others.enable()
            assert others.enabled
            others.disable()

        def opener():
            with batch():
                ours.enable()
                green = spawn(other)
                sleep(0)
                wait(green)
                assert not ours.enabled
            assert ours.enabled
            ours.disable()

        wait(spawn(opener))
        opener()
        """,
    )


def test_a_greenlet_within_a_task_of_asyncio_that_has_a_context_of_its_own(ours, others):
    """A loop in one greenlet of gevent is such a case: to asyncio all greenlets of its thread are in the task."""
    greenlet = pytest.importorskip("greenlet").greenlet

    async def main():
        with batch():
            waits(ours)
            other = greenlet(does_not_wait)
            other.gr_context = contextvars.copy_context()
            other.switch(others)
        assert ours.enabled

    asyncio.run(main())
