"""The rooms of csrc: what each may know, that nothing in them goes in a circle, and the engine where it is a stranger.

csrc/engine asks a processor by arch/arch.h and a system by os/os.h. The rooms named ``generic`` stand for every
processor and every system that has no folder of its own.
"""

import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import rooms
from c_programs import cases, run_case

import jumplabel

CSRC = rooms.CSRC
FILES = sorted(path for path in CSRC.rglob("*") if path.suffix in (".c", ".h", ".S"))
LONGEST = 400

# By the start of a file's path: the headers that it may include, by the start of theirs.
ENGINE_TYPES = ("engine/slot.h", "engine/trap_outcome.h", "engine/arena.h")
MAY_INCLUDE = {
    "os/os.h": (),
    "arch/arch.h": ("engine/slot.h",),
    "os/linux": ("os/os.h", "os/linux"),
    "os/generic": ("os/os.h", "os/generic"),
    "arch/x86_64": ("arch/arch.h", "arch/x86_64", "os/os.h", *ENGINE_TYPES),
    "arch/generic": ("arch/arch.h", "arch/generic", *ENGINE_TYPES),
    "engine": ("engine", "arch/arch.h", "os/os.h"),
    "cpython": ("cpython", "engine", "os/os.h"),
    "testing": ("testing", "engine"),
}
OF_C11 = {f"<{name}.h>" for name in ("errno", "limits", "stdatomic", "stdbool", "stddef", "stdint", "stdio", "stdlib")}
OF_C11 |= {"<string.h>"}
PROCESSOR_OR_SYSTEM = re.compile(
    r"\b(__x86_64__|__amd64__|__i386__|__aarch64__|__arm\w*__|__riscv|__powerpc\w*__|__s390x?__|_M_\w+|"
    r"__linux__|__linux|__APPLE__|__FreeBSD__|__unix__|_WIN32|__GLIBC__|__GNU_LIBRARY__)\b"
)


def name_of(path):
    return path.relative_to(CSRC).as_posix()


def included(path):
    return re.findall(r'^#include ([<"].+?[>"])', path.read_text(), re.MULTILINE)


def ours(path):
    """The headers of csrc that a file includes, as paths in csrc."""
    folders = rooms.includes_of(path)
    names = [text.strip('"') for text in included(path) if text.startswith('"')]
    return [name_of(next(folder / name for folder in folders if (folder / name).exists())) for name in names]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_knows_only_what_its_room_may_know(path):
    name = name_of(path)
    allowed = next(headers for room, headers in MAY_INCLUDE.items() if name.startswith(room))
    for header in ours(path):
        assert header.endswith("/arch_cpu.h") or header.startswith(allowed), f"{name} includes {header}"
    if not name.startswith("cpython/"):
        assert "<Python.h>" not in included(path)
    if name.startswith("engine/"):
        assert {text for text in included(path) if text.startswith("<")} <= OF_C11
    if not name.startswith(("arch/", "os/")):
        assert not PROCESSOR_OR_SYSTEM.search(path.read_text())


def test_files_are_short():
    root = CSRC.parent
    folders = [root / name for name in ("benchmarks", "csrc", "jumplabel", "tests") if (root / name).exists()]
    files = [path for folder in folders for kind in ("*.c", "*.h", "*.S", "*.py") for path in folder.rglob(kind)]
    lengths = {str(path.relative_to(root)): len(path.read_text().splitlines()) for path in files}
    assert len(lengths) > 200
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_headers_do_not_include_each_other_in_a_circle():
    assert list(TopologicalSorter({name_of(path): ours(path) for path in FILES}).static_order())


def names_in(object_file, kind):
    """Defined or undefined names of an object, of those that other objects see."""
    option = {"defined": "--defined-only", "undefined": "--undefined-only"}[kind]
    done = subprocess.run(["nm", "-g", option, object_file], capture_output=True, text=True, check=True)
    return {line.split()[-1] for line in done.stdout.splitlines()}


def circle_of(objects):
    """The names of objects that need each other; None: none do."""
    home = {name: each for each in objects for name in names_in(each, "defined")}
    needs = {each: {home[name] for name in names_in(each, "undefined") if name in home} - {each} for each in objects}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return [Path(each).name for each in error.args[1]]
    return None


@pytest.mark.slow
def test_files_do_not_call_each_other_in_a_circle(build_c):
    folders = (*rooms.engine(), CSRC / "cpython")
    objects = build_c.objects(folders, [f"-I{sysconfig.get_path('include')}"])
    assert circle_of(objects) is None


