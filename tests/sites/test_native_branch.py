"""native_branch: what it takes and refuses, how long things live, and where it is shown."""

import ctypes
import gc
import re
import weakref
from pathlib import Path

import cffi
import pytest
from site_checks import nothing_made, off_on_off

import jumplabel
from jumplabel import DecorationError, JumpEntry, NativeBranch, StaticKey, native_branch
from jumplabel._diagnostics.storms import ffi as api_ffi
from jumplabel._diagnostics.storms import lib as api_lib

ffi = cffi.FFI()
ffi.cdef("int tolower(int); int toupper(int); void qsort(void *, size_t, size_t, int (*)(const void *, const void *));")
libc = ffi.dlopen(None)
in_ctypes = ctypes.CDLL(None)

INT = "int(*)(int)"
LOWER, UPPER = libc.tolower, libc.toupper
UPPER_ADDRESS = int(ffi.cast("uintptr_t", UPPER))


@pytest.fixture
def branch(key):
    return native_branch(key, off=LOWER, on=UPPER)


def call(address, argument):
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(address)(argument)


# ---- calls ----


def test_a_call_goes_to_one_or_the_other(key, branch):
    function = branch.cast(ffi, INT)
    for enabled in off_on_off(key):
        assert chr(function(ord("x"))) == chr(call(branch.address, ord("X"))) == ("X" if enabled else "x")


def test_made_while_on_it_is_on(key):
    key.enable()
    function = native_branch(key, off=LOWER, on=UPPER).cast(ffi, INT)
    assert function(ord("x")) == ord("X")
    key.disable()
    assert function(ord("X")) == ord("x")


POINTERS = {
    "cffi pointer": UPPER,
    "cffi pointer of another type": ffi.cast("unsigned(*)(unsigned)", UPPER),
    "void *": ffi.cast("void *", UPPER),
    "ctypes function": in_ctypes.toupper,
    "ctypes callback": ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(in_ctypes.toupper),
    "c_void_p": ctypes.c_void_p(UPPER_ADDRESS),
    "address": UPPER_ADDRESS,
    "cffi callback": ffi.callback(INT, lambda n: in_ctypes.toupper(n)),
    "branch": native_branch(StaticKey("always", default=True), off=LOWER, on=UPPER),
    "cast of a branch": native_branch(StaticKey("always too", default=True), off=LOWER, on=UPPER).cast(ffi, INT),
}


@pytest.mark.parametrize("pointer", POINTERS.values(), ids=POINTERS)
def test_pointers_of_every_sort(key, pointer):
    branches = native_branch(key, off=pointer, on=in_ctypes.tolower)
    for enabled in off_on_off(key):
        assert call(branches.address, ord("x")) == (ord("x") if enabled else ord("X"))
    assert branches.off is pointer and branches.on is in_ctypes.tolower and branches.key is key


def test_pointers_of_an_api_mode_library(key):
    off, on = (api_ffi.addressof(api_lib, name) for name in ("call_loop_off", "call_loop_on"))
    function = native_branch(key, off=off, on=on).cast(api_ffi, INT)
    for enabled in off_on_off(key):
        assert function(7) == (9 if enabled else 8)


def test_c_code_calls_it(key):
    """qsort calls the branch to compare."""

    def compare(sign):
        return ffi.callback(
            "int(const void *, const void *)",
            lambda a, b: sign * (ffi.cast("int *", a)[0] - ffi.cast("int *", b)[0]),
        )

    by = native_branch(key, off=compare(1), on=compare(-1))
    for enabled in off_on_off(key):
        array = ffi.new("int[]", [3, 1, 4, 1, 5])
        libc.qsort(array, 5, ffi.sizeof("int"), by.cast(ffi, "int(*)(const void *, const void *)"))
        assert list(array) == sorted([3, 1, 4, 1, 5], reverse=enabled)


@pytest.mark.parametrize("cdecl", [INT, "int (*)(int)", "void *", ffi.typeof(INT), ffi.typeof(UPPER)], ids=str)
@pytest.mark.parametrize("user", [ffi, cffi.FFI(), api_ffi], ids=["ours", "another", "compiled"])
def test_casts(branch, user, cdecl):
    made = branch.cast(user, cdecl)
    assert int(ffi.cast("uintptr_t", made)) == branch.address
    assert "*" in ffi.typeof(made).cname and isinstance(made, user.CData)


