"""python -m jumplabel level PID LOGGER LEVEL; and enable and disable for keys that follow loggers."""

import json
import logging
import os
import re
import sys

import pytest
from logger_checks import keys_of, states
from operators import ask, talk, wait_for
from operators import states as listed
from reached import SERVED, TARGET, both_ways, ends, process_folder

from jumplabel import PatchError, StaticKey, serve
from jumplabel._loggers.log_keys import bind
from jumplabel._remote import operator_requests


@pytest.fixture
def server(tmp_path):
    with serve(tmp_path / "sockets") as server:
        yield server


@pytest.fixture
def rack(shop, logger):
    """The keys of six statements of the logger, at WARNING."""
    logger.setLevel("WARNING")
    keys = keys_of(shop, "logger", name="rack")
    bind(keys)
    yield keys
    keys.clear()


def talk_level(server, **fields):
    return talk(server.path, json.dumps({"command": "level", **fields}).encode() + b"\n")


def set_level(server, logger, level):
    answer, end = talk_level(server, logger=logger, level=level)
    assert end == {"end": True} and answer.pop("logger") == logger
    return answer


def shown(level):
    return {"number": level, "name": logging.getLevelName(level)}


def changed(before, after):
    return {"outcome": "changed", "before": shown(before), "after": shown(after)}


# ---- enable and disable ----


def test_a_wildcard_leaves_keys_of_loggers_out(server, rack):
    before, key = states(rack), StaticKey("logging.rack")
    for pattern in ("logging.*", "logging.rac?*"):
        assert ask(server.path, "enable", pattern)[1:] == [{"left_out": 6}]
        assert ask(server.path, "disable", pattern) == [{"key": key.name, "outcome": "changed"}, {"left_out": 6}]
    assert ask(server.path, "enable", "logging.rack") == [{"key": key.name, "outcome": "changed"}]
    assert ask(server.path, "disable", "logging.rack.*", "!*.e*", "!*.[iw]*") == [{"left_out": 2}]
    assert states(rack) == before and key


def test_a_named_key_is_refused_and_the_answer_names_level(server, rack, logger):
    for patterns in (["logging.rack.debug"], ["asserts.*,logging.rack.debug"]):
        (answer,) = ask(server.path, "enable", *patterns)
        assert (answer["key"], answer["outcome"]) == ("logging.rack.debug", "refused")
        assert f"getLogger({logger.name!r}).setLevel(...) instead; from outside, see `level`" in answer["why"]
    refused, left_out = ask(server.path, "enable", "logging.rack.debug", "logging.rack.*")
    assert refused["key"] == "logging.rack.debug" and left_out == {"left_out": 5}


def test_the_hint_is_for_keys_of_loggers_only(server):
    key = StaticKey("rack.strict")
    key.inc()
    key.inc()
    (answer,) = ask(server.path, "disable", key.name)
    assert answer["outcome"] == "refused" and "level" not in answer["why"]


def test_keys_go_on_being_listed(server, rack):
    assert listed(server.path, "logging.rack.*") == {key.name: key.enabled for key in rack}


def test_without_log_keys_nothing_follows_a_logger(server, monkeypatch):
    key = StaticKey("rack.strict")
    monkeypatch.delitem(sys.modules, "jumplabel._loggers.log_keys")
    assert ask(server.path, "enable", "rack.*") == [{"key": key.name, "outcome": "changed"}]
    assert "jumplabel._loggers.log_keys" not in sys.modules


# ---- level ----


def test_a_level_is_set_and_the_keys_follow(server, rack, logger):
    assert set_level(server, logger.name, "DEBUG") == changed(30, 10)
    assert logger.level == 10 and states(rack) == [True] * 6
    assert set_level(server, logger.name, "DEBUG") == {**changed(10, 10), "outcome": "already"}
    assert set_level(server, logger.name, 45) == changed(10, 45)
    assert states(rack) == [False] * 4 + [True, False]
    for level in (1_000_000, 0):
        assert set_level(server, logger.name, level)["after"] == shown(level) == shown(logger.level)


def test_the_names_are_those_of_the_process_in_any_case(server, logger, monkeypatch):
    monkeypatch.setattr(logging, "_nameToLevel", dict(logging._nameToLevel))
    monkeypatch.setattr(logging, "_levelToName", dict(logging._levelToName))
    logging.addLevelName(5, "Trace")
    logging.addLevelName(6, "TRACE")
    logging.addLevelName("swapped", 7)
    for name, number in {"Trace": 5, "TRACE": 6, "debug": 10, "trace": 6, "Warn": 30, "notset": 0}.items():
        answer = set_level(server, logger.name, name)
        assert answer["outcome"] == "changed" and answer["after"] == shown(number) == shown(logger.level), name
    assert "no level '7'" in set_level(server, logger.name, "7")["why"]


def test_the_root_logger(server):
    before = logging.root.level
    try:
        assert set_level(server, "root", 25)["after"] == shown(25)
        assert logging.root.level == 25
    finally:
        logging.root.setLevel(before)


