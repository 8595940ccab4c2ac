"""Native branches without trampolines: every stub is used, and used again."""

import errno

from native_branches import ffi, key, make, off, on

import jumplabel
from jumplabel import PatchError, StaticKey, info, native_branch
from jumplabel._diagnostics.storms import lib

branches = []
other = StaticKey("other", default=True)
for n in range(lib.ARCH_PLAIN_BRANCHES):
    branches.append(native_branch(other if n % 2 else key, off=off, on=on))
functions = [branch.cast(ffi, "int(*)(int)") for branch in branches]
assert len({branch.address for branch in branches}) == lib.ARCH_PLAIN_BRANCHES == 256
assert not any(entry.native for entry in key.entries) and info().plain_sites == 256


def check():
    states = [function(7) - 8 for function in functions]
    assert states == [int(other.enabled if n % 2 else key.enabled) for n in range(256)]


check()
for toggle in key.enable, other.disable, key.disable, other.enable:
    toggle()
    check()

before = jumplabel.jump_table()
try:
    make()
    raise AssertionError("one more than there are")
except PatchError as error:
    assert error.errno == errno.EAGAIN
    assert "256 stubs" in str(error) and "switched off by JUMPLABEL_NATIVE=0" in str(error)
assert jumplabel.jump_table() == before
check()

gone = branches.pop(100).address
del functions[100]
branches.insert(100, native_branch(key, off=on, on=off))
assert branches[100].address == gone
assert branches[100].cast(ffi, "int(*)(int)")(7) == 9
key.enable()
assert branches[100].cast(ffi, "int(*)(int)")(7) == 8
