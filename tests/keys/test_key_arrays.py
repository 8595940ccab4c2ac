"""StaticKeyArray: its keys, and the sites of functions that test them."""

import copy
import gc
import pickle
import threading
import types

import pytest
from places import maker
from site_checks import nothing_made, off_on_off

import jumplabel
from jumplabel import DecorationError, StaticKey, StaticKeyArray, StaticKeyError, static_branches, static_gate

NAMES = ["search", "cart", "match"]


@pytest.fixture
def prefix(request):
    return request.node.nodeid


@pytest.fixture
def features(prefix):
    return StaticKeyArray(prefix, NAMES)


# ---- an array ----


def test_its_keys(features, prefix):
    assert [key.name for key in features] == [f"{prefix}.{name}" for name in NAMES]
    assert len(features) == 3 and features.prefix == prefix
    for name, key in zip(NAMES, features, strict=True):
        assert type(key) is StaticKey and not key
        assert getattr(features, name) is features[name] is jumplabel.key(f"{prefix}.{name}") is key
        assert name in features and key in features
    assert "prefix" not in features and "_keys" not in features and StaticKey(prefix) not in features
    assert 7 not in features and None not in features
    assert set(NAMES) < set(dir(features))


def test_the_jump_table_shows_them(features, prefix):
    gate = static_gate(features.cart)(lambda: "on")
    features.cart.enable()
    assert gate() == "on"
    assert [(entry.key, entry.state) for entry in jumplabel.jump_table() if entry.key.startswith(prefix)] == [
        (f"{prefix}.cart", True)
    ]


def test_default_and_deferred_are_for_each(prefix):
    features = StaticKeyArray(prefix, ("a", "b"), default=True, deferred=3600)
    assert [(key.count, key.enabled, key.deferred) for key in features] == [(1, True, 3600.0)] * 2
    for key in features:
        key.dec()
        assert key.enabled
        key.flush()


def test_names_come_in_any_iterable(prefix):
    assert [key.name for key in StaticKeyArray(prefix, (name for name in "abc"))] == [f"{prefix}.{n}" for n in "abc"]


def test_what_is_not_there(features):
    for name in ("nothing", "_keys ", "search.cart"):
        with pytest.raises(AttributeError):
            getattr(features, name)
        with pytest.raises(StaticKeyError, match="has no key"):
            features[name]
    with pytest.raises(StaticKeyError, match="has no key"):
        features[0]


def test_it_cannot_be_changed(features, key):
    before = list(features)
    for name in ("search", "other", "prefix", "_keys", "__class__", "__dict__"):
        with pytest.raises(AttributeError, match="cannot be changed") as caught:
            setattr(features, name, key)
        assert isinstance(caught.value, StaticKeyError)
        with pytest.raises(AttributeError, match="cannot be changed"):
            delattr(features, name)
    with pytest.raises(TypeError):
        features["search"] = key
    with pytest.raises(StaticKeyError, match="is an array already"):
        features.__init__("another", ["name"])
    assert list(features) == before and features.search is before[0] and not hasattr(features, "other")


def test_repr_and_equality(features):
    array = StaticKeyArray("tests.array", ["a", "b"])
    assert repr(array) == "<StaticKeyArray 'tests.array': a, b>"
    assert array != features and array == array and len({array, array, features}) == 2


def test_it_keeps_its_keys_alive(prefix):
    gc.collect()  # what other tests have left
    before = jumplabel.info().keys
    features = StaticKeyArray(prefix, NAMES)
    assert jumplabel.info().keys == before + 3
    features.search.enable()
    gc.collect()
    assert jumplabel.key(f"{prefix}.search").enabled
    key = features.cart
    del features
    assert jumplabel.info().keys == before + 1 and jumplabel.key(f"{prefix}.cart") is key
    with pytest.raises(StaticKeyError):
        jumplabel.key(f"{prefix}.search")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_gives_the_array_of_that_prefix_and_these_names(features, prefix, protocol):
    other = StaticKeyArray(prefix, ["others"])
    for array in (features, other):
        assert pickle.loads(pickle.dumps(array, protocol)) is array
        assert copy.copy(array) is copy.deepcopy(array) is array


def test_unpickling_an_array_that_is_not_made_yet_says_so(prefix):
    data = pickle.dumps(StaticKeyArray(prefix, NAMES))
    with pytest.raises(StaticKeyError, match="made by the module that defines it"):
        pickle.loads(data)


# ---- all or none ----


def test_a_taken_name_leaves_no_key_of_the_array(prefix):
    taken = StaticKey(f"{prefix}.match", default=True)
    before = jumplabel.keys()
    with pytest.raises(StaticKeyError, match=r"get it with jumplabel\.key") as caught:
        StaticKeyArray(prefix, NAMES)
    assert jumplabel.keys() == before and taken.count == 1  # while the traceback lives
    del caught
    StaticKeyArray(prefix, NAMES[:2])


