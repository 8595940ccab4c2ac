"""The environment variables that instrument and enable when a process starts, and jumplabel.pth."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jumplabel import PatchError, PatternError, SettingWarning, StaticKey, Tracepoint
from jumplabel._instrument import startup
from jumplabel._keys import registry, static_key
from jumplabel._keys.patterns import Patterns
from jumplabel._keys.starting import Starting

PTH = Path(__file__).parent.parent.parent / "jumplabel.pth"

SHOP = """
def sell(n):
    assert n > 0
    return n
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("startup")
    (folder / "shop.py").write_text(SHOP)
    (folder / "keyed.py").write_text("from jumplabel import StaticKey\ntracing = StaticKey('shop.tracing')\n")
    (folder / "stub").mkdir()
    (folder / "stub" / "jumplabel.py").write_text("print('imported')\n")
    return folder


@pytest.fixture
def python(folder):
    """python(script, *options, NAME=value) runs a script and returns what it printed on stdout and stderr."""

    def python(script, *options, **environment):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("JUMPLABEL_")}
        done = subprocess.run(
            [sys.executable, *options, "-c", script],
            cwd=folder,
            env=inherited | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split("\n")[:-1], done.stderr

    return python


@pytest.fixture
def installed(monkeypatch):
    """Replace install(), and return the arguments of its calls."""
    calls = []
    monkeypatch.setattr(startup, "install", lambda *patterns, **what: calls.append((patterns, what)))
    return calls


@pytest.fixture(autouse=True)
def nothing_starts_on_for_good(monkeypatch):
    monkeypatch.setattr(registry, "starting", [])


# ---- JUMPLABEL_INSTRUMENT ----


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", []),
        (" ", []),
        ("shop", [("shop", "logging keys")]),
        ("shop,shop.*", [("shop,shop.*", "logging keys")]),
        ("asserts:shop", [("shop", "asserts")]),
        ("asserts-off:shop", [("shop", "asserts=off")]),
        ("logging,asserts-off,only-pure:shop", [("shop", "logging asserts=off only_pure")]),
        ("logging, keys : shop, !shop.a", [("shop, !shop.a", "logging keys")]),
        ("only-pure:*", [("*", "logging keys only_pure")]),
        ("logging,only-pure:*", [("*", "logging only_pure")]),
        ("asserts:shop;keys:cart", [("shop", "asserts"), ("cart", "keys")]),
    ],
)
def test_install_is_called_with_the_value_of_the_variable(text, expected, installed):
    startup.start({"JUMPLABEL_INSTRUMENT": text})
    assert [
        (
            ",".join(patterns),
            {name if wanted is True else f"{name}={wanted}" for name, wanted in what.items() if wanted},
        )
        for patterns, what in installed
    ] == [(patterns, set(what.split())) for patterns, what in expected]
    groups = startup.read_groups(text)
    assert startup.read_groups(";".join(map(str, groups))) == groups


@pytest.mark.parametrize(
    "text, why",
    [
        ("loging:shop", "'loging' is none of logging, asserts, asserts-off, keys, only-pure"),
        ("asserts,asserts-off:shop", "not both"),
        (":shop", "'' is none of"),
        ("logging,:shop", "'' is none of"),
        ("logging:", "'' is no pattern"),
        ("shop;", "'' is no pattern"),
        ("a b", "'a b' is no pattern"),
        ("!shop", "takes nothing in"),
    ],
)
def test_a_wrong_value_is_named_with_the_allowed_values(text, why, installed):
    with pytest.warns(SettingWarning) as told:
        startup.start({"JUMPLABEL_INSTRUMENT": f"cart;{text}", "JUMPLABEL_ENABLE": "shop"})
    [message] = [str(one.message) for one in told]
    for part in (f"JUMPLABEL_INSTRUMENT={'cart;' + text!r} is left out", "'logging,asserts:shop.*'", why):
        assert part in message
    assert installed == [] and len(registry.starting) == 1


