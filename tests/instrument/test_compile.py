"""``python -m jumplabel compile``: the modules that it finds, the files that it writes, and its messages."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cached_modules import CART, again
from packages import Packages

import jumplabel
from jumplabel import install, uninstall

pytestmark = pytest.mark.usefixtures("writes")


def tool(*arguments: str, cwd: Path, **environment: str) -> tuple[int, list[str], list[str]]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(cwd),
        "PYTHONPATH": str(Path(jumplabel.__file__).parents[1]),
        "PYTHONDONTWRITEBYTECODE": "1",
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-m", "jumplabel", "compile", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


@pytest.fixture
def shop(packages: Packages) -> Packages:
    packages.write("shop_x", CART, package=True)
    packages.write("shop_x.plain", "x = 1\n")
    packages.write("shop_x.space.cart", CART)  # in a namespace package
    return packages


def test_the_first_start_finds_code_that_was_compiled_ahead(shop: Packages, compiled: list[str]) -> None:
    (shop.folder / "shop_x/__init__.py").write_text("raise SystemExit('it is imported')\n")
    status, said, wrong = tool("--path", ".", "shop_x,shop_x.*", cwd=shop.folder)
    assert (status, wrong) == (0, [])
    names = ["shop_x/__init__.py", "shop_x/plain.py", "shop_x/space/cart.py"]
    assert said == [f"Compiling {str(shop.folder / name)!r}..." for name in names]
    assert tool("--path", ".", "shop_x,shop_x.*", cwd=shop.folder) == (0, [], [])
    status, said, _ = tool("-f", "--path", ".", "shop_x.*", cwd=shop.folder)
    assert (status, len(said)) == (0, 2)

    (shop.folder / "shop_x/__init__.py").write_text("")
    install("shop_x.*")
    importlib.import_module("shop_x.plain")
    importlib.import_module("shop_x.space.cart")
    assert compiled == []
    assert Path(importlib.util.cache_from_source(str(shop.folder / "shop_x/plain.py"))).exists()


def test_the_options_are_those_of_run(shop: Packages, compiled: list[str]) -> None:
    assert tool("-q", "--path", ".", "--logging", "--only-pure", "shop_x.space.cart", cwd=shop.folder) == (0, [], [])
    install("shop_x.*", asserts=False, only_pure=True)
    importlib.import_module("shop_x.space.cart")
    assert compiled == []
    uninstall()
    install("shop_x.*", asserts=True, only_pure=True)
    again(shop, "shop_x.space.cart")
    assert compiled == ["cart.py"]


@pytest.mark.parametrize("options", [(), ("--logging",), ("--asserts",), ("--logging", "--only-pure")])
def test_a_run_with_the_same_options_finds_the_compiled_code(shop: Packages, options: Any) -> None:
    assert tool("-q", "--path", ".", *options, "shop_x,shop_x.*", cwd=shop.folder) == (0, [], [])
    before = shop.caches()
    assert len(before) == 3
    environment = {"PYTHONPATH": f"{shop.folder}:{Path(jumplabel.__file__).parents[1]}"}
    program = ["--modules", "shop_x,shop_x.*", "-c", "import shop_x.plain, shop_x.space.cart"]
    command = [sys.executable, "-m", "jumplabel", "run", *options, *program]
    subprocess.run(command, env=environment, check=True)
    assert shop.caches() == before


@pytest.mark.parametrize(
    ("arguments", "environment", "flags"),
    [
        ((), {}, 0),
        ((), {"SOURCE_DATE_EPOCH": "1"}, 3),
        (("--invalidation-mode", "unchecked-hash"), {}, 1),
        (("--invalidation-mode", "timestamp"), {"SOURCE_DATE_EPOCH": "1"}, 0),
    ],
)
def test_files_show_changes_of_their_sources_as_with_compileall(
    shop: Packages, arguments: Any, environment: Any, flags: int
) -> None:
    assert tool("-q", "--path", ".", *arguments, "shop_x.*", cwd=shop.folder, **environment) == (0, [], [])
    for path in (*shop.caches(), shop.folder / importlib.util.cache_from_source("shop_x/plain.py")):
        assert path.read_bytes()[4] == flags


def test_failures_are_reported_and_counted(shop: Packages) -> None:
    shop.write("shop_x.wrong", "x = = 1\n")
    status, said, wrong = tool("-q", "--path", ".", "shop_x.*", cwd=shop.folder)
    assert (status, wrong) == (1, [])
    assert said[0] == f"*** Error compiling {str(shop.folder / 'shop_x/wrong.py')!r}..." and "SyntaxError" in said[1]
    assert len(shop.caches()) == 2  # the other modules are compiled
    assert tool("-qq", "--path", ".", "shop_x.*", cwd=shop.folder) == (1, [], [])
    status, said, wrong = tool("no_shop.*", cwd=shop.folder)
    assert (status, said) == (1, [])
    assert wrong == ["jumplabel: no module with a source file matches no_shop.*"]
    for arguments in (("!x",), ("--keys", "shop_x"), ()):
        assert tool(*arguments, cwd=shop.folder)[0] == 2


def test_files_for_one_user_only_are_reported(shop: Packages) -> None:
    (shop.folder / "shop_x/space/__pycache__").write_text("")
    status, _, wrong = tool("-q", "--path", ".", "shop_x.space.cart", cwd=shop.folder)
    folder = shop.folder / ".cache/jumplabel"
    assert (status, wrong) == (0, [f"jumplabel: 1 files are in {str(folder)!r}, for this user alone"])
    assert len(list(folder.iterdir())) == 1


@pytest.mark.filterwarnings("ignore:Setuptools is replacing distutils")  # finding this module imports setuptools
def test_a_pattern_for_all_finds_the_modules_on_the_path(shop: Packages) -> None:
    from jumplabel._instrument.compile_modules import modules
    from jumplabel._keys.patterns import Patterns

    found = {one.name: one.path for one in modules(Patterns(["*", "!shop_x.plain"]))}
    assert found["shop_x.space.cart"] == str(shop.folder / "shop_x/space/cart.py")
    assert "json.decoder" in found and "shop_x" in found
    assert found.keys().isdisjoint(
        {"shop_x.plain", "shop_x.space", "jumplabel", "jumplabel._keys.static_key", "ast", "_heapq"}
    )
