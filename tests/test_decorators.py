"""static_gate and static_switch: what comes out stands for a function, and decides where its calls go."""

import abc
import asyncio
import contextlib
import copy
import ctypes
import dis
import functools
import gc
import inspect
import operator
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import tracemalloc
import types
import typing
import weakref

import pytest

import jumplabel
from jumplabel import DecorationError, StaticKey, static_gate, static_switch

METHOD_DESCRIPTOR = 1 << 17  # Py_TPFLAGS_METHOD_DESCRIPTOR

CALLS = [
    ((), {}),
    ((1,), {}),
    ((1, 2, 3), {}),
    ((), {"a": 1}),
    ((1,), {"b": 2, "more": 3}),
    (tuple(range(50)), {f"k{n}": n for n in range(50)}),
]


@pytest.fixture
def key(request):
    return StaticKey(request.node.nodeid)


@pytest.fixture
def other_key(request):
    return StaticKey(f"{request.node.nodeid} other")


@pytest.fixture(params=["gate", "switch"])
def decorator(request, key):
    """A gate or switch; where a test calls what it makes, the key is on or the two targets agree."""
    if request.param == "gate":
        return static_gate(key)
    return lambda function: static_switch(key, to=getattr(function, "__func__", function))(function)


def echo(*args, **kwargs):
    return args, kwargs


def other_echo(*args, **kwargs):
    return "other", args, kwargs


@contextlib.contextmanager
def nothing_made():
    """Neither a new site nor a change of an old one."""
    gc.collect()
    before = jumplabel.jump_table(), jumplabel.info().batches
    yield
    assert (jumplabel.jump_table(), jumplabel.info().batches) == before


def off_on_off(key):
    """Each state, twice: also after the way back."""
    for enabled in (False, True, False, True, False):
        key.enable() if enabled else key.disable()
        yield enabled


# ---- calls ----


@pytest.mark.parametrize(("args", "kwargs"), CALLS)
def test_a_gate_calls_the_function_while_on(key, args, kwargs):
    gate = static_gate(key, default="off")(echo)
    for enabled in off_on_off(key):
        assert gate(*args, **kwargs) == ((args, kwargs) if enabled else "off")


@pytest.mark.parametrize(("args", "kwargs"), CALLS)
def test_a_switch_calls_one_or_the_other(key, args, kwargs):
    switch = static_switch(key, to=other_echo)(echo)
    for enabled in off_on_off(key):
        assert switch(*args, **kwargs) == (("other", args, kwargs) if enabled else (args, kwargs))


def test_defaults_and_keyword_only_arguments(key, decorator):
    @decorator
    def function(a, b=2, /, c=3, *rest, d, e=5, **more):
        return a, b, c, rest, d, e, more

    key.enable()
    assert function(1, d=4) == (1, 2, 3, (), 4, 5, {})
    assert function(1, 0, 0, 9, d=0, e=0, f=6) == (1, 0, 0, (9,), 0, 0, {"f": 6})
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'd'"):
        function(1)


def test_made_while_on_it_is_on(key):
    key.enable()
    gate, switch = static_gate(key)(echo), static_switch(key, to=other_echo)(echo)
    assert gate(1) == ((1,), {}) and switch(1) == ("other", (1,), {})
    key.disable()
    assert gate(1) is None and switch(1) == ((1,), {})


def test_an_off_gate_does_not_check_arguments_but_evaluates_them(key):
    evaluated = []
    gate = static_gate(key)(lambda: "called")
    assert gate(evaluated.append(1), nonsense=evaluated.append(2)) is None
    assert evaluated == [1, 2]
    key.enable()
    with pytest.raises(TypeError):
        gate(1)


def test_exceptions_pass_through(key):
    class Oops(Exception):
        pass

    def fail(oops):
        raise oops

    gate, switch = static_gate(key)(fail), static_switch(key, to=fail)(fail)
    for enabled in off_on_off(key):
        for function in (gate, switch) if enabled else (switch,):
            oops = Oops()
            with pytest.raises(Oops) as caught:
                function(oops)
            assert caught.value is oops
            assert [entry.name for entry in caught.traceback] == ["test_exceptions_pass_through", "fail"]


def test_recursion(key):
    @static_gate(key, default=1)
    def factorial(n):
        return n * factorial(n - 1) if n else 1

    @static_switch(key, to=lambda n: n and -switched(n - 1) - 1)
    def switched(n):
        return n and switched(n - 1) + 1

    for enabled in off_on_off(key):
        assert factorial(20) == (2432902008176640000 if enabled else 1)
        assert switched(7) == (-1 if enabled else 7)


