"""install(): imports from the cache of marked code."""

import gc
import logging
import sys
from pathlib import Path

import pytest
from packages import CART, Packages, records, sites
from processes import run

from jumplabel import install, instrumented, uninstall
from jumplabel._instrument import code_cache


@pytest.fixture
def cached(packages: Packages, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files whose source was compiled, in order."""
    compiled: list[str] = []
    compile_or_leave = code_cache.compile_or_leave

    def note(source: bytes, filename: str, options: object) -> object:
        compiled.append(Path(filename).name)
        return compile_or_leave(source, filename, options)  # type: ignore[arg-type]

    monkeypatch.setattr(code_cache, "compile_or_leave", note)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return compiled


def test_a_second_start_compiles_nothing(packages: Packages, cached: list[str]) -> None:
    install("shop_q*", asserts="off")
    for _ in range(2):
        packages.load("shop_q", CART)
        packages.load("shop_q_none", "x = 1\n")
        packages.forget()
        gc.collect()
    assert cached == ["shop_q.py", "shop_q_none.py"]
    tag = sys.implementation.cache_tag
    assert [path.name for path in packages.caches()] == [
        f"shop_q.{tag}.opt-jumplabella.pyc",
        f"shop_q_none.{tag}.opt-jumplabella.pyc",
    ]
    cart = packages.load("shop_q", CART)
    assert len(sites("shop_q")) == 2
    with records("shop_q", logging.DEBUG) as handler:
        assert (cart.total([1]), handler.take()) == (1, ["price 1"])
    uninstall()
    gc.collect()
    assert sites("shop_q") == []


def test_a_cache_is_for_one_source_and_one_set_of_options(packages: Packages, cached: list[str]) -> None:
    install("shop_r", asserts="off")
    packages.load("shop_r", CART)
    packages.forget()
    packages.load("shop_r", CART + "    y = 1\n")
    packages.forget()
    uninstall()
    install("shop_r", asserts=False)
    packages.load("shop_r", CART + "    y = 1\n")
    assert cached == ["shop_r.py"] * 3
    assert len(packages.caches()) == 2


@pytest.mark.parametrize("damage", [b"", b"\0" * 40, "half", "wrong", "unknown", "moved"])
def test_a_damaged_cache_is_made_again(packages: Packages, cached: list[str], damage: object) -> None:
    install("shop_s", asserts="off")
    packages.load("shop_s", CART)
    [path] = packages.caches()
    data = path.read_bytes()
    if damage == "half":
        damage = data[: len(data) // 2]
    elif damage == "wrong":
        damage = data[:4] + b"N"
    elif damage == "unknown":
        damage = data[:4] + b"\xff"
    elif damage == "moved":
        damage = data.replace(b"shop_s.py", b"shop_x.py")
    assert isinstance(damage, bytes)
    path.write_bytes(damage)
    packages.forget()
    assert packages.load("shop_s", CART).total([1]) == 1
    assert cached == ["shop_s.py"] * 2
    packages.forget()
    assert packages.load("shop_s", CART).total([1]) == 1
    assert cached == ["shop_s.py"] * 2


def test_no_cache_is_written_where_no_bytecode_is_written(
    packages: Packages, cached: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install("shop_t*", asserts="off")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    packages.load("shop_t1", CART)
    assert packages.caches() == []
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "prefix"))
    packages.load("shop_t2", CART)
    assert [path.is_relative_to(tmp_path / "prefix") for path in packages.caches()] == [True]
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setattr(sys.implementation, "cache_tag", None)
    assert packages.load("shop_t3", CART).total([1]) == 1
    assert len(packages.caches()) == 1
    assert cached == ["shop_t1.py", "shop_t2.py", "shop_t3.py"]


def test_assertions_that_are_compiled_away_are_no_sites(packages: Packages) -> None:
    packages.write("shop_u", CART)
    script = f"""
sys.path.insert(0, {str(packages.folder)!r})
jumplabel.install("shop_u", asserts="off")
import shop_u
if [entry.key for entry in jumplabel.jump_table()] != ["logging.shop_u.logger.debug"]:
    raise SystemExit(1)
"""
    run(script, PYTHONOPTIMIZE="1")


def test_a_source_that_cannot_be_marked_is_left_as_a_whole(
    packages: Packages, cached: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from jumplabel._instrument import mark_statements

    def fail(*_: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(mark_statements, "mark", fail)
    install("shop_v", asserts="off")
    for _ in range(2):
        with pytest.raises(AssertionError):
            packages.load("shop_v", CART).total([-1])
        [report] = instrumented()
        assert report.left == ((1, "the module as a whole: too deep"),)
        packages.forget()
        gc.collect()
    assert cached == ["shop_v.py"]
