"""The pytest plugin: each run of it in a process of its own, with as many tests in it as it takes."""

import subprocess
import sys
import textwrap

import pytest

import jumplabel
from jumplabel import StaticKey, StaticKeyError, batch, pytest_plugin, static_gate

pytest_plugins = ["pytester"]

SHOP = """
import jumplabel
from jumplabel import StaticKey

tracing, cache = StaticKey("shop.tracing"), StaticKey("shop.cache", default=True)
stock = StaticKey("stock", deferred=3600)
sold = jumplabel.Tracepoint("shop.sold")


class Following(StaticKey):
    '''A key that follows something, as the keys of logging statements follow their loggers.'''

    def override(self, enabled):
        raise jumplabel.StaticKeyError(f"{self!r} follows its logger; set the level of that")


logs = Following("logging.shop.DEBUG")


def states():
    return tracing.enabled, cache.enabled, stock.enabled
"""


@pytest.fixture
def run(pytester):
    """Run these tests, in files of their own, by pytest in another process: strict, as this project's own run."""
    pytester.makepyfile(shop=SHOP)
    pytester.makeini(
        "[pytest]\nfilterwarnings = error\naddopts = --strict-markers -p no:cacheprovider\npythonpath = .\n"
    )

    def run(*options, **files):
        files = {name: "import pytest\nfrom shop import *\n" + textwrap.dedent(text) for name, text in files.items()}
        pytester.makepyfile(**files)
        return pytester.runpytest_subprocess(*options)

    return run


# ---- what a test gets ----

SETS = """
    import threading
    pytestmark = pytest.mark.static_keys("shop.tracing", off="stock")

    @pytest.mark.static_keys("shop.tracing", off=["*"])
    @pytest.mark.static_keys("stock", "shop.*", off="shop.tracing")
    def test_names_decide_over_patterns():
        assert states() == (False, True, True)

    @pytest.mark.static_keys("shop.tracing", "s*", off=["*", "shop.tracing"])
    def test_off_decides_over_on():
        assert states() == (False, False, False)

    def test_module():
        assert states() == (True, True, False)

    @pytest.mark.static_keys("stock", off=["shop.t*", cache])
    def test_nearest_decides():
        assert states() == (False, False, True)

    @pytest.mark.static_keys(off="shop.tracing")
    class TestClass:
        def test_class(self):
            assert states() == (False, True, False)

        @pytest.mark.static_keys("shop.*", "!shop.cache", off=())
        def test_in_class(self, static_keys):
            assert states() == (True, True, False) and sold.enabled
            static_keys.disable("shop.*, !shop.sold", stock)
            assert states() == (False, False, False) and sold.enabled
            static_keys.enable("s*")
            assert states() == (True, True, True)

    @pytest.fixture(scope="module")
    def wide():
        return states()

    @pytest.fixture
    def narrow():
        return states()

    def test_fixtures(wide, narrow):
        assert narrow == (True, True, False)

    @pytest.mark.static_keys(off=["*"])
    def test_everything(narrow, wide):
        assert wide == narrow_before == (False, True, False) and narrow == (False, False, False)

    narrow_before = states()
"""

RESTORES = """
    def test_a(static_keys):
        static_keys.enable("shop.tracing", "stock", "shop.sold")
        static_keys.disable("shop.*")
        static_keys.enable(cache)
        static_keys.disable("shop.cache")
        tracing.inc(); tracing.inc(); cache.disable(); stock.inc()
        sold.register(print)
        assert states() == (False, False, True) and not sold.enabled

    def test_b(static_keys):
        assert states() == (False, True, False) and sold.enabled and sold.probes == (print,)
        sold.unregister(print)
        assert (tracing.count, cache.count, stock.count) == (0, 1, 0)
        cache.inc(); tracing.enable()
        static_keys.disable("shop.cache", "shop.tracing")
        cache.dec(); cache.dec(); tracing.disable(); tracing.inc(); tracing.dec()

    @pytest.mark.static_keys("*")
    def test_c():
        assert states() == (True, True, True) and cache.count == 2 and tracing.count == 1
        stock.inc(); stock.dec()
        raise ZeroDivisionError

    @pytest.mark.static_keys("stock", off="*")
    def test_d():
        assert states() == (False, False, True)
        with jumplabel.batch():
            tracing.inc()
            pytest.skip()

    @pytest.fixture
    def breaks(static_keys):
        static_keys.enable("*")
        stock.enable()
        raise ZeroDivisionError

    def test_e(breaks):
        pass

    def test_f(static_keys):
        assert states() == (True, True, False) and (tracing.count, cache.count, stock.count) == (1, 2, 0)
        tracing.dec(); cache.dec()

    import unittest

    @pytest.mark.static_keys("shop.tracing")
    class Old(unittest.TestCase):
        def test_g(self):
            self.assertEqual(states(), (True, True, False))

        @pytest.mark.static_keys(off="shop.tracing")
        def test_h(self):
            self.assertEqual(states(), (False, True, False))

    @pytest.mark.parametrize("on", [False, pytest.param(True, marks=pytest.mark.static_keys("stock")), False])
    def test_i(on):
        assert states() == (False, True, on)
"""


def test_keys_are_set_and_restored(run):
    run(test_sets=SETS, test_restores=RESTORES).assert_outcomes(passed=16, failed=1, errors=1, skipped=1)


def test_with_xdist_each_worker_sets_its_own(run):
    run("-n", "2", test_sets=SETS, test_sets_again=SETS).assert_outcomes(passed=16)


