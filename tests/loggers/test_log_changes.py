"""Each change of what a logger would do is heard: in ``logging``, in its objects and in its classes."""

import logging
import logging.config
from unittest import mock

import pytest
from logger_checks import LEVELS, WATCHED, answers, keys_of, states

import jumplabel
from jumplabel import StaticKey
from jumplabel._loggers.log_keys import LogKey, bind, unbind

pytestmark = pytest.mark.usefixtures("as_before")


@pytest.fixture
def as_before():
    """Restore the root's level and handlers, and the level that is disabled."""
    root = logging.root
    level, handlers, disabled = root.level, root.handlers[:], logging.root.manager.disable
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.disable(disabled)


# ---- levels ----


def test_levels_anywhere_in_the_tree(logger, shop):
    name = logger.name
    shop.logger = logging.getLogger(f"{name}.a.b.c")
    keys = keys_of(shop, "logger")
    bind(keys)
    for above in (f"{name}.a.b.c", f"{name}.a", name, f"{name}.a.b", f"{name}.a", None):
        for level in (10, 40, "CRITICAL", 0, 20):
            logging.getLogger(above).setLevel(level)
            assert states(keys) == answers(shop.logger)
    for above in (f"{name}.a.b.c", f"{name}.a.b", f"{name}.a", name):
        logging.getLogger(above).setLevel(0)
        assert states(keys) == answers(shop.logger)


def test_logging_disable(logger, right):
    logger.setLevel(10)
    for level in (10, 30, 50, 0):
        logging.disable(level)
        right()
        logging.root.manager.disable = level + 1
        right()
    logging.disable(0)


def test_configurations(logger, right, tmp_path):
    logging.basicConfig(level=41, force=True)
    right()
    name, configured = logger.name, {"version": 1, "loggers": {logger.name: {"level": "WARNING"}}}
    logging.config.dictConfig(configured | {"disable_existing_loggers": False})
    right()
    logging.config.dictConfig({"version": 1})
    assert logger.disabled
    right(False)
    logging.config.dictConfig({"version": 1, "incremental": True, "loggers": {name: {"level": "INFO"}}})
    right()
    assert not logger.disabled
    logging.config.dictConfig(configured)
    right()
    file = tmp_path / "logging.ini"
    file.write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=\n[formatters]\nkeys=\n[logger_root]\nlevel=DEBUG\nhandlers=\n"
    )
    logging.config.fileConfig(file)
    right(False)
    logging.config.fileConfig(file, disable_existing_loggers=False)
    right()
    assert not logger.disabled


def test_a_logger_that_comes_between(logger, shop):
    """The new logger replaces a placeholder between a logger and its ancestor. ``logging`` clears no cache then."""
    name = logger.name
    logger.setLevel(40)
    shop.logger = logging.getLogger(f"{name}.x.y.z")
    keys = keys_of(shop, "logger")
    bind(keys)

    class Verbose(logging.Logger):
        def __init__(self, name):
            super().__init__(name, 10)

    logging.setLoggerClass(Verbose)
    try:
        for between in (f"{name}.x", f"{name}.x.y"):
            logging.getLogger(between)
            assert states(keys) == answers(shop.logger) == [True] * 6
            logging.getLogger(between).setLevel(50)
            assert states(keys) == answers(shop.logger)
    finally:
        logging.setLoggerClass(logging.Logger)


def test_handlers_and_propagation_change_no_key(logger, right):
    logger.setLevel(20)
    before = jumplabel.info()
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    logger.filters.append(lambda record: False)
    right()
    assert jumplabel.info() == before


# ---- past setLevel ----


