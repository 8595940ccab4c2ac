"""``key.override()`` as a decorator, and used more than once: the key is held for the run of what is decorated."""

import asyncio
import functools
import gc
import inspect
import threading
import types
from unittest import mock

import pytest
from site_checks import in_thread

from jumplabel import StaticKeyError, batch, static_gate


@pytest.fixture
def states(key):
    """The states of the key at each look."""
    seen = []
    return types.SimpleNamespace(look=lambda: seen.append(key.enabled), seen=seen)


# ---- functions of all sorts ----


def test_a_function(key, states):
    @key.override(True)
    def run(a, *, b):
        """Run it, and return its result."""
        states.look()
        return a, b

    assert run(1, b=2) == (1, 2) and states.seen == [True] and not key
    assert (run.__name__, run.__doc__, str(inspect.signature(run))) == (
        "run",
        "Run it, and return its result.",
        "(a, *, b)",
    )
    with pytest.raises(ZeroDivisionError):
        key.override(True)(lambda: 1 / 0)()
    assert not key


def test_a_coroutine_function(key, states):
    @key.override(True)
    async def run(value):
        states.look()
        await asyncio.sleep(0)
        states.look()
        return value

    assert inspect.iscoroutinefunction(run)
    coroutine = run(1)
    assert not key
    assert asyncio.run(coroutine) == 1 and states.seen == [True, True] and not key


def test_a_coroutine_function_that_raises_or_is_cancelled(key, states):
    @key.override(True)
    async def run(wait):
        try:
            states.look()
            await wait()
        finally:
            states.look()

    async def main():
        async def fails():
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await run(fails)
        assert not key
        task = asyncio.create_task(run(asyncio.Event().wait))
        await asyncio.sleep(0)
        assert key.enabled
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not key

    asyncio.run(main())
    assert states.seen == [True] * 4


def test_a_generator_function(key, states):
    @key.override(True)
    def run(value):
        states.look()
        sent = yield value
        states.look()
        try:
            yield sent
        except KeyError as error:
            states.look()
            return error.args

    assert inspect.isgeneratorfunction(run)
    generator = run(1)
    assert not key
    assert next(generator) == 1 and key.enabled
    assert generator.send(2) == 2
    with pytest.raises(StopIteration) as caught:
        generator.throw(KeyError(3))
    assert caught.value.value == (3,) and states.seen == [True] * 3 and not key


@pytest.mark.parametrize("end", ["close", "drop", "exhaust", "raise"])
def test_a_generator_ends_in_any_way(key, states, end):
    @key.override(True)
    def run():
        try:
            yield 1
            if end == "raise":
                raise ZeroDivisionError
        finally:
            states.look()

    generator = run()
    next(generator)
    assert key.enabled
    if end == "close":
        generator.close()
    elif end == "drop":
        del generator
        gc.collect()
    elif end == "exhaust":
        assert list(generator) == []
    else:
        with pytest.raises(ZeroDivisionError):
            next(generator)
    assert states.seen == [True] and not key


def test_an_async_generator_function(key, states):
    @key.override(True)
    async def run(value):
        states.look()
        sent = yield value
        states.look()
        try:
            yield sent
        except KeyError as error:
            yield error.args
        await asyncio.sleep(0)
        states.look()

    async def main():
        assert inspect.isasyncgenfunction(run)
        generator = run(1)
        assert not key
        assert await anext(generator) == 1 and key.enabled
        assert await generator.asend(2) == 2
        assert await generator.athrow(KeyError(3)) == (3,)
        with pytest.raises(StopAsyncIteration):
            await anext(generator)
        assert not key and states.seen == [True] * 3

    asyncio.run(main())


@pytest.mark.parametrize("end", ["aclose", "raise", "cancel"])
def test_an_async_generator_ends_in_any_way(key, states, end):
    @key.override(True)
    async def run():
        try:
            yield 1
            if end == "raise":
                raise ZeroDivisionError
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            states.look()

    async def main():
        generator = run()
        await anext(generator)
        assert key.enabled
        if end == "aclose":
            await generator.aclose()
        elif end == "raise":
            with pytest.raises(ZeroDivisionError):
                await anext(generator)
        else:
            task = asyncio.create_task(anext(generator))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert states.seen == [True] and not key

    asyncio.run(main())


