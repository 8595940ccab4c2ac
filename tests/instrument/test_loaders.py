"""An instrumented module has the same loader and spec as without a hook, also for tools that look at it."""

import copy
import importlib
import importlib.machinery
import importlib.util
import inspect
import linecache
import pickle
import pkgutil
import runpy
import subprocess
import sys
import types
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from packages import Packages, sites

import jumplabel
from jumplabel import install, instrumented

CART = """
    import logging
    logger = logging.getLogger(__name__)
    early = type(__loader__), type(__spec__.loader), repr(__spec__)

    def total(price):
        logger.debug("price %s", price)
        return price
"""
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def found(name: str) -> Any:
    return importlib.util.find_spec(name)


@pytest.fixture
def plain(packages: Packages) -> Any:
    """The spec without a hook. After this fixture a hook is installed."""
    packages.write("shop_la", CART)
    plain = found("shop_la")
    install("shop_la")
    return plain


def test_the_found_spec_equals_the_modules_spec_and_the_spec_without_a_hook(plain: Any) -> None:
    before = found("shop_la")
    module = importlib.import_module("shop_la")
    assert sites("shop_la") == ["logging.shop_la.logger.debug"]
    for one in (plain, before, module.__spec__, found("shop_la")):
        for other in (plain, before, module.__spec__, found("shop_la")):
            assert one == other and other == one and not one != other
            assert one.loader == other.loader and hash(one.loader) == hash(other.loader)
    assert before.loader != found("packages").loader and found("packages").loader != before.loader


def test_a_module_has_the_interpreters_loader_from_its_first_line_on(plain: Any) -> None:
    module = importlib.import_module("shop_la")
    loader = importlib.machinery.SourceFileLoader
    assert module.early[:2] == (loader, loader)
    assert type(module.__loader__) is type(module.__spec__.loader) is loader  # type: ignore[union-attr]
    assert module.__loader__ is module.__spec__.loader  # type: ignore[union-attr]
    assert vars(module.__spec__).keys() == {*vars(plain), "_initializing"}
    assert vars(module.__loader__) == vars(plain.loader)


def test_specs_print_as_without_a_hook_before_and_after_the_load(plain: Any) -> None:
    def shown(spec: Any) -> str:
        return repr(spec).replace(f"{id(spec.loader):#x}", "0x0").replace(f"{id(spec.loader):x}", "0")

    before = shown(found("shop_la"))
    module = importlib.import_module("shop_la")
    assert before == shown(module.__spec__) == shown(plain)
    assert "jumplabel" not in repr(module)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_specs_and_loaders_pickle_as_without_a_hook(plain: Any, protocol: int) -> None:
    def pickled(thing: Any) -> bytes:
        return pickle.dumps(thing, protocol)

    for spec in (found("shop_la"), importlib.import_module("shop_la").__spec__):
        assert pickled(spec.loader) == pickled(plain.loader)
        again = pickle.loads(pickled(spec))
        assert again == spec == plain
        assert type(again.loader) is importlib.machinery.SourceFileLoader


def test_pickles_are_read_without_jumplabel(plain: Any, tmp_path: Path) -> None:
    specs = [found("shop_la"), importlib.import_module("shop_la").__spec__]
    file = tmp_path / "specs"
    file.write_bytes(pickle.dumps(specs))
    script = "import pickle, sys; sys.modules['jumplabel'] = None; print(*{type(one.loader).__name__ for one in "
    script += f"pickle.load(open({str(file)!r}, 'rb'))}})"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("SourceFileLoader\n", "")


def test_copies_are_equal(plain: Any) -> None:
    for spec in (found("shop_la"), importlib.import_module("shop_la").__spec__):
        for copied in (copy.copy(spec), copy.deepcopy(spec)):
            assert copied == spec == plain
        assert copy.deepcopy(spec.loader) == copy.copy(spec.loader) == plain.loader


