"""StaticCall: where its calls go, as a function and as a method, before, during and after an update."""

import asyncio
import functools
import gc
import inspect
import pickle
import sys
import weakref

import pytest
from site_checks import echo, nothing_made, other_echo

import jumplabel
from jumplabel import DecorationError, StaticCall, StaticKey, batch, static_gate, static_switch

CALLS = [
    ((), {}),
    ((1,), {}),
    ((1, 2, 3), {"a": 1}),
    (tuple(range(50)), {f"k{n}": n for n in range(50)}),
]


@StaticCall
def at_module_level(x: int = 3) -> int:
    """For pickle and inspect."""
    return x


class Callable:
    def __call__(self, *args, **kwargs):
        return self, args, kwargs

    def method(self, *args, **kwargs):
        return self, args, kwargs


def ran(function):
    """The names of the Python functions that a call of it enters."""
    names = []

    def profile(frame, event, _):
        if event == "call":
            names.append(frame.f_code.co_name)

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return names


# ---- calls ----


@pytest.mark.parametrize(("args", "kwargs"), CALLS)
def test_calls_go_to_the_present_target(args, kwargs):
    call = StaticCall(echo)
    assert call.func is echo and call(*args, **kwargs) == (args, kwargs)
    call.update(other_echo)
    assert call.func is other_echo and call(*args, **kwargs) == ("other", args, kwargs)
    call.update(None)
    assert call.func is None and call(*args, **kwargs) is None
    call.update(echo)
    assert call.func is echo and call(*args, **kwargs) == (args, kwargs)


def test_off_it_enters_no_python():
    call = StaticCall(echo)
    assert ran(call) == ["echo"]
    call.update(None)
    assert ran(call) == []


TARGETS = {
    "builtin": lambda: max,
    "method of a builtin": lambda: {3: 4}.get,
    "class": lambda: Callable,
    "bound method": lambda: Callable().method,
    "object": Callable,
    "partial": lambda: functools.partial(echo, 1),
    "gate": lambda: static_gate(StaticKey("test_static_call.gate", default=True))(echo),
    "switch": lambda: static_switch(StaticKey("test_static_call.switch"), to=echo)(other_echo),
    "static call": lambda: StaticCall(echo),
}


@pytest.mark.parametrize("make", TARGETS.values(), ids=list(TARGETS))
def test_anything_that_can_be_called_is_a_target(make):
    target = make()
    arguments = (3, 4) if target is max else (3,) if inspect.isbuiltin(target) else () if target is Callable else (1, 2)
    kind = type(target(*arguments)) if target is Callable else None
    for call in (StaticCall(target), StaticCall(echo)):
        call.update(target)
        assert call.func is target
        result = call(*arguments)
        assert type(result) is kind if kind else result == target(*arguments)


def test_exceptions_pass_through():
    def fail(error):
        raise error

    call = StaticCall(echo)
    for target in (fail, functools.partial(fail)):
        call.update(target)
        error = ZeroDivisionError()
        with pytest.raises(ZeroDivisionError) as caught:
            call(error)
        assert caught.value is error
        assert [entry.name for entry in caught.traceback] == ["test_exceptions_pass_through", "fail"]


def test_arguments_are_checked_by_the_target():
    call = StaticCall(lambda a, *, b: (a, b))
    assert call(1, b=2) == (1, 2)
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument"):
        call(1)


def test_recursion_and_an_update_in_its_midst():
    @StaticCall
    def down(n):
        if n == 5:
            down.update(lambda n: "the other one")
        return down(n - 1) if n else "the bottom"

    assert down(4) == "the bottom"
    assert down(9) == "the other one"


def test_a_target_may_update_the_call_to_nothing():
    @StaticCall
    def once():
        once.update(None)
        gc.collect()
        return "done"

    assert once() == "done" and once() is None


# ---- as a function ----


class Thing:
    @StaticCall
    def method(self, x):
        return "method", self, x

    @classmethod
    @StaticCall
    def class_method(cls, x):
        return "class", cls, x

    @staticmethod
    @StaticCall
    def static_method(x):
        return "static", x


def test_methods():
    thing = Thing()
    assert thing.method(1) == Thing.method(thing, 1) == ("method", thing, 1)
    assert thing.class_method(1) == Thing.class_method(1) == ("class", Thing, 1)
    assert thing.static_method(1) == Thing.static_method(1) == ("static", 1)
    bound = thing.method
    Thing.method.update(lambda self, x: ("new", self, x))
    try:
        assert bound(1) == thing.method(1) == ("new", thing, 1)
    finally:
        Thing.method.update(Thing.method.__wrapped__)


