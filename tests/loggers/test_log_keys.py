"""Keys that follow loggers: what they are, how they are bound, and what they refuse."""

import logging
import pickle

import pytest
from logger_checks import LEVELS, answers, keys_of, module, nothing_of_ours_is_left, states

import jumplabel
from jumplabel import StaticKey, StaticKeyError, static_branches, static_gate
from jumplabel._loggers.log_keys import LogKey, bind, unbind

# ---- a key ----


def test_a_key_is_on_until_it_is_bound(logger, shop):
    logger.setLevel(50)
    (key,) = keys_of(shop, "logger", methods=["debug"])
    assert key.enabled and key.count == 1
    bind([key])
    assert not key.enabled and key.count == 0


def test_a_statement_runs_exactly_while_its_logger_is_enabled(logger, shop, caplog):
    key = LogKey("logging.statement", shop, ("logger",), "info")
    evaluated = []

    @static_branches(strict=True)
    def function():
        if key:
            logger.info("%s", evaluated.append(1))

    bind([key])
    for level, runs in [(20, 1), (21, 0), (10, 1), (30, 0)]:
        logger.setLevel(level)
        evaluated.clear(), caplog.clear()
        function()
        assert (len(evaluated), len(caplog.records)) == (runs, runs)
        assert [entry.state for entry in key.entries] == [bool(runs)]


@pytest.mark.parametrize("method", LEVELS)
@pytest.mark.parametrize("level", [0, 1, 10, 25, 30, 31, 50, 60])
def test_each_method_has_the_level_that_logging_gives_it(logger, shop, method, level):
    logger.setLevel(level)
    keys = keys_of(shop, "logger", methods=[method])
    bind(keys)
    assert states(keys) == answers(logger, [method])


@pytest.mark.parametrize("method", ["log", "isEnabledFor"])
def test_a_level_may_be_a_number_or_a_name(logger, shop, method):
    shop.logging, shop.TRACE, shop.ODD = logging, 5, "5"
    levels = {5: 5, ("TRACE",): 5, ("logging", "INFO"): 20}
    keys = {level: LogKey(f"logging.level.{level}", shop, ("logger",), method, level) for level in levels}
    odd = [LogKey("logging.level", shop, ("logger",), method, (name,)) for name in ("ODD", "not_there")]
    logger.setLevel(20)
    bind([*keys.values(), *odd])
    assert {level: key.enabled for level, key in keys.items()} == {level: n >= 20 for level, n in levels.items()}
    assert states(odd) == [True, True]
    logger.setLevel(6)
    assert {level: key.enabled for level, key in keys.items()} == {level: n >= 6 for level, n in levels.items()}


def test_paths_go_through_modules_and_classes(logger, shop):
    class Base:
        log = logger

    class Cart(Base):
        pass

    shop.Cart, shop.log = Cart, module("log", logger=logger)
    keys = [*keys_of(shop, "Cart", "log"), *keys_of(shop, "log", "logger")]
    bind(keys)
    for level in (10, 40):
        logger.setLevel(level)
        assert states(keys) == answers(logger) * 2


def test_the_key_of_another_object_stays_on(logger, shop):
    class Asks:
        @property
        def logger(self):
            raise AssertionError("the program's code is not run")

    class Meta(type):
        def __getattribute__(cls, name):
            raise AssertionError("the program's code is not run")

    class Odd(metaclass=Meta):
        log = logger

    class Asking(type):
        log = property(lambda cls: 1 / 0)

    class Odder(metaclass=Asking):
        log = logger

    logger.setLevel(50)
    shop.Odder = Odder
    shop.asks, shop.Odd, shop.number, shop.none, shop.module = Asks(), Odd, 7, None, logging
    paths = [
        ("asks", "logger"),
        ("Odd", "log"),
        ("Odder", "log"),
        ("number",),
        ("none",),
        ("module",),
        ("missing", "too"),
        ("gone",),
    ]
    keys = [key for path in paths for key in keys_of(shop, *path, methods=["debug"])]
    bind(keys)
    assert all(states(keys))


def test_a_name_that_is_taken_gets_a_number(logger, shop):
    first = LogKey("logging.taken", shop, ("logger",), "debug")
    second = LogKey("logging.taken", shop, ("logger",), "debug")
    third = LogKey("logging.taken", shop, ("logger",), "debug")
    assert [key.name for key in (first, second, third)] == [f"logging.taken{end}" for end in ("", " (2)", " (3)")]
    del second
    assert LogKey("logging.taken", shop, ("logger",), "debug").name == "logging.taken (2)"


