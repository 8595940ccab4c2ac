"""Another tool replaces the code of functions of instrumented modules."""

import sys
import types
import warnings

import pytest
from replaced_checks import warned
from site_checks import make, off_on_off

import jumplabel
from jumplabel import instrument, static_branches
from jumplabel._keys.toggles import callbacks

pytestmark = pytest.mark.usefixtures("no_function_stays_replaced")


@pytest.fixture
def shop(tmp_path, monkeypatch):
    (tmp_path / "replaced_shop.py").write_text("def sell(n):\n    assert n > 0\n    return n\n")
    monkeypatch.syspath_prepend(tmp_path)
    import replaced_shop

    yield replaced_shop
    del sys.modules["replaced_shop"]


def test_functions_of_instrumented_modules(shop):
    original = shop.sell.__code__
    with instrument(shop, asserts=True):
        asserts = jumplabel.key("asserts.replaced_shop")
        ours = shop.sell.__code__
        assert ours is not original
        shop.sell.__code__ = ours.replace()
        state = asserts.enabled
        with warned(shop.sell):
            asserts.disable() if state else asserts.enable()
        assert [entry.replaced for entry in asserts.entries] == [True]
        shop.sell.__code__ = ours
        assert [entry.replaced for entry in asserts.entries] == [False]
    with warned():
        asserts.disable()
        asserts.enable()
    assert shop.sell.__code__.co_code == original.co_code


def test_undoing_is_not_replacing(shop):
    for _ in range(2):
        with warned(), instrument(shop, asserts=True):
            asserts = jumplabel.key("asserts.replaced_shop")
            asserts.enable()
            asserts.disable()
    assert not callbacks


def test_all_the_same_in_both_states(key):
    function = static_branches(make(key))
    twin = types.FunctionType(function.__code__, globals(), "twin", (None,), function.__closure__)
    function.__code__ = function.__code__.replace()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for enabled in off_on_off(key):
            assert (function(), twin()) == ("off", "on" if enabled else "off")
