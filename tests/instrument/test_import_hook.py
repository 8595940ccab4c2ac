"""install(): the import hook, the modules that it loads, and programs."""

import gc
import importlib
import importlib.machinery
import importlib.util
import logging
import sys
import threading
import traceback
import types
import weakref
from pathlib import Path

import pytest
from packages import CART, Packages, records, sites

import jumplabel
from jumplabel import PatternError, StaticKeyError, install, instrumented, uninstall
from jumplabel._instrument import import_hook


def test_uninstall_restores_the_original_code(packages: Packages) -> None:
    source = (
        CART
        + """
    tracing = __import__("jumplabel").StaticKey(__name__ + ".tracing")

    def generate():
        while True:
            logger.debug("generated")
            assert False
            yield 1

    def keyed():
        return 1 if tracing else 0

    def closure(logger):
        def inner():
            logger.debug("inner")
        return inner
    """
    )
    plain = packages.load("shop_g", source)
    codes = {name: value.__code__ for name, value in vars(plain).items() if hasattr(value, "__code__")}
    inner = plain.closure(plain.logger).__code__
    del plain
    packages.forget()
    gc.collect()
    hook = install("shop_g", asserts="off")
    module = packages.load("shop_g", source)
    generator, closure = module.generate(), module.closure(module.logger)
    changed = [name for name, code in codes.items() if vars(module)[name].__code__ != code]
    assert sorted(changed) == ["closure", "generate", "keyed", "total"]

    hook.uninstall()
    assert [name for name, code in codes.items() if vars(module)[name].__code__ != code] == []
    assert closure.__code__ == inner
    with pytest.raises(AssertionError):  # it runs the instrumented code, with all sites on now
        next(generator)
    del generator, closure
    gc.collect()
    assert sites("shop_g") == []
    assert instrumented() == []
    with records("shop_g", logging.DEBUG) as handler:
        module.total([3])
        assert handler.take() == ["price 3"]
    packages.forget()
    assert sites(packages.load("shop_g", CART).__name__) == []
    hook.uninstall()


def test_uninstall_without_the_source_turns_everything_on(packages: Packages) -> None:
    install("shop_h", asserts="off")
    cart = packages.load("shop_h", CART)
    code = cart.total.__code__
    packages.write("shop_h", "# another one\n" + CART)
    uninstall()
    assert cart.total.__code__ is code
    with pytest.raises(AssertionError):
        cart.total([-1])
    assert cart.evaluated == [-1]


def test_a_hook_is_for_a_with_block_too(packages: Packages) -> None:
    with install("shop_i", asserts="off") as hook:
        assert repr(hook) == "<jumplabel.Hook for shop_i>"
        module = packages.load("shop_i", CART)
        assert sites("shop_i")
    gc.collect()
    assert not sites("shop_i")
    assert hook not in sys.meta_path
    with pytest.raises(AssertionError):
        module.total([-1])


def test_the_newest_hook_decides_and_each_takes_away_its_own(packages: Packages) -> None:
    packages.write("shop_j", "", package=True)
    older, newer = install("shop_j.*", logging=False, asserts=True), install("shop_j.a", asserts=False)
    a, b = packages.load("shop_j.a", CART), packages.load("shop_j.b", CART)
    assert sites("shop_j.a") == ["logging.shop_j.a.logger.debug"]
    assert sites("shop_j.b") == ["asserts.shop_j.b"]
    older.uninstall()
    gc.collect()
    assert sites("shop_j.a") == ["logging.shop_j.a.logger.debug"]
    assert sites("shop_j.b") == []
    newer.uninstall()
    gc.collect()
    assert sites("shop_j.a") == []
    assert a.total([1]) == b.total([1]) == 1


@pytest.mark.parametrize("patterns", [(), ("",), (7,), ("!a",)])
def test_a_wrong_pattern_is_refused_and_nothing_installed(patterns: tuple[object, ...]) -> None:
    before = list(sys.meta_path)
    with pytest.raises(PatternError):
        install(*patterns)  # type: ignore[arg-type]
    assert sys.meta_path == before