def test_a_wrong_pattern_of_keys_is_named_and_the_other_variable_counts(installed):
    with pytest.warns(SettingWarning, match=r"JUMPLABEL_ENABLE='!shop' is left out: set it to .* takes nothing in"):
        startup.start({"JUMPLABEL_INSTRUMENT": "shop", "JUMPLABEL_ENABLE": "!shop"})
    assert registry.starting == [] and len(installed) == 1


@pytest.mark.parametrize("value", ["0", "1", "true", "Yes", "no", "on", "OFF", "all", "none", "shop,!all", "shop,1"])
@pytest.mark.parametrize("name", ["JUMPLABEL_INSTRUMENT", "JUMPLABEL_ENABLE"])
def test_a_value_meant_as_a_switch_is_no_pattern(name, value, installed):
    with pytest.warns(SettingWarning, match=rf"{name}='{value}' is left out: .*write '\*' for all") as told:
        startup.start({name: value})
    assert len(told) == 1 and installed == registry.starting == []


def test_a_name_that_looks_like_a_switch_can_be_written_as_a_pattern(installed):
    startup.start({"JUMPLABEL_INSTRUMENT": "[a]ll,on.*"})
    assert installed[0][0] == ("[a]ll,on.*",) and "all" in Patterns(installed[0][0])


def test_values_for_children_are_added_once(monkeypatch):
    monkeypatch.setenv("JUMPLABEL_INSTRUMENT", "keys:cart")
    monkeypatch.delenv("JUMPLABEL_ENABLE", raising=False)
    group = startup.ModuleGroup(frozenset(["only-pure", "asserts"]), ("shop", "shop.*,!shop.a"))
    startup.for_children([group], [])
    assert "JUMPLABEL_ENABLE" not in os.environ
    for _ in range(3):
        startup.for_children([group], ["a", "b,!c"])
    assert os.environ["JUMPLABEL_INSTRUMENT"] == "keys:cart;asserts,only-pure:shop,shop.*,!shop.a"
    assert os.environ["JUMPLABEL_ENABLE"] == "a,b,!c"


def test_values_that_are_left_out_are_not_passed_to_children(monkeypatch):
    monkeypatch.setenv("JUMPLABEL_INSTRUMENT", "foo:bar")
    monkeypatch.setenv("JUMPLABEL_ENABLE", "!a")
    startup.for_children([startup.ModuleGroup(frozenset(["asserts-off"]), ("shop",))], [])
    assert os.environ["JUMPLABEL_INSTRUMENT"] == "asserts-off:shop" and os.environ["JUMPLABEL_ENABLE"] == "!a"
    startup.for_children([], ["b"])
    assert os.environ["JUMPLABEL_ENABLE"] == "b"


# ---- keys that start on ----


def test_keys_that_are_made_later_start_on(key):
    Starting(Patterns([f"{key.name}.*, !*.not"]))
    made = [StaticKey(f"{key.name}.{name}", default=name == "default") for name in ("a", "default", "not")]
    assert [key.count, *(one.count for one in made)] == [0, 1, 1, 0]
    made[0].disable()
    assert not made[0]


def test_existing_keys_are_enabled(key, other_key):
    other_key.inc()
    Starting(Patterns(["*test_existing_keys_are_enabled*"]))
    assert (key.count, other_key.count) == (1, 1)


def test_keys_that_follow_something_are_left_alone(point):
    starting = Starting(Patterns(["*test_keys_that_follow_something*"]))
    later = Tracepoint(f"{point.name} later")
    assert not point.enabled and not later.enabled
    assert starting.unused == ["*test_keys_that_follow_something*"]


def test_a_pattern_is_used_by_the_keys_that_it_takes_in(key):
    starting = Starting(Patterns(["*used_by_the_keys*", "typo.*", "none,!none", "*taken_in].later"]))
    assert starting.unused == ["typo.*", "none", "*taken_in].later"]
    later = [StaticKey(f"{key.name} [taken_in].later", default=True), StaticKey("none")]
    assert starting.unused == ["typo.*", "none"]
    assert not later[1]


def test_no_key_starts_on_where_existing_keys_cannot_be_enabled(key, monkeypatch):
    def refuse(self):
        raise PatchError(1, "no")

    with monkeypatch.context() as patch:
        patch.setattr(StaticKey, "enable", refuse)
        with pytest.raises(PatchError):
            Starting(Patterns([key.name + "*"]))
    assert not key and not StaticKey(f"{key.name} later")


