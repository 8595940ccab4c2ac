"""Files of marked code: which files are read, and where they are if ``__pycache__`` cannot be written."""

import gc
import importlib.util
import marshal
import os
import py_compile
import sys
import threading
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from cached_modules import CART, again
from packages import Packages, sites

from jumplabel import install
from jumplabel._instrument import code_cache, private_cache
from jumplabel._instrument.options import Options

pytestmark = pytest.mark.usefixtures("writes")


def without_a_pycache(packages: Packages) -> None:
    """Put a file in the folder's place, so that not even root can write below it."""
    (packages.folder / "__pycache__").write_text("")


def private(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.glob("cache/jumplabel/*"))


# ---- files that are read or ignored ----


@pytest.mark.parametrize("size", [1, 1 << 16, 1 << 18])
def test_a_file_of_any_size_is_read(packages: Packages, compiled: list[str], size: int) -> None:
    source = f"{dedent(CART)}\nTEXT = {'x' * size!r}\n"
    with install("shop_large"):
        for _ in range(2):
            assert again(packages, "shop_large", source).TEXT == "x" * size
    assert compiled == ["shop_large.py"]


def test_files_are_read_even_if_none_may_be_written(
    packages: Packages, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("shop_ca")
    packages.load("shop_ca", CART)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    again(packages, "shop_ca")
    assert compiled == ["shop_ca.py"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:3],
        lambda data: data[:20],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: bytes(4) + data[4:],
        lambda data: data[:4] + b"\x04" + data[5:],
        lambda data: data[:8] + bytes(8) + data[16:],
        lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:],
        lambda data: data[:-9] + bytes([data[-9] ^ 64]) + data[-8:],
        lambda data: sealed(marshal.dumps(7), data),
        lambda data: sealed(marshal.dumps((1, 2)), data),
        lambda data: sealed(marshal.dumps(("another", "way", ())), data),
        lambda data: sealed(marshal.dumps((code_cache._how(Options()), "x", (1, 2))), data),
        lambda data: sealed(b"\xff", data),
        lambda data: sealed(b"", data),
    ],
)
def test_a_damaged_file_is_ignored(packages: Packages, compiled: list[str], damage: Any) -> None:
    install("shop_cb")
    packages.load("shop_cb", CART)
    [path] = packages.caches()
    path.write_bytes(damage(path.read_bytes()))
    assert again(packages, "shop_cb").total(1) == 1
    assert compiled == ["shop_cb.py"] * 2
    again(packages, "shop_cb")
    assert compiled == ["shop_cb.py"] * 2


def sealed(body: bytes, data: bytes) -> bytes:
    """Return the data with another body and the right hash."""
    import _imp

    return data[:16] + _imp.source_hash(code_cache.FORMAT, body) + body


def test_a_file_of_other_options_is_ignored_even_under_the_right_name(packages: Packages, compiled: list[str]) -> None:
    hook = install("shop_cc", asserts=True)
    packages.load("shop_cc", CART)
    [path] = packages.caches()
    hook.uninstall()
    install("shop_cc", logging=False, asserts=True)
    os.replace(path, str(path).replace("jumplabella", "jumplabela"))
    again(packages, "shop_cc")
    assert compiled == ["shop_cc.py"] * 2
    assert sites("shop_cc") == ["asserts.shop_cc"]


def test_code_that_moved_with_its_source_names_the_new_path(
    packages: Packages, compiled: list[str], tmp_path: Path
) -> None:
    """The stages of a container image move both."""
    install("shop_cd")
    path = packages.write("shop_cd", CART)
    again(packages, "shop_cd")
    packages.forget()
    folder = packages.folder / "elsewhere"
    (folder / "__pycache__").mkdir(parents=True)
    for old in (path, *packages.caches()):
        os.replace(old, folder / old.relative_to(packages.folder))
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module("shop_cd")
    finally:
        sys.path.remove(str(folder))
    assert compiled == ["shop_cd.py"]
    assert module.total.__code__.co_filename == str(folder / "shop_cd.py") == module.__file__


