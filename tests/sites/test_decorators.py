"""static_gate and static_switch: where calls go, as functions and as methods, and what they run on the way."""

import abc
import ctypes
import dis
import functools
import gc
import operator
import sys
import tracemalloc
import types

import pytest
from site_checks import CALLS, echo, off_on_off, other_echo

import jumplabel
from jumplabel import static_gate, static_switch

METHOD_DESCRIPTOR = 1 << 17  # Py_TPFLAGS_METHOD_DESCRIPTOR

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
    """The call holds the callable, so its trampoline stays until the call has left it."""

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
    """Return the pointer right behind the object's head, which the interpreter calls."""
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
