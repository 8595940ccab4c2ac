"""The dicts in which names are followed: modules, builtins, classes; changes of them, and races."""

import builtins
import ctypes
import gc
import itertools
import sys
import threading
import types
import weakref
from functools import partial
from pathlib import Path

import pytest
from name_checks import added_since, moment, new_key, new_name, space_of
from places import run

from jumplabel import static_branches
from jumplabel._bytecode import branch_names
from jumplabel._program import name_watch

pytestmark = pytest.mark.skipif(not name_watch.HEARS_ALL, reason="no watchers of dicts before CPython 3.12")


# ---- dicts ----


@pytest.mark.parametrize("among_builtins", [True, False])
def test_builtins_of_its_own_are_watched_and_go_before_the_globals(before, among_builtins):
    key, name = new_key(), new_name()
    own, space = dict(vars(builtins)), {}
    (own if among_builtins else space)[name] = key
    space["__builtins__"] = own
    exec(f"def state(): return 'on' if {name} else 'off'", space)
    function = static_branches(space["state"])
    code = function.__code__
    assert len(key.entries) == 1 and function() == "off"
    if among_builtins:
        own[name] = True
        assert function() == "on"
        own[name] = key
        moment()
    assert function() == "off"
    key.enable()
    assert function() == "on"
    assert name_watch.followed(id(code))[1][1] is own
    del function, space["state"], space["__builtins__"], own
    gc.collect()
    others = [{"other": i} for i in range(100)]  # one of them is where it was
    moment()
    _, roots, _ = name_watch.followed(id(code))
    assert roots[0] is space and roots[1] is space
    del code, others
    assert added_since(before) == (0, 0)


def test_a_module_that_is_emptied_and_filled_again():
    key = new_key()
    space = space_of(tracing=key)
    state = space["state"]
    space.clear()
    with pytest.raises(NameError):
        state()
    moment()
    with pytest.raises(NameError):
        state()
    space["tracing"] = key
    moment()
    assert state() == "off"
    key.enable()
    assert state() == "on"
    space["tracing"] = False
    assert state() == "off"
    assert name_watch.followed(id(state.__code__))[1][0] is space


def test_a_name_is_known_by_its_letters():
    space = space_of(tracing=new_key())
    name = "".join(["tra", "cing"])
    assert name is not sys.intern(name)
    space[name] = True
    assert space["state"]() == "on"


def test_a_name_that_is_no_exact_string():
    """It stands for any that it says it equals."""

    class Name(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other):
            return other == "tracing"

    class Other(Name):
        def __hash__(self):
            return hash("tracing")

    key = new_key()
    for name in (Name("tracing"), Other("other")):
        space = space_of(tracing=key)
        space[name] = True
        assert space["tracing"] is True and space["state"]() == "on"
        space["tracing"] = key
        moment()
        assert space["state"]() == "off"


def test_update_of_an_empty_dict_is_heard_of():
    key = new_key()
    space = space_of(tracing=key)
    state, other = space["state"], {**space, "tracing": True}
    space.clear()
    space.update(other)
    assert state() == "on"


def watchers(space):
    """One bit for each: CPython's Include/internal/pycore_dict.h, DICT_WATCHER_MASK."""
    return ctypes.c_uint64.from_address(id(space) + object.__basicsize__ + 8).value & 255


def test_a_dict_is_watched_as_long_as_a_site_or_a_key_of_logging_needs_it():
    module = types.ModuleType("shop")
    module.tracing = new_key()
    others = watchers(vars(module))

    def is_watched():
        return watchers(vars(module)) != others

    def come_and_go():
        watch = name_watch.watch(module, "logger", 1, None)
        assert is_watched()
        name_watch.unwatch(watch, 1)

    come_and_go()
    assert not is_watched()
    exec("def state(): return 'on' if tracing else 'off'", vars(module))
    static_branches(module.state)
    assert is_watched()
    come_and_go()
    assert is_watched()
    del module.state
    come_and_go()
    assert not is_watched()


class Meta(type):
    pass


class Module(types.ModuleType):
    pass


def holders(key):
    class Plain:
        tracing = key

    class Inherits(Plain):
        pass

    class OfList(list, Plain):
        pass

    class OfMeta(metaclass=Meta):
        tracing = key

    outer = types.ModuleType("outer")
    outer.Plain = Plain
    module, special = types.ModuleType("flags"), Module("flags")
    module.tracing = special.tracing = key
    return {
        "Plain.tracing": (Plain, Plain, 2),
        "Inherits.tracing": (Inherits, Plain, 3),
        "OfList.tracing": (OfList, Plain, 3),
        "OfMeta.tracing": (OfMeta, OfMeta, 3),
        "outer.Plain.tracing": (outer, Plain, 3),
        "module.tracing": (module, module, 2),
        "special.tracing": (special, special, 3),
    }