def test_a_log_key_is_listed_among_the_other_keys(logger, shop):
    key = LogKey("logging.shown", shop, ("logger",), "debug")
    gate = static_gate(key, default="off")(lambda: "on")
    assert jumplabel.key("logging.shown") is key and key in jumplabel.keys()
    assert pickle.loads(pickle.dumps(key)) is key
    logger.setLevel(50)
    bind([key])
    assert gate() == "off"
    assert [entry.key for entry in jumplabel.jump_table() if entry in key.entries] == ["logging.shown"]
    assert repr(key) == "<StaticKey 'logging.shown' off, 0 users, 1 site>"
    logger.setLevel(10)
    assert gate() == "on"


def test_a_log_key_cannot_be_toggled(logger, shop):
    key = LogKey("logging.refuses", shop, ("logger",), "debug")
    bind([key])
    before = key.enabled
    for toggle in (key.enable, key.disable, key.inc, key.dec, lambda: key.override(True)):
        with pytest.raises(StaticKeyError, match=rf"logging.getLogger\('{logger.name}'\).setLevel"):
            toggle()
        with jumplabel.batch(), pytest.raises(StaticKeyError, match="setLevel"):
            toggle()
    assert key.enabled is before
    other = LogKey("logging.refuses, too", shop, ("no", "logger"), "debug")
    with pytest.raises(StaticKeyError, match=r"the logger that 'no\.logger' stands for"):
        other.enable()


def test_bad_input_is_refused(logger, shop):
    good = ("logging.bad", shop, ("logger",), "debug", None)
    bad = [
        (0, "", "needs a name"),
        (0, 7, "needs a name"),
        (1, "shop", "module"),
        (2, "logger", "path"),
        (2, (), "path"),
        (2, ("a", 1), "path"),
        (3, "warn", "method is one of"),
        (3, None, "method is one of"),
        (4, 10, "has a level of its own"),
        (3, "log", "a number or a path"),
    ]
    for place, value, message in bad:
        with pytest.raises(StaticKeyError, match=message):
            LogKey(*good[:place], value, *good[place + 1 :])
    for level in (True, "DEBUG", 1.0, ()):
        with pytest.raises(StaticKeyError, match="a number or a path"):
            LogKey("logging.bad", shop, ("logger",), "log", level)
    for function in (bind, unbind):
        with pytest.raises(StaticKeyError, match="takes LogKeys"):
            function([StaticKey("logging.none")])
    with pytest.raises(StaticKeyError, match="no logger"):
        LogKey.of(7, "debug")
    with pytest.raises(StaticKeyError, match="level is a number"):
        LogKey.of(logger, "log", ("logging", "DEBUG"))


# ---- of a logger ----


def test_the_key_of_a_logger_is_shared(logger):
    key = LogKey.of(logger, "debug")
    assert LogKey.of(logger, "debug") is key
    others = [LogKey.of(logger, "info"), LogKey.of(logger, "log", 10), LogKey.of(logger, "log", 11)]
    assert len({key, *others}) == 4
    logger.setLevel(11)
    bind([key, *others])
    assert states([key, *others]) == [False, True, False, True]
    name = key.name
    assert logger.name in name
    del key
    others.clear()
    assert LogKey.of(logger, "debug").name == name


# ---- binding ----


def test_binding_again_and_unbinding(logger, shop):
    keys = keys_of(shop, "logger")
    logger.setLevel(30)
    for _ in range(2):
        bind(keys)
        assert states(keys) == answers(logger)
    unbind(keys[:2])
    assert states(keys) == [True, True, *answers(logger)[2:]]
    logger.setLevel(50)
    assert states(keys) == [True, True, *answers(logger)[2:]]
    unbind(keys)
    unbind(keys)
    assert all(states(keys))
    logger.setLevel(50)
    assert all(states(keys))
    nothing_of_ours_is_left()
    bind(keys)
    assert states(keys) == answers(logger)


def test_all_keys_are_turned_in_one_transaction(logger, shop):
    keys = keys_of(shop, "logger")
    gates = [static_gate(key)(lambda: 1) for key in keys]
    if not all(entry.native for key in keys for entry in key.entries):
        pytest.skip("no native sites")
    logger.setLevel(60)
    before = jumplabel.info().batches
    bind(keys)
    assert [gate() for gate in gates] == [None] * 6
    assert jumplabel.info().batches == before + 1
    logger.setLevel(10)
    assert jumplabel.info().batches == before + 2


def test_a_batch_does_not_delay_log_keys(logger, shop):
    logger.setLevel(50)
    (key,) = keys_of(shop, "logger", methods=["debug"])
    with jumplabel.batch():
        bind([key])
        assert not key.enabled
        logger.setLevel(10)
        assert key.enabled
        unbind([key])
