"""Gates of coroutine functions: what their callers get while the key is off, and what asyncio makes of it."""

import asyncio
import collections.abc
import contextlib
import gc
import inspect
import io
import sys
import warnings
import weakref

import pytest
from emptiness import MISTAKES, OPERATIONS, after, compare, outcome
from site_checks import off_on_off

from jumplabel import static_gate
from jumplabel._diagnostics import disassemble


async def coroutine(n=0):
    await asyncio.sleep(0)
    return "coroutine", n


@pytest.fixture
def gate(key):
    return static_gate(key, default="off")(coroutine)


# ---- off, on, and between ----


def test_off_await_gives_the_default_and_on_what_the_function_returns(key, gate):
    async def caller():
        return await gate(1), await gate(n=2)

    for enabled in off_on_off(key):
        assert asyncio.run(caller()) == ((("coroutine", 1), ("coroutine", 2)) if enabled else ("off", "off"))


DEFAULTS = [None, "off", (), (1, 2), [], ValueError("not raised"), StopIteration(3), StopIteration, Ellipsis]


@pytest.mark.parametrize("default", DEFAULTS, ids=repr)
def test_any_default_is_the_same_object_each_time(key, default):
    gate = static_gate(key, default=default)(coroutine)

    class Delegates:
        def __await__(self):
            return (yield from gate().__await__())

    class HandsOn:
        def __await__(self):
            return gate().__await__()

    async def caller():
        return await gate(), await Delegates(), await HandsOn()

    assert [result is default for result in asyncio.run(caller())] == [True] * 3
    assert asyncio.run(gate()) is default
    with pytest.raises(StopIteration) as stopped:
        gate().send(None)
    assert stopped.value.value is default


def test_what_was_called_before_a_toggle_stays_what_it_was(key, gate):
    async def caller():
        empty = gate(1)
        key.enable()
        full = gate(2)
        key.disable()
        return await empty, await full, await gate(3)

    assert asyncio.run(caller()) == ("off", ("coroutine", 2), "off")


def test_a_toggle_while_a_task_runs_is_for_the_next_call(key, gate):
    async def caller():
        key.enable()
        task = asyncio.create_task(gate(1))
        await asyncio.sleep(0)  # it has begun, and waits
        key.disable()
        return await gate(2), await task

    assert asyncio.run(caller()) == ("off", ("coroutine", 1))


def test_an_exception_of_the_function_reaches_the_awaiting_coroutine(key):
    @static_gate(key)
    async def fail():
        raise LookupError("from the function")

    assert asyncio.run(fail()) is None
    key.enable()
    with pytest.raises(LookupError, match="from the function"):
        asyncio.run(fail())


def test_an_off_call_runs_no_python_and_looks_at_no_argument(key, gate):
    events = []
    gc.collect()  # so that no weak reference's callback runs meanwhile

    async def caller():
        sys.setprofile(lambda frame, event, argument: events.append((event, frame.f_code.co_name)))
        try:
            await gate(1, 2, 3, nonsense=4)
        finally:
            sys.setprofile(None)

    asyncio.run(caller())
    assert [name for event, name in events if event == "call"] == []


def test_the_trampoline_goes_right_to_the_maker(key, gate):
    """Nothing on the way looks up how the maker is called."""
    native = [static_gate(key)(lambda: None), gate, static_gate(key)(coroutine)]
    words = [disassemble.read(each.__site__())[32:40] for each in native]
    assert words[1] == words[2] != words[0]
    (maker,) = [each for each in gc.get_referents(gate) if type(each).__name__ == "Maker"]
    vectorcall = int.from_bytes(words[1], "little")
    assert vectorcall == disassemble.ffi.cast("uintptr_t *", id(maker) + object.__basicsize__)[0]


# ---- as a coroutine that has not begun ----


def test_it_does_what_a_real_one_does_to_send_throw_and_close(key):
    async def real():
        return "off"

    gate = static_gate(key, default="off")(coroutine)
    mistakes = MISTAKES if sys.version_info < (3, 15) else []  # which looks first whether the coroutine has ended
    compare(real, gate, *mistakes)
    compare(lambda: real().__await__(), lambda: gate().__await__(), *mistakes, next, lambda it: iter(it) is it)


def test_what_is_thrown_keeps_its_traceback_and_what_is_dropped_is_gone(key, gate):
    try:
        raise KeyError("thrown")
    except KeyError as caught:
        error, line = caught, caught.__traceback__.tb_lineno
    with pytest.raises(KeyError) as thrown:
        gate().throw(error)
    assert line in [entry.lineno + 1 for entry in thrown.traceback]
    died = []
    reference = weakref.ref(gate(), died.append)
    assert reference() is None and died == [reference]


def test_its_iterator_is_the_same_coroutine(key, gate):
    empty = gate()
    iterator = empty.__await__()
    assert isinstance(iterator, collections.abc.Iterator) and not isinstance(iterator, collections.abc.Awaitable)
    assert after(iterator) == "off"
    for each in (empty, iterator, empty.__await__()):
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            each.send(None)


def test_awaited_again_it_says_so(key, gate):
    async def caller():
        empty = gate()
        assert await empty == "off"
        await empty

    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        asyncio.run(caller())


def test_each_call_gives_an_object_of_its_own(key, gate):
    empties = [gate() for _ in range(100)]
    assert len(set(empties)) == 100
    assert {weakref.ref(empty)() for empty in empties} == set(empties)