def test_endless_recursion_is_an_error(key):
    @static_gate(key)
    def endless():
        return endless() + 1

    key.enable()
    with pytest.raises(RecursionError):
        endless()


def test_a_toggle_inside_the_function_counts_for_the_next_call(key):
    @static_gate(key)
    def gate():
        key.disable()
        return gate()

    @static_switch(key, to=lambda: "on")
    def switch():
        key.enable()
        return "off, then " + switch()

    key.enable()
    assert gate() is None
    assert switch() == "off, then on"


def test_a_callable_that_deletes_itself_while_it_runs(key):
    """The call holds it: nobody takes the trampoline away from under it."""

    def suicide():
        space.clear()
        gc.collect()
        return [static_gate(key)(echo) for _ in range(10)] and "survived"

    key.enable()
    space = {"gate": static_gate(key)(suicide)}
    assert space["gate"]() == "survived"
    assert not key.entries


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(operator.neg, id="METH_O builtin"),
        pytest.param(int, id="class"),
        pytest.param(functools.partial(max, 5), id="partial"),
        pytest.param([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].__getitem__, id="bound builtin method"),
        pytest.param(types.MethodType(lambda self, n: (self, n), "self"), id="bound method"),
        pytest.param(type("Callable", (), {"__call__": lambda self, n: n + 1})(), id="callable instance"),
        pytest.param(lambda n: n * 2, id="lambda"),
        pytest.param(abs, id="abs"),
        pytest.param(int.bit_length, id="method descriptor"),
        pytest.param(int.__neg__, id="slot wrapper"),
        pytest.param((3).__add__, id="method wrapper"),
        pytest.param(functools.lru_cache(lambda n: n + 2), id="lru_cache"),
        pytest.param(print, id="keyword builtin"),
    ],
)
def test_targets_of_every_kind(key, capsys, target):
    switch = static_switch(key, to=target)(echo)
    for enabled in off_on_off(key):
        assert switch(7) == (target(7) if enabled else ((7,), {}))
        assert switch(*[7], **{}) == (target(7) if enabled else ((7,), {}))
    if not isinstance(target, type):
        gate, back = static_gate(key)(target), static_switch(key, to=echo)(target)
        for enabled in off_on_off(key):
            assert gate(7) == (target(7) if enabled else None)
            assert back(7) == (((7,), {}) if enabled else target(7))


def test_keyword_arguments_reach_builtins(key):
    gate = static_gate(key)(sorted)
    switch = static_switch(key, to=functools.partial(dict, a=1))(functools.partial(dict))
    for enabled in off_on_off(key):
        assert gate([1, 3, 2], key=lambda n: -n, reverse=False) == ([3, 2, 1] if enabled else None)
        assert switch(b=2) == ({"a": 1, "b": 2} if enabled else {"b": 2})


# ---- nothing but the trampoline ----


def site_of(made):
    return made.__site__()


def vectorcall_of(made):
    """The pointer stands right behind the object's head; call it what you like, it is what the interpreter calls."""
    return ctypes.c_void_p.from_address(id(made) + object.__basicsize__).value


def test_the_vectorcall_pointer_is_the_trampoline(decorator, key):
    made = decorator(echo)
    assert jumplabel.info().native
    assert vectorcall_of(made) == site_of(made) == key.entries[0].address
    key.enable()
    assert vectorcall_of(made) == site_of(made)
    with open("/proc/self/maps") as maps:
        spans = [line.split()[:2] for line in maps]
    inside = [
        access for span, access in spans if int(span.split("-")[0], 16) <= site_of(made) < int(span.split("-")[1], 16)
    ]
    assert inside == ["r-xs"]


def test_an_off_gate_runs_no_python(key):
    gate = static_gate(key)(lambda: "called")

    class Class:
        method = gate

    instance = Class()

    def events_of(function):
        events = []
        sys.setprofile(lambda frame, event, arg: events.append(event))
        try:
            function()
        finally:
            sys.setprofile(None)
        return events

    nothing = events_of(lambda: None)
    assert events_of(lambda: (gate(), gate(1, a=2), instance.method())) == nothing
    key.enable()
    assert events_of(lambda: (gate(),)) != nothing