def test_a_circle_would_be_found(build_c, tmp_path):
    """The check itself: a file that arena.c is made to need, and that needs arena.c."""
    (tmp_path / "circle.c").write_text("void arena_free(void *); int os_map_twice() { arena_free(0); return 0; }\n")
    folders = [folder for folder in rooms.engine() if folder.parent.name != "os"]
    assert "circle.c.o" in "".join(circle_of(build_c.objects((*folders, tmp_path), [])))


def test_the_engine_is_written_in_c11(build_c):
    build_c.objects((CSRC / "engine", CSRC / "arch" / "generic"), ["-std=c11", "-pedantic-errors", "-Werror"])


# ---- where the engine is a stranger ----

STRANGERS = [("generic", "generic"), ("generic", rooms.system()), (rooms.arch(), "generic")]


@pytest.fixture(scope="module", params=STRANGERS, ids="-".join)
def stranger(request, build_c):
    options = ["-DGENERIC_OS"] if request.param[1] == "generic" else []
    return build_c("generic", "-Werror", *options, engine=tuple(rooms.engine(*request.param)))


def test_every_case_is_run(stranger):
    listed = subprocess.run([stranger], capture_output=True, text=True, check=True).stdout.split()
    assert set(cases("generic")) - set(listed) <= {"the_system_refuses"}


@pytest.mark.parametrize("case", cases("generic"))
def test_an_engine_without_native_sites(stranger, case):
    listed = subprocess.run([stranger], capture_output=True, text=True, check=True).stdout.split()
    if case not in listed:
        pytest.skip("of a system without a folder only")
    run_case(stranger, case)


EVERY_SITE = """
import errno
import ctypes
import jumplabel
from jumplabel import PatchError, StaticCall, StaticKey, Tracepoint
from jumplabel import native_branch, static_branches, static_gate, static_switch

key, seen = StaticKey("key"), []
gate = static_gate(key, default="off")(lambda: "on")
switch = static_switch(key, to=lambda: "on")(lambda: "off")

def test():
    if key:
        return "on"
    return "off"

branch, snapshot = static_branches(test), static_branches(snapshot=True)(test)
for state in ("on", "off", "on"):
    key.enable() if state == "on" else key.disable()
    assert [gate(), switch(), branch(), snapshot()] == [state] * 4
    assert {entry.state for entry in key.entries} == {state == "on"}
call = StaticCall(len)
call.update(abs)
assert call(-1) == 1
point = Tracepoint("point")
point(1)
point.register(seen.append)
point(2)
assert seen == [2]
info = jumplabel.info()
assert (info.native, info.native_sites, info.arena_bytes, info.sync_method) == (False, 0, 0, None)
assert "native sites on this processor refused" in info.refusal
assert not any(entry.native for entry in jumplabel.jump_table())
try:
    native_branch(key, off=ctypes.CDLL(None).abs, on=ctypes.CDLL(None).labs)
except PatchError as error:
    assert error.errno == errno.ENOSYS and "no stub that takes the place of one" in str(error)
else:
    raise AssertionError("there is a stub")
"""


def test_the_package_without_native_sites(build_c, tmp_path, monkeypatch):
    """Every kind of site works by an ordinary branch in C, but for native branches, which say why they do not."""
    monkeypatch.setenv("JUMPLABEL_ARCH", "generic")
    monkeypatch.setenv("JUMPLABEL_OS", "generic")
    installed, built = Path(jumplabel.__file__).parent, shutil.ignore_patterns("*.so", "__pycache__")
    package = shutil.copytree(installed, tmp_path / "jumplabel", ignore=built)
    include = f"-I{sysconfig.get_path('include')}"
    folders = (*rooms.engine(), CSRC / "cpython")
    runpy.run_path(str(CSRC / "ffi_build.py"))["ffi"].emit_c_code(str(tmp_path / "engine.c"))
    made = package / f"_engine{sysconfig.get_config_var('EXT_SUFFIX')}"
    parts = [tmp_path / "engine.c", *build_c.objects(folders, ["-fPIC", include])]
    headers = [f"-I{folder}" for folder in rooms.includes(*folders)]
    cc = os.environ.get("CC", "cc")
    flags = ["-shared", "-fPIC", "-pthread", "-D_CFFI_NO_LIMITED_API", include]
    subprocess.run([cc, *flags, *headers, *parts, "-o", made], check=True)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", EVERY_SITE], cwd=tmp_path, env=environment, check=True)
