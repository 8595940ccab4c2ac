"""Another tool replaces a function's code: its sites stay as they were, and that is told."""

import dis
import gc
import sys
import types
import warnings
import weakref
from opcode import opmap

import bytecode
import pytest
from replaced_checks import warned
from site_checks import make, nothing_made

import jumplabel
from jumplabel import DecorationError, ReplacedCodeWarning, StaticKey, static_branches
from jumplabel._bytecode import replaced_code
from jumplabel._keys.toggles import callbacks

pytestmark = pytest.mark.usefixtures("no_function_stays_replaced")


def with_nops(code):
    """Add instructions at the end, as line_profiler does on 3.11."""
    return code.replace(co_code=code.co_code + bytes((opmap["NOP"], 0)) * 3)


def by_bytecode(code):
    """Put an instruction between, as tools do that take code apart."""
    found = bytecode.Bytecode.from_code(code)
    at = next(i for i, one in enumerate(found) if getattr(one, "name", "") == "RESUME") + 1
    found.insert(at, bytecode.Instr("NOP", location=found[at - 1].location))
    return found.to_code()


COPIES = {
    "replace": lambda code: code.replace(),
    "flags": lambda code: code.replace(co_flags=code.co_flags | 0x10),
    "nops": with_nops,
    "bytecode": by_bytecode,
    "name": lambda code: code.replace(co_name="profiled"),
}


def replaced(key):
    return [entry.replaced for entry in key.entries]


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_told_of_when_the_key_is_toggled(how, key):
    function = static_branches(make(key))
    other = static_branches(make(key))
    ours = function.__code__
    assert replaced(key) == [False] and not callbacks
    function.__code__ = COPIES[how](ours)
    assert replaced(key) == [True]
    assert str(key.entries[0]).endswith("  (code replaced)")
    with warned(function):
        key.enable()
    assert (function(), other()) == ("off", "on")
    with warned():
        key.disable()
        key.enable()
    function.__code__ = ours
    assert replaced(key) == [False]
    with warned():
        key.disable()
    assert function() == "off" and not callbacks and not replaced_code._warned


def test_a_function_of_no_module_is_told_of(key):
    space = {"key": key}
    exec("def f(): return 1 if key else 2", space)
    function = static_branches(space["f"])
    function.__code__ = function.__code__.replace()
    with pytest.warns(ReplacedCodeWarning, match=r"\.f does not follow the key"):
        key.enable()


def test_what_is_replaced_again_is_told_of_again(key):
    function = static_branches(make(key))
    ours = function.__code__
    for _ in range(3):
        function.__code__ = ours.replace()
        with warned(function):
            key.enable()
            key.disable()
        function.__code__ = ours


def test_a_copy_of_a_copy_is_one(key):
    function = static_branches(make(key))
    function.__code__ = function.__code__.replace()
    function.__code__ = with_nops(function.__code__)
    with warned(function):
        key.enable()
    assert replaced(key) == [True]


@pytest.mark.parametrize("way", ["inc", "batch", "override", "enable in a callback"])
def test_every_way_to_toggle_tells(way, key):
    function = static_branches(make(key))
    function.__code__ = function.__code__.replace()
    with warned(function):
        if way == "inc":
            key.inc()
        elif way == "batch":
            with jumplabel.batch():
                key.enable()
        elif way == "override":
            with key.override(True):
                pass
        else:
            other = StaticKey(f"{key.name} other")
            follow = jumplabel.on_toggle(lambda toggle: key.enable())
            other.enable()
            jumplabel.off_toggle(follow)


def test_a_toggle_of_another_key_tells_nothing(key, other_key):
    function = static_branches(make(key))
    function.__code__ = function.__code__.replace()
    static_branches(make(other_key))
    with warned():
        other_key.enable()
        key.disable()  # which it is
    assert callbacks
    with warned(function):
        key.enable()


def test_methods_generators_and_what_is_wrapped(key):
    @static_branches
    class Cart:
        def sell(self):
            return 1 if key else 2

        @staticmethod
        def static():
            return 1 if key else 2

        @property
        def prop(self):
            return 1 if key else 2

        def generator(self):
            while True:
                yield 1 if key else 2

        async def coroutine(self):
            return 1 if key else 2

    running = Cart().generator()
    assert next(running) == 2
    functions = [Cart.sell, Cart.static, Cart.prop.fget, Cart.generator, Cart.coroutine]
    own = [function.__code__ for function in functions]
    for function in functions:
        function.__code__ = function.__code__.replace()
    with warned(*functions):
        key.enable()
    assert next(running) == 1  # it goes on in its own code
    assert replaced(key) == [True] * 5
    for function, code in zip(functions, own, strict=True):
        function.__code__ = code
    assert replaced(key) == [False] * 5
    with warned():
        key.disable()


def copy_all(code):
    """Copy the code and all code in it, as tools do that instrument what is defined in a function."""
    constants = [copy_all(one) if isinstance(one, types.CodeType) else one for one in code.co_consts]
    return code.replace(co_consts=tuple(constants))