def test_a_method_call_makes_no_bound_method(key):
    class Class:
        @static_gate(key)
        def method(self):
            pass

    assert type(Class.__dict__["method"]).__flags__ & METHOD_DESCRIPTOR
    instance = Class()

    def call():
        instance.method()

    for _ in range(100):
        call()
    names = [instruction.opname for instruction in dis.get_instructions(call, adaptive=True)]
    assert any("METHOD_" in name for name in names), names  # specialized as for a function

    def peak(function):
        tracemalloc.start()
        try:
            function()
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            function()
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()

    assert peak(call) == peak(lambda: None)


# ---- methods ----


def class_with_methods(key, decorate):
    class Base:
        def plain(self, *args, **kwargs):
            return self, args, kwargs

        @decorate
        def method(self, *args, **kwargs):
            return self, args, kwargs

        @classmethod
        @decorate
        def class_outside(cls, *args, **kwargs):
            return cls, args, kwargs

        @decorate
        @classmethod
        def class_inside(cls, *args, **kwargs):
            return cls, args, kwargs

        @staticmethod
        @decorate
        def static_outside(*args, **kwargs):
            return args, kwargs

        @decorate
        @staticmethod
        def static_inside(*args, **kwargs):
            return args, kwargs

    return Base


def test_methods_of_every_kind(key):
    base = class_with_methods(key, static_gate(key, default="off"))
    derived = type("Derived", (base,), {})
    instance = derived()
    calls = {
        "method": instance,
        "class_outside": derived,
        "class_inside": derived,
        "static_outside": None,
        "static_inside": None,
    }
    for enabled in off_on_off(key):
        for name, first in calls.items():
            expected = ((1,), {"a": 2}) if first is None else (first, (1,), {"a": 2})
            assert getattr(instance, name)(1, a=2) == (expected if enabled else "off"), name
            if name != "method":
                assert getattr(derived, name)(1, a=2) == (expected if enabled else "off"), name
        assert base.method(instance, 1) == ((instance, (1,), {}) if enabled else "off")
    assert len(key.entries) == 5


def test_switched_methods_of_every_kind(key):
    def to(*args, **kwargs):
        return "to", args, kwargs

    instance = class_with_methods(key, static_switch(key, to=to))()
    cls = type(instance)
    firsts = {"method": (instance,), "class_outside": (cls,), "class_inside": (cls,)}
    for enabled in off_on_off(key):
        for name in ("method", "class_outside", "class_inside", "static_outside", "static_inside"):
            first = firsts.get(name, ())
            expected = ("to", (*first, 1), {"a": 2}) if enabled else (*first, (1,), {"a": 2})
            assert getattr(instance, name)(1, a=2) == expected, name


@pytest.mark.parametrize("kind", [classmethod, staticmethod])
def test_a_switch_goes_to_a_classmethod_or_staticmethod(key, kind):
    class Class:
        @kind
        def to(*args):
            return "to", args

        @static_switch(key, to=to)
        @kind
        def method(*args):
            return "method", args

    first = (Class,) if kind is classmethod else ()
    for enabled in off_on_off(key):
        assert Class().method(1) == ("to" if enabled else "method", (*first, 1))
        assert Class().to(1) == ("to", (*first, 1))


def test_class_access_gives_the_callable_itself(key, decorator):
    class Class:
        @decorator
        def method(self):
            return self

    made = Class.__dict__["method"]
    instance = Class()
    key.enable()
    assert Class.method is made
    assert isinstance(instance.method, types.MethodType)
    assert (instance.method.__func__, instance.method.__self__) == (made, instance)
    assert instance.method() is instance and made.__get__(instance)() is instance
    assert made.__get__(None, Class) is made


def test_super_reaches_decorated_methods(key):
    class Base:
        @static_gate(key, default="off")
        def method(self, n):
            return "base", n

    class Derived(Base):
        @static_switch(key, to=lambda self, n: ("to", super(Derived, self).method(n)))
        def method(self, n):
            return "derived", super().method(n)

    for enabled in off_on_off(key):
        assert Derived().method(1) == (("to", ("base", 1)) if enabled else ("derived", "off"))


def test_abstract_methods_stay_abstract(key, decorator):
    class Base(abc.ABC):
        @decorator
        @abc.abstractmethod
        def inside(self):
            pass

        @abc.abstractmethod
        @decorator
        def outside(self):
            pass

    assert Base.__abstractmethods__ == {"inside", "outside"}
    with pytest.raises(TypeError, match="abstract"):
        Base()