REFUSED = {
    "a string": ("abc", "not the string 'abc'"),
    "nothing to iterate": (7, "a list of names, not 7"),
    "none": ([], "at least one name"),
    "bytes": (b"ab", "a name is a string, not 97"),
    "not a string": (["a", None], "a name is a string, not None"),
    "twice": (["a", "b", "a"], "'a' is given twice"),
    "empty": ([""], "cannot be written behind a dot"),
    "not an identifier": (["a b"], "cannot be written behind a dot"),
    "a path": (["a.b"], "cannot be written behind a dot"),
    "a keyword": (["a", "class"], "cannot be written behind a dot"),
    "another form of a name": (["\N{LATIN SMALL LIGATURE FI}nd"], "cannot be written behind a dot"),
    "an underscore": (["_keys"], "begins with an underscore"),
    "two underscores": (["__len__"], "begins with an underscore"),
    "an attribute of the class": (["a", "prefix"], "'prefix' is an attribute of every StaticKeyArray"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_names_are_refused(prefix, what):
    names, message = REFUSED[what]
    before = jumplabel.keys(), jumplabel.info().keys
    with pytest.raises(StaticKeyError, match=message) as caught:
        StaticKeyArray(prefix, names)
    assert prefix in str(caught.value)
    assert (jumplabel.keys(), jumplabel.info().keys) == before


@pytest.mark.parametrize("bad", ["", None, 7, b"shop", "a\0b", "\udc80"])
def test_a_bad_prefix_is_refused(bad):
    before = jumplabel.keys()
    with pytest.raises(StaticKeyError):
        StaticKeyArray(bad, ["a"])
    assert jumplabel.keys() == before


@pytest.mark.parametrize(
    ("arguments", "message"), [({"default": 1}, "default is True"), ({"deferred": -1}, "deferred")]
)
def test_what_its_keys_refuse(prefix, arguments, message):
    with pytest.raises(StaticKeyError, match=message):
        StaticKeyArray(prefix, ["a"], **arguments)


def test_soft_keywords_and_any_letters_are_names(prefix):
    names = ["match", "type", "поиск", "mro", "keys"]
    assert [key.name for key in StaticKeyArray(prefix, names)] == [f"{prefix}.{name}" for name in names]


def test_of_many_threads_one_makes_it(prefix):
    made, refused = [], []
    places = [maker("StaticKeyArray", f"shop{n}") for n in range(6)]
    start = threading.Barrier(6)

    def make(n):
        names = [*"abcdef"[n:], *"abcdef"[:n]]
        start.wait()
        try:
            made.append(places[n](prefix, names))
        except StaticKeyError:
            refused.append(n)

    threads = [threading.Thread(target=make, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) + len(refused) == 6 and len(made) <= 1
    keys = {key for array in made for key in array}
    assert {key for key in jumplabel.keys() if key.name.startswith(prefix)} == keys


# ---- its keys' tests are sites (forms and places: test_branches.py) ----


@pytest.mark.parametrize("strict", [False, True])
def test_an_array_in_a_closure(features, strict, monkeypatch):
    @static_branches(strict=strict)
    def function(x):
        if not features.search:
            return features.cart and x
        return [i for i in range(3) if features.cart], (lambda: 1 if features["search"] else 2)()

    assert features.search.entries and features.cart.entries
    with monkeypatch.context() as patch:
        patch.setattr(StaticKey, "__bool__", lambda self: pytest.fail("a test of the key was run"))
        features.cart.enable()
        assert function(5) == 5
    for searching in off_on_off(features.search):
        for cart in off_on_off(features.cart):
            found = function(5)
            assert found == (([0, 1, 2] if cart else [], 1) if searching else 5 if cart else features.cart)


@pytest.mark.parametrize("holder", ["module", "class", "base class", "global"])
def test_where_an_array_is_found(features, holder):
    module = types.ModuleType("module")
    module.features = features
    base = type("Base", (), {"features": features})
    holders = {"module": module, "class": base, "base class": type("Sub", (base,), {}), "global": module}
    space = {"flags": holders[holder], "features": features}
    name = "features.search" if holder == "global" else "flags.features.search"
    exec(f"def f():\n    if {name}: return 'on'\n    return 'off'", space)
    f = static_branches(space["f"], strict=True)
    assert len(features.search.entries) == 1
    for enabled in off_on_off(features.search):
        assert f() == ("on" if enabled else "off")


def test_what_is_no_key_of_it_is_looked_up_when_it_runs(features):
    @static_branches
    def function():
        return "on" if features.prefix else "off"

    with nothing_made():
        static_branches(function)
    assert function() == "on"

    def typo():
        return "on" if features.typo else "off"

    with nothing_made(), pytest.raises(DecorationError, match=r"the test of features\.typo cannot become a site"):
        static_branches(typo, strict=True)
    with pytest.raises(AttributeError):
        static_branches(typo)()


def test_an_array_that_was_never_made():
    unmade = StaticKeyArray.__new__(StaticKeyArray)

    def function():
        return "on" if unmade.search else "off"

    with pytest.raises(AttributeError):
        static_branches(function)()


def test_an_array_of_a_subclass_is_asked_when_the_function_runs(prefix, key):
    class Lookup(StaticKeyArray):
        def __getattribute__(self, name):
            return key if name == "search" else super().__getattribute__(name)

    features = Lookup(prefix, NAMES)

    @static_branches
    def function():
        return "on" if features.search else "off"

    assert not key.entries and not features["search"].entries
    for enabled in off_on_off(key):
        assert function() == ("on" if enabled else "off")


def test_a_name_of_a_subclass_is_not_a_name_for_a_key(prefix):
    class Features(StaticKeyArray):
        def search(self):
            return None

    with pytest.raises(StaticKeyError, match="'search' is an attribute of every Features"):
        Features(prefix, NAMES)