@pytest.mark.parametrize("has_own", [True, False])
def test_copies_of_what_is_defined_in_a_function(has_own, key):
    space = {"key": key, "__name__": "made"}
    own = "1 if key else 2" if has_own else "0"
    exec(
        f"def f():\n    def inner(): return 1 if key else 2\n    return inner(), (lambda: key and 3 or 4)(), {own}",
        space,
    )
    function = static_branches(space["f"])
    ours = function.__code__
    function.__code__ = copy_all(ours)
    assert replaced(key) == [True] * (2 + has_own)
    with warned(function):
        key.enable()
    assert function()[:2] == (2, 4)
    function.__code__ = function.__code__.replace()
    assert replaced(key) == [True] * (2 + has_own)
    function.__code__ = ours.replace()  # what is defined within has its sites
    assert sorted(replaced(key)) == [False, False, True][: 2 + has_own]
    assert function()[:2] == (1, 3)
    function.__code__ = ours
    assert not any(replaced(key)) and not replaced_code._replaced
    with warned():
        key.disable()
    assert function()[:2] == (2, 4)


def test_strict_refuses_a_function_that_runs_a_copy(key):
    function = static_branches(make(key))
    ours = function.__code__
    function.__code__ = ours.replace()
    assert static_branches(function) is function
    with nothing_made(), pytest.raises(DecorationError, match=r"checks\.py:\d+: another tool has replaced its code"):
        static_branches(function, strict=True)
    function.__code__ = ours
    assert static_branches(function, strict=True).__code__ is ours


# ---- what is no copy ----


def test_code_that_is_shared_is_told_of_where_it_is_replaced(key):
    functions = [static_branches(make(key)) for _ in range(3)]
    assert len(key.entries) == 1
    functions[1].__code__ = functions[1].__code__.replace()
    with warned(functions[1]):
        key.enable()
    assert [function() for function in functions] == ["on", "off", "on"]


def test_the_original_is_no_copy(key):
    function = make(key)
    original = function.__code__
    static_branches(function)
    function.__code__ = original
    with warned():
        key.enable()
    assert function() == "on" and not key.entries and not callbacks


def test_other_code_is_no_copy(key, other_key):
    function = static_branches(make(key))
    function.__code__ = (lambda x=None: [x for x in key.name if x]).__code__.replace(co_freevars=("key",))
    with warned():
        key.enable()
    function = static_branches(make(key))
    jumps = " ".join("1 if key else" for _ in range(30))
    space = {}
    exec(f"def outer(key):\n    def function(): return {jumps} 2\n    return function", space)
    function.__code__ = static_branches(space["outer"](key)).__code__.replace()
    with warned():
        key.enable()
    function = static_branches(make(key))
    function.__code__ = static_branches(make(other_key)).__code__
    with warned():
        key.disable()
        other_key.enable()


def test_what_is_decorated_again_has_its_own_code(key, other_key):
    space = {"key": key, "later": None}
    exec("def f(): return (1 if key else 2), (1 if later else 2)", space)
    function = static_branches(space["f"])
    function.__code__ = function.__code__.replace()
    space["later"] = other_key
    ours = static_branches(function).__code__
    assert len(other_key.entries) == 1
    with warned():
        other_key.enable()
    assert function() == (2, 1) and function.__code__ is ours


def test_functions_without_sites_are_left_alone(key):
    static_branches(make(key))

    def other():
        return 1

    other.__code__ = other.__code__.replace()
    with pytest.raises(TypeError, match="__code__ must be set to a code object"):
        other.__code__ = 1
    with pytest.raises(TypeError, match="__code__ must be set to a code object"):
        del other.__code__
    function = static_branches(make(key))
    with pytest.raises(ValueError, match="free vars"):
        function.__code__ = other.__code__
    assert not callbacks and replaced(key) == [False]


def test_a_function_that_is_gone_leaves_nothing(key):
    function = static_branches(make(key))
    code = weakref.ref(function.__code__)
    function.__code__ = function.__code__.replace()
    assert code() is not None
    del function
    gc.collect()
    assert code() is None and not replaced_code._replaced and not key.entries
    with warned():
        key.enable()


def test_a_tool_that_comes_and_goes_leaves_nothing(key):
    function = static_branches(make(key))
    ours = function.__code__
    for _ in range(1000):
        function.__code__ = ours.replace()
        function.__code__ = ours.replace()
        assert len(replaced_code._replaced) == 1
        function.__code__ = ours
        assert not replaced_code._replaced
    assert sys.getrefcount(ours) < 20


def test_a_warning_that_is_an_error_does_not_reach_the_toggling_thread(key, monkeypatch):
    function = static_branches(make(key))
    function.__code__ = function.__code__.replace()
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: seen.append(unraisable.exc_type))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        key.enable()
    assert key.enabled and seen == [ReplacedCodeWarning]


def test_the_place_of_the_warning_is_the_function(key):
    function = static_branches(make(key))
    function.__code__ = function.__code__.replace()
    with pytest.warns(ReplacedCodeWarning, match="does not follow the key") as found:
        key.enable()
    assert (found[0].filename, found[0].lineno) == (make.__code__.co_filename, function.__code__.co_firstlineno)


def test_tracers_and_profilers_see_nothing_of_it(key):
    function = static_branches(make(key))
    copy = function.__code__.replace()
    seen = []
    sys.setprofile(lambda frame, event, arg: seen.append((event, frame.f_code.co_name)))
    function.__code__ = copy
    sys.setprofile(None)
    assert [event for event, _ in seen if event != "c_return"] == ["c_call"]  # of sys.setprofile itself
    assert dis.code_info(copy)
