"""Gates of generator and async generator functions: what their callers get while the key is off."""

import asyncio
import collections.abc
import contextlib
import gc
import inspect
import sys
import types
import warnings
import weakref

import pytest
from emptiness import MISTAKES, NOT_EXCEPTIONS, OPERATIONS, THROWN, after, compare, outcome, throwing
from site_checks import in_thread, off_on_off

from jumplabel import static_gate


def generator(n=0):
    yield "generator", n
    return "returned"


async def async_generator(n=0):
    yield "async generator", n


@pytest.fixture
def gate(key):
    return static_gate(key, default="off")(generator)


@pytest.fixture
def async_gate(key):
    return static_gate(key, default="not used")(async_generator)


# ---- generators ----


def test_off_it_yields_nothing_and_on_what_the_function_yields(key, gate):
    for enabled in off_on_off(key):
        items = [("generator", 1)] if enabled else []
        assert list(gate(1)) == [*gate(n=1)] == [item for item in gate(1)] == items
        assert next(gate(1), "nothing") == (items[0] if enabled else "nothing")


@pytest.mark.parametrize("default", [None, 7, (), (1, 2), [], KeyError("not raised"), StopIteration(3)], ids=repr)
def test_yield_from_gives_the_default(key, default):
    gate = static_gate(key, default=default)(generator)

    def delegates():
        return (yield from gate())

    with pytest.raises(StopIteration) as stopped:
        next(delegates())
    assert stopped.value.value is default
    with pytest.raises(StopIteration) as stopped:
        next(gate())
    assert stopped.value.value is default
    key.enable()
    running = delegates()
    assert next(running) == ("generator", 0)
    with pytest.raises(StopIteration) as stopped:
        next(running)
    assert stopped.value.value == "returned"


def test_what_was_called_before_a_toggle_stays_what_it_was(key, gate, async_gate):
    empty, async_empty = gate(), async_gate()
    key.enable()
    full, async_full = gate(), async_gate()
    key.disable()
    assert list(empty) == [] and list(full) == [("generator", 0)]
    assert asyncio.run(collect(async_empty)) == [] and asyncio.run(collect(async_full)) == [("async generator", 0)]


def test_a_generator_does_what_a_real_one_does_to_send_throw_and_close(gate):
    def real():
        return "off"
        yield

    compare(real, gate, *MISTAKES, next, list, lambda it: iter(it) is it)


def test_it_is_a_generator_by_all_checks(gate):
    empty = gate()
    assert isinstance(empty, collections.abc.Generator)
    assert not isinstance(empty, collections.abc.Awaitable) and not inspect.isawaitable(empty)
    assert (empty.__name__, empty.__qualname__) == ("generator", "generator")
    assert "EmptyGenerator of generator" in repr(empty)
    assert len({gate(), gate(), empty}) == 3 and weakref.ref(empty)() is empty


def test_a_context_manager_made_of_a_gate_says_that_it_did_not_yield(key, gate, async_gate):
    manager, async_manager = contextlib.contextmanager(gate), contextlib.asynccontextmanager(async_gate)

    async def enter():
        async with async_manager(2) as item:
            return item

    for enabled in off_on_off(key):
        if enabled:
            with manager(1) as item:
                assert item == ("generator", 1)
            assert asyncio.run(enter()) == ("async generator", 2)
            continue
        with pytest.raises(RuntimeError, match="generator didn't yield"), manager(1):
            raise AssertionError("entered")
        with pytest.raises(RuntimeError, match="generator didn't yield"):
            asyncio.run(enter())


def test_one_of_types_coroutine_can_be_awaited_and_iterated(key):
    @static_gate(key, default="off")
    @types.coroutine
    def gate(n):
        yield
        return n

    async def caller():
        return await gate(1)

    for enabled in off_on_off(key):
        assert asyncio.run(caller()) == (1 if enabled else "off")
        assert list(gate(1)) == ([None] if enabled else [])
    over = types.coroutine(static_gate(key, default="off")(generator))

    async def awaits_over():
        return await over()

    assert asyncio.run(awaits_over()) == "off"


# ---- async generators ----


async def collect(iterable):
    return [item async for item in iterable]


def test_off_async_for_has_nothing_to_do(key, async_gate):
    async def caller():
        looped = []
        async for item in async_gate(1):
            looped.append(item)
        else:
            looped.append("else")
        async with contextlib.aclosing(async_gate(1)) as closing:
            closed = [item async for item in closing]
        iterator = aiter(async_gate(1))
        return looped, closed, await anext(iterator, "nothing"), await anext(iterator, "nothing")

    item = ("async generator", 1)
    for enabled in off_on_off(key):
        expected = ([item, "else"], [item], item, "nothing") if enabled else (["else"], [], "nothing", "nothing")
        assert asyncio.run(caller()) == expected


async def real():
    return
    yield


if sys.version_info < (3, 12):  # there it becomes a RuntimeError although the function has not begun
    THROWN = [thrown for thrown in THROWN if not isinstance((*thrown(), None)[0], StopAsyncIteration)]
SENDS = OPERATIONS[: 3 if sys.version_info >= (3, 13) else 2]  # there, to close a step does not close the generator
ASYNC_OPERATIONS = [*SENDS, *throwing(THROWN), *MISTAKES]