def test_a_method_is_called_without_a_bound_method():
    assert type(Thing.method).__flags__ & (1 << 17)  # Py_TPFLAGS_METHOD_DESCRIPTOR
    assert type(Thing.method).__flags__ & (1 << 11)  # Py_TPFLAGS_HAVE_VECTORCALL


def test_its_type_cannot_be_changed_and_so_is_quick():
    with pytest.raises(TypeError, match="immutable type"):
        StaticCall.__call__ = echo


def test_it_stands_for_the_function():
    call = at_module_level
    assert (call.__name__, call.__qualname__, call.__module__) == ("at_module_level", "at_module_level", __name__)
    assert call.__doc__ == "For pickle and inspect." and call.__wrapped__.__code__ is call.__code__
    assert str(inspect.signature(call)) == "(x: int = 3) -> int"
    assert weakref.ref(call)() is call
    call.note = "settable"
    assert call.note == "settable"
    assert "<StaticCall " in repr(call) and "at_module_level to <function at_module_level" in repr(call)


def test_it_is_pickled_by_name():
    assert pickle.loads(pickle.dumps(at_module_level)) is at_module_level


def test_the_jump_table_shows_it():
    before = jumplabel.info().native_sites
    call = StaticCall(echo)
    address = call.__site__()

    def row():
        return next(entry for entry in jumplabel.jump_table() if entry.address == address)

    assert (row().kind, row().native, row().state) == ("call", True, True)
    assert row().key == "site_checks.echo" and row().owner == f"site_checks.echo:{echo.__code__.co_firstlineno}"
    call.update(None)
    assert row().state is False
    assert jumplabel.info().native_sites == before + 1
    assert not any(key.name == "site_checks.echo" for key in jumplabel.keys())


# ---- refusals ----


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (None, "needs a callable, not None"),
        (7, "needs a callable, not 7"),
        (property(lambda self: 1), "needs a callable"),
        (classmethod(echo), "put @classmethod around the StaticCall"),
        (staticmethod(echo), "put @staticmethod around the StaticCall"),
    ],
)
def test_what_cannot_be_called_is_refused(function, message):
    with nothing_made(), pytest.raises(DecorationError, match=message):
        StaticCall(function)
    call = StaticCall(echo)
    if function is not None:
        with nothing_made(), pytest.raises(DecorationError, match=message):
            call.update(function)
    assert call.func is echo and call(1) == ((1,), {})


async def coroutine():
    return "waited for"


class AsyncCallable:
    async def __call__(self):
        return "waited for"


def test_a_coroutine_function_and_a_plain_one_do_not_take_each_others_place():
    with nothing_made(), pytest.raises(DecorationError, match=r"a coroutine function, and .* is a plain callable"):
        at_module_level.update(coroutine)
    call = StaticCall(coroutine)
    with nothing_made(), pytest.raises(DecorationError, match=r"is a plain callable, and .* is a coroutine function"):
        call.update(echo)


def test_a_plain_function_around_a_coroutine_function_has_no_off_state_result():
    call = StaticCall(functools.wraps(coroutine)(lambda: coroutine()))
    with nothing_made(), pytest.raises(DecorationError, match="a plain function around a coroutine function"):
        call.update(None)
    assert asyncio.run(call()) == "waited for"


@pytest.mark.parametrize(
    "make", [lambda: StaticCall(functools.partial(coroutine)), lambda: StaticCall(AsyncCallable())]
)
def test_what_is_not_a_function_may_be_a_coroutine_function_too(make, key):
    gate = static_gate(key, default="gated")(make())
    assert asyncio.run(gate()) == "gated"
    key.enable()
    assert asyncio.run(gate()) == "waited for"
    call = make()
    call.update(None)
    assert asyncio.run(call()) is None


def test_inspect_looks_into_a_partial_object():
    assert inspect.iscoroutinefunction(StaticCall(functools.partial(coroutine)))


def test_it_cannot_be_made_halfway():
    with pytest.raises(TypeError):
        StaticCall()
    with pytest.raises(TypeError):
        StaticCall(echo, echo)


# ---- batches and keys ----


def test_an_update_does_not_wait_for_a_batch(key):
    gate = static_gate(key, default="off")(lambda: "on")
    call = StaticCall(echo)
    with batch():
        key.enable()
        call.update(None)
        assert call() is None and gate() == "off"
    assert gate() == "on"
