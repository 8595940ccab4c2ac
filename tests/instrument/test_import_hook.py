"""install(): modules get their sites as they are imported."""

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
from packages import Packages, records, sites
from processes import run

import jumplabel
from jumplabel import PatternError, StaticKey, StaticKeyError, install, instrumented, uninstall
from jumplabel._instrument import code_cache, import_hook

CART = """
    import logging

    logger = logging.getLogger(__name__)
    evaluated = []

    def argument(value):
        evaluated.append(value)
        return value

    def total(prices):
        result = 0
        for price in prices:
            logger.debug("price %s", argument(price))
            assert price > 0, "no price"
            result += price
        return result
"""


def test_logging_statements_and_assertions_become_sites(packages: Packages) -> None:
    hook = install("shop_a", asserts="off")
    cart = packages.load("shop_a", CART)
    assert sites("shop_a") == ["logging.shop_a.logger.debug", "asserts.shop_a"]
    [report] = instrumented()
    assert report == ("shop_a", str(packages.folder / "shop_a.py"), 2, ())

    assert cart.total([1, -2]) == -1
    assert cart.evaluated == []
    jumplabel.key("asserts.shop_a").enable()
    with pytest.raises(AssertionError, match=r"^no price$"):
        cart.total([1, -2])
    with records("shop_a", logging.DEBUG) as handler:
        assert cart.total([1]) == 1
        assert cart.evaluated == [1]
    [record] = handler.records
    assert (record.pathname, record.lineno, record.funcName) == (cart.__file__, 14, "total")
    assert cart.total([1]) == 1
    assert cart.evaluated == [1]
    hook.uninstall()


def test_what_is_not_wanted_is_left_alone(packages: Packages) -> None:
    install("shop_b.logging")
    install("shop_b.asserts", logging=False, asserts=True)
    install("shop_b.none", logging=False)
    install("shop_b.pure", asserts=True, only_pure=True)
    packages.write("shop_b", "", package=True)
    assert sites(packages.load("shop_b.logging", CART).__name__) == ["logging.shop_b.logging.logger.debug"]
    assert sites(packages.load("shop_b.asserts", CART).__name__) == ["asserts.shop_b.asserts"]
    assert sites(packages.load("shop_b.none", CART).__name__) == []
    assert sites(packages.load("shop_b.pure", CART).__name__) == ["asserts.shop_b.pure"]
    assert sites(packages.load("shop_b.other", CART).__name__) == []
    assert [report.name for report in instrumented()] == [
        f"shop_b.{one}" for one in ("asserts", "logging", "none", "pure")
    ]
    assert [report.left for report in instrumented()] == [(), (), (), ((14, "an argument calls something"),)]


def test_tests_of_keys_become_sites(packages: Packages) -> None:
    source = """
        from functools import wraps
        from jumplabel import StaticKey, static_branches
        tracing = StaticKey(__name__ + ".tracing")

        def function(x):
            assert x
            return "on" if tracing else "off"

        def wrapper(function):
            @wraps(function)
            def inner():
                return function()
            return inner

        @wrapper
        def wrapped():
            return 1 if tracing else 0

        class Cart:
            def method(self):
                if tracing:
                    return 1
                return 0
        """
    install("shop_c", "shop_c.*", asserts="off")
    packages.write("shop_c", "", package=True)
    module = packages.load("shop_c.cart", source)
    tracing, asserts = "shop_c.cart.tracing", "asserts.shop_c.cart"
    assert sites("shop_c.cart") == [asserts, tracing, tracing, tracing]
    assert (module.function(0), module.wrapped(), module.Cart().method()) == ("off", 0, 0)
    module.tracing.enable()
    assert (module.function(0), module.wrapped(), module.Cart().method()) == ("on", 1, 1)
    jumplabel.key(asserts).enable()
    with pytest.raises(AssertionError):
        module.function(0)

    install("shop_c.plain", asserts="off", keys=False)
    assert sites(packages.load("shop_c.plain", source).__name__) == ["asserts.shop_c.plain"]


def test_what_a_module_holds_is_not_asked_what_it_is(packages: Packages) -> None:
    """Proxies, as those of celery and Django, make what they stand for when they are asked."""
    source = """
        class Proxy:
            @property
            def __class__(self):
                raise ImportError("too early")

        proxy = Proxy()
        """
    install("shop_proxy")
    assert type(packages.load("shop_proxy", source).proxy).__name__ == "Proxy"


def test_a_decorator_in_the_source_keeps_the_sites_there_are(packages: Packages) -> None:
    source = CART.replace("    def total", "    @static_branches\n    def total").replace(
        "import logging\n",
        "import logging\n    from jumplabel import *\n    tracing = StaticKey('shop_d.tracing')\n",
    )
    source = source.replace("result = 0", "result = 100 if tracing else 0")
    install("shop_d", asserts="off", keys=False)
    cart = packages.load("shop_d", source)
    gc.collect()
    assert sites("shop_d") == ["shop_d.tracing", "logging.shop_d.logger.debug", "asserts.shop_d"]
    assert cart.total([-1]) == -1
    jumplabel.key("shop_d.tracing").enable()
    with records("shop_d", logging.DEBUG) as handler:
        assert cart.total([-1]) == 99
        assert handler.take() == ["price -1"]
    assert cart.total([-1]) == 99
    assert cart.evaluated == [-1]
    jumplabel.key("asserts.shop_d").enable()
    with pytest.raises(AssertionError):
        cart.total([-1])