# ---- stands for the function ----


@pytest.fixture
def documented(decorator):
    @decorator
    def documented(a: int, *, b: "str" = "b") -> list[int]:
        """Its documentation."""

    return documented


def test_it_looks_like_the_function(documented):
    function = documented.__wrapped__
    assert isinstance(function, types.FunctionType)
    assert documented.__doc__ == "Its documentation."
    assert documented.__name__ == "documented"
    assert documented.__qualname__ == function.__qualname__
    assert documented.__module__ == __name__
    assert inspect.signature(documented) == inspect.signature(function)
    assert inspect.unwrap(documented) is function
    assert inspect.getsource(documented) == inspect.getsource(function)
    assert typing.get_type_hints(documented) == {"a": int, "b": str, "return": list[int]}
    assert documented.__code__ is function.__code__ and documented.__kwdefaults__ == {"b": "b"}
    assert inspect.isroutine(documented) and callable(documented)
    assert function.__qualname__ in repr(documented) and "static_" in repr(documented)


def test_attributes_are_its_own(decorator):
    def function():
        pass

    function.before = [1]
    made = decorator(function)
    assert made.before is function.before
    made.after = 2
    assert not hasattr(function, "after") and vars(made)["after"] == 2
    function.later = 3
    assert made.later == 3
    with pytest.raises(AttributeError, match="missing"):
        _ = made.missing


def test_functools_wraps_around_it(key):
    gate = static_gate(key)(echo)

    @functools.wraps(gate)
    def wrapper(*args):
        return "wrapped", gate(*args)

    assert wrapper.__wrapped__ is gate and inspect.unwrap(wrapper) is echo
    assert inspect.signature(wrapper) == inspect.signature(echo)
    outer = static_gate(key)(wrapper)
    for enabled in off_on_off(key):
        assert outer(1) == (("wrapped", ((1,), {})) if enabled else None)
        assert wrapper(1) == ("wrapped", ((1,), {}) if enabled else None)


def test_weak_references(key, decorator):
    died = []
    made = decorator(lambda: None)
    reference = weakref.ref(made, died.append)
    finalizer = weakref.finalize(made, died.append, "finalized")
    assert reference() is made and len(key.entries) == 1
    del made
    assert reference() is None and not finalizer.alive
    assert sorted(map(str, died)) == sorted([str(reference), "finalized"])
    assert key.entries == ()


def test_equality_and_hash_are_identity(decorator):
    first, second = decorator(echo), decorator(echo)
    assert first == first and first != second and {first, second, first} == {second, first}


def test_copies_are_the_callable_itself(key, decorator):
    made = decorator(echo)
    assert copy.copy(made) is made
    assert copy.deepcopy([made]) == [made]
    assert len(key.entries) == 1


def test_pickling_by_name_also_into_another_process(tmp_path):
    (tmp_path / "shop.py").write_text(
        textwrap.dedent("""
            from jumplabel import StaticKey, static_gate, static_switch

            key = StaticKey("shop.pickled")

            @static_gate(key, default="off")
            def gated(n):
                return "on", n

            @static_switch(key, to=lambda n: ("to", n))
            def switched(n):
                return "from", n

            class Class:
                @static_gate(key, default="off")
                def method(self, n):
                    return "method", n

                @classmethod
                @static_gate(key, default="off")
                def class_method(cls, n):
                    return cls.__name__, n

            def enable(found):
                assert found is key
                found.enable()
        """)
    )
    (tmp_path / "main.py").write_text(
        textwrap.dedent("""
            import multiprocessing
            import pickle

            import shop

            if __name__ == "__main__":
                callables = [shop.gated, shop.switched, shop.Class().method, shop.Class.class_method]
                for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                    assert pickle.loads(pickle.dumps(shop.gated, protocol)) is shop.gated
                    assert pickle.loads(pickle.dumps(shop.Class.method, protocol)) is shop.Class.method
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    shop.key.enable()  # here, not there
                    assert [pool.apply(each, (1,)) for each in callables] == ["off", ("from", 1), "off", "off"]
                    pool.apply(shop.enable, (shop.key,))
                    there = [pool.apply(each, (1,)) for each in callables]
                    assert there == [("on", 1), ("to", 1), ("method", 1), ("Class", 1)], there
        """)
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, tmp_path / "main.py"], check=True, env=environment)


