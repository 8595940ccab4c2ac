"""A batch belongs to the task that opened it, whatever library runs the task, and not to what inherits its context."""

import asyncio
import contextlib
import contextvars
import importlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from processes import run

from jumplabel import StaticKey, batch


@pytest.fixture
def ours(request):
    """A key that the opener of the batch turns on."""
    return StaticKey(f"ours {request.node.name}")


@pytest.fixture
def others(request):
    """A key that another task turns on while the batch is open."""
    return StaticKey(f"others {request.node.name}")


def waits(key):
    """To be called within the batch: it is in it."""
    key.enable()
    assert not key.enabled


def does_not_wait(key):
    key.enable()
    assert key.enabled
    key.disable()
    assert not key.enabled


# ---- asyncio ----


def eager(loop):
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)


@pytest.mark.parametrize("prepare", [lambda loop: None, eager])
def test_a_task_of_asyncio_that_is_made_within(ours, others, prepare):
    async def other():
        does_not_wait(others)

    async def main():
        prepare(asyncio.get_running_loop())
        with batch():
            waits(ours)
            await asyncio.create_task(other())
            await asyncio.gather(other(), other())
            waits(others)
        assert ours.enabled and others.enabled

    asyncio.run(main())


def test_tasks_of_asyncio_that_share_a_context(ours, others):
    async def other():
        does_not_wait(others)

    async def main():
        shared = contextvars.copy_context()

        async def opener():
            with batch():
                waits(ours)
                await asyncio.get_running_loop().create_task(other(), context=shared)

        await asyncio.get_running_loop().create_task(opener(), context=shared)
        assert ours.enabled

    asyncio.run(main())


def test_a_callback_of_asyncio(ours, others):
    async def main():
        loop, called = asyncio.get_running_loop(), asyncio.Event()
        with batch():
            waits(ours)
            loop.call_soon(lambda: (does_not_wait(others), called.set()))
            await called.wait()

    asyncio.run(main())


@pytest.mark.parametrize("how", ["to_thread", "executor"])
def test_a_thread_of_asyncio(ours, others, how):
    async def main():
        with batch():
            waits(ours)
            if how == "to_thread":
                await asyncio.to_thread(does_not_wait, others)
            else:
                copy = contextvars.copy_context()
                await asyncio.get_running_loop().run_in_executor(None, copy.run, does_not_wait, others)
        assert ours.enabled

    asyncio.run(main())


def test_a_task_is_in_its_batch_in_any_context(ours, others):
    async def main():
        with batch():
            contextvars.copy_context().run(waits, ours)

            async def awaited():
                await asyncio.sleep(0)
                waits(others)

            await awaited()
        assert ours.enabled and others.enabled

    asyncio.run(main())


def test_a_loop_that_runs_within_the_batch_of_a_thread(ours, others):
    async def main():
        does_not_wait(others)

    with batch():
        waits(ours)
        asyncio.run(main())
    assert ours.enabled


def test_a_task_that_says_that_it_equals_all_and_is_false(ours, others):
    class Task(asyncio.Task):
        def __eq__(self, other):
            raise AssertionError("asked")

        __hash__ = asyncio.Task.__hash__

        def __bool__(self):
            raise AssertionError("asked")

    async def other():
        does_not_wait(others)

    async def main():
        loop = asyncio.get_running_loop()

        async def opener():
            with batch():
                waits(ours)
                await Task(other(), loop=loop)

        await Task(opener(), loop=loop)
        assert ours.enabled

    asyncio.run(main())


# ---- other libraries ----


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


def test_coroutines_that_any_code_runs_in_turns(ours, others):
    """In one context, as in a library that knows none."""

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


def test_generators_that_any_code_runs_in_turns_each_in_a_context(ours, others):
    """As Twisted's inlineCallbacks does."""

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
    """As SQLAlchemy's greenlet_spawn."""
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
    """As where a loop runs in one greenlet of gevent: to asyncio all of its thread are in the task."""
    greenlet = pytest.importorskip("greenlet").greenlet

    async def main():
        with batch():
            waits(ours)
            other = greenlet(does_not_wait)
            other.gr_context = contextvars.copy_context()
            other.switch(others)
        assert ours.enabled

    asyncio.run(main())


# ---- threads and contexts ----


def test_a_thread_that_runs_in_the_same_context(ours, others):
    context, block = contextvars.copy_context(), batch()
    context.run(block.__enter__)
    context.run(waits, ours)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(context.run, does_not_wait, others).result()
    context.run(block.__exit__, None, None, None)
    assert ours.enabled


def test_a_thread_with_a_copy_of_the_context(ours, others):
    with batch(), ThreadPoolExecutor(1) as pool:
        waits(ours)
        pool.submit(contextvars.copy_context().run, does_not_wait, others).result()
    assert ours.enabled


@pytest.mark.skipif(sys.version_info < (3, 14), reason="a thread has a context of its own")
def test_a_thread_that_is_made_with_the_context(ours, others):
    with batch():
        waits(ours)
        thread = threading.Thread(target=does_not_wait, args=(others,), context=contextvars.copy_context())
        thread.start()
        thread.join()
    assert ours.enabled


def test_what_runs_in_a_copy_of_the_context_where_no_task_is_known(ours, others):
    with batch():
        waits(ours)
        contextvars.copy_context().run(does_not_wait, others)
        waits(others)
    assert ours.enabled and others.enabled


# ---- generators ----


@contextlib.contextmanager
def transaction(key):
    with batch():
        key.enable()
        yield


@contextlib.asynccontextmanager
async def async_transaction(key):
    with batch():
        await asyncio.sleep(0)
        key.enable()
        yield


def test_a_context_manager_that_holds_a_batch(ours, others):
    with transaction(ours):
        waits(others)
    assert ours.enabled and others.enabled
    with pytest.raises(ZeroDivisionError), transaction(ours):
        others.disable()
        raise ZeroDivisionError
    assert others.enabled


def test_an_async_context_manager_that_holds_a_batch(ours, others):
    async def main():
        async with async_transaction(ours):
            await asyncio.sleep(0)
            waits(others)
            await asyncio.create_task(asyncio.sleep(0))
        assert ours.enabled and others.enabled

    asyncio.run(main())


def test_a_generator_that_is_ended_by_another_thread(ours, others):
    def hold():
        with batch():
            ours.enable()
            yield

    held = hold()
    next(held)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(list, held).result() == []
    assert ours.enabled
    does_not_wait(others)  # it has ended