def test_a_key_that_is_being_made_is_not_missed(request, monkeypatch):
    name, starts_on = request.node.name, static_key._starts_on

    def just_before(key, name):
        on = starts_on(key, name)
        monkeypatch.setattr(static_key, "_starts_on", starts_on)
        Starting(Patterns([name]))
        return on

    monkeypatch.setattr(static_key, "_starts_on", just_before)
    assert StaticKey(name).count == 1


# ---- processes ----

SELL = "import shop; print(shop.sell(0))"


def test_a_process_is_instrumented_as_it_starts(python):
    assert python(SELL, JUMPLABEL_INSTRUMENT="asserts-off:shop") == (["0"], "")


def test_enabled_keys_start_on(python):
    script = """
import keyed, shop
try:
    shop.sell(0)
except AssertionError:
    print(keyed.tracing.count)
"""
    values = {"JUMPLABEL_INSTRUMENT": "asserts-off:shop", "JUMPLABEL_ENABLE": "asserts.shop, shop.t*"}
    assert python(script, **values) == (["1"], "")


def test_keys_need_only_the_import(python):
    assert python("import keyed; print(keyed.tracing.count)", JUMPLABEL_ENABLE="shop.*") == (["1"], "")


def test_without_the_variables_nothing_is_imported(python):
    script = "import sys; print([name for name in sys.modules if name.startswith('jumplabel')])"
    assert python(script, JUMPLABEL_INSTRUMENT="", JUMPLABEL_ENABLE="shop") == (["[]"], "")


def test_an_interpreter_that_ignores_the_environment_instruments_nothing(python):
    script = """
import sys
print("jumplabel" in sys.modules)
import keyed
print(keyed.tracing.count, any(type(finder).__module__.startswith("jumplabel.") for finder in sys.meta_path))
"""
    values = {"JUMPLABEL_INSTRUMENT": "shop", "JUMPLABEL_ENABLE": "shop.*"}
    assert python(script, "-E", **values) == (["False", "0 False"], "")
    assert python(script, **values) == (["True", "1 True"], "")


def test_an_interpreter_that_ignores_the_environment_does_not_serve(python, tmp_path):
    script = "from jumplabel._remote import serving; print(len(serving._servers))"
    for options, servers in (["-E"], "0"), (["-I"], "0"), ([], "1"):
        assert python(script, *options, JUMPLABEL_SERVE=str(tmp_path / "sockets")) == ([servers], "")


def test_a_wrong_value_is_reported_and_the_process_goes_on(python):
    out, errors = python("print('goes on')", JUMPLABEL_INSTRUMENT="loging:shop")
    assert out == ["goes on"]
    assert "SettingWarning: JUMPLABEL_INSTRUMENT='loging:shop' is left out: set it to" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("name", ["JUMPLABEL_INSTRUMENT", "JUMPLABEL_SERVE"])
def test_the_pth_file_imports_jumplabel_only_for_a_variable(name, python):
    """The file itself is in a folder of packages for site. Beside it is a jumplabel that only prints its name."""
    script = f"""
import os, shutil, site, sys, tempfile
sys.path.insert(0, "stub")
with tempfile.TemporaryDirectory() as folder:
    shutil.copy({str(PTH)!r}, folder)
    for name, value in ("JUMPLABEL_NATIVE", "1"), ("JUMPLABEL_ENABLE", "a"), ({name!r}, ""), ({name!r}, "1"):
        os.environ[name] = value
        print(name, value)
        site.addsitedir(folder)
"""
    lines = ["JUMPLABEL_NATIVE 1", "JUMPLABEL_ENABLE a", f"{name} ", f"{name} 1"]
    assert python(script) == ([*lines, "imported"], "")
    assert python(script, "-E") == (lines, "")


@pytest.mark.parametrize("pattern", ["", "keys:shop", "a;b", "all"])
def test_a_pattern_that_the_variable_cannot_express_is_refused(pattern):
    with pytest.raises(PatternError):
        startup.ModuleGroup(frozenset(), (pattern,))