def test_a_local_function_cannot_be_pickled(decorator):
    with pytest.raises((AttributeError, pickle.PicklingError), match="<locals>"):
        pickle.dumps(decorator(lambda: None))


# ---- coroutines and generators ----


async def coroutine(n=0):
    await asyncio.sleep(0)
    return "coroutine", n


async def other_coroutine(n=0):
    return "other coroutine", n


def generator(n=0):
    yield "generator", n


def other_generator(n=0):
    yield "other generator", n


async def async_generator(n=0):
    yield "async generator", n


async def other_async_generator(n=0):
    yield "other async generator", n


class CallsCoroutine:
    async def __call__(self):
        pass


class HasCoroutine:
    async def method(self):
        pass


def wraps_coroutine():
    @functools.wraps(coroutine)
    def wrapper():
        return coroutine()

    return wrapper


FLAVOURED = [
    (coroutine, "coroutine"),
    (generator, "generator"),
    (async_generator, "async generator"),
    (functools.partial(coroutine, 1), "coroutine"),
    (functools.partial(functools.partial(generator, 1)), "generator"),
    (CallsCoroutine(), "coroutine"),
    (HasCoroutine().method, "coroutine"),
    (wraps_coroutine(), "coroutine"),
    (types.coroutine(generator), "generator"),
    (classmethod(coroutine), "coroutine"),
    (staticmethod(generator), "generator"),
]


@pytest.mark.parametrize(("function", "flavour"), FLAVOURED)
def test_gating_it_to_a_plain_value_is_refused(key, function, flavour):
    message = rf"is an? {flavour} function; .*\. Gate a plain function that it calls"
    with nothing_made(), pytest.raises(DecorationError, match=message):
        static_gate(key)(function)


@pytest.mark.parametrize(("function", "flavour"), FLAVOURED)
def test_a_switch_of_mixed_flavours_is_refused(key, function, flavour):
    with nothing_made(), pytest.raises(DecorationError, match=rf"plain callable.*is an? {flavour} function"):
        static_switch(key, to=function)(echo)
    with nothing_made(), pytest.raises(DecorationError, match=rf"is an? {flavour} function.*plain callable"):
        static_switch(key, to=echo)(function)


def test_a_switch_of_two_different_flavours_is_refused(key):
    for function in (coroutine, generator, async_generator):
        for to in {coroutine, generator, async_generator} - {function}:
            with pytest.raises(DecorationError, match="no caller could use the results of both"):
                static_switch(key, to=to)(function)
    assert key.entries == ()


def test_switching_coroutine_functions(key):
    switch = static_switch(key, to=other_coroutine)(coroutine)
    assert inspect.iscoroutinefunction(switch)
    for enabled in off_on_off(key):
        assert asyncio.run(switch(n=1)) == ("other coroutine" if enabled else "coroutine", 1)
    with pytest.raises(DecorationError, match="coroutine function"):
        static_gate(key)(switch)


def test_switching_generator_functions(key):
    switch = static_switch(key, to=other_generator)(generator)
    async_switch = static_switch(key, to=other_async_generator)(async_generator)
    assert inspect.isgeneratorfunction(switch) and inspect.isasyncgenfunction(async_switch)

    async def collect(iterable):
        return [item async for item in iterable]

    for enabled in off_on_off(key):
        assert list(switch(1)) == [("other generator" if enabled else "generator", 1)]
        expected = [("other async generator" if enabled else "async generator", 1)]
        assert asyncio.run(collect(async_switch(1))) == expected


def test_a_generator_runs_on_with_the_body_that_it_began_with(key):
    switch = static_switch(key, to=other_generator)(generator)
    begun = switch(1)
    key.enable()
    assert next(begun) == ("generator", 1) and next(switch(1)) == ("other generator", 1)


# ---- stacking ----


def test_a_gate_over_a_switch(key, other_key):
    switch = static_switch(other_key, to=other_echo)(echo)
    gate = static_gate(key, default="off")(switch)
    for _ in off_on_off(key):
        for _ in off_on_off(other_key):
            through = ("other", (1,), {"a": 2}) if other_key else ((1,), {"a": 2})
            assert gate(1, a=2) == (through if key else "off")


