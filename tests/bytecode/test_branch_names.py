"""A name that stands for something else than its key: its sites are ordinary tests, until it stands for the key."""

import sys
import threading
from unittest import mock

import pytest
from named_shop import WHERE, Shop
from places import run

from jumplabel import StaticKey
from jumplabel._program import name_watch

pytestmark = pytest.mark.skipif(not name_watch.HEARS_ALL, reason="no watchers of dicts before CPython 3.12")


@pytest.fixture(params=WHERE)
def shop(request):
    return Shop(request.param)


# ---- every form, every place ----


def test_a_mock_decides_until_it_is_gone(shop):
    sites = len(shop.key.entries)
    assert sites >= 15
    for state in (False, True):
        shop.key.enable() if state else shop.key.disable()
        mine = "on" if state else "off"
        shop.all_are(mine)
        for truth in (True, False, [1], "", None, mock.MagicMock()):
            with mock.patch.object(shop.holder, shop.attribute, shop.other(truth)):
                shop.all_are("on" if truth else "off")
            shop.all_are(mine)
    assert len(shop.key.entries) == sites


def test_toggles_meanwhile_count_when_it_is_back(shop):
    with mock.patch.object(shop.holder, shop.attribute, shop.other(False)):
        shop.key.enable()
        shop.all_are("off")
    shop.all_are("on")
    with mock.patch.object(shop.holder, shop.attribute, shop.other(True)):
        shop.key.disable()
        shop.all_are("on")
    shop.all_are("off")


def test_monkeypatch_and_plain_statements(shop, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shop.holder, shop.attribute, shop.other(True))
        shop.all_are("on")
    shop.all_are("off")
    was = getattr(shop.holder, shop.attribute)
    setattr(shop.holder, shop.attribute, shop.other(True))
    assert shop.form_if() == "on"
    setattr(shop.holder, shop.attribute, was)
    assert shop.form_if() == "off"
    shop.key.enable()
    shop.all_are("on")


def test_another_key_is_asked(shop):
    other = StaticKey("shop.other")
    with mock.patch.object(shop.holder, shop.attribute, shop.other(other)):
        shop.all_are("off")
        other.enable()
        shop.all_are("on")
        shop.key.enable()
        other.disable()
        shop.all_are("off")
    shop.all_are("on")


def test_a_name_that_is_deleted_raises_what_it_did(shop):
    plain = run(f"def plain():\n    if {WHERE['a global'][1]}: pass")["plain"]
    was = getattr(shop.holder, shop.attribute)
    if shop.holder is getattr(shop, "Base", None):
        expected = AttributeError
    else:
        expected = AttributeError if shop.holder is not shop else NameError
    delattr(shop.holder, shop.attribute)
    for form in ("form_if", "form_made_before"):
        with pytest.raises(expected) as caught:
            getattr(shop, form)()
    if shop.attribute == "tracing" and shop.holder is shop:
        with pytest.raises(NameError) as ordinary:
            plain()
        assert str(caught.value) == str(ordinary.value)
    setattr(shop.holder, shop.attribute, was)
    shop.all_are("off")


# ---- sites without the room for another test ----


@pytest.mark.parametrize("form", ["if {name}:", "if not {name}:", "while {name}:"])
@pytest.mark.parametrize("where", ["a global", "of a class"])
def test_a_site_that_skips_much_code(form, where):
    shop = Shop(where)
    key = shop.key
    name = WHERE[where][1]
    body = "".join(f"        seen.append({n} + 1)\n" for n in range(60))
    source = f"@static_branches(strict=True)\ndef far():\n    seen = []\n    {form.format(name=name)}\n{body}"
    run(f"{source}        return len(seen)\n    return len(seen)", space=vars(shop))
    in_body = {"if {name}:": True, "if not {name}:": False, "while {name}:": True}[form]

    def far(state):
        return shop.far() == (60 if state is in_body else 0)

    for state in (False, True):
        key.enable() if state else key.disable()
        assert far(state)
        for value in (True, False, 1, "", None, 0.5):
            with mock.patch.object(shop.holder, shop.attribute, value):
                assert far(bool(value))
                key.disable() if state else key.enable()
                assert far(bool(value))
                key.enable() if state else key.disable()
            assert far(state)
        with mock.patch.object(shop.holder, shop.attribute, mock.MagicMock()):
            assert far(state)  # it cannot be known without being asked each time
    assert len([entry for entry in key.entries if entry.owner.startswith("shop.far:")]) == 1


# ---- in the middle of what runs ----


@pytest.mark.parametrize("where", ["a global", "of a class"])
def test_a_loop_that_runs_sees_each_change_at_once(where):
    """By a statement of another function, with no call of C between the change and the next test."""
    shop = Shop(where)
    name = WHERE[where][1]
    run(
        f"""
@static_branches
def loop(at):
    seen = []
    for n in range(8):
        at(n)
        seen.append(1 if {name} else 0)
    return seen
was = {name}
def at(n):
    global tracing
    if n == 2: {name} = True
    if n == 4: {name} = was
    if n == 6: {name} = [1]
""",
        space=vars(shop),
    )
    assert shop.loop(shop.at) == [0, 0, 1, 1, 0, 0, 1, 1]
    setattr(shop.holder, shop.attribute, shop.was)
    shop.all_are("off")


def test_other_threads_see_it_when_the_statement_is_done():
    shop = Shop("a global")
    key, turns, wrong = shop.key, 200, []
    changed, looked = threading.Semaphore(0), threading.Semaphore(0)

    def look():
        for turn in range(turns):
            changed.acquire()
            if shop.form_if() != ("on" if turn % 2 == 0 else "off"):
                wrong.append(turn)
            looked.release()

    thread = threading.Thread(target=look)
    thread.start()
    for turn in range(turns):
        shop.tracing = key if turn % 2 else True
        changed.release()
        looked.acquire()
    thread.join()
    assert wrong == []


def test_under_a_tracer():
    shop = Shop("a global")
    lines = []

    def trace(frame, event, argument):
        if frame.f_code.co_name == "form_if":
            lines.append(frame.f_lineno - frame.f_code.co_firstlineno)
        return trace

    def traced():
        lines.clear()
        held = sys.gettrace()
        sys.settrace(trace)
        try:
            shop.form_if()
        finally:
            sys.settrace(held)
        return list(lines)

    off, on = [0, 2, 4, 4], [0, 2, 3, 3]
    assert [traced()[-2:], shop.key.enable(), traced()[-2:]] == [off[-2:], None, on[-2:]]
    with mock.patch.object(shop, "tracing", False):
        assert traced()[-2:] == off[-2:]
    with mock.patch.object(shop, "tracing", True):
        assert traced()[-2:] == on[-2:]