# ---- refusals ----


class NotAKey:
    enabled = True


@pytest.mark.parametrize("bad", [None, "shop.tracing", StaticKey, NotAKey(), LOWER])
def test_what_is_not_a_key_is_refused(bad):
    with nothing_made(), pytest.raises(DecorationError, match="native_branch needs a StaticKey first, not"):
        native_branch(bad, off=LOWER, on=UPPER)


REFUSED = {
    "missing": (None, r"None is no pointer to a C function; it takes both, off= and on="),
    "NULL": (ffi.NULL, "is NULL"),
    "NULL function": (ffi.cast(INT, 0), "is NULL"),
    "NULL c_void_p": (ctypes.c_void_p(), "is NULL"),
    "NULL ctypes function": (ctypes.CFUNCTYPE(None)(), "is NULL"),
    "zero": (0, "is NULL"),
    "negative": (-1, "is no address"),
    "too large": (2**64, "is no address"),
    "bool": (True, "no pointer to a C function; cast it"),
    "str": ("toupper", "no pointer to a C function; cast it"),
    "float": (1.5, "no pointer to a C function; cast it"),
    "built-in": (len, "no pointer to a C function; cast it"),
    "cffi pointer to data": (ffi.new("int *"), "no pointer to a C function; cast it"),
    "cffi number": (ffi.cast("uintptr_t", UPPER), "no pointer to a C function; cast it"),
    "ctypes pointer to data": (ctypes.pointer(ctypes.c_int()), "no pointer to a C function; cast it"),
    "Python function": (lambda n: n, r"no pointer.*ffi\.callback\(\) or ctypes\.CFUNCTYPE, or use static_switch"),
    "API mode": (api_lib.call_loop_on, r'take its address, ffi\.addressof\(lib, "call_loop_on"\)'),
    "other signature": (ffi.cast("int(*)(int, int)", UPPER), r"'int\(\*\)\(int\)'.*'int\(\*\)\(int, int\)'.*same sign"),
}


