"""Each allocation of the interpreter fails once, while sites are toggled and made."""

import ctypes
import gc
import sys
from _testcapi import remove_mem_hooks, set_nomemory

from sites import branch, key, toggle, turn, whole

from jumplabel import static_branches
from jumplabel._bytecode import code_objects, new_code
from jumplabel._keys.static_key import address as address_of
from jumplabel._sites import gates

prefix = "_PyEval" if sys.version_info < (3, 12) else "PyUnstable_Eval"
new_place = getattr(ctypes.pythonapi, f"{prefix}_RequestCodeExtraIndex")


def override():
    with key.override(True):
        pass


# What our own code does. The interpreter itself does not survive every failure, as in ContextVar.set(), nor
# does cffi, as in ffi.new() of an array.
address = address_of(key)
planned = []
new_code.make_branches = lambda *arguments: planned.append(arguments)
static_branches(lambda: "on" if key else "off")
make_branches = code_objects.make_branches


def there_and_back():
    try:
        toggle()
    finally:
        remove_mem_hooks()
        key.disable()  # the way there may be done, and the way back not


def new_gate():
    gates.StaticCallable("gate", key, address, None, branch, "owner")


def new_branches():
    make_branches(*planned[0])


place = new_place(None)
for use in (there_and_back, override, new_gate, new_branches):
    failures, n, last = 0, 0, 0
    while n < last + 50:  # so many went well, one after the other
        set_nomemory(n, n + 1)
        try:
            use()
            failed = False
        except MemoryError:
            failed = True
        finally:
            remove_mem_hooks()
        n += 1
        last = n if failed else last
        failures += failed
        gc.collect()
        assert key.count == 0
        assert [entry.kind for entry in key.entries].count("gate") == 1
        whole(False)
        turn()
        turn()
        if use is new_branches and not failed:
            break  # these are made for good
    assert failures or use is there_and_back
assert new_place(None) == place + 1  # one place for data on code objects is enough for us