STEPS = [
    lambda it: it.__anext__(),
    lambda it: it.asend(None),
    lambda it: it.asend(7),
    lambda it: it.aclose(),
    *((lambda it, thrown=thrown: it.athrow(*thrown())) for thrown in THROWN + NOT_EXCEPTIONS if 0 < len(thrown()) < 4),
]


def run_steps(make, steps, operations):
    """Run each step, do this to it, and run the next step."""
    it, outcomes = make(), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps that were never awaited, and of athrow() with several arguments
        for make_step, operation in zip(steps, operations, strict=True):
            step = make_step(it)
            outcomes += [outcome(operation, step), outcome(iter, step)[0]]
        del step
    return outcomes


def test_an_async_generator_does_what_a_real_one_does(async_gate):
    for first in STEPS:
        for second in STEPS:
            for operation in ASYNC_OPERATIONS:
                for last in (OPERATIONS[0], OPERATIONS[1]):
                    steps, operations = (first, second), (operation, last)
                    assert run_steps(async_gate, steps, operations) == run_steps(real, steps, operations)


def test_a_step_cannot_be_awaited_again(async_gate):
    for make_step, name in zip(STEPS[:5], ["__anext__", "asend", "asend", "aclose", "athrow"], strict=True):
        for operation in OPERATIONS[0], OPERATIONS[2], OPERATIONS[3]:
            step = make_step(async_gate())
            outcome(operation, step)
            with pytest.raises(RuntimeError, match=rf"cannot reuse already awaited .*{name}\(\)"):
                step.send(None)
            with pytest.raises(RuntimeError, match=rf"cannot reuse already awaited .*{name}\(\)"):
                step.throw(KeyError())


def test_athrow_says_how_many_arguments_it_takes(async_gate):
    for arguments in ((), (KeyError, None, None, None)):
        with pytest.raises(TypeError, match=r"expected at (least 1|most 3) argument"):
            async_gate().athrow(*arguments).send(None)


def test_a_step_can_be_a_task(async_gate):
    async def main():
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(async_gate().__anext__(), 10)
        return await asyncio.create_task(async_gate().aclose())

    assert asyncio.run(main()) is None


def test_it_is_an_async_generator_by_all_checks(async_gate):
    empty = async_gate()
    assert isinstance(empty, collections.abc.AsyncGenerator) and aiter(empty) is empty
    assert not isinstance(empty, collections.abc.Iterable | collections.abc.Awaitable)
    assert (empty.__name__, empty.__qualname__) == ("async_generator", "async_generator")
    assert isinstance(empty.__anext__(), collections.abc.Coroutine)  # as a real one's is
    assert len({async_gate(), async_gate(), empty}) == 3 and weakref.ref(empty)() is empty


def test_the_loop_has_nothing_to_close(async_gate):
    """The loop does not know of the generator, as there is nothing to run at its end."""
    firsts = []

    async def main():
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=firsts.append)
        try:
            async for _ in async_gate():
                raise AssertionError("not empty")
        finally:
            sys.set_asyncgen_hooks(*hooks)

    asyncio.run(main())
    assert firsts == []


# ---- lifetimes ----


def test_references_are_counted_exactly(key):
    default = object()
    gates = [
        static_gate(key, default=default)(each) for each in (generator, types.coroutine(generator), async_generator)
    ]
    step = type(gates[2]().__anext__())
    counted = [default, step, *gates, *(type(gate()) for gate in gates), *(gc.get_referents(gate)[1] for gate in gates)]
    argument, error = object(), KeyError("thrown")
    counted += [argument, error]

    def use_all():
        for _ in range(300):
            for gate in gates[:2]:
                empty = gate()
                for operation in OPERATIONS + MISTAKES:
                    outcome(operation, empty)
                    outcome(operation, gate())
                outcome(gate().throw, error)
                outcome(gate().send, argument)
                list(gate())
            for make_step in STEPS:
                empty, step = gates[2](), make_step(gates[2]())
                for operation in OPERATIONS + MISTAKES:
                    outcome(operation, step)
                    outcome(operation, make_step(empty))
            gates[2]().asend(argument), gates[2]().athrow(error)  # never awaited
            outcome(gates[2]().athrow(error).send, None)
        error.__traceback__ = None

    gc.collect()
    before = [sys.getrefcount(each) for each in counted]
    use_all()
    gc.collect()  # what was raised, and its traceback
    assert [sys.getrefcount(each) for each in counted] == before


class Holder:
    pass


@pytest.mark.parametrize("function", [generator, async_generator])
def test_cycles_are_collected(key, function):
    default = []
    gate = static_gate(key, default=default)(function)
    default += [gate, gate()]
    references = [weakref.ref(default[1])]
    if function is async_generator:
        argument = Holder()
        argument.step = gate().asend(argument)
        references.append(weakref.ref(argument))
        del argument
    del default, gate
    assert all(reference() is not None for reference in references)
    gc.collect()
    assert all(reference() is None for reference in references) and key.entries == ()


def test_one_made_here_can_be_run_in_another_thread(key, gate, async_gate):
    empty, async_empty = gate(), async_gate()

    def run_them():
        assert list(empty) == [] and asyncio.run(collect(async_empty)) == []

    in_thread(run_them)
    assert after(empty) is None  # it has run
