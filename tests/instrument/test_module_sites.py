"""What an instrumented module's sites are called, which keys its code keeps, and what other tools leave no room for."""

import gc
import logging
import os
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import dedent
from types import CodeType

import pytest
from packages import Packages

import jumplabel
from jumplabel import install
from jumplabel._bytecode.code_objects import kept
from jumplabel._instrument.loader import Loader

SOURCE = """
import logging

logger = logging.getLogger("shop")

def sell(n):
    logger.debug("sell %s", n)
    if n:
        logger.info("sold")
        logger.debug("again")

class Käse:
    def sell(self):
        logger.warning("none")

def shelf(own):
    def put(n):
        own.debug("put %s", n)
        logger.error("put")
    return put
"""


@pytest.mark.parametrize("again", [False, True], ids=["marked", "kept"])
def test_each_site_is_named_by_its_module_function_and_line(
    packages: Packages, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    with install("shop_sites"):
        module = packages.load("shop_sites", SOURCE)
        if again:
            packages.forget()
            del module
            gc.collect()
            module = packages.load("shop_sites", SOURCE)
        put = module.shelf(logging.getLogger("shelf"))
        found = sorted((entry.key, entry.owner) for entry in jumplabel.jump_table() if "shop_sites." in entry.owner)
        assert found == sorted(
            (f"logging.{logger}.{method}", f"shop_sites.{owner}")
            for logger, method, owner in [
                ("shop_sites.logger", "debug", "sell:7"),
                ("shop_sites.logger", "info", "sell:9"),
                ("shop_sites.logger", "debug", "sell:10"),
                ("shop_sites.logger", "warning", "Käse.sell:14"),
                ("shop_sites.logger", "error", "shelf.<locals>.put:19"),  # of the code that waits for loggers
                ("shop_sites.logger", "error", "shelf.<locals>.put"),  # and of the one made for this logger
                ("(shelf)", "debug", "shelf.<locals>.put:18"),
            ]
        )
        of = {
            name.rpartition(".")[2]: {key.name for key in kept(function.__code__)}
            for name, function in (
                ("sell", module.sell),
                ("put", put),
                ("shelf", module.shelf),
                ("Käse", module.Käse.sell),
            )
        }
        assert of == {
            "sell": {"logging.shop_sites.logger.debug", "logging.shop_sites.logger.info"},
            "put": {"logging.shop_sites.logger.error", "logging.(shelf).debug"},
            "shelf": set(),
            "Käse": {"logging.shop_sites.logger.warning"},
        }


def test_code_without_a_site_for_a_key_does_not_keep_it(packages: Packages) -> None:
    with install("shop_one"):
        module = packages.load(
            "shop_one",
            """
            import logging

            logger = logging.getLogger("shop")

            def sell():
                logger.debug("sell")

            def shelf(own):
                def put():
                    own.debug("put")
                return put
            """,
        )
        (put,) = [one for one in module.shelf.__code__.co_consts if isinstance(one, CodeType)]
        assert kept(put) == kept(module.shelf.__code__) == ()
        assert [key.name for key in kept(module.sell.__code__)] == ["logging.shop_one.logger.debug"]


def test_a_name_that_is_not_utf8_is_shown_with_backslashes(packages: Packages) -> None:
    path = packages.write(
        "shop_odd", "import logging\nlogger = logging.getLogger('shop')\ndef f(): logger.debug('f')\n"
    )
    spec = spec_from_file_location("shop\udcff\0.odd", path)
    assert spec is not None and type(spec.loader) is SourceFileLoader
    with install("*") as hook:
        spec.loader = Loader(spec.loader, spec, hook)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        owners = [entry.owner for entry in jumplabel.jump_table() if entry.owner.endswith(".f:3")]
        assert owners == ["shop\\udcff\\x00.odd.f:3"]


def test_where_other_tools_leave_no_room_a_module_stays_as_when_all_is_on(tmp_path: Path) -> None:
    (tmp_path / "shop_full.py").write_text(SOURCE)
    script = """
    import ctypes, gc
    python = ctypes.pythonapi
    ask = getattr(python, "PyUnstable_Eval_RequestCodeExtraIndex", None) or python._PyEval_RequestCodeExtraIndex
    ask.restype = ctypes.c_ssize_t
    while ask(None) >= 0:
        pass
    import logging, jumplabel
    jumplabel.install("shop_full")
    import shop_full
    (one,) = jumplabel.instrumented()
    lines = [line for line, why in one.left if why == "other tools have taken all places for data on code objects"]
    assert lines == [6, 13, 17], one.left
    records = []
    logging.getLogger("shop").handle = lambda record: records.append(record.getMessage())
    logging.getLogger("shop").setLevel(logging.DEBUG)
    shop_full.sell(1)
    assert records == ["sell 1", "sold", "again"]
    gc.collect()
    assert not jumplabel.jump_table() and not jumplabel.keys()
    jumplabel.uninstall()
    source = compile(open(shop_full.__file__).read(), "", "exec").co_consts
    assert [one.co_code for one in source if getattr(one, "co_name", "") == "sell"] == [shop_full.sell.__code__.co_code]
    """
    path = os.pathsep.join([str(Path(jumplabel.__file__).parents[1]), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", dedent(script)], cwd=tmp_path, env={"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
