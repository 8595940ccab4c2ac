"""``static_branches(snapshot=True)`` on every kind of function."""

import asyncio
import copy
import functools
import inspect
import pickle
import sys
import types
import typing
import weakref

import pytest
from site_checks import nothing_made, off_on_off

from jumplabel import DecorationError, StaticCall, StaticKey, static_branches, static_gate, static_switch

snapshot = static_branches(snapshot=True)
tracing = StaticKey("tests.test_snapshot_functions.tracing")


def plain(x: int, /, y: "int" = 2, *args: int, z: int = 3, **kwargs: int) -> list[object]:
    """Its documentation."""
    return ["on" if tracing else "off", x, y, args, z, kwargs]


plain.attribute = ["of the function"]
decorated = snapshot(plain)
decorated.__qualname__ = "decorated"


# ---- stands for the function ----


def test_it_looks_like_the_function():
    assert decorated.__wrapped__ is plain and not tracing.enabled
    assert decorated.__doc__ == "Its documentation." and decorated.__module__ == __name__
    assert inspect.signature(decorated) == inspect.signature(plain)
    assert inspect.getsource(decorated) == inspect.getsource(plain)
    assert typing.get_type_hints(decorated) == typing.get_type_hints(plain)
    assert decorated.attribute is plain.attribute and decorated.__code__ is plain.__code__
    assert inspect.isroutine(decorated) and "snapshot of" in repr(decorated)
    assert pickle.loads(pickle.dumps(decorated)) is decorated and copy.deepcopy(decorated) is decorated


def test_it_is_called_like_the_function():
    for enabled in off_on_off(tracing):
        assert plain(1)[0] == ("on" if enabled else "off")
        assert decorated(1) == plain(1) and decorated(1, 4, 5, z=6, a=7) == plain(1, 4, 5, z=6, a=7)
        with pytest.raises(TypeError, match=r"plain\(\) missing 1 required positional argument"):
            decorated()


def test_a_variant_looks_like_the_function(key):
    def function():
        """Docs."""
        (frame,) = (one for one in [sys._getframe()])
        return frame, 1 if key else 0

    function.__module__, function.__qualname__, function.__kwdefaults__ = "somewhere.else", "Other.name", {"a": 1}
    function.__annotations__ = {"return": int}
    function.attribute = 1
    made = snapshot(function)
    for enabled in off_on_off(key):
        frame, state = made()
        assert state == enabled and frame.f_code is not function.__code__
        variant = made.__target__(enabled)
        assert variant.__code__ is frame.f_code
        names = ["__module__", "__qualname__", "__name__", "__doc__", "__kwdefaults__", "__dict__", "__annotations__"]
        names += ["__globals__", "__closure__", "__defaults__", "__builtins__"]
        for name in names:
            assert getattr(variant, name) == getattr(function, name), name
        assert variant.__dict__ is function.__dict__ and variant.__kwdefaults__ is function.__kwdefaults__
        for name in dir(function.__code__):
            if name.startswith("co_") and name not in (
                "co_code",
                "co_consts",
                "co_lines",
                "co_positions",
                "co_branches",
                "co_lnotab",
            ):
                assert getattr(frame.f_code, name) == getattr(function.__code__, name), name
        assert list(frame.f_code.co_lines()) == list(function.__code__.co_lines())


@pytest.mark.skipif(sys.version_info < (3, 14), reason="PEP 649")
def test_annotations_are_not_evaluated(key):
    space = {"key": key}
    exec("def function(x: not_there): return 1 if key else 0", space)
    made = snapshot(space["function"])
    assert made(1) == 0
    space["not_there"] = int
    assert made.__target__(0).__annotations__ == {"x": int}


def test_what_the_function_has_when_a_variant_is_made(key):
    def function(x=1):
        return x, 1 if key else 0

    made = snapshot(function)
    assert made() == (1, 0)
    function.__defaults__ = (2,)
    function.__code__ = (lambda x: (key, "another code")).__code__
    assert made() == (1, 0) and function() == (key, "another code")
    key.enable()
    assert made() == (2, 1)