def test_attributes_that_are_set_directly(logger, right):
    logger.setLevel(10)
    manager, root, parent = logger.manager, logging.root, logger.parent
    for value in (True, False, 1, 0):
        logger.disabled = value
        right()
    for level in (50, 20, 0):
        logger.level = level
        right()
    logger.parent = other = logging.Logger("other", 45)
    right()
    other.level = 15
    right()
    other.disabled = True
    right()
    logger.parent = parent
    logger.manager = logging.Manager(logging.RootLogger(30))
    logger.manager.disable = 30
    right()
    del logger.manager
    assert logger.manager is manager
    right()
    logger._cache = {}
    right()
    root._cache = {}
    right()
    root.level = 40
    right()
    manager.disable = 45
    right()
    logging.disable(0)
    root.setLevel(20)
    right()


def test_an_old_answer_in_the_cache_of_a_logger_holds(logger, shop, keys):
    """A cached yes turns the key on. A cached no, which the level contradicts, leaves it on."""
    logger.setLevel(20)
    assert logger.isEnabledFor(20) and not logger.isEnabledFor(10)
    logger.level = 10
    assert not logger.isEnabledFor(10) and keys[0].enabled
    logger._cache.clear()
    assert logger.isEnabledFor(10) and keys[0].enabled
    logger.level = 30
    assert logger.isEnabledFor(10) and keys[0].enabled
    assert not logger.isEnabledFor(20) or keys[1].enabled
    logger.manager._clear_cache()
    assert states(keys) == answers(logger)


def test_odd_levels_stay_on(logger, right):
    class Level(int):
        def __le__(self, other):
            raise AssertionError("the program's code is not run")

        __ge__ = __gt__ = __lt__ = __bool__ = __le__

    for attribute, value in [("level", Level(50)), ("disabled", "yes"), ("_cache", None), ("parent", 7)]:
        before = getattr(logger, attribute)
        logger.setLevel(0)
        setattr(logger, attribute, value)
        right(True)
        setattr(logger, attribute, before)
        right()


def test_a_logger_among_its_own_ancestors_stays_on(logger, shop, keys):
    """The search for a level ends after 1,000 ancestors. A shorter line of them is followed to its end."""
    top = logging.Logger("top", 60)
    for count, enabled in [(900, False), (1100, True)]:
        line = [logging.Logger(str(n)) for n in range(count)]
        for one, parent in zip(line, [*line[1:], top], strict=True):
            one.parent = parent
        logger.parent = line[0]
        assert states(keys) == [enabled] * 6
    logger.parent = logger
    assert all(states(keys))
    logger.parent = logging.root


@pytest.mark.parametrize("name", [*LEVELS, "log", "isEnabledFor", "getEffectiveLevel"])
def test_a_method_replaced_in_the_object(logger, right, name):
    logger.setLevel(60)
    right(False)
    with mock.patch.object(logger, name):
        right(True)
    right(False)
    setattr(logger, name, getattr(logger, name))
    right(True)
    delattr(logger, name)
    right(False)


class ToCriticalOnly(logging.Logger):
    """Changes nothing that decides."""


class Chatty(logging.Logger):
    def isEnabledFor(self, level):
        return True


def test_the_class_of_a_logger(logger, right):
    logger.setLevel(60)
    right(False)
    logger.__class__ = Chatty
    right(True)
    logger.__class__ = ToCriticalOnly
    right(False)
    logger.__class__ = logging.Logger
    vars(logger)["_cache"].clear()
    logger.__dict__ = {**vars(logger), "level": 10}
    right(True)


CLASSES = {
    "debug": {"debug": lambda self, *args: None},
    "getEffectiveLevel": {"getEffectiveLevel": lambda self: 10},
    "__getattribute__": {"__getattribute__": lambda self, name: object.__getattribute__(self, name)},
    "level": {"level": property(lambda self: 10, lambda self, level: None)},
    "disabled": {"disabled": property(lambda self: False, lambda self, level: None)},
    "__bool__": {"__bool__": lambda self: False},
    "__len__": {"__len__": lambda self: 0},
    "__setattr__": {"__setattr__": object.__setattr__},
    "__dict__": {"__dict__": property(lambda self: 1 / 0)},
}


