"""Records that live as long as a code object: found by its identity, and never for a code object in its place."""

import gc
import weakref

from jumplabel import static_branches
from jumplabel._bytecode import code_objects
from jumplabel._bytecode.code_objects import keep, kept


def compiled():
    return compile("1", "a file", "exec")


def test_equal_code_objects_have_records_of_their_own(key):
    one, other = compiled(), compiled()
    assert one == other
    keep(one, [key])
    assert kept(one) == (key,) and kept(other) == ()
    keep(other, [])
    assert kept(one) == (key,) and kept(other) == ()


def test_a_record_goes_with_its_code(key):
    code = compiled()
    keep(code, [key])
    number = id(code)
    assert number in code_objects._found
    del code
    assert number not in code_objects._found


def test_a_record_that_was_left_behind_is_not_taken_for_that_of_the_next_code(key):
    """A signal handler may raise in the callback that drops the record. New code may then have the old code's id()."""

    def function():
        return "on" if key else "off"

    gone, stays = compiled(), function.__code__
    keep(gone, [key])
    left = code_objects._found.pop(id(gone))  # from here on it is not dropped with its code
    del gone
    assert left() is None
    code_objects._found[id(stays)] = left
    left.number = id(stays)
    assert kept(stays) == ()
    keep(stays, [])
    assert code_objects._found[id(stays)]() is stays
    static_branches(function)
    assert function() == "off"
    key.enable()
    assert function() == "on" and kept(stays) == ()
    keep(stays, [key])
    assert kept(stays) == (key,)


def test_plans_and_new_code_go_with_the_old_code(key):
    space = {"key": key}
    exec("def function(): return 1 if key else 0", space)
    function = space.pop("function")
    old = weakref.ref(function.__code__)
    static_branches(function)
    gc.collect()
    assert old() is None and len(key.entries) == 1
    del function
    gc.collect()
    assert not key.entries