@pytest.mark.parametrize("path", holders(None))
def test_attributes_are_followed_to_where_they_are(path, before, monkeypatch):
    key, name = new_key(), new_name()
    first, holder, dicts = holders(key)[path]
    path = f"{name}.{path.partition('.')[2]}"
    looked, look = [], branch_names._look
    monkeypatch.setattr(branch_names, "_look", lambda *arguments: looked.append(look(*arguments)))
    space = space_of(path, **{name: first})
    state = space["state"]
    assert len(key.entries) == 1
    assert added_since(before) == (dicts, 1)
    kind = type(holder)
    assert bool(looked) == (kind in (Meta, Module))  # where more than C knows decides
    if looked:
        kind.tracing = property(lambda self: True)
        assert state() == "on"
        del kind.tracing
        moment()
        assert state() == "off"
    for value, expected in ((True, "on"), (key, "off"), (False, "off"), (new_key(), "off"), ([1], "on"), (key, "off")):
        holder.tracing = value
        assert state() == expected
        moment()
        assert state() == expected
    key.enable()
    assert state() == "on"
    if holder is not first and isinstance(first, type):
        first.tracing = False
        assert state() == "off"
        del first.tracing
        moment()
        assert state() == "on"
    gone = weakref.ref(holder)
    del space, state, first, holder, value
    assert added_since(before) == (0, 0) and gone() is None


def test_decorated_again_when_the_name_stands_for_another_key():
    """One test of the name is on two lines, so it stays an ordinary one, which is read again."""
    first, second, other = new_key(), new_key(), new_key()
    flags = types.ModuleType("flags")
    flags.tracing = first
    space = run(
        """
@static_branches
def state():
    one = "on" if flags.tracing else "off"
    two = "on" if (flags
        .tracing) else "off"
    return one, two, "on" if other else "off"
""",
        space={"flags": flags},
    )
    flags.tracing, space["other"] = second, other
    again = static_branches(space["state"])
    assert (len(first.entries), len(other.entries)) == (1, 1)
    second.enable()
    assert again() == ("on", "on", "off")
    flags.tracing = first
    moment()
    assert again() == ("off", "off", "off")
    first.enable()
    assert again() == ("on", "on", "off")


# ---- the middle of a change ----


def test_what_a_change_does_itself(monkeypatch):
    """A site with an ordinary test leads there. One without room for it follows its key, until Python has looked."""
    key = new_key()
    long = "    if tracing:\n" + "        x = [x, 1, (x, 2)]\n" * 100 + "        return 'on'\n    return 'off'\n"
    space = run(f"def long(x):\n{long}\ndef short(): return 'on' if tracing else 'off'", space={"tracing": key})
    functions = [partial(static_branches(space["long"]), 0), static_branches(space["short"])]
    assert len(key.entries) == 2
    with monkeypatch.context() as patch:
        patch.setattr(name_watch.listeners, "settle_branches", lambda: None)
        for value, expected in ((True, "on"), (key, "off"), (True, "on")):
            space["tracing"] = value
            moment()
            assert [function() for function in functions] == ["off", expected]
            assert name_watch.away
    space["tracing"] = 1
    moment()
    assert [function() for function in functions] == ["on", "on"] and not name_watch.away


# ---- races ----

WATCHING = ("new_code.py", "branch_names.py", "name_watch.py")


def decorated_with(come_and_go, line):
    """A module with a function, which is decorated. In the middle another thread does this; whether it came to that."""
    key = new_key()
    module = types.ModuleType("shop")
    module.tracing, module.Flags = key, type("Flags", (), {"tracing": key})
    exec("def state():\n if tracing: return 'on'\n return 'on' if Flags.tracing else 'off'", vars(module))
    lines = itertools.count()

    def trace(frame, event, argument):
        if Path(frame.f_code.co_filename).name not in WATCHING:
            return None
        if event == "line" and next(lines) == line:
            thread = threading.Thread(target=come_and_go, args=[module])
            thread.start()
            thread.join()
        return trace

    sys.settrace(trace)
    try:
        static_branches(module.state)
    finally:
        sys.settrace(None)
    assert len(key.entries) == 2
    return module, next(lines) > line


def test_another_thread_stops_watching_the_dict_as_a_function_is_decorated():
    """At one line of ours after the other a key of logging comes and goes, of the same module or class."""

    def come_and_go(module):
        for holder in (module, module.Flags):
            name_watch.unwatch(name_watch.watch(holder, "logger", 1, None), 1)

    n, came = 0, True
    while came:
        module, came = decorated_with(come_and_go, n)
        key = module.tracing
        for holder in (module, module.Flags):
            holder.tracing = True
            assert module.state() == "on", f"{holder} is not watched: it came to that at line {n}"
            holder.tracing = key
            moment()
            assert module.state() == "off"
        n += 1
    assert n > 30