def test_a_switch_over_a_gate_of_the_same_key(key):
    gate = static_gate(key, default="off")(echo)
    switch = static_switch(key, to=gate)(lambda n: "not there")
    below = static_switch(key, to=other_echo)(gate)
    for enabled in off_on_off(key):
        assert switch(1) == (((1,), {}) if enabled else "not there")
        assert below(1) == (("other", (1,), {}) if enabled else "off")
    inner = weakref.ref(gate)
    del gate, below
    key.enable()
    assert switch(1) == ((1,), {}) and inner() is not None


@pytest.mark.parametrize("wrap", [lambda function: function, classmethod, staticmethod])
def test_stacking_the_same_kind_is_refused(key, other_key, wrap):
    gate, switch = static_gate(key)(echo), static_switch(key, to=other_echo)(echo)
    gate_over_switch, switch_over_gate = static_gate(key)(switch), static_switch(key, to=other_echo)(gate)
    for function in (gate, gate_over_switch, switch_over_gate):
        with nothing_made(), pytest.raises(DecorationError, match=r"is a static_gate already.*use one key for both"):
            static_gate(other_key)(wrap(function))
    for function in (switch, switch_over_gate, gate_over_switch):
        with nothing_made(), pytest.raises(DecorationError, match=r"is a static_switch already.*use one key for both"):
            static_switch(other_key, to=other_echo)(wrap(function))


# ---- refusals ----


class Plain:
    pass


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (None, "decorates a function, not None"),
        (7, "decorates a function, not 7"),
        (property(lambda self: 1), "decorate the function inside it"),
        (functools.cached_property(lambda self: 1), "decorate the function inside it"),
        (functools.partialmethod(echo, 1), "decorate the function inside it"),
        (Plain, "Plain is a class; decorate its methods"),
        (Plain(), "decorates a function, not <"),
        (classmethod(property()), "decorates a function, not <property"),
    ],
)
def test_what_is_not_a_function_is_refused(key, function, message):
    for decorate in (static_gate(key), static_switch(key, to=echo)):
        with nothing_made(), pytest.raises(DecorationError, match=message):
            decorate(function)
    assert issubclass(DecorationError, TypeError)


def test_what_is_not_a_key_is_refused(key):
    for bad in (None, "shop.tracing", True, StaticKey):
        with pytest.raises(DecorationError, match="static_gate needs a StaticKey first"):
            static_gate(bad)
        with pytest.raises(DecorationError, match="static_switch needs a StaticKey first"):
            static_switch(bad, to=echo)
    with pytest.raises(DecorationError, match=r"write @static_gate\(key\)"):

        @static_gate
        def without_parentheses():
            pass


def test_what_cannot_be_switched_to_is_refused(key):
    for bad in (None, 7, property()):
        with pytest.raises(DecorationError, match="needs a callable to switch to"):
            static_switch(key, to=bad)
    assert key.entries == ()


# ---- references ----


@pytest.mark.parametrize(
    ("make", "noise"),  # others use None and 7 too
    [
        pytest.param(lambda: None, 20, id="None"),
        pytest.param(lambda: 7, 20, id="small int"),
        pytest.param(lambda: 10**30 + 1, 0, id="big int"),
        pytest.param(lambda: [], 0, id="list"),
        pytest.param(object, 0, id="object"),
        pytest.param(lambda: "".join(["not ", "interned"]), 0, id="string"),
        pytest.param(lambda: type("Fresh", (), {}), 0, id="class"),
    ],
)
def test_a_default_is_returned_as_it_is_and_counted_exactly(key, make, noise):
    default = make()
    gate = static_gate(key, default=default)(echo)
    before = sys.getrefcount(default)
    immortal = before > 2**30
    for _ in range(100_000):
        gate(1)
    assert abs(sys.getrefcount(default) - before) <= noise
    results = [gate() for _ in range(1000)]
    assert abs(sys.getrefcount(default) - before - (0 if immortal else 1000)) <= noise
    assert all(result is default for result in results)


def test_a_default_lives_as_long_as_its_gate(key):
    class Default:
        pass

    gate = static_gate(key, default=Default())(echo)
    reference = weakref.ref(gate())
    assert reference() is gate() is not None
    del gate
    assert reference() is None


def test_references_are_counted_exactly_over_many_calls(key, decorator):
    class Thing:
        pass

    def function(thing, *, keyword):
        return thing

    made = decorator(function)
    things = [Thing(), Thing()]
    counted = [made, function, key, *things]
    for _ in off_on_off(key):
        before = [sys.getrefcount(each) for each in counted]
        for _ in range(10_000):
            made(things[0], keyword=things[1])
        assert [sys.getrefcount(each) for each in counted] == before


