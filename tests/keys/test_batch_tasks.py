"""A batch belongs to the task, thread or generator that opened it, and not to what inherits its context."""

import asyncio
import contextlib
import contextvars
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from batch_checks import does_not_wait, waits

from jumplabel import batch

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