def test_modules_and_classes_assert_while_they_are_made(packages: Packages) -> None:
    source = "assert False\nclass A:\n    assert False\n    x = 1\nassert A.x == 2\n"
    install("shop_e*", asserts="off")
    assert packages.load("shop_e", source).A.x == 1
    key = StaticKey("asserts.shop_e_on", default=True)
    with pytest.raises(AssertionError):
        packages.load("shop_e_on", source)
    assert key.enabled


def test_loggers_of_closures(packages: Packages) -> None:
    source = """
        import logging
        evaluated = []

        def make(logger, n):
            def function():
                logger.debug("a %s", evaluated.append(n))
                logger.log(logging.INFO, "b %s", evaluated.append(n))
                logger.log(levels.INFO, "c %s", evaluated.append(-n))
                assert n
                return n
            return function

        class levels:  # nobody would say that it has another number
            INFO = 20

        def late():
            def function():
                logger.debug("late")
            logger = logging.getLogger("shop_f.late")
            return function
        """
    install("shop_f", asserts="off")
    module = packages.load("shop_f", source)
    asserts = jumplabel.key("asserts.shop_f")
    one, again, other = (
        module.make(logging.getLogger(name), n) for n, name in enumerate(("shop_f.a", "shop_f.a", "shop_f.b"))
    )
    assert one.__code__ is again.__code__ is not other.__code__
    with (
        records("shop_f.a", logging.DEBUG) as a,
        records("shop_f.b", logging.INFO) as b,
        records("shop_f.late", 1) as c,
    ):
        assert (one(), again(), other()) == (0, 1, 2)
        assert (a.take(), b.take()) == (["a None", "b None", "c None"] * 2, ["b None", "c None"])
        assert module.evaluated == [0, 0, 0, 1, 1, -1, 2, -2]
        module.late()()
        assert c.take() == ["late"]
        slots = type("Slots", (), {"__slots__": (), "debug": c.records.append, "log": lambda *args: None})()
        with pytest.raises(TypeError):  # it goes where it always went
            module.make(slots, 1)()
        module.evaluated.clear()
        logging.getLogger("shop_f.a").setLevel(logging.WARNING)
        assert (one(), again(), other()) == (0, 1, 2)
        assert (a.take(), b.take(), module.evaluated) == ([], ["b None", "c None"], [0, -1, 2, -2])
    asserts.enable()
    with pytest.raises(AssertionError):
        one()
    assert again() == 1


# ---- the hook ----


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
    with pytest.raises(AssertionError):  # it had begun in the other code, which does now what the source says
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
def test_what_is_no_pattern_is_refused_and_nothing_installed(patterns: tuple[object, ...]) -> None:
    before = list(sys.meta_path)
    with pytest.raises(PatternError):
        install(*patterns)  # type: ignore[arg-type]
    assert sys.meta_path == before


def test_what_is_no_source_file_is_imported_as_ever(packages: Packages, tmp_path: Path) -> None:
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


def test_what_another_hook_loads_is_left_to_it(packages: Packages, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_keys_of_closures_are_found_without_one_in_the_module(packages: Packages) -> None:
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


def test_modules_look_as_they_do_without(packages: Packages) -> None:
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


def test_what_a_module_raises_has_no_frames_of_ours(packages: Packages) -> None:
    packages.write("shop_l", "import logging\n\ndef f():\n    assert 1\n\n1 / 0\n")
    install("shop_l")
    with pytest.raises(ZeroDivisionError) as caught:
        importlib.import_module("shop_l")
    outside = {__file__, importlib.__file__, str(packages.folder / "shop_l.py")}
    frames = [frame.filename for frame in traceback.extract_tb(caught.tb)]
    # importlib.import_module() is not an import statement, which is what the interpreter tidies up behind.
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
        importlib.reload(cart)  # early is what the old function gives
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


# ---- the cache ----


@pytest.fixture
def cached(packages: Packages, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose source was compiled."""
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


def test_what_is_cached_is_of_one_source_and_one_set_of_options(packages: Packages, cached: list[str]) -> None:
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
def test_a_cache_that_is_none_is_made_anew(packages: Packages, cached: list[str], damage: object) -> None:
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


def test_where_no_bytecode_is_written_none_is(
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


def test_with_assertions_compiled_away_there_are_none_to_be_sites(packages: Packages) -> None:
    packages.write("shop_u", CART)
    script = f"""
sys.path.insert(0, {str(packages.folder)!r})
jumplabel.install("shop_u", asserts="off")
import shop_u
if [entry.key for entry in jumplabel.jump_table()] != ["logging.shop_u.logger.debug"]:
    raise SystemExit(1)
"""
    run(script, PYTHONOPTIMIZE="1")


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


def test_a_source_that_is_beyond_us_is_left_as_a_whole(
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