@pytest.mark.parametrize(
    ("flags", "when", "is_checked"),
    [
        (code_cache.CHECKED_HASH, "default", True),
        (code_cache.CHECKED_HASH, "never", False),
        (code_cache.UNCHECKED_HASH, "default", False),
        (code_cache.UNCHECKED_HASH, "always", True),
    ],
)
def test_files_with_the_sources_hash_are_checked_by_the_interpreters_option(
    packages: Packages, compiled: list[str], monkeypatch: pytest.MonkeyPatch, flags: int, when: str, is_checked: bool
) -> None:
    import _imp

    monkeypatch.setattr(_imp, "check_hash_based_pycs", when)
    path = packages.write("shop_ce", CART)
    assert code_cache.store(str(path), Options(), flags) == str(packages.caches()[0])
    assert code_cache.store(str(path), Options(), flags) is None
    os.utime(path, (1, 1))  # the time alone does not matter
    install("shop_ce")
    again(packages, "shop_ce")
    assert compiled == ["shop_ce.py"]
    again(packages, "shop_ce", CART + "    x = 1\n")
    assert compiled == ["shop_ce.py"] * (2 if is_checked else 1)
    assert packages.caches()[0].read_bytes()[4] == flags  # the new file has the hash, too
    again(packages, "shop_ce", CART + "    x = 1\n")
    assert compiled == ["shop_ce.py"] * (2 if is_checked else 1)


def test_a_source_of_the_same_time_and_another_size_is_compiled_again(packages: Packages, compiled: list[str]) -> None:
    path = packages.write("shop_cf", CART)
    os.utime(path, (10**9, 10**9))
    install("shop_cf")
    again(packages, "shop_cf")
    packages.write("shop_cf", CART + "    x = 1\n")
    os.utime(path, (10**9, 10**9))
    assert again(packages, "shop_cf", CART + "    x = 1\n").x == 1
    assert compiled == ["shop_cf.py"] * 2


