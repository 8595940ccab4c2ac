"""Assertions: sites only where they are named, on as the source says, and off only with a warning for test runners."""

import gc
import importlib
import os
import subprocess
import sys
import types
import warnings
from importlib.util import find_spec

import pytest
from packages import Packages, sites

import jumplabel
from jumplabel import InstrumentError, SettingWarning, StaticKey, StaticKeyError, install, instrument
from jumplabel._instrument import asserts_off

CART = """
    import logging

    logger = logging.getLogger(__name__)

    def sell(n):
        logger.debug("sell %s", n)
        assert n > 0, "nothing to sell"
        return n
"""


# ---- what is taken ----


def test_assertions_are_taken_only_where_they_are_named(packages: Packages) -> None:
    install("till_a")
    cart = packages.load("till_a", CART)
    assert sites("till_a") == ["logging.till_a.logger.debug"]
    with pytest.raises(AssertionError, match=r"^nothing to sell$"):
        cart.sell(0)
    done = instrument(packages.load("till_a2", CART))
    assert sites("till_a2") == ["logging.till_a2.logger.debug"]
    done.uninstall()


@pytest.mark.parametrize("asserts, start", [(True, True), ("on", True), ("off", False)])
@pytest.mark.parametrize("by", ["install", "instrument"])
def test_their_key_starts_as_the_option_says(packages: Packages, by: str, asserts: bool, start: bool) -> None:
    name = f"till_b_{by}_{asserts}"
    if by == "install":
        install(name, asserts=asserts)
        cart = packages.load(name, CART)
    else:
        cart = packages.load(name, CART)
        instrument(cart, asserts=asserts)
    key = jumplabel.key(f"asserts.{name}")
    assert (key.enabled, key.count, len(key.entries)) == (start, int(start), 1)
    for state in (start, not start, start):
        key.enable() if state else key.disable()
        if state:
            with pytest.raises(AssertionError, match=r"^nothing to sell$"):
                cart.sell(0)
        else:
            assert cart.sell(0) == 0


@pytest.mark.parametrize("asserts", [True, "off"])
def test_an_existing_key_keeps_its_state(packages: Packages, asserts: bool) -> None:
    for start in (True, False):
        name = f"till_c_{asserts}_{start}"
        key = StaticKey(f"asserts.{name}", default=start)
        install(name, asserts=asserts)
        packages.load(name, CART)
        assert key.enabled is start and len(key.entries) == 1


def test_a_module_that_is_loaded_again_keeps_the_state_of_its_key(packages: Packages) -> None:
    install("till_d", asserts=True)
    cart = packages.load("till_d", CART)
    jumplabel.key("asserts.till_d").disable()
    importlib.reload(cart)
    assert cart.sell(0) == 0 and not jumplabel.key("asserts.till_d")


@pytest.mark.parametrize("option", ["logging", "asserts", "keys", "only_pure"])
@pytest.mark.parametrize("wrong", ["yes", "", 1, 0, None, ["off"], "ON"])
def test_a_wrong_option_is_refused_before_any_change(option: str, wrong: object) -> None:
    finders = list(sys.meta_path)
    module = types.ModuleType("till_e")
    for call in (lambda: install("till_e", **{option: wrong}), lambda: instrument(module, **{option: wrong})):
        with pytest.raises(InstrumentError) as caught:
            call()
        assert str(caught.value).startswith(f"{option} is ") and str(caught.value).endswith(f"not {wrong!r}")
    assert sys.meta_path == finders