def test_an_awaitable_generator_function(key, states):
    @key.override(True)
    @types.coroutine
    def run():
        states.look()
        yield
        states.look()
        return 1

    async def main():
        return await run()

    assert asyncio.run(main()) == 1 and states.seen == [True, True] and not key


def test_methods_partials_and_gates(key, other_key, states):
    class Shop:
        @key.override(True)
        def sell(self):
            states.look()
            return self

        @key.override(True)
        @classmethod
        async def all(cls):
            states.look()
            return cls

        @staticmethod
        @key.override(True)
        def none():
            states.look()

    shop = Shop()
    assert shop.sell() is shop and asyncio.run(shop.all()) is Shop and shop.none() is None

    async def run(value):
        states.look()
        return value

    partial = key.override(True)(functools.partial(run, 1))
    gate = key.override(True)(static_gate(other_key, default="off")(run))
    assert inspect.iscoroutinefunction(partial) and inspect.iscoroutinefunction(gate)
    assert asyncio.run(partial()) == 1 and asyncio.run(gate(2)) == "off"
    other_key.enable()
    assert asyncio.run(gate(2)) == 2
    assert states.seen == [True] * 5 and not key


# ---- more than once ----


def test_a_decorated_function_runs_as_often_as_one_likes(key, states):
    @key.override(True)
    def run(depth):
        states.look()
        return run(depth - 1) if depth else in_thread(states.look)

    run(3)
    assert not key
    run(0)
    assert states.seen == [True] * 7 and not key


def test_decorated_functions_that_overlap(key):
    inside, leave = threading.Barrier(3), [threading.Event(), threading.Event()]

    @key.override(True)
    def run(n):
        inside.wait()
        leave[n].wait()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    inside.wait()
    leave[0].set()
    threads[0].join()
    assert key.enabled
    leave[1].set()
    threads[1].join()
    assert not key


def test_a_with_statement_may_use_it_again_and_within(key):
    held = key.override(True)
    for _ in range(2):
        with held as one:
            assert one is key and key.enabled
            with held:
                assert key.enabled
            assert key.enabled
        assert not key
    with pytest.raises(StaticKeyError, match="without a beginning"):
        held.__exit__(None, None, None)


def test_a_thread_leaves_its_own_block(key):
    """The older block of another thread ends first, and leaves the newest of all in place."""
    held = key.override(True)
    in_block, leave = threading.Event(), threading.Event()

    def work():
        with held:
            in_block.set()
            leave.wait()

    thread = threading.Thread(target=work)
    thread.start()
    in_block.wait()
    off = key.override(False)
    off.__enter__()
    with held:
        assert key.enabled
        leave.set()
        thread.join()
        assert key.enabled  # else `off` would be the newest now
    assert not key
    off.__exit__(None, None, None)
    assert not key


def test_its_own_time_is_that_of_the_block_not_of_the_call(key):
    with batch():
        held = key.override(True)
    with held:
        assert key.enabled
    with batch(), pytest.raises(StaticKeyError, match="put the batch inside it"), held:
        pytest.fail("entered")
    with pytest.raises(StaticKeyError, match="True or False"):
        key.override("on")
    assert not key and repr(held) == f"<override of {key.name!r}, on>"


def test_mock_and_override_over_one_function(key):
    @key.override(True)
    @mock.patch("os.getcwd", return_value="here")
    def run(getcwd):
        assert key.enabled
        return getcwd()

    assert run() == "here" and not key


def test_a_block_that_another_thread_has_entered_can_be_left(key):
    manager = key.override(True)
    in_thread(manager.__enter__)
    assert key.enabled
    manager.__exit__(None, None, None)
    assert not key.enabled
    with pytest.raises(StaticKeyError, match="ends without a beginning"):
        manager.__exit__(None, None, None)
