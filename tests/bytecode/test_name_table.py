"""Who follows which names, as csrc/cpython/named_sites.h keeps it: it comes, goes, and is not mixed up."""

import builtins
import gc
import types

import pytest
from name_checks import added_since, moment, new_key, new_name, space_of
from places import run

from jumplabel import static_branches
from jumplabel._bytecode import code_objects
from jumplabel._keys.static_key import address
from jumplabel._program import name_watch

pytestmark = pytest.mark.skipif(not name_watch.HEARS_ALL, reason="no watchers of dicts before CPython 3.12")


# ---- paths ----


def test_a_path_is_kept_once_and_until_its_last_site_is_gone(before):
    name = new_name()
    first, second, other = (space_of(each, **{each: new_key()}) for each in (name, name, f"{name}x"))
    assert added_since(before) == (3, 2)
    del first
    assert added_since(before) == (2, 2)
    third = space_of(f"{name}y", **{f"{name}y": new_key()})
    del second
    assert added_since(before) == (2, 2)
    fourth = space_of(f"{name}z", **{f"{name}z": new_key()})  # in their place
    assert added_since(before) == (3, 3)
    for space, its in ((other, f"{name}x"), (third, f"{name}y"), (fourth, f"{name}z")):
        assert space["state"]() == "off"
        space[its] = True
        assert space["state"]() == "on"
    del other, third, fourth, space
    assert added_since(before) == (0, 0)


def test_a_path_takes_the_place_of_one_that_is_gone(before):
    first = [space_of(name, **{name: new_key()}) for name in (new_name() for _ in range(200))]
    _, _, most = name_watch.followers()
    assert added_since(before) == (200, 200)
    del first[::2]
    assert added_since(before) == (100, 100)
    names = [new_name() for _ in range(100)]
    second = [space_of(name, **{name: new_key()}) for name in names]
    assert added_since(before) == (200, 200)
    assert name_watch.followers()[2] == most
    for name, space in zip(names, second, strict=True):
        space[name] = True
        assert space["state"]() == "on"
    assert {space["state"]() for space in first} == {"off"}


def test_several_sites_of_a_name_in_a_function_are_followed_together(before):
    space = {"tracing": new_key(), "other": new_key()}
    run(
        """@static_branches
def state():
    return ["on" if tracing else "off", "on" if other else "off", "on" if tracing else "off"]
""",
        space=space,
    )
    space["tracing"] = True
    assert space["state"]() == ["on", "off", "on"]
    space["other"] = True
    assert space["state"]() == ["on", "on", "on"]


@pytest.mark.parametrize("path", [["global", "name"], ("global",), ("global", 1), (), "global"])
def test_what_is_no_path_is_refused_and_nothing_is_kept(path, before):
    key = new_key()
    code = (lambda: 0).__code__.replace()
    branch = (address(key), "owner", 0, 0, 0, False, 1)
    with pytest.raises(TypeError, match="a site's path is a tuple of strings, not"):
        code_objects.make_branches(code, [(*branch, ("global", new_name())), (*branch, path)])
    assert added_since(before) == (0, 0) and not key.entries


# ---- the table ----


def test_very_many_are_found_and_forgotten(before):
    key, named = new_key(), new_name()
    spaces = [space_of(named, **{named: key}) for _ in range(300)]
    assert added_since(before) == (300, 1)
    for i in range(0, 300, 3):
        spaces[i][named] = True
    assert [space["state"]() for space in spaces] == ["off" if i % 3 else "on" for i in range(300)]
    del spaces[::2]
    assert added_since(before) == (150, 1)
    for space in spaces:
        space[named] = True
    assert {space["state"]() for space in spaces} == {"on"}
    for space in spaces:
        space[named] = key
    moment()
    assert {space["state"]() for space in spaces} == {"off"}
    key.enable()
    assert {space["state"]() for space in spaces} == {"on"}
    key.disable()
    del spaces, space
    assert added_since(before) == (0, 0)


def test_many_functions_in_one_module(before):
    source = "\n".join(f"@static_branches\ndef f{i}(): return 'on' if tracing else 'off'" for i in range(100))
    space = run(source, space={"tracing": new_key()})
    functions = [space.pop(f"f{i}") for i in range(100)]
    assert added_since(before)[0] == 100
    del functions[::3]
    assert added_since(before)[0] == len(functions)
    space["tracing"] = True
    assert {function() for function in functions} == {"on"}


def test_code_that_is_decorated_again_is_known(before):
    name = new_name()
    space = space_of(name, **{name: new_key()})
    for _ in range(3):
        static_branches(types.FunctionType(space["state"].__code__, space))
    exec(f"def outer():\n def inner(): return 'on' if {name} else 'off'\n return inner", space)
    first = static_branches(space["outer"]())
    added = added_since(before)
    second = static_branches(space["outer"]())
    assert first.__code__ is second.__code__ and added_since(before) == added == (2, 1)


def test_one_of_two_modules_with_the_same_code_goes(before):
    key, name = new_key(), new_name()
    here, gone = {name: key}, {name: key}
    exec(f"def state(): return 'on' if {name} else 'off'", here)
    functions = [static_branches(types.FunctionType(here["state"].__code__, space)) for space in (here, gone)]
    assert functions[0].__code__ is functions[1].__code__
    gone[name] = True
    assert [function() for function in functions] == ["off", "on"]
    assert added_since(before) == (2, 1)
    del functions[1], gone
    assert added_since(before) == (1, 1)
    (function,) = functions
    assert function() == "off"
    key.enable()
    assert function() == "on"
    here[name] = False
    assert function() == "off"


def test_functions_of_a_module_with_other_builtins():
    """Where the module does not have the name each finds it among its own."""
    first, second = new_key(), new_key()
    space = {"tracing": first}
    code = run("def state(): return 'on' if tracing else 'off'")["state"].__code__
    functions = []
    for key in (first, second):
        space["__builtins__"] = {**vars(builtins), "tracing": key}
        functions.append(static_branches(types.FunctionType(code, space)))
    assert functions[0].__code__ is functions[1].__code__
    del space["tracing"]
    moment()
    second.enable()
    assert [function() for function in functions] == ["off", "on"]
    space["tracing"] = first
    moment()
    assert [function() for function in functions] == ["off", "off"]


@pytest.mark.parametrize("test", ["tracing", "flags.tracing"])
def test_code_of_which_no_function_is_left_is_ordinary(test):
    """A tool may make functions of it that no decorator sees. The holder is still there."""
    flags = types.ModuleType("flags")
    flags.tracing = key = new_key()
    space = space_of(test, tracing=key, flags=flags)
    code = space["state"].__code__
    del space
    gc.collect()
    moment()
    others = {"tracing": True, "flags": types.SimpleNamespace(tracing=True)}
    assert types.FunctionType(code, others)() == "on"


def test_sites_without_names_beside_one_with():
    of_closure, of_global = new_key(), new_key()
    space = {"tracing": of_global, "other": 1}
    exec(
        """
def make(local):
    def state():
        return "on" if local else "off", "on" if tracing else "off", "on" if local else "off"
    return state
""",
        space,
    )
    state = static_branches(space["make"](of_closure))
    assert (len(of_closure.entries), len(of_global.entries)) == (2, 1)
    space["tracing"] = True
    assert state() == ("off", "on", "off")
    of_closure.enable()
    assert state() == ("on", "on", "on")
    space["tracing"] = of_global
    moment()
    assert state() == ("on", "off", "on")
    _, _, sites = name_watch.followed(id(state.__code__))
    assert [path for path, *_ in sites] == [("global", "tracing")]