def test_code_from_the_cache_starts_as_this_process_says(packages: Packages, monkeypatch: pytest.MonkeyPatch) -> None:
    """All ways to take assertions share a cache. Code without sites for assertions has another one."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for asserts, caches in ((True, 1), ("off", 1), (False, 2), ("off", 2), (True, 2)):
        with install("till_f", asserts=asserts):
            cart = packages.load("till_f", CART)
            assert len(packages.caches()) == caches
            assert ("asserts.till_f" in sites("till_f")) is bool(asserts)
            if asserts == "off":
                assert cart.sell(0) == 0
            else:
                with pytest.raises(AssertionError):
                    cart.sell(0)
            packages.forget()
            del cart
            gc.collect()


# ---- test runners ----


@pytest.mark.parametrize(
    "original, arguments, runner",
    [
        ("python -m unittest", "-m", "unittest"),
        ("python -munittest -v", "-m -v", "unittest"),
        ("python -m unittest till", "/lib/unittest/__main__.py till", "unittest"),
        ("python -m pytest -x", "-m -x", "pytest"),
        ("python -W error -m twisted.trial till", "-m till", "twisted.trial"),
        ("python /bin/pytest tests", "/bin/pytest tests", "pytest"),
        ("python /bin/py.test", "/bin/py.test", "py.test"),
        ("python C:/pytest-script.py", "C:/pytest-script.py", "pytest-script.py"),
        ("python /bin/nose2", "/bin/nose2", "nose2"),
        ("python /bin/trial", "/bin/trial", "trial"),
        ("python /bin/ward", "/bin/ward", "ward"),
        ("python manage.py test shop", "manage.py test shop", "manage.py test"),
        ("python /bin/django-admin test", "/bin/django-admin test", "django-admin test"),
        ("python -m django test", "-m test", "django"),
        ("python test_till.py", "test_till.py", "test_till.py"),
        ("python -m coverage run -m pytest", "-m run -m pytest", "pytest"),
        ("python /bin/coverage run --branch /bin/pytest", "/bin/coverage run --branch /bin/pytest", "pytest"),
        ("python -m jumplabel run --asserts-off -m unittest", "-m run --asserts-off -m unittest", "unittest"),
        ("python -m jumplabel run manage.py test", "/x/jumplabel/__main__.py run manage.py test", "manage.py test"),
        ("python -m gunicorn till:app", "-m till:app", None),
        ("python manage.py runserver", "manage.py runserver", None),
        ("python manage.py shell test", "manage.py shell test", None),
        ("python -m django runserver", "-m runserver", None),
        ("python till.py pytest", "till.py pytest", None),
        ("python -c pass", "-c", None),
        ("python", "", None),
        ("python -m", "-m", None),
        ("python run.py tests.py", "run.py tests.py", None),
        ("python -m jumplabel run till.py", "/x/jumplabel/__main__.py run till.py", None),
    ],
)
def test_a_test_runner_is_recognised_by_the_command_line(original: str, arguments: str, runner: str | None) -> None:
    assert asserts_off._by_command_line(original.split(), arguments.split()) == runner


def test_the_warning_comes_once_and_stops_nothing(monkeypatch: pytest.MonkeyPatch, reported: list[object]) -> None:
    monkeypatch.setattr(asserts_off, "_warned_by", None)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "unittest"])
    with pytest.warns(SettingWarning, match="the program is a test runner: unittest"), install("till_g", asserts="off"):
        pass
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with install("till_g", asserts="off"):
            assert told == []
    monkeypatch.setattr(asserts_off, "_warned_by", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with install("till_g", asserts="off"):
            pass
    [(_, error)] = reported
    assert isinstance(error, SettingWarning)


# ---- real runs ----

FILES = {
    "till.py": "def sell(n):\n    assert n > 0\n    return n\n",
    "test_till.py": """
import till
import unittest

class Tests(unittest.TestCase):
    def test_sells_something(self):
        try:
            till.sell(0)
        except AssertionError:
            self.fail("as it must")

    def test_own_assertion(self):
        assert 1 == 2, "own"

if __name__ == "__main__":
    unittest.main()
""",
    "suite.py": """
import test_till
from unittest import TextTestRunner, TestCase, defaultTestLoader

