"""Loggers of loguru and structlog: keys are off where a call is known to do nothing."""

import io
import itertools
import logging
import sys
import threading
from unittest import mock

import pytest
from logger_checks import LEVELS, WATCHED, keys_of, module, states

from jumplabel._loggers.log_keys import LogKey, bind

loguru = pytest.importorskip("loguru")
structlog = pytest.importorskip("structlog")

numbers = itertools.count()

pytestmark = pytest.mark.usefixtures("logger")


@pytest.fixture
def out():
    return io.StringIO()


def says(shop, out, method, level=None, name="log"):
    """Return whether a call in the module writes anything."""
    out.seek(0)
    out.truncate()
    arguments = "'x'" if level is None else f"{level}, 'x'"
    exec(f"{name}.{method}({arguments})", vars(shop))
    return bool(out.getvalue())


def bound_keys(shop, *path, numbered=(5, 15, 35)):
    name = f"others {next(numbers)}"
    keys = {(method, None): key for method, key in zip(LEVELS, keys_of(shop, *path, name=name), strict=True)}
    keys |= {("log", level): LogKey(f"logging.{name}.{level}", shop, path, "log", level) for level in numbered}
    bind(keys.values())
    return keys


def exact(keys, shop, out):
    expected = {each: says(shop, out, *each) for each in keys}
    return {each: key.enabled for each, key in keys.items()} == expected


# ---- loguru ----


@pytest.fixture
def sinks(out):
    """Return loguru's logger without a sink. Afterwards it has its sink for the standard error again."""
    loguru.logger.remove()
    yield loguru.logger
    loguru.logger.remove()
    loguru.logger.configure(handlers=[], activation=[("", True)])
    loguru.logger.add(sys.stderr)


def test_loguru_follows_its_sinks(sinks, out):
    shop = module("tests_shop.cart", log=sinks)
    keys = bound_keys(shop, "log")
    assert not any(states(keys.values()))
    ids = []
    for level in ("ERROR", "WARNING", 15, "TRACE"):
        ids.append(sinks.add(out, level=level))
        assert exact(keys, shop, out)
    for each in reversed(ids):
        sinks.remove(each)
        assert exact(keys, shop, out)
    sinks.configure(handlers=[{"sink": out, "level": "INFO"}])
    assert exact(keys, shop, out) and keys["info", None].enabled and not keys["debug", None].enabled


def test_loguru_follows_what_is_enabled(sinks, out):
    shop = module("tests_shop.cart", log=sinks.bind(x=1))
    keys = bound_keys(shop, "log")
    sinks.add(out, level="DEBUG")
    for enable, name in [
        (False, "tests_shop"),
        (True, "tests_shop.cart"),
        (False, ""),
        (True, "tests_shop"),
        (False, "tests_shop.cart"),
        (True, ""),
    ]:
        (sinks.enable if enable else sinks.disable)(name)
        assert keys["error", None].enabled is says(shop, out, "error")
        assert exact(keys, shop, out)
    sinks.disable("tests_shop.cart")
    assert not any(states(keys.values()))
    shop.__name__ = "another"
    assert exact(keys, shop, out) and keys["error", None].enabled


def test_loguru_without_a_known_module_goes_by_level_alone(sinks, out):
    shop = module("tests_shop.cart", log=sinks.opt(depth=1))
    keys = bound_keys(shop, "log")
    held = LogKey.of(sinks, "info")
    bind([held])
    assert not keys["info", None].enabled and not held.enabled
    sinks.add(out, level="INFO")
    sinks.disable("tests_shop")
    assert keys["info", None].enabled and held.enabled and not keys["debug", None].enabled


def test_loguru_with_something_replaced_stays_on(sinks):
    shop = module("tests_shop.cart", log=sinks)
    keys = bound_keys(shop, "log")
    with mock.patch.object(sinks, "debug"):
        assert all(states(keys.values()))
    assert not any(states(keys.values()))
    with mock.patch.object(loguru, "__version__", "9"):
        bind(keys.values())
        assert all(states(keys.values()))
    bind(keys.values())
    if WATCHED:
        with mock.patch.object(type(sinks), "_log"):
            assert all(states(keys.values()))
        assert not any(states(keys.values()))
    sinks._core.handlers = None
    assert all(states(keys.values()))
    sinks._core.handlers = {}
    assert not any(states(keys.values()))