@pytest.mark.parametrize(("bad", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_pointer_to_a_function_is_refused(key, bad, message):
    with nothing_made(), pytest.raises(DecorationError, match=message):
        native_branch(key, off=LOWER, on=bad)
    if "same" not in message:
        with nothing_made(), pytest.raises(DecorationError, match=f"off=.*{message}"):
            native_branch(key, off=bad, on=LOWER)


def test_a_missing_pointer_is_named(key):
    for name, given in (("off", {"on": UPPER}), ("on", {"off": LOWER})):
        with nothing_made(), pytest.raises(DecorationError, match=f"{name}=None"):
            native_branch(key, **given)


def test_casts_to_what_cannot_be_called_are_refused(branch):
    for cdecl in ("int", "int *", "uintptr_t"):
        with pytest.raises(DecorationError, match="is no pointer to a function; write one as in 'int"):
            branch.cast(ffi, cdecl)
    with pytest.raises(cffi.CDefError):
        branch.cast(ffi, "no_such_type")
    for bad in (None, INT, libc):
        with pytest.raises(DecorationError, match=r"cast\(ffi, cdecl\) needs a cffi FFI object first"):
            branch.cast(bad, INT)


# ---- where it is shown ----


def make_here(key):
    return native_branch(key, off=LOWER, on=UPPER)


def test_an_entry_tells_where_it_was_made(key):
    made = make_here(key)
    line = make_here.__code__.co_firstlineno + 1
    owner = f"{__name__}.make_here:{line}"
    assert key.entries == (JumpEntry(key.name, made.address, "native_branch", True, False, owner),)
    key.enable()
    assert key.entries == (JumpEntry(key.name, made.address, "native_branch", True, True, owner),)
    assert owner in repr(made) and repr(key) in repr(made) and hex(made.address) in repr(made)


def test_an_entry_of_a_module(key):
    names = {"__name__": "shop \0 \udc80", "native_branch": native_branch, "key": key, "pointers": (LOWER, UPPER)}
    exec("\n\nbranch = native_branch(key, off=pointers[0], on=pointers[1])", names)
    assert key.entries[0].owner == r"shop \x00 \udc80:3"


def test_it_is_a_trampoline_of_its_own(key, branch):
    another = make_here(key)
    assert branch.address != another.address and branch.address % 64 == another.address % 64 == 0
    before = jumplabel.info()
    key.enable()
    assert jumplabel.info().sites_patched - before.sites_patched == 2
    assert jumplabel.info().batches - before.batches == 1


# ---- lifetime ----


def test_the_code_goes_with_the_branch(key):
    made = [make_here(key) for _ in range(5)]
    addresses = {each.address for each in made}
    assert {entry.address for entry in key.entries} == addresses and len(addresses) == 5
    gone = made.pop(2).address
    assert {entry.address for entry in key.entries} == addresses - {gone}
    made.clear()
    assert key.entries == ()


def test_the_code_stays_while_any_cdata_of_it_lives(key):
    """The cdata are equal, and each of them keeps the code."""
    branch = make_here(key)
    casts = [branch.cast(ffi, INT), branch.cast(ffi, INT), branch.cast(ffi, "void *"), branch.cast(api_ffi, INT)]
    reference = weakref.ref(branch)
    del branch
    while casts:
        assert len(key.entries) == 1 and reference() is not None
        for enabled in off_on_off(key):
            assert call(int(ffi.cast("uintptr_t", casts[-1])), ord("X")) == ord("X" if enabled else "x")
        del casts[0]
    assert key.entries == () and reference() is None


def test_a_cast_of_a_branch_without_other_references(key):
    function = make_here(key).cast(ffi, INT)
    gc.collect()
    again = make_here(key).cast(ffi, INT)  # not in the same place
    key.enable()
    assert function(ord("x")) == again(ord("x")) == ord("X") and function != again


def test_pointers_and_key_live_as_long():
    key = StaticKey("as long as its branch")
    off, on = ffi.callback(INT, lambda n: n + 1), ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(lambda n: n + 2)
    function = native_branch(key, off=off, on=on).cast(ffi, INT)
    references = [weakref.ref(each) for each in (key, off, on)]
    del key, off, on
    gc.collect()
    assert function(1) == 2
    jumplabel.key("as long as its branch").enable()
    assert function(1) == 3
    del function
    gc.collect()
    assert [reference() for reference in references] == [None] * 3
    assert "as long as its branch" not in [entry.key for entry in jumplabel.jump_table()]


def test_a_cycle_through_a_callback_is_collected(key):
    def make_a_cycle():
        def recurse(n):
            return branch.cast(ffi, INT)(n - 1) + 1 if n else 0

        branch = native_branch(key, off=ffi.callback(INT, recurse), on=UPPER)
        return branch.cast(ffi, INT)(5)

    assert make_a_cycle() == 5
    gc.collect()
    assert key.entries == ()


def test_a_branch_of_branches(key, other_key):
    inner = native_branch(other_key, off=UPPER, on=api_ffi.addressof(api_lib, "call_loop_on"))
    outer = native_branch(key, off=LOWER, on=inner)
    del inner
    function = outer.cast(ffi, INT)
    for _ in off_on_off(key):
        for _ in off_on_off(other_key):
            expected = ("X" if not other_key else "z") if key else "x"
            assert chr(function(ord("x"))) == expected


def test_slots_are_used_again(key):
    make_here(key)
    before = jumplabel.info().arena_bytes
    for _ in range(before // 64 + 100):
        make_here(key)
    assert jumplabel.info().arena_bytes == before


def test_the_type_cannot_be_made_without_a_key(key):
    assert isinstance(make_here(key), NativeBranch)
    with pytest.raises(TypeError):
        NativeBranch(key, off=LOWER, on=UPPER)


# ---- a real library ----


def test_the_readmes_example(capsys):
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text()
    examples = re.findall(r"^```py\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    (example,) = [example for example in examples if "native_branch" in example]
    exec(example, {"__name__": "example"})
    expected = re.findall(r"^print\(.*#  ?(.*)$", example, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == expected and len(expected) >= 3