REFUSED = """
    @pytest.mark.static_keys("shop.traicng")
    def test_a(): pass

    @pytest.mark.static_keys("shop.tracing", off=["*.nothing"])
    def test_b(): pass

    @pytest.mark.static_keys("logging.shop.DEBUG")
    def test_c(): pass

    @pytest.mark.static_keys("logging.*")
    def test_d(): pass

    @pytest.mark.static_keys
    def test_e(): pass

    @pytest.mark.static_keys("shop.tracing", on=["shop.cache"])
    def test_f(): pass

    @pytest.mark.static_keys(off=7)
    def test_g(): pass

    def test_h(static_keys):
        static_keys.enable("shop.traicng")

    def test_last():
        assert states() == (False, True, False)
"""


def test_what_is_refused_fails_the_test_and_says_why(run):
    result = run(test_refused=REFUSED)
    result.assert_outcomes(passed=1, failed=1, errors=7)
    there_are = "there are logging.shop.DEBUG, shop.cache, shop.sold, shop.tracing, stock"
    result.stdout.fnmatch_lines(
        [
            f"*.static_keys('shop.traicng'): no StaticKey is called, or matches, 'shop.traicng'; {there_are}",
            f"*.static_keys('shop.tracing', off=[[]'[*].nothing'[]]): no StaticKey * '[*].nothing'; {there_are}",
            "*('logging.shop.DEBUG'): <StaticKey * follows its logger; set the level of that",
            "*('logging.[*]'): 'logging.[*]' finds only keys that cannot be held, such as <StaticKey *",
            "@pytest.mark.static_keys(): it says no key; give names*",
            "*'shop.tracing', on=[[]'shop.cache'[]]): it takes names, patterns and keys to hold on, and off=*",
            "*(off=7): it takes names, patterns and keys*",
            '>       static_keys.enable("shop.traicng")',
        ]
    )
    result.stdout.no_fnmatch_line("*pytest_plugin.py:*")


def test_the_marker_is_known_and_the_package_is_not_imported_where_it_is_not_used(pytester):
    pytester.makepyfile(
        """
        import sys
        def test(request):
            assert request.config.pluginmanager.hasplugin("jumplabel")
            assert not [name for name in sys.modules if name.startswith("jumplabel")]
            assert [line for line in request.config.getini("markers") if line.startswith("static_keys(*on, off=())")]
        """
    )
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_package_that_is_imported_before_pytest_begins_is_no_reason_to_warn(pytester):
    """pytest would have rewritten the assertions of a wheel."""
    rewriter = pytester.makepyfile(
        """
        import jumplabel, pytest, sys, warnings
        from _pytest.assertion.rewrite import AssertionRewriter
        assert AssertionRewriter.is_rewrite_disabled(jumplabel.__doc__)
        """
    )
    subprocess.run([sys.executable, "-W", "error", rewriter], check=True)


# ---- what it takes and leaves, in this process ----


@pytest.fixture
def held():
    held = pytest_plugin.StaticKeys()
    with held._stack:
        yield held


def test_a_name_that_looks_like_a_pattern_is_a_name(key, held):
    odd, *matching = (StaticKey(f"{key.name}{end}") for end in ("[ab], !c", "a", "b"))
    held.enable(odd.name)
    assert odd.enabled and not any(each.enabled for each in matching)


def test_all_or_none_of_the_keys_of_a_call(key, held):
    with pytest.raises(StaticKeyError, match="no StaticKey is called"):
        held.enable(key, key.name, "no such key")
    with pytest.raises(StaticKeyError, match="not 7"):
        held.enable(key, 7)
    with pytest.raises(StaticKeyError, match="give their names"):
        held.disable()
    with pytest.raises(StaticKeyError, match="within a batch"), batch():
        held.enable(key)
    follows = Following(f"{key.name} follows")
    with pytest.raises(StaticKeyError, match="follows its logger") as caught:
        held.enable(key, follows)
    assert caught and not key.enabled


def test_keys_that_cannot_be_held_are_no_reason_to_leave_others_out(key, held):
    follows = Following(f"{key.name}_follows")
    held.enable(key.name.replace("[", "?") + "*")
    assert key.enabled and not follows.enabled


class Following(StaticKey):
    """A key that follows something, as the keys of logging statements follow their loggers."""

    def override(self, enabled):
        raise StaticKeyError(f"{self!r} follows its logger; set the level of that")


def test_the_nearest_names_are_shown_where_there_are_many(key, held):
    many = [StaticKey(f"{key.name}_{i}_") for i in range(pytest_plugin.MOST_NAMES + 1)]
    with pytest.raises(StaticKeyError, match=r"of the \d+ there are, the nearest: ") as caught:
        held.enable(f"{key.name}_7x_")
    names = str(caught.value).partition("nearest: ")[2].split(", ")
    assert names[0] == many[7].name and len(names) == pytest_plugin.MOST_NAMES


def test_nothing_is_seen_of_how_users_are_restored(key):
    """The state goes from the override's to what it was, without what the test's users wanted in between."""
    seen = []
    gate = static_gate(key)(abs)
    held = pytest_plugin.StaticKeys()
    with held._stack:
        held.disable(key)
        key.inc()
        jumplabel.on_toggle(seen.append)
    jumplabel.off_toggle(seen.append)
    assert seen == [] and key.count == 0 and gate(-1) is None


def test_the_others_are_restored_where_one_cannot_be(key, other_key, held, monkeypatch):
    def fails(step):
        monkeypatch.undo()
        raise ZeroDivisionError

    held.enable(key)
    held.enable(other_key)
    monkeypatch.setattr(pytest_plugin, "apply", fails)
    with pytest.raises(ZeroDivisionError):
        held._stack.close()
    assert not key.enabled and not other_key.enabled


def test_our_own_run_has_the_plugin(request):
    assert request.config.pluginmanager.hasplugin("jumplabel")
