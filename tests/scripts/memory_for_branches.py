"""Functions are decorated without memory for one allocation after the other."""

import sys
import traceback

from denied_sites import key
from memory_sweep import entries, other, remove_mem_hooks, set_nomemory

import jumplabel._bytecode.new_code  # noqa: F401
from jumplabel import static_branches

real = sys.modules["jumplabel._bytecode.new_code"].make_branches


def function_to_decorate():
    variables = {"key": key, "other": other}
    exec("def function(): return (1 if key else 0), [2 if other else 3 for _ in '1'], key and 4", variables)
    return variables["function"]


def make_branches(code, branches):
    global refusals
    set_nomemory(n, n + 1)
    try:
        real(code, branches)
    finally:
        remove_mem_hooks()


sys.modules["jumplabel._bytecode.new_code"].make_branches = make_branches
before, refusals = entries(), 0
for n in range(60):  # noqa: B007 - make_branches() reads it
    function = function_to_decorate()
    old = function.__code__
    try:
        static_branches(function)
    except MemoryError as error:
        traceback.clear_frames(error.__traceback__)
        del error
        refusals += 1
        assert function.__code__ is old and entries() == before
    else:
        assert entries() > before
    assert function() == (0, [3], key)
    key.enable()
    assert function() == (1, [3], 4)
    key.disable()
    del function, old
    assert entries() == before
assert refusals