REFUSED = {
    "no such logger": ("{name}.none", "DEBUG", "there is no logger '{name}.none'"),
    "no name": ("", "DEBUG", "there is no logger ''"),
    "a pattern": ("{name}*", "DEBUG", "there is no logger '{name}*'"),
    "a placeholder": ("{name}.a", "DEBUG", "there is no logger '{name}.a', there are only some below it"),
    "not a logger": ("{name}.odd", "DEBUG", "there is no logger '{name}.odd'"),
    "no such level": ("{name}", "LOUD", "there is no level 'LOUD'; it is a name, or a number from 0 to 1000000"),
    "no level": ("{name}", "", "there is no level ''"),
    "digits": ("{name}", "10", "there is no level '10'"),
    "an expression": ("{name}", "__import__('os')", "there is no level"),
    "a surrogate": ("\udcff", "\udcff", r"there is no logger '\udcff'"),
}


@pytest.mark.parametrize(("name", "level", "why"), REFUSED.values(), ids=REFUSED)
def test_a_missing_logger_or_level_is_refused_and_not_made(server, logger, name, level, why, monkeypatch):
    logging.getLogger(f"{logger.name}.a.b")
    monkeypatch.setitem(logging.root.manager.loggerDict, f"{logger.name}.odd", "no logger")
    before = dict(logging.root.manager.loggerDict), logger.level, logging.root.level
    answer = set_level(server, name.format(name=logger.name), level)
    assert answer.keys() == {"outcome", "why"} and answer["outcome"] == "refused"
    assert answer["why"].startswith(why.format(name=logger.name))
    assert before == (dict(logging.root.manager.loggerDict), logger.level, logging.root.level)


NO_REQUESTS = {
    "negative": {"level": -1},
    "true": {"level": True},
    "false": {"level": False},
    "a float": {"level": 10.0},
    "not a number": {"level": float("nan")},
    "too large": {"level": 1_000_001},
    "far too large": {"level": 10**1000},
    "no level": {"level": None},
    "a list for a level": {"level": ["DEBUG"]},
    "a list for a logger": {"logger": ["root"]},
    "a number for a logger": {"logger": 1},
    "no logger": {"logger": None},
    "a field more": {"more": 1},
    "patterns, too": {"patterns": ["*"]},
    "a list for a command": {"command": ["level"]},
    "too long": {"logger": "x" * 4096},
}


@pytest.mark.parametrize("fields", NO_REQUESTS.values(), ids=NO_REQUESTS)
def test_a_bad_request_changes_nothing(server, logger, fields, reported):
    before = logger.level, logging.root.level
    sent = {"command": "level", "logger": logger.name, "level": 10, **fields}
    (answer,) = talk(server.path, json.dumps(sent).encode() + b"\n")
    assert list(answer) == ["error"]
    assert (logger.level, logging.root.level) == before and reported == []


@pytest.mark.parametrize("missing", ["logger", "level"])
def test_a_field_is_missing_or_there_twice(server, logger, missing):
    fields = {"logger": logger.name, "level": 10}
    del fields[missing]
    assert talk_level(server, **fields) == [{"error": "a request for a level has the fields command, logger and level"}]
    (answer,) = talk(server.path, b'{"command": "level", "logger": "root", "level": 10, "level": 20}\n')
    assert "there twice" in answer["error"] and logger.level == 0


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (PatchError(1, "not now"), "[Errno 1] not now"),
        (ValueError("never"), "ValueError('never')"),
        (SystemExit(3), "SystemExit(3)"),
    ],
)
def test_a_logger_that_raises_has_refused(server, logger, error, why, monkeypatch, reported):
    def fail(level):
        raise error

    monkeypatch.setattr(logger, "setLevel", fail)
    assert set_level(server, logger.name, 10) == {**changed(0, 0), "outcome": "refused", "why": why}
    logger.level = 20
    assert set_level(server, logger.name, 20) == {**changed(20, 20), "outcome": "refused", "why": why}
    assert reported == []


def test_the_answer_has_the_level_in_the_end(server, logger, monkeypatch):
    def set_and_fail(level):
        logger.level = level
        raise PatchError(1, "not now")

    monkeypatch.setattr(logger, "setLevel", set_and_fail)
    assert set_level(server, logger.name, 10) == {**changed(0, 10), "outcome": "refused", "why": "[Errno 1] not now"}
    monkeypatch.setattr(logger, "setLevel", lambda level: None)
    answer = set_level(server, logger.name, 20)
    assert answer == {**changed(10, 10), "outcome": "refused", "why": "its setLevel() has it otherwise"}


def test_logging_is_not_imported(server, logger, monkeypatch):
    monkeypatch.delitem(sys.modules, "logging")
    assert set_level(server, logger.name, 10) == {"outcome": "refused", "why": "it has not imported logging"}
    assert "logging" not in sys.modules


