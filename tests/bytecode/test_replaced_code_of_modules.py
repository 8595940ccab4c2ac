"""Another tool replaces the code of functions of instrumented modules."""

import contextlib
import gc
import sys
import types
import warnings

import pytest
from site_checks import make, off_on_off

import jumplabel
from jumplabel import ReplacedCodeWarning, instrument, static_branches
from jumplabel._bytecode import replaced_code
from jumplabel._keys.toggles import callbacks


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    gc.collect()
    assert not replaced_code._replaced


@contextlib.contextmanager
def warned(*functions):
    """These functions are warned of in the block, in any order, each once."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    assert {one.category for one in found} <= {ReplacedCodeWarning}
    messages = sorted(str(one.message) for one in found)
    names = sorted(f"{one.__module__}.{one.__qualname__} does not follow the key " for one in functions)
    assert len(messages) == len(names), messages
    for message, name in zip(messages, names, strict=True):
        assert message.startswith(name) and "its own code" in message


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
