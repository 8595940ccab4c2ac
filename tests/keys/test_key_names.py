"""Names of keys: each key that there is can be addressed, by its name and by no other's."""

import json
import logging

import pytest
from logger_checks import module

import jumplabel
from jumplabel import StaticKey, StaticKeyArray, StaticKeyError, Tracepoint
from jumplabel._keys import registry
from jumplabel._keys.key_names import LONGEST, addressable
from jumplabel._keys.patterns import Patterns
from jumplabel._keys.starting import Starting
from jumplabel._loggers.log_keys import LogKey
from jumplabel._remote import operator_requests
from jumplabel.pytest_plugin import StaticKeys


def short(name):
    return ascii(name)[:20]


REFUSED = {
    "*": "'*' and '?'",
    "shop.*": "'*' and '?'",
    "*.cart": "'*' and '?'",
    "shop.*.cart": "'*' and '?'",
    "shop?": "'*' and '?'",
    "a,*": "'*' and '?'",
    ",": "beside a comma",
    "a,": "beside a comma",
    "a,,b": "beside a comma",
    "!shop": "'!' at the beginning",
    " shop": "a blank",
    "shop ": "a blank",
    "\u3000shop": "a blank",
    " ": "a blank",
    "\n": "a blank",
    "shop" * 1000: "it has 4002 bytes",
    "п" * 667: "it has 4004 bytes",
    "🗝" * 334: "it has 4010 bytes",
}