def test_making_and_dropping_leaves_no_references(key, decorator):
    def function():
        pass

    decorator(function)
    before = sys.getrefcount(function), sys.getrefcount(key)
    for _ in range(1000):
        decorator(function)
    assert (sys.getrefcount(function), sys.getrefcount(key)) == before


def test_entries_go_when_the_callable_does(key, decorator):
    made = [decorator(echo) for _ in range(5)]
    addresses = {each.__site__() for each in made}
    assert {entry.address for entry in key.entries} == addresses and len(addresses) == 5
    gone = made.pop(2).__site__()
    assert {entry.address for entry in key.entries} == addresses - {gone}
    key.enable()
    assert all(entry.state for entry in key.entries)
    made.clear()
    assert key.entries == ()


def test_a_refused_function_leaves_no_entry(key):
    """Copying its attributes comes last; what fails there takes the new site with it."""

    class Callable:
        __dict__ = 7

        def __call__(self):
            pass

    with pytest.raises(TypeError):
        static_gate(key)(Callable())
    gc.collect()
    assert key.entries == ()


def cycle_through_closure(decorate):
    made = decorate(lambda: made)
    return made


def cycle_through_globals(decorate):
    space = {"decorate": decorate}
    exec("made = decorate(lambda: made)", space)
    return space["made"]


def cycle_through_dict(decorate):
    made = decorate(lambda: None)
    made.me = made
    return made


def cycle_through_instance(decorate):
    instance = Plain()
    instance.method = made = decorate(types.MethodType(lambda self: None, instance))
    return made


def cycle_through_partial(decorate):
    arguments = []
    made = decorate(functools.partial(lambda arguments: None, arguments))
    arguments.append(made)
    return made


def cycle_through_builtin(decorate):
    items = []
    made = decorate(items.append)
    items.append(made)
    return made


@pytest.mark.parametrize(
    "make",
    [
        cycle_through_closure,
        cycle_through_globals,
        cycle_through_dict,
        cycle_through_instance,
        cycle_through_partial,
        cycle_through_builtin,
    ],
)
def test_cycles_are_collected(key, decorator, make):
    made = make(decorator)
    reference = weakref.ref(made)
    gc.collect()
    assert reference() is made and len(key.entries) == 1
    del made
    gc.collect()
    assert reference() is None
    assert key.entries == ()


def test_a_cycle_through_the_default_is_collected(key):
    default = []
    default.append(static_gate(key, default=default)(echo))
    assert len(key.entries) == 1
    del default
    gc.collect()
    assert key.entries == ()


def test_a_long_chain_is_torn_down():
    """Each link holds the next: tearing them down must not nest as deep. In a process of its own, as it could crash."""
    script = """
        import threading
        from jumplabel import StaticKey, static_switch

        def build_and_drop():
            key = StaticKey("chain")
            function = made = lambda: "end"
            for _ in range(50_000):
                made = static_switch(key, to=made)(function)
            key.enable()
            assert made() == "end"
            del made
            assert key.entries == ()

        threading.stack_size(1024 * 1024)
        thread = threading.Thread(target=build_and_drop)
        thread.start()
        thread.join()
    """
    subprocess.run([sys.executable, "-P", "-c", textwrap.dedent(script)], check=True)


def test_slots_are_used_again(key, decorator):
    decorator(echo)
    before = jumplabel.info().arena_bytes
    for _ in range(before // 64 + 100):  # more than there are slots
        decorator(echo)
    assert jumplabel.info().arena_bytes == before


# ---- threads ----


def test_making_and_calling_in_threads_while_another_toggles(key):
    stop = threading.Event()
    wrong = []

    def toggle():
        while not stop.is_set():
            key.enable()
            key.disable()

    def make_and_call():
        for n in range(500):
            gate = static_gate(key)(lambda n: n)
            switch = static_switch(key, to=lambda n: -n)(lambda n: n)
            if gate(n) not in (None, n) or switch(n) not in (n, -n):
                wrong.append(n)

    workers = [threading.Thread(target=make_and_call) for _ in range(4)]
    toggler = threading.Thread(target=toggle)
    for thread in (toggler, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    toggler.join()
    assert wrong == [] and key.entries == ()
    gate = static_gate(key)(echo)
    for enabled in off_on_off(key):
        assert gate() == (((), {}) if enabled else None)