def test_loguru_does_not_wait_for_the_lock_of_logging(sinks, out):
    """The thread with that lock may wait for loguru's own lock. loguru holds its own while it adds a sink."""
    shop = module("tests_shop.cart", log=sinks)
    keys = bound_keys(shop, "log")
    done = threading.Event()

    def add():
        sinks.add(out, level="INFO")
        done.set()

    with logging._lock:
        thread = threading.Thread(target=add)
        thread.start()
        assert done.wait(30)
        assert all(states(keys.values()))
    thread.join()
    bind([])
    assert exact(keys, shop, out)


# ---- structlog ----


@pytest.fixture
def configure(out):
    def configure(level, **settings):
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.PrintLoggerFactory(out),
            **settings,
        )

    yield configure
    structlog.reset_defaults()
    logging.setLoggerClass(logging.Logger)  # structlog's factory for logging has set another one


def test_structlog_follows_what_is_configured(configure, out):
    shop = module("shop", log=structlog.get_logger())
    keys = bound_keys(shop, "log", numbered=())
    for level in (10, 40, 0, 50, 20):
        configure(level)
        assert exact(keys, shop, out)
    numbered = bound_keys(shop, "log", numbered=(10, 20, 30))
    for level in (10, 40, 0, 50, 20):
        configure(level)
        assert exact(numbered, shop, out)
    structlog.reset_defaults()
    assert all(states(keys.values()))


def test_structlog_bound_loggers_keep_their_level(configure, out):
    configure(30)
    shop = module("shop", log=structlog.get_logger().bind(x=1))
    keys = bound_keys(shop, "log", numbered=(20, 30))
    assert exact(keys, shop, out) and not keys["info", None].enabled
    configure(0)
    assert exact(keys, shop, out) and not keys["info", None].enabled
    with mock.patch.object(shop.log, "info"):
        assert all(states(keys.values()))
    assert exact(keys, shop, out)


def test_structlog_that_keeps_what_its_first_use_makes(configure, out):
    shop = module("shop", log=structlog.get_logger())
    configure(30, cache_logger_on_first_use=True)
    keys = bound_keys(shop, "log", numbered=())
    assert all(states(keys.values()))
    shop.log.info("the first use")
    assert not keys["info", None].enabled
    configure(0, cache_logger_on_first_use=True)
    assert exact(keys, shop, out) and not keys["info", None].enabled


def test_structlog_that_may_do_something_else_stays_on(configure):
    shop = module("shop", log=structlog.get_logger())
    keys = bound_keys(shop, "log", numbered=())
    critical = keys.pop(("critical", None))
    configure(50)
    assert not any(states(keys.values()))
    others = [
        {"logger_factory": structlog.stdlib.LoggerFactory()},
        {"logger_factory": lambda *_: None},
        {"context_class": type("Context", (dict,), {})},
        {"wrapper_class": structlog.stdlib.BoundLogger},
        {"wrapper_class": structlog.BoundLogger},
        {"wrapper_class": lambda *args, **settings: None},
        {"wrapper_class": type("Own", (structlog.make_filtering_bound_logger(50),), {"__init__": print})},
        {"wrapper_class": type("Own", (structlog.make_filtering_bound_logger(50),), {m: print for m in LEVELS})},
    ]
    for settings in others:
        structlog.configure(**settings)
        assert all(states(keys.values())), settings
        configure(50, context_class=dict)
        assert not any(states(keys.values()))
    for name in ("info", "bind"):
        with mock.patch.object(shop.log, name):
            assert all(states(keys.values()))
        assert not any(states(keys.values()))
    assert critical.enabled
    if WATCHED:
        with mock.patch.object(type(shop.log), "bind"):
            assert all(states(keys.values()))
        with mock.patch.object(structlog.make_filtering_bound_logger(50), "info"):
            assert keys["info", None].enabled
        assert not any(states(keys.values()))