def test_closure_variables_change(key):
    def make():
        n = 0

        @snapshot
        def count():
            nonlocal n
            n += 10 if key else 1
            return n

        return count

    count = make()
    assert count() == 1
    with key.override(True):
        assert (count(), count()) == (11, 21)
    assert count() == 22


class Base:
    def method(self):
        return ["base"]


class Class(Base):
    @snapshot
    def method(self, more=0):
        return [*super().method(), __class__, self, more, "on" if tracing else "off"]

    @classmethod
    @snapshot
    def class_method(cls):
        return cls, "on" if tracing else "off"

    @snapshot
    @classmethod
    def other_class_method(cls):
        return cls, "on" if tracing else "off"

    @staticmethod
    @snapshot
    def static_method(x):
        return x, "on" if tracing else "off"

    @snapshot
    @staticmethod
    def other_static_method(x):
        return x, "on" if tracing else "off"

    @property
    @snapshot
    def property(self):
        return self, "on" if tracing else "off"

    @snapshot
    def __enter__(self):
        return "on" if tracing else "off"

    def __exit__(self, *exception):
        pass


class Derived(Class):
    pass


def test_methods():
    assert isinstance(vars(Class)["other_class_method"], classmethod)
    assert isinstance(vars(Class)["other_static_method"], staticmethod)
    for enabled in off_on_off(tracing):
        state, one = "on" if enabled else "off", Derived()
        assert one.method() == Class.method(one, 0) == ["base", Class, one, 0, state]
        assert one.method.__self__ is one and one.method(more=1)[3] == 1
        assert Derived.class_method() == one.other_class_method() == (Derived, state)
        assert one.static_method(1) == Class.other_static_method(1) == (1, state)
        assert one.property == (one, state)
        with one as entered:
            assert entered == state


def test_inspect_knows_what_sort_of_function_it_is(key):
    @snapshot
    async def coroutine():
        return 1 if key else 0

    @snapshot
    def generator():
        yield 1 if key else 0

    @snapshot
    async def async_generator():
        yield 1 if key else 0

    assert [inspect.iscoroutinefunction(one) for one in (coroutine, generator, async_generator)] == [1, 0, 0]
    assert [inspect.isgeneratorfunction(one) for one in (coroutine, generator, async_generator)] == [0, 1, 0]
    assert [inspect.isasyncgenfunction(one) for one in (coroutine, generator, async_generator)] == [0, 0, 1]
    for enabled in off_on_off(key):
        assert asyncio.run(coroutine()) == next(generator()) == enabled
        running = coroutine()
        assert running.__qualname__ == coroutine.__qualname__ and running.cr_code.co_name == "coroutine"
        running.close()


def test_gates_and_switches_and_calls_over_it(key, other_key):
    @snapshot
    def state():
        return "on" if key else "off"

    gate = static_gate(other_key, default="closed")(state)
    switch = static_switch(other_key, to=state)(lambda: "switched off")
    same = static_gate(key, default="closed")(state)
    call = StaticCall(state)
    wrapped = functools.wraps(state)(lambda: ("wrapped", state()))
    for enabled in off_on_off(key):
        expected = "on" if enabled else "off"
        assert (gate(), switch(), same()) == ("closed", "switched off", "on" if enabled else "closed")
        assert call() == state() == expected and wrapped() == ("wrapped", expected)
        with other_key.override(True):
            assert gate() == switch() == expected
    assert gate.__wrapped__ is state and inspect.unwrap(gate) is state.__wrapped__


# ---- with other decorators ----


def test_a_function_that_tests_no_key_is_returned_itself(key):
    def function(x):
        return bool(key) and key.enabled

    def outer():
        return lambda: "on" if key else "off"

    with nothing_made():
        assert snapshot(function) is function
        method = staticmethod(function)
        assert snapshot(method) is method
    assert snapshot(outer) is outer
    assert [entry.kind for entry in key.entries] == ["branch"]
    for enabled in off_on_off(key):
        assert outer()() == ("on" if enabled else "off")