def test_a_hostile_name_is_only_looked_up(server):
    for name in ("__class__", "root.manager", "logging.root", "{0}", "%s", "\0", "'; exit()"):
        assert set_level(server, name, 10)["why"] == f"there is no logger {name!r}"


def test_a_request_may_have_its_fields_in_any_order():
    request = operator_requests.parse(b'{"level": "DEBUG", "logger": "shop.cart", "command": "level"}\n')
    assert request == ("level", "shop.cart", "DEBUG")


# ---- the command line ----

TARGET = (
    TARGET
    + """
import logging
from types import ModuleType
from jumplabel._loggers.log_keys import LogKey, bind
shop = ModuleType("shop")
shop.log = logging.getLogger("shop.cart")
shop.log.setLevel("WARNING")
keys = [LogKey(f"logging.shop.{method}", shop, ("log",), method) for method in ("debug", "info")]
bind(keys)
"""
)


@both_ways
def test_logging_is_switched_on_in_a_running_process(start, run, way):
    process = start("ready(); run(lambda: all(keys)); assert shop.log.level == 10", TARGET, **way)
    changes = "already  shop.strict\nchanged  shop.tracing\n2 keys of loggers follow their levels: see `level`\n"
    assert run("enable", process.pid, "*") == changes
    assert run("disable", process.pid, "*,!*.debug", "!shop.*", status=1) == (
        "1 key of a logger follows its level: see `level`\njumplabel: no key matches *,!*.debug, !shop.*\n"
    )
    assert "see `level`" in run("enable", process.pid, "logging.shop.debug", status=1)
    assert "follow" not in run("enable", process.pid, "shop.*")
    assert "logging.shop.debug" in run("keys", process.pid, "logging.*")
    assert run("level", process.pid, "shop.cart", "30") == "already  shop.cart  WARNING (30) -> WARNING (30)\n"
    assert run("level", process.pid, "shop.cart", "debug") == "changed  shop.cart  WARNING (30) -> DEBUG (10)\n"
    assert ends(process) == ("", "")


def test_a_refusal_says_why(start, run):
    process = start(
        """
def fail(level):
    raise ValueError("never")
shop.log.setLevel = fail
logging.addLevelName(31, "a\\x1b[31m")
logging.root.setLevel(31)
ready()
run()
""",
        TARGET,
        **SERVED,
    )
    for arguments, said in {
        ("shop", "DEBUG"): "refused  shop: there is no logger 'shop', there are only some below it\n",
        ("shop.car", "DEBUG"): "refused  shop.car: there is no logger 'shop.car'\n",
        ("a\nb", "DEBUG"): "refused  'a\\nb': there is no logger 'a\\nb'\n",
        ("root", "-1"): "refused  root: there is no level '-1'; it is a name, or a number from 0 to 1000000\n",
        ("root", "²"): "refused  root: there is no level '²'; it is a name, or a number from 0 to 1000000\n",
        ("shop.cart", "10"): "refused  shop.cart  WARNING (30) -> WARNING (30): ValueError('never')\n",
    }.items():
        assert run("level", process.pid, *arguments, status=1) == said
    assert run("level", process.pid, "root", "0010") == "changed  root  'a\\x1b[31m' (31) -> DEBUG (10)\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((0, "root", "10"), "0 is no process"),
        ((1, "root"), "LEVEL"),
        ((1, "root", "10", "20"), "unrecognized"),
        ((1, "root", "1000001"), "a number from 0 to 1000000"),
        ((1, "root", "9" * 5000), "LEVEL"),
        ((1, "x" * 4096, "10"), "too long"),
    ],
)
def test_bad_arguments(run, arguments, why):
    assert why in run("level", *arguments, status=2)


TREE = """
workers = []
may_end, end = os.pipe()
for n in range(2):
    pid = os.fork()
    if not pid:
        signal.alarm(60)
        os.close(end)
        run(lambda: keys[1])
        os.read(may_end, 1)
        os._exit(7)
    workers.append(pid)
ready()
print(*workers, flush=True)
run(lambda: all(keys))
os.close(end)
for pid in workers:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
"""


def test_a_tree(start, run):
    process = start(TREE, TARGET, **SERVED)
    pids = [process.pid, *map(int, process.stdout.readline().split())]
    assert len(pids) == 3
    wait_for(lambda: len(os.listdir(process_folder(process))) == 3)
    told = run("disable", "--tree", process.pid, "*")
    for pid in pids:
        assert re.search(rf"^ *{pid}  2 keys of loggers follow their levels: see `level`$", told, re.MULTILINE)
    told = run("level", "--tree", "--timeout", 30, process.pid, "shop.cart", "info").splitlines()
    assert told == [f"{pid:>7}  changed  shop.cart  WARNING (30) -> INFO (20)" for pid in pids]
    assert run("level", process.pid, "shop.cart", 1) == "changed  shop.cart  INFO (20) -> Level 1 (1)\n"
    assert ends(process) == ("", "")