def test_two_writers_at_once_leave_a_whole_file(packages: Packages) -> None:
    path = packages.write("shop_cg", CART)
    threads = [
        threading.Thread(target=code_cache.store, args=(str(path), Options(), 0), kwargs={"force": True})
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert code_cache.store(str(path), Options(), 0) is None
    assert [one.name for one in (packages.folder / "__pycache__").iterdir()] == [packages.caches()[0].name]


def test_a_file_that_is_written_in_part_is_removed(
    packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", lambda number, data: len(data) - 1)
    path = packages.write("shop_ch", CART)
    with pytest.raises(PermissionError, match="can be written"):
        code_cache.store(str(path), Options(), 0)
    assert list((packages.folder / "__pycache__").iterdir()) == private(tmp_path) == []
    install("shop_ch")
    assert again(packages, "shop_ch").total(1) == 1


def test_a_source_that_changes_while_it_is_compiled_is_compiled_again(packages: Packages, compiled: list[str]) -> None:
    """The time in the file is from before the source was read."""
    path = packages.write("shop_co", CART)
    os.utime(path, (time.time() - 100,) * 2)
    py_compile.compile(str(path))

    def source() -> bytes:
        content = path.read_bytes()
        path.write_text("x = 1\n")
        return content

    assert code_cache.load(str(path), Options(), source) is not None
    assert code_cache.load(str(path), Options(), path.read_bytes) is None
    assert compiled == ["shop_co.py"] * 2


# ---- the user's private folder ----


def test_without_a_writable_pycache_the_file_is_in_the_private_folder(
    packages: Packages, compiled: list[str], tmp_path: Path
) -> None:
    without_a_pycache(packages)
    install("shop_ci", "shop_cj", asserts=True)
    for _ in range(2):
        again(packages, "shop_ci")
        packages.load("shop_cj", "x = 1\n")
    assert compiled == ["shop_ci.py", "shop_cj.py"]
    assert [path.name.partition(".")[0] for path in private(tmp_path)] == ["shop_ci", "shop_cj"]
    assert {path.stat().st_mode & 0o777 for path in private(tmp_path)} == {0o600}
    assert (tmp_path / "cache/jumplabel").stat().st_mode & 0o777 == 0o700
    gc.collect()
    assert len(sites("shop_ci")) == 2


def test_two_sources_of_one_name_have_two_files_in_the_private_folder(
    packages: Packages, compiled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / "a" / "shop.py", tmp_path / "b" / "shop.py"]
    for i, path in enumerate(paths):
        path.parent.mkdir()
        path.write_text(f"assert {i}\n")
        os.utime(path, (10**9, 10**9))
        (path.parent / "__pycache__").write_text("")
        monkeypatch.chdir(path.parent)  # even if both have relative paths
        marked = code_cache.load("shop.py", Options(asserts=True), path.read_bytes)
        assert marked is not None and marked.digest == importlib.util.source_hash(path.read_bytes())
    assert compiled == ["shop.py"] * 2 and len(private(tmp_path)) == 2


def test_a_file_of_another_path_in_the_private_folder_is_ignored(
    compiled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / "a.py", tmp_path / "b.py"]
    (tmp_path / "__pycache__").write_text("")
    monkeypatch.setattr(private_cache, "name", lambda path, place: "the same for all")
    for path in paths:
        path.write_text("assert 1\n")
        os.utime(path, (10**9, 10**9))
        code_cache.load(str(path), Options(), path.read_bytes)
    assert compiled == ["a.py", "b.py"]


def test_with_a_cache_prefix_the_private_folder_is_not_used(
    packages: Packages, compiled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prefix").write_text("")
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "prefix"))
    install("shop_ck")
    packages.load("shop_ck", CART)
    again(packages, "shop_ck")
    assert compiled == ["shop_ck.py"] * 2 and private(tmp_path) == []


def test_without_writing_of_bytecode_no_file_is_written(
    packages: Packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_a_pycache(packages)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    install("shop_cl")
    packages.load("shop_cl", CART)
    assert not (tmp_path / "cache").exists()


def open_to_group(folder: Path, file: Path) -> None:
    folder.chmod(0o750)


def open_to_write(folder: Path, file: Path) -> None:
    folder.chmod(0o702)


def link(folder: Path, file: Path) -> None:
    os.replace(folder, folder.parent / "elsewhere")
    folder.symlink_to(folder.parent / "elsewhere")


def file_open_to_write(folder: Path, file: Path) -> None:
    file.chmod(0o620)


def file_link(folder: Path, file: Path) -> None:
    os.replace(file, folder / "elsewhere")
    file.symlink_to(folder / "elsewhere")


def file_is_a_pipe(folder: Path, file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def file_is_a_folder(folder: Path, file: Path) -> None:
    file.unlink()
    file.mkdir(0o700)


@pytest.mark.parametrize(
    "change", [open_to_group, open_to_write, link, file_open_to_write, file_link, file_is_a_pipe, file_is_a_folder]
)
def test_a_file_that_another_user_can_write_is_ignored(
    packages: Packages, compiled: list[str], tmp_path: Path, change: Any
) -> None:
    without_a_pycache(packages)
    install("shop_cm")
    packages.load("shop_cm", CART)
    change(tmp_path / "cache/jumplabel", private(tmp_path)[0])
    again(packages, "shop_cm")
    assert compiled == ["shop_cm.py"] * 2


@pytest.mark.parametrize("whose", ["folder", "file"])
def test_a_file_of_another_user_is_ignored(
    packages: Packages, compiled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    without_a_pycache(packages)
    install("shop_cn")
    packages.load("shop_cn", CART)
    fstat, wanted = os.fstat, {"folder": 0o040000, "file": 0o100000}[whose]

    def of_another(number: int) -> os.stat_result:
        status = fstat(number)
        if status.st_mode & 0o170000 != wanted:
            return status
        return os.stat_result((*status[:4], status.st_uid + 1, *status[5:10]))

    monkeypatch.setattr(private_cache.os, "fstat", of_another)
    again(packages, "shop_cn")
    assert compiled == ["shop_cn.py"] * 2


def test_no_private_folder_is_made_in_another_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sudo may leave HOME as it was."""
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert private_cache.write("name", b"data") is None
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert private_cache.folder() is None  # this process has other rights than its user
    monkeypatch.setattr(os, "getuid", lambda: user)
    assert private_cache.write("name", b"data") == str(tmp_path / ".cache/jumplabel/name")
    assert private_cache.read("name") == b"data"


@pytest.mark.parametrize("base", ["", "relative", "~"])
def test_a_relative_path_in_the_variable_is_ignored(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert private_cache.folder() == str(tmp_path / ".cache/jumplabel")
    monkeypatch.setenv("HOME", "relative")
    assert private_cache.folder() is None
    assert private_cache.read("name") is private_cache.write("name", b"") is None