def test_modules_without_a_source_file_are_imported_unchanged(packages: Packages, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "zipped.zip", "w") as archive:
        archive.writestr("zipped_shop.py", "assert False\nx = 1\n" if not __debug__ else "x = 1\n")
    sys.path.insert(0, str(tmp_path / "zipped.zip"))
    (tmp_path / "namespace_shop").mkdir()
    packages.names |= {"zipped_shop", "namespace_shop"}
    with install("*"):
        try:
            assert importlib.import_module("zipped_shop").x == 1
        finally:
            sys.path.remove(str(tmp_path / "zipped.zip"))
        assert importlib.import_module("namespace_shop").__file__ is None
        assert importlib.reload(importlib.import_module("_heapq")).heappop
        with pytest.raises(ModuleNotFoundError, match="no_such_shop"):
            importlib.import_module("no_such_shop")
        assert instrumented() == []


def test_a_module_that_another_hook_loads_is_left_to_it(packages: Packages, monkeypatch: pytest.MonkeyPatch) -> None:
    class Loader(importlib.machinery.SourceFileLoader):
        pass

    class Finder:
        def find_spec(self, name: str, path: object, target: object = None) -> object:
            if name != "shop_w":
                return None
            file = str(packages.folder / "shop_w.py")
            return importlib.util.spec_from_loader(name, Loader(name, file))

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with install("shop_w"):
        assert type(packages.load("shop_w", CART).__loader__) is Loader
        assert sites("shop_w") == []


def test_keys_of_closures_are_found_without_a_key_in_the_module(packages: Packages) -> None:
    source = """
        from jumplabel import StaticKey as Key

        def make(key):
            def inner():
                return 1 if key else 0
            return inner

        inner = make(Key("shop_x.key"))
        """
    install("shop_x")
    inner = packages.load("shop_x", source).inner
    assert sites("shop_x") == ["shop_x.key"]
    jumplabel.key("shop_x.key").enable()
    assert inner() == 1


def test_modules_look_as_without_the_hook(packages: Packages) -> None:
    def look(name: str) -> dict[str, object]:
        module = importlib.import_module(name)
        spec = module.__spec__
        assert spec is not None
        assert isinstance(module.__loader__, importlib.machinery.SourceFileLoader)
        assert module.__loader__ is spec.loader
        assert module.__loader__.get_source(name) == (packages.folder / "shop_k.py").read_text()
        assert "jumplabel" not in repr(module)
        found = {name: type(value) for name, value in vars(module).items()}
        return {**found, "__loader__": None, "spec": (spec.origin, spec.cached, spec.has_location, spec.parent)}

    packages.write("shop_k", CART)
    plain = look("shop_k")
    packages.forget()
    install("shop_k")
    assert look("shop_k") == plain
    assert type(sys.modules["shop_k"].__spec__.loader) is importlib.machinery.SourceFileLoader  # type: ignore[union-attr]
    code = sys.modules["shop_k"].__spec__.loader.get_code("shop_k")  # type: ignore[union-attr]
    assert not any("jumplabel" in name for constant in code.co_consts for name in getattr(constant, "co_names", ()))


def test_an_exception_of_a_module_has_no_frames_of_ours(packages: Packages) -> None:
    packages.write("shop_l", "import logging\n\ndef f():\n    assert 1\n\n1 / 0\n")
    install("shop_l")
    with pytest.raises(ZeroDivisionError) as caught:
        importlib.import_module("shop_l")
    outside = {__file__, importlib.__file__, str(packages.folder / "shop_l.py")}
    frames = [frame.filename for frame in traceback.extract_tb(caught.tb)]
    # The interpreter removes frames of importlib for an import statement, not for importlib.import_module().
    assert {name for name in frames if not name.startswith("<frozen importlib")} == outside
    assert "shop_l" not in sys.modules
    try:
        import shop_l  # type: ignore[import-not-found]  # noqa: F401
    except ZeroDivisionError as error:
        assert [frame.filename for frame in traceback.extract_tb(error.__traceback__)] == [
            __file__,
            str(packages.folder / "shop_l.py"),
        ]
    packages.write("shop_l2", "x = = 1\n")
    install("shop_l2")
    with pytest.raises(SyntaxError, match=r"shop_l2\.py, line 1"):
        importlib.import_module("shop_l2")