@pytest.mark.parametrize("name", CLASSES)
def test_subclasses_that_decide_by_themselves_stay_on(logger, shop, name):
    kind = type("Own", (logging.Logger,), CLASSES[name])
    shop.logger = kind.__new__(kind)
    object.__setattr__(shop.logger, "name", "own")
    if name != "__dict__":
        logging.Logger.__init__(shop.logger, "own", 50)
    keys = keys_of(shop, "logger")
    bind(keys)
    assert all(states(keys))
    if name not in ("debug", "__dict__"):  # the class of an ancestor decides, too
        shop.logger, logger.parent = logger, shop.logger
        bind(keys)
        assert all(states(keys)) or name == "disabled"
        logger.parent = logging.root


@pytest.mark.skipif(not WATCHED, reason="changes of classes are not heard of")
@pytest.mark.parametrize("name", ["debug", "isEnabledFor", "getEffectiveLevel", "__getattribute__", "__setattr__"])
def test_a_method_replaced_in_the_class(logger, right, keys, name):
    logger.setLevel(60)
    right(False)
    with mock.patch.object(logging.Logger, name, vars(logging.Logger).get(name) or object.__getattribute__) as patched:
        assert patched is not None
    right(False)
    with mock.patch.object(logging.Logger, name, lambda self, *args: getattr(object, name)(self, *args)):
        right(True)
    right(False)


def test_a_method_replaced_in_the_class_is_noticed_when_a_level_is_set(logger, right, keys):
    logger.setLevel(60)
    with mock.patch("logging.Logger.isEnabledFor"):
        logger.setLevel(50)
        assert all(states(keys))
    logger.setLevel(60)
    right(False)


def test_a_hook_of_the_program_stays(logger, right, keys):
    def spy(self, name, value):
        seen.append(name)
        ours(self, name, value)

    seen, ours = [], logging.Logger.__setattr__
    logging.Logger.__setattr__ = spy
    try:
        logger.setLevel(60)
        right(True)
        unbind(keys)
        assert logging.Logger.__setattr__ is spy
    finally:
        logging.Logger.__setattr__ = ours
        del logging.Logger.__setattr__
    bind(keys)
    logger.setLevel(60)
    right(False)
    assert "level" in seen


# ---- adapters ----


class Prefixed(logging.LoggerAdapter):
    def process(self, msg, kwargs):
        return f"prefix {msg}", kwargs


class Own(logging.LoggerAdapter):
    def log(self, *args, **kwargs):
        raise AssertionError


@pytest.mark.parametrize("kind", [logging.LoggerAdapter, Prefixed])
def test_adapters(logger, shop, kind):
    shop.log = kind(kind(logger, {}), {})
    keys = [*keys_of(shop, "log"), LogKey("logging.log", shop, ("log",), "log", 20)]
    logger.setLevel(30)
    bind(keys)
    methods = {**LEVELS, "log": 20}
    for level in (10, 50, 20):
        logger.setLevel(level)
        assert states(keys) == [shop.log.isEnabledFor(each) for each in methods.values()]
    logger.setLevel(60)
    assert not any(states(keys))
    shop.log.logger.logger = logging.Logger("other", 10)
    assert all(states(keys))
    shop.log.logger.logger = logger
    assert not any(states(keys))
    shop.log.logger.logger = 7
    assert all(states(keys))
    shop.log.logger = logger
    assert not any(states(keys))
    with mock.patch.object(shop.log, "isEnabledFor"):
        assert all(states(keys))
    assert not any(states(keys))


def test_adapters_that_decide_by_themselves_stay_on(logger, shop):
    logger.setLevel(60)
    shop.log = Own(logger, {})
    keys = keys_of(shop, "log")
    bind(keys)
    assert all(states(keys))


def test_a_key_that_follows_nothing_keeps_its_state(logger, keys):
    key = StaticKey("tests.left alone", default=True)
    logger.setLevel(60)
    assert key.enabled