def test_a_wrapper_may_have_tests_of_its_own(key):
    def traced(function):
        @snapshot
        @functools.wraps(function)
        def wrapper(*args):
            if key:
                seen.append("enter")
            try:
                return function(*args)
            finally:
                if key:
                    seen.append("leave")

        return wrapper

    @traced
    def turning(x):
        key.disable() if key.enabled else key.enable()
        return x

    seen = []
    assert (turning(1), seen) == (1, [])
    assert (turning(2), seen) == (2, ["enter", "leave"])
    assert turning.__name__ == "turning" and inspect.unwrap(turning).__name__ == "turning"


def test_over_live_sites_it_has_its_own(key, other_key):
    def function(hook):
        before = 1 if key else 0
        hook()
        return before, [1 for _ in "a" if key], 1 if other_key else 0

    live = static_branches(function)
    made = snapshot(live)
    assert sorted(entry.kind for entry in key.entries)[-1] == "snapshot"
    for enabled in off_on_off(key):

        def turn(enabled=enabled):
            key.disable() if enabled else key.enable()

        assert made(turn)[:2] == (enabled, [1] * enabled)
        turn(not enabled)
        assert live(turn)[:2] == (enabled, [1] * (not enabled))
        turn(not enabled)
        assert made(lambda: None) == live(lambda: None)


@pytest.mark.parametrize("outer_decorator", [static_branches, snapshot], ids=["plain", "snapshot"])
def test_a_snapshot_defined_in_a_decorated_function(key, outer_decorator):
    @outer_decorator
    def outer():
        @snapshot
        def inner(hook):
            before = "on" if key else "off"
            hook()
            return before, "on" if key else "off"

        return inner, 1 if key else 0

    for enabled in off_on_off(key):
        state = "on" if enabled else "off"
        inner, number = outer()
        assert number == enabled
        assert inner(lambda: key.disable() if key.enabled else key.enable()) == (state, state)
        key.enable() if enabled else key.disable()


def test_a_class_around_it(key):
    @static_branches
    class Decorated:
        @snapshot
        def kept(self, hook):
            before = 1 if key else 0
            hook()
            return before, 1 if key else 0

        def live(self):
            return 1 if key else 0

    assert sorted(entry.kind for entry in key.entries) == ["branch", "snapshot"]
    assert Decorated().kept(key.enable) == (0, 0) and Decorated().live() == 1


def test_strict_holds_here_too(key):
    def unknown(self):
        return 1 if key and self.key else 0

    assert snapshot(unknown)(types.SimpleNamespace(key=1)) == 0
    with nothing_made(), pytest.raises(DecorationError, match=r"unknown, .*the test of self.key cannot become a site"):
        static_branches(unknown, strict=True, snapshot=True)


def test_values_that_are_dropped():
    space = {"tracing": tracing, "seen": []}
    exec("def f(x):\n    tracing and seen.append(x)\n    return tracing or x", space)
    over_live = types.FunctionType(space["f"].__code__, space)
    for made in (snapshot(space["f"]), snapshot(static_branches(over_live))):
        for enabled in off_on_off(tracing):
            assert made(1) is (tracing if enabled else 1)
    assert space["seen"] == [1] * 4


def test_an_audit_hook_may_refuse_it(key):
    """The caller gets the hook's exception, as there is no other variant to call."""

    def function():
        return 1 if key else 0

    made = snapshot(function)

    class Refused(Exception):
        pass

    def hook(event, arguments):
        if event == "function.__new__" and refusing:
            raise Refused

    sys.addaudithook(hook)  # for good
    refusing = True
    with pytest.raises(Refused):
        made()
    refusing = False
    assert made() == 0


def test_weak_references(key):
    def function():
        return 1 if key else 0

    made = snapshot(function)
    made()
    reference, original = weakref.ref(made), weakref.ref(function)
    del function
    assert original() is made.__wrapped__
    del made
    assert reference() is None and original() is None and not key.entries