TextTestRunner().run(defaultTestLoader.loadTestsFromName("test_till.Tests.test_sells_something"))
""",
    "shop.py": "import till\ntry:\n    print(till.sell(0))\nexcept AssertionError:\n    print('asserted')\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asserts")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def python(folder):
    """python(*arguments, NAME=value) runs Python and returns its status, stdout and stderr."""

    def python(*arguments, **environment):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("JUMPLABEL_", "PYTEST"))}
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=inherited | {"PYTHONPYCACHEPREFIX": str(folder / "cache")} | environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    return python


PYTEST = "-m pytest -q -p no:cacheprovider -p no:xdist --rootdir=. -c /dev/null test_till.py".split()
SUITES = {
    "unittest": (["-m", "unittest", "test_till"], "failures=2"),
    "pytest": (PYTEST, "2 failed"),
    "script": (["test_till.py"], "failures=2"),
}
TOLD = "SettingWarning: assertions were taken to start off, and the program is a test runner: "


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("instrumented", ["*", "asserts:*"])
def test_a_suite_that_fails_fails_instrumented(python, suite, instrumented):
    arguments, failures = SUITES[suite]
    plain = python(*arguments)
    status, out, errors = python(*arguments, JUMPLABEL_INSTRUMENT=instrumented)
    assert status == plain[0] != 0 and failures in out + errors and TOLD not in errors


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_that_passes_by_assertions_that_are_off_says_so(python, suite):
    arguments, _ = SUITES[suite]
    _, _, errors = python(*arguments, JUMPLABEL_INSTRUMENT="asserts-off:till")
    assert errors.count(TOLD) == 1
    options = ["-m", "jumplabel", "run", "--asserts-off", "--modules", "till"]
    _, _, errors = python(*options, *arguments)
    assert errors.count(TOLD) == 1
    enabled = {"JUMPLABEL_INSTRUMENT": "asserts-off:till", "JUMPLABEL_ENABLE": "asserts.*"}
    status, _, errors = python(*arguments, **enabled)
    assert status and TOLD not in errors


def test_a_runner_that_the_command_line_does_not_show_is_named_at_the_end(python):
    _, _, errors = python("suite.py", JUMPLABEL_INSTRUMENT="asserts-off:till")
    assert "FAILED" not in errors and errors.index("\nOK\n") < errors.index(f"{TOLD}unittest")


@pytest.mark.skipif(find_spec("xdist") is None, reason="pytest-xdist is not there")
def test_the_workers_of_xdist_warn(python):
    arguments = " ".join([*PYTEST, "-n 1"]).replace("-p no:xdist ", "").split()
    status, out, errors = python(*arguments, JUMPLABEL_INSTRUMENT="*")
    assert status == 1 and "2 failed" in out
    status, out, errors = python(*arguments, JUMPLABEL_INSTRUMENT="asserts-off:till")
    assert f"{TOLD}pytest" in errors


def test_another_program_does_not_warn(python):
    values = {"*": "asserted", "asserts:*": "asserted", "asserts-off:*": "0"}
    for value, printed in values.items():
        assert python("shop.py", JUMPLABEL_INSTRUMENT=value) == (0, f"{printed}\n", "")
    assert python("-O", "shop.py", JUMPLABEL_INSTRUMENT="asserts:*") == (0, "0\n", "")


# ---- the key of those that are not taken ----


def test_the_key_of_assertions_that_are_not_taken_is_on_and_stays_so(packages: Packages) -> None:
    install("shop_untaken")
    shop = packages.load("shop_untaken", "def check(x):\n    assert x > 5\n    return x\n")
    key = jumplabel.key("asserts.shop_untaken")
    key.enable()
    assert key.enabled and key.entries == ()
    with pytest.raises(StaticKeyError, match=r"ordinary statements, and always run: .*asserts=True"):
        key.disable()
    with pytest.raises(AssertionError):
        shop.check(1)
    with pytest.raises(StaticKeyError, match=r"there is no StaticKey 'asserts\.shop_none'"):
        jumplabel.key("asserts.shop_none")


def test_the_key_of_untaken_assertions_switches_them_once_they_are_taken(packages: Packages) -> None:
    install("shop_later")
    packages.load("shop_later", "def check(x):\n    assert x > 5\n    return x\n")
    key = jumplabel.key("asserts.shop_later")
    jumplabel.uninstall()
    install("shop_later", asserts=True)
    shop = importlib.reload(sys.modules["shop_later"])
    assert len(key.entries) == 1 and key.enabled
    key.disable()
    assert shop.check(1) == 1