def test_a_spec_that_is_copied_before_the_load_gets_its_loader_back(plain: Any) -> None:
    spec = copy.copy(found("shop_la"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert sites("shop_la")
    assert type(spec.loader) is type(module.__loader__) is importlib.machinery.SourceFileLoader


def test_a_reloaded_module_is_instrumented_and_has_the_interpreters_loader(packages: Packages) -> None:
    install("shop_lb")
    module = packages.load("shop_lb", CART)
    packages.write("shop_lb", CART + "    x = 1\n")
    importlib.reload(module)
    assert module.x == 1
    assert type(module.__loader__) is importlib.machinery.SourceFileLoader
    assert len(instrumented()) == 1
    assert len(sites("shop_lb")) == 1


def test_a_module_that_fails_has_the_interpreters_loader_in_its_spec(packages: Packages) -> None:
    packages.write("shop_lc", CART + "    1 / 0\n")
    install("shop_lc")
    spec = found("shop_lc")
    with pytest.raises(ZeroDivisionError):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert type(spec.loader) is importlib.machinery.SourceFileLoader
    assert instrumented() == []


def test_modules_without_sites_are_listed_as_long_as_they_live(packages: Packages) -> None:
    install("shop_ld")
    module = packages.load("shop_ld", "x = 1\n")
    assert [one.name for one in instrumented()] == ["shop_ld"]
    importlib.reload(module)
    assert [one.name for one in instrumented()] == ["shop_ld"]
    number = id(module)
    packages.forget()
    del module
    assert instrumented() == []
    assert number not in sys.modules["jumplabel._instrument.instrumented_modules"]._held


# ---- other tools ----


def test_a_lazy_loader_over_ours_loads_when_the_module_is_used(packages: Packages) -> None:
    packages.write("shop_le", CART)
    install("shop_le")
    spec = found("shop_le")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["shop_le"] = module
    spec.loader.exec_module(module)
    assert sites("shop_le") == []
    assert module.total(1) == 1
    assert sites("shop_le") == ["logging.shop_le.logger.debug"]
    assert type(module.__loader__) is importlib.machinery.SourceFileLoader
    assert type(module.__spec__.loader) is importlib.machinery.SourceFileLoader  # type: ignore[union-attr]


def test_a_finder_in_front_of_ours_may_wrap_what_ours_finds(packages: Packages, monkeypatch: Any) -> None:
    class Wrapper(importlib.machinery.SourceFileLoader):
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattribute__(self, name: str) -> Any:
            return (
                object.__getattribute__(self, name) if name in ("inner", "exec_module") else getattr(self.inner, name)
            )

        def exec_module(self, module: types.ModuleType) -> None:
            self.inner.exec_module(module)

    class Finder:
        def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
            if name != "shop_lf":
                return None
            others = sys.meta_path[sys.meta_path.index(self) + 1 :]
            spec: Any = next(spec for one in others if (spec := one.find_spec(name, path, target)))
            spec.loader = Wrapper(spec.loader)
            return spec

    install("shop_lf")
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    module = packages.load("shop_lf", CART)
    assert sites("shop_lf")
    assert type(module.__spec__.loader) is type(module.__loader__) is Wrapper  # type: ignore[union-attr]


def test_our_finder_does_not_ask_finders_in_front_of_it(packages: Packages, monkeypatch: Any) -> None:
    asked = []

    class Finder:
        def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
            asked.append(name)

    install("shop_lg", "shop_lh")
    hook = install("shop_lg")
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    packages.load("shop_lg", CART)
    assert sites("shop_lg") and asked == ["shop_lg"]
    packages.write("shop_lh", CART)
    monkeypatch.setattr(sys, "meta_path", [one for one in sys.meta_path if one is not hook])
    assert hook.find_spec("shop_lg", None) is not None  # the hook is in no list of finders, so it asks all others
    assert asked == ["shop_lg"] * 2


def test_tools_find_the_source(packages: Packages) -> None:
    install("shop_li", "shop_li.*")
    packages.write("shop_li", "", package=True)
    (packages.folder / "shop_li" / "data.txt").write_text("data")
    module = packages.load("shop_li.cart", CART)
    assert inspect.getsource(module.total).startswith("def total(price):")
    linecache.clearcache()
    assert linecache.getline(str(module.__file__), 7, vars(module)).strip() == 'logger.debug("price %s", price)'
    assert [one.name for one in pkgutil.iter_modules(sys.modules["shop_li"].__path__)] == ["cart"]
    assert resources.files("shop_li").joinpath("data.txt").read_text() == "data"
    packages.forget()
    ran = runpy.run_module("shop_li.cart")
    assert ran["total"](1) == 1
    assert pickle.loads(pickle.dumps(ran["__spec__"])) == found("shop_li.cart")
    assert pkgutil.get_data("shop_li", "data.txt") == b"data"


def test_a_program_has_the_interpreters_loader(packages: Packages) -> None:
    packages.write("shop_lj", "print(type(__loader__).__bases__, type(__spec__.loader).__bases__)\n")
    command = [sys.executable, "-m", "jumplabel", "run", "--logging", "-m", "shop_lj"]
    environment = {"PYTHONPATH": f"{packages.folder}:{Path(jumplabel.__file__).parents[1]}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    bases = importlib.machinery.SourceFileLoader.__bases__
    assert (done.stdout, done.stderr) == (f"{bases} {bases}\n", "")