TAKEN = [
    "shop",
    "shop.cart",
    "a;b",
    "a!b",
    "shop..cart",
    ".",
    "-shop",
    "shop cart",
    "shop\u3000cart",
    "shop (2)",
    "shop[0]",
    "a,b",
    "shop0, shopb",
    "[ab], !c",
    "tests/test_x.py::test_y[int(*)(int)]",
    "what?!really",
    '"shop"',
    '"',
    '"a","b"',
    "shop[a-z]",
    "[",
    "]!",
    "logging.shop.cart.logger.debug:10",
    "tests/test_x.py::test_y[1-a] other",
    "Ключ 钥匙 🗝 / {} %s \\ \" '",
    "shop\ncart",
    "shop\tcart",
    "shop\x1b[31m",
    "shop\u2028cart",
    "s" * (LONGEST - 2),
    "🗝" * (LONGEST // 12 - 1),
    '"' * (LONGEST // 2 - 1),
]


@pytest.mark.parametrize("name", REFUSED, ids=short)
def test_what_no_operator_could_address_is_refused(name):
    before = jumplabel.keys(), jumplabel.info().keys
    for make in StaticKey, Tracepoint, StaticKey.get:
        with pytest.raises(StaticKeyError) as caught:
            make(name)
        assert REFUSED[name] in str(caught.value)
    if "bytes" in REFUSED[name]:
        assert f"it has {len(json.dumps(name))} bytes" in str(caught.value)
    assert (jumplabel.keys(), jumplabel.info().keys) == before


@pytest.mark.parametrize("prefix", ["*", "!shop", " shop", ",a"], ids=short)
def test_an_array_with_a_prefix_that_no_operator_could_address_is_refused(prefix):
    before = jumplabel.keys()
    with pytest.raises(StaticKeyError, match="no operator could address"):
        StaticKeyArray(prefix, ["cart"])
    assert jumplabel.keys() == before


# ---- all ways to a key ----


def ask(command, *patterns):
    request = operator_requests.parse(operator_requests.line({"command": command, "patterns": patterns}))
    *answers, end = operator_requests.answers(request)
    assert end == operator_requests.END
    return answers


@pytest.fixture
def others():
    """Whose names patterns that look like the others would find."""
    return [StaticKey(name) for name in ("shop0", "shopb", "shop1 (2)", "b", "shopcart")]


@pytest.mark.parametrize("name", TAKEN, ids=short)
def test_a_name_addresses_its_key_and_no_other(name, others):
    key = StaticKey(name)
    assert jumplabel.key(name) is key
    assert ask("enable", name) == [{"key": name, "outcome": "changed"}]
    assert key.enabled and not any(other.enabled for other in others)
    assert [answer["key"] for answer in ask("keys", name)] == [name]
    assert name in [answer["key"] for answer in ask("keys", "*")]
    assert name not in [answer["key"] for answer in ask("keys", "*", f"!{name}")]
    assert ask("disable", name) == [{"key": name, "outcome": "changed"}] and not key
    assert len(operator_requests.line({"command": "disable", "patterns": [name]})) <= operator_requests.LONGEST
    assert name in Patterns([name], of_keys=True)  # watch
    assert name not in Patterns(["*", f"!{name}"], of_keys=True)
    held = StaticKeys()
    with held._stack:
        held.enable(name)
        assert key.enabled and not any(other.enabled for other in others)


@pytest.mark.parametrize("name", TAKEN, ids=short)
def test_a_name_starts_its_key_on(name, monkeypatch):
    monkeypatch.setattr(registry, "starting", [])
    enabled = Starting(Patterns([name], of_keys=True))
    assert enabled.unused != []
    assert StaticKey(name).enabled and enabled.unused == []


def test_where_a_name_is_none_its_brackets_are_a_pattern(others):
    assert [answer["key"] for answer in ask("keys", "shop[0b]")] == ["shop0", "shopb"]
    odd = StaticKey("shop[0b]")
    assert [answer["key"] for answer in ask("keys", "shop[0b]")] == [odd.name]
    assert [answer["key"] for answer in ask("keys", "shop*", "!shop[0b]")] == [
        "shop0",
        "shop1 (2)",
        "shopb",
        "shopcart",
    ]
    assert [answer["key"] for answer in ask("keys", "shop[[]0b]")] == [odd.name]


def test_what_is_in_quotes_is_a_name(others):
    odd = [StaticKey(name) for name in ("shop0,b", 'say "b"', "shop[0b]")]
    for key, written in zip(odd, ['"shop0,b"', '"say ""b"""', '"shop[0b]"'], strict=True):
        assert [answer["key"] for answer in ask("keys", written)] == [key.name]
        assert [answer["key"] for answer in ask("keys", f'"shopb", {written}')] == sorted(["shopb", key.name])
        assert key.name not in [answer["key"] for answer in ask("keys", f"*, !{written}")]
        assert key.name in Patterns([f"shopcart,{written}"], of_keys=True)
    assert [answer["key"] for answer in ask("keys", "shop0,b")] == ["shop0,b"]
    assert [answer["key"] for answer in ask("keys", "shop0, b")] == ["b", "shop0"]


# ---- keys of our own, of what may be called anything ----


@pytest.mark.parametrize("name", [*REFUSED, *TAKEN, "a\0b", "lone \udc80", ""], ids=short)
def test_names_of_the_program_become_names_of_keys(name):
    text = addressable(name)
    key = StaticKey(f"{text} (123)")
    assert ask("enable", key.name) == [{"key": key.name, "outcome": "changed"}]
    if name in TAKEN and len(name.encode()) < LONGEST // 6:
        assert text == name


@pytest.mark.parametrize("odd", ["a,b", "*", "!x", "x\n", "a\0b", "lone \udc80", "x" * 5000], ids=short)
def test_loggers_and_modules_may_be_called_anything(odd):
    logger = logging.getLogger(odd)
    shop = module(odd, logger=logger)
    keys = [LogKey(f"logging.{odd}.logger.debug", shop, ("logger",), "debug") for _ in range(2)]
    keys.append(LogKey.of(logger, "debug"))
    assert len({key.name for key in keys}) == 3
    for key in keys:
        (answer,) = ask("enable", key.name)
        assert (answer["key"], answer["outcome"]) == (key.name, "refused")
    del logging.root.manager.loggerDict[odd]


def test_an_answer_is_a_line_of_json_whatever_the_name():
    for name in TAKEN:
        key = StaticKey(name)
        (answer,) = ask("keys", key.name)
        assert json.loads(operator_requests.line(answer)) == answer
