"""An operator toggles many keys in one transaction, without those that refuse; and keys have docs."""

import subprocess
import sys

import pytest

import jumplabel
from jumplabel import PatchError, StaticKey, StaticKeyArray, StaticKeyError, Tracepoint, on_toggle, static_gate
from jumplabel._keys import toggle_many as toggled_module
from jumplabel._remote import operator_requests
from jumplabel._remote.operator_commands import _state, _width


def ask(command, *patterns):
    *answers, _ = operator_requests.answers(
        operator_requests.parse(operator_requests.line({"command": command, "patterns": patterns}))
    )
    return answers


@pytest.fixture
def shop(request):
    """Keys that can be toggled, and a key that has two users."""
    keys = [StaticKey(f"depot.{n}", default=n == 2) for n in range(4)]
    keys[2].inc()
    return keys


# ---- one transaction ----


def test_keys_that_refuse_are_left_out_of_the_one_transaction(shop, request):
    gates = [static_gate(key)(lambda: 1) for key in shop]
    point = Tracepoint("depot.point")
    for key in shop:
        key.enable()
    before = jumplabel.info()
    answers = {answer.pop("key"): answer for answer in ask("disable", "depot.*")}
    assert jumplabel.info().batches == before.batches + 1
    assert [answers[key.name]["outcome"] for key in shop] == ["changed", "changed", "refused", "changed"]
    assert "let each of them call dec()" in answers["depot.2"]["why"]
    assert answers["depot.point"]["outcome"] == "refused" and "register() or" in answers["depot.point"]["why"]
    assert [key.enabled for key in shop] == [False, False, True, False] and not point.enabled
    assert [gate() for gate in gates] == [None, None, 1, None]


def test_callbacks_get_each_key_with_the_time_of_the_whole_transaction(shop):
    told = []

    @on_toggle
    def tell(toggle):
        told.append((toggle.key.name, toggle.nanoseconds))

    try:
        ask("enable", "depot.*")
    finally:
        jumplabel.off_toggle(tell)
    assert [name for name, _ in told] == ["depot.0", "depot.1", "depot.3"] and len({time for _, time in told}) == 1


def test_a_key_that_gets_a_second_user_on_the_way_is_left_out(shop, monkeypatch):
    for key in shop:
        key.enable()
    real = toggled_module.attempt
    tries = []

    def just_before(steps):
        if not tries:
            shop[1].inc()
        tries.append(len(steps))
        return real(steps)

    monkeypatch.setattr(toggled_module, "attempt", just_before)
    outcomes = {answer["key"]: answer["outcome"] for answer in ask("disable", "depot.*")}
    assert list(outcomes.values()) == ["changed", "refused", "refused", "changed"] and tries == [3, 2]
    assert [key.enabled for key in shop] == [False, True, True, False]


def test_a_key_of_a_class_that_toggles_in_its_own_way(shop):
    class Raising(StaticKey):
        def enable(self):
            raise ZeroDivisionError("no")

    odd = Raising("depot.odd")
    answers = {answer.pop("key"): answer for answer in ask("enable", "depot.*")}
    assert answers[odd.name] == {"outcome": "refused", "why": "ZeroDivisionError('no')"}
    assert all(key.enabled for key in shop)


def test_keys_that_cannot_be_rewritten_together_are_tried_one_by_one(shop, monkeypatch):
    monkeypatch.setattr(toggled_module, "attempt", lambda steps: (-12, len(steps)))

    def enable(self):
        if self is shop[1]:
            raise PatchError(12, "no room")
        real(self)

    real = StaticKey.enable
    monkeypatch.setattr(StaticKey, "enable", enable)
    outcomes = {answer["key"]: answer["outcome"] for answer in ask("enable", "depot.*")}
    assert outcomes == {"depot.0": "changed", "depot.1": "refused", "depot.2": "already", "depot.3": "changed"}


def test_a_batch_in_code_is_all_or_nothing_still(shop):
    shop[0].enable()
    with pytest.raises(StaticKeyError, match=r"depot\.2"), jumplabel.batch():
        shop[0].disable()
        shop[2].disable()
    assert shop[0].enabled


# ---- docs of keys ----


@pytest.mark.parametrize(
    "doc, expected",
    [
        (None, None),
        ("", None),
        ("  one line ", "one line"),
        ("One line.\n\n        And more,\n          and more.\n        ", "One line.\n\nAnd more,\n  and more."),
    ],
)
def test_doc_is_dedented(doc, expected):
    assert StaticKey("depot.cart", doc=doc).doc == expected
    assert Tracepoint("depot.point", doc).doc == expected


@pytest.mark.parametrize("doc", [7, b"bytes", ["list"]])
def test_doc_is_a_string(request, doc):
    for make in StaticKey, Tracepoint:
        with pytest.raises(StaticKeyError, match="doc says what the key is good for, a string, not"):
            make(request.node.name, doc=doc)
    with pytest.raises(StaticKeyError, match="doc says"):
        StaticKeyArray(request.node.name, {"cart": doc})


def test_the_keys_of_an_array_have_docs():
    features = StaticKeyArray("depot", {"search": "the new search", "cart": None})
    assert [key.doc for key in features] == ["the new search", None] and list(features) == [*features]
    assert [key.name for key in features] == ["depot.search", "depot.cart"]


def test_operators_see_the_first_line():
    made = [
        StaticKey("depot.search", default=True, doc="The new search.\n\nSince May."),
        StaticKey("depot.x", doc="x" * 300),
        StaticKey("depot.plain"),
        StaticKey("depot." + "long" * 20, doc="\x1b[31mred"),
    ]
    answers = ask("keys", "depot.*")
    docs = {answer["key"]: answer.get("doc") for answer in answers}
    assert docs == {
        made[0].name: "The new search.",
        made[1].name: "x" * 200,
        made[2].name: None,
        made[3].name: made[3].doc,
    }
    width = _width(answers)
    lines = {answer["key"]: _state(answer, width) for answer in answers}
    assert width == 60 and lines["depot.plain"] == "off        0      0  depot.plain"
    assert lines["depot.search"] == f"on         1      0  {'depot.search':<60}  The new search."
    assert lines[made[3].name].endswith(f"{'long' * 20}  \\x1b[31mred")
    assert _width(ask("keys", "depot.plain")) == 0


def test_the_command_line_shows_them(tmp_path):
    (tmp_path / "depot.py").write_text(
        "from jumplabel import StaticKey, static_gate\n"
        "tracing = StaticKey('depot.tracing', doc='''Prints each price.\n\n    All of them.''')\n"
        "gate = static_gate(tracing)(lambda: 1)\n"
    )
    command = [sys.executable, "-m", "jumplabel", "info", "depot"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("\n\ndepot.tracing: Prints each price. All of them.\n")
