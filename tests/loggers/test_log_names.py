"""Each change of the name by which a logger is found is heard."""

import copy
import logging
import logging.config
import pickle
import types
from unittest import mock

import pytest
from logger_checks import WATCHED, answers, keys_of, module, states

from jumplabel import static_gate
from jumplabel._loggers.log_keys import LogKey, bind


def in_globals(shop):
    """Return a function of the module that rebinds the module's global."""
    code = compile("def rebind(value):\n    global logger\n    logger = value", "shop", "exec")
    exec(code, vars(shop))
    return shop.rebind


def test_the_name_is_rebound(logger, shop, right, keys):
    logger.setLevel(60)
    other = logging.getLogger(f"{logger.name}.other")
    right(False)
    with mock.patch.object(shop, "logger"):
        right(True)
    right(False)
    other.setLevel(30)
    shop.logger = other
    assert states(keys) == answers(other)
    del shop.logger
    right(True)
    shop.logger = 7
    right(True)
    shop.logger = logger
    right(False)


@pytest.mark.skipif(not WATCHED, reason="what is stored in a dict is not heard of")
def test_the_name_is_rebound_in_the_dict_of_the_module(logger, shop, right, keys):
    logger.setLevel(60)
    rebind = in_globals(shop)
    changes = [
        lambda: rebind(mock.Mock()),
        lambda: vars(shop).update(logger=mock.Mock()),
        lambda: vars(shop).pop("logger"),
        lambda: exec("logger = 7", vars(shop)),
        lambda: vars(shop).clear(),
        lambda: vars(shop).__ior__({"logger": 7}),
        lambda: vars(shop).popitem(),
    ]
    for change in changes:
        vars(shop).pop("logger", None)
        rebind(logger)
        right(False)
        change()
        right(True)


def test_a_name_that_appears_later(logger):
    shop = module("late")
    keys = keys_of(shop, "logger")
    bind(keys)
    assert all(states(keys))
    logger.setLevel(60)
    shop.logger = logger
    assert not any(states(keys))


@pytest.mark.skipif(not WATCHED, reason="changes of classes are not heard of")
def test_a_class_attribute_is_rebound(logger, shop):
    class Base:
        log = logger

    class Cart(Base):
        pass

    shop.Cart = Cart
    logger.setLevel(60)
    keys = keys_of(shop, "Cart", "log")
    bind(keys)
    assert not any(states(keys))
    Cart.log = mock.Mock()
    assert all(states(keys))
    del Cart.log
    assert not any(states(keys))
    Base.log = 7
    assert all(states(keys))
    Base.log = logger
    assert not any(states(keys))
    shop.Cart = 7
    assert all(states(keys))


def test_a_module_in_the_path_is_rebound(logger, shop):
    shop.log = module("log", logger=logger)
    logger.setLevel(60)
    keys = keys_of(shop, "log", "logger")
    bind(keys)
    before = shop.log
    assert not any(states(keys))
    shop.log = module("log")
    assert all(states(keys))
    before.logger = 7
    shop.log.logger = logger
    assert not any(states(keys))


def test_a_level_is_rebound(logger, shop):
    shop.TRACE = 5
    key = LogKey("logging.trace", shop, ("logger",), "log", ("TRACE",))
    logger.setLevel(10)
    bind([key])
    for value, enabled in [(15, True), (5, False), ("5", True), (9, False), (10, True)]:
        shop.TRACE = value
        assert key.enabled is enabled


def test_a_site_is_on_before_the_name_has_changed(logger, shop, keys):
    """So the first call reaches the new object, such as a mock."""
    logger.setLevel(60)
    gate = static_gate(keys[0], default="off")(lambda: "on")
    seen = []

    class Watching(types.ModuleType):
        pass

    class Logger(logging.Logger):
        def __del__(self):
            seen.append(gate())

    shop.logger = Logger("gone")
    shop.logger.setLevel(60)
    assert gate() == "off"
    shop.logger = None  # the old logger is deleted within the assignment
    assert seen == ["on"] and gate() == "on"


# ---- a module with a class of ours ----


def test_a_module_with_a_class_of_ours_looks_unchanged(logger, shop, keys):
    assert type(shop).__name__ == "module" and type(shop).__module__ == "builtins"
    assert repr(shop) == repr(module(shop.__name__)) and isinstance(shop, types.ModuleType)
    for function in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="module"):
            function(shop)
    with pytest.raises(AttributeError):
        del shop.nothing
    assert type(shop) is types.ModuleType or not WATCHED


@pytest.mark.skipif(WATCHED, reason="dicts are watched")
def test_modules_of_another_class_stay_on(logger, keys):
    class Module(types.ModuleType):
        pass

    shop = Module("shop")
    shop.logger = logger
    logger.setLevel(60)
    others = keys_of(shop, "logger")
    bind(others)
    assert all(states(others)) and type(shop) is Module