def test_a_module_that_is_loaded_again_follows_its_new_loggers(packages: Packages) -> None:
    install("shop_m", asserts="off")
    cart = packages.load("shop_m", CART)
    old = cart.total
    early = "    early = total([7])\n\n    def argument"
    packages.write("shop_m", CART.replace("__name__", "'shop_m.other'").replace("    def argument", early))
    with records("shop_m", logging.INFO), records("shop_m.other", logging.DEBUG) as handler:
        importlib.reload(cart)  # the module calls the old function while it runs
        assert (cart.early, handler.take()) == (7, ["price 7"])
    assert len(sites("shop_m")) == 4
    with records("shop_m", logging.INFO) as handler, records("shop_m.other", logging.INFO) as other:
        assert (old([1]), cart.total([1])) == (1, 1)
        assert (handler.take(), other.take()) == ([], [])
        logging.getLogger("shop_m.other").setLevel(logging.DEBUG)
        assert (old([1]), cart.total([1])) == (1, 1)
        assert (handler.take(), other.take()) == ([], ["price 1"] * 2)
    cart.evaluated.clear()
    assert (old([1]), cart.total([1]), cart.evaluated) == (1, 1, [])
    del old
    gc.collect()
    assert len(sites("shop_m")) == 2


def test_modules_and_their_keys_go_with_their_last_user(packages: Packages) -> None:
    install("shop_n", "shop_n.*", asserts="off")
    packages.write("shop_n", "", package=True)
    module = packages.load(
        "shop_n.cart",
        CART + "    def make(log):\n        def inner():\n            log.info('a')\n        return inner\n",
    )
    total, inner, gone = module.total, module.make(module.logger), weakref.ref(module)
    packages.forget()
    del module
    gc.collect()
    assert sites("shop_n.cart") != []
    with records("shop_n.cart", logging.DEBUG) as handler:
        total([1])
        inner()
        assert handler.take() == ["price 1", "a"]
    total([1])
    del total, inner
    gc.collect()
    assert sites("shop_n.cart") == []
    assert gone() is None
    assert instrumented() == []
    for name in "asserts.shop_n.cart", "logging.shop_n.cart.logger.debug":
        with pytest.raises(StaticKeyError):
            jumplabel.key(name)


def test_threads_import_at_once(packages: Packages) -> None:
    names = [f"shop_o{i}" for i in range(8)]
    for name in names:
        packages.write(name, CART + "    import time; time.sleep(0.01)\n")
    install("shop_o*", asserts="off")
    results: list[int] = []

    def load() -> None:
        for name in names:
            results.append(importlib.import_module(name).total([1]))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [1] * 32
    assert [len(sites(name)) for name in names] == [2] * 8


def test_functions_that_are_called_while_the_module_runs_do_what_the_source_says(packages: Packages) -> None:
    with records("shop_p", logging.DEBUG) as handler:
        install("shop_p")
        module = packages.load(
            "shop_p", CART + "    early = total([1])\n    del logger\n    logger = logging.getLogger(__name__)\n"
        )
        assert (module.early, handler.take()) == (1, ["price 1"])
        assert (module.total([2]), handler.take()) == (2, ["price 2"])


# ---- programs ----

PROGRAM = """
    import logging
    from jumplabel import StaticKey, jump_table

    logger = logging.getLogger("program")
    tracing = StaticKey("program.tracing")

    def work():
        logger.debug("working")
        if tracing:
            return 1
        assert False
        return 0

    if __name__ == "__main__":
        found = {entry.key: entry.state for entry in jump_table() if entry.owner.startswith("__main__.")}
        print(sorted(found), any(found.values()), work())
"""


def test_a_program_has_its_sites_before_it_begins(packages: Packages, capsys: pytest.CaptureFixture[str]) -> None:
    path = packages.write("program", PROGRAM)
    main = types.ModuleType("__main__")
    with install("__main__", asserts="off"):
        exec(import_hook.main_code(path.read_bytes(), str(path), "__main__", main), vars(main))
    keys = ["asserts.__main__", "logging.__main__.logger.debug", "program.tracing"]
    assert capsys.readouterr().out == f"{keys} False 0\n"
    with install("program.other"):
        code = import_hook.main_code(path.read_bytes(), str(path), "program", main)
        assert code == compile(path.read_bytes(), str(path), "exec")