def test_it_passes_for_a_coroutine(key, gate):
    empty = gate()
    assert isinstance(empty, collections.abc.Coroutine) and inspect.isawaitable(empty) and asyncio.iscoroutine(empty)
    assert not isinstance(empty, collections.abc.Iterable) and not inspect.iscoroutine(empty)
    assert (empty.__name__, empty.__qualname__) == ("coroutine", "coroutine")
    assert "EmptyCoroutine of coroutine" in repr(empty)
    for name in ("cr_frame", "cr_await", "cr_code"):  # tools look for the first one, and take it for one written in C
        assert not hasattr(empty, name)
    with pytest.raises(TypeError, match="cannot create"):
        type(empty)()
    with pytest.raises(TypeError, match="pickle"):
        empty.__reduce_ex__(2)
    with pytest.raises(TypeError, match="not iterable"):
        iter(empty)


def test_a_dropped_coroutine_warns_of_nothing(key, gate):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        gate()
        asyncio.run(gate(), debug=True)
        gc.collect()
    assert warned == []


# ---- asyncio ----


@pytest.fixture(params=["C tasks", "Python tasks"])
def python_tasks(request):
    return request.param == "Python tasks"


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_asyncio_takes_it_wherever_it_takes_a_coroutine(key, gate, debug, python_tasks):
    async def main():
        loop = asyncio.get_running_loop()
        if python_tasks:
            loop.set_task_factory(lambda loop, coro, **options: asyncio.tasks._PyTask(coro, loop=loop, **options))
        results = [
            await asyncio.create_task(gate(), name="named"),
            await asyncio.ensure_future(gate()),
            await asyncio.wait_for(gate(), 10),
            await asyncio.shield(gate()),
            *await asyncio.gather(gate(), gate(), return_exceptions=True),
            *[await done for done in asyncio.as_completed([gate(), gate()])],
            *[task.result() for task in (await asyncio.wait([asyncio.create_task(gate())]))[0]],
        ]
        async with asyncio.timeout(10):
            results.append(await gate())
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(gate()) for _ in range(3)]
        results += [task.result() for task in tasks]
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(gate)
        return results

    for enabled in off_on_off(key):
        results = asyncio.run(main(), debug=debug)
        assert results == [("coroutine", 0) if enabled else "off"] * 13


def test_other_threads_may_hand_it_to_a_loop(key, gate):
    async def main():
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(gate(), loop).result(10))

    assert asyncio.run(main()) == "off"
    with asyncio.Runner() as runner:
        assert runner.run(gate()) == "off"
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(gate()) == "off"
    loop.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")
def test_an_eager_task_is_done_at_once(key, gate):
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        task = asyncio.create_task(gate())
        assert task.done()
        return task.result()

    assert asyncio.run(main()) == "off"


def test_a_task_of_it_can_be_cancelled_before_it_begins(key, gate, python_tasks):
    async def main():
        make = asyncio.tasks._PyTask if python_tasks else asyncio.Task
        task = make(gate(), loop=asyncio.get_running_loop())
        task.cancel("never mind")
        with pytest.raises(asyncio.CancelledError, match="never mind"):
            await task
        assert task.cancelled()

    asyncio.run(main())


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_asyncio_shows_a_task_of_it(key, gate, debug, python_tasks):
    async def main():
        make = asyncio.tasks._PyTask if python_tasks else asyncio.Task
        task = make(gate(), loop=asyncio.get_running_loop(), name="shown")
        text = io.StringIO()
        assert "coroutine()" in repr(task)
        assert task.get_stack() == []
        task.print_stack(file=text)
        assert "No stack for" in text.getvalue()
        if sys.version_info >= (3, 14) and not python_tasks:  # it looks at no others
            graph = asyncio.capture_call_graph(task)
            assert graph.future is task and graph.call_stack == ()
            asyncio.print_call_graph(task, file=text)
            assert "shown" in text.getvalue()
        await task
        assert "coroutine()" in repr(task)

    asyncio.run(main(), debug=debug)


# ---- what keeps what ----


def test_references_are_counted_exactly(key):
    default = object()
    gate = static_gate(key, default=default)(coroutine)
    counted = [gate, default, type(gate()), gc.get_referents(gate)[1], coroutine]
    gc.collect()
    before = [sys.getrefcount(each) for each in counted]
    for _ in range(100_000):
        with contextlib.suppress(StopIteration):
            gate().send(None)
    for _ in range(300):
        gate()
        empty = gate()
        for operation in OPERATIONS + MISTAKES:
            outcome(operation, empty)
            outcome(operation, empty.__await__())
            outcome(operation, gate())
        after(awaiting(gate()))
    del empty
    assert [sys.getrefcount(each) for each in counted] == before


async def awaiting(awaitable):
    return await awaitable


def test_it_keeps_the_default_and_outlives_the_gate(key):
    class Default:
        pass

    gate = static_gate(key, default=Default())(coroutine)
    empty = gate()
    del gate
    assert key.entries == ()
    default = weakref.ref(asyncio.run(empty))
    assert default() is not None  # until it goes, as it may be held elsewhere, too
    del empty
    assert default() is None


def test_a_gate_that_is_dropped_lets_go_of_its_default(key):
    class Default:
        pass

    default = Default()
    reference = weakref.ref(default)
    gates = [static_gate(key, default=default)(coroutine) for _ in range(3)]
    del default
    assert reference() is not None
    gates.clear()
    assert reference() is None and key.entries == ()


def test_a_cycle_through_the_default_is_collected(key):
    default = []
    gate = static_gate(key, default=default)(coroutine)
    default += [gate, gate()]
    reference = weakref.ref(default[1])
    del default, gate
    assert reference() is not None
    gc.collect()
    assert reference() is None and key.entries == ()


def test_the_collector_is_troubled_only_where_there_may_be_a_cycle(key):
    plain, container = (static_gate(key, default=default)(coroutine) for default in (None, []))
    assert not gc.is_tracked(plain()) and gc.is_tracked(container())
