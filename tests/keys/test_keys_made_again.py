"""Keys that are made twice: by the same place, which gets its key back, and by others, which are told."""

import gc
import importlib
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest
from places import maker, run

import jumplabel
from jumplabel import StaticKey, StaticKeyError, static_gate

MODULE = "tracing = StaticKey({name!r}{options})\n"


@pytest.fixture
def name(request):
    return request.node.name


def source(name, options="", lines=0):
    return "\n" * lines + MODULE.format(name=name, options=options)


# ---- the same place ----


@pytest.mark.parametrize("lines", [0, 5])
@pytest.mark.parametrize("again", ["in the same variables", "in new ones"])
def test_a_module_that_runs_again_gets_its_key_with_users_and_sites(name, lines, again):
    space = run(source(name))
    key = space["tracing"]
    gate = static_gate(key)(lambda value: value)
    key.inc()
    key.inc()
    new = run(source(name, lines=lines), space=space if again == "in the same variables" else None)
    assert new["tracing"] is key and jumplabel.key(name) is key
    assert key.count == 2 and len(key.entries) == 1 and gate("called") == "called"


def test_importlib_reload(tmp_path, monkeypatch, name):
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / f"{name}.py"
    head = "from jumplabel import StaticKey, Tracepoint, StaticKeyArray, static_branches\n"
    body = textwrap.dedent(f"""
        tracing = StaticKey("{name}")
        sold = Tracepoint("{name}.sold")
        features = StaticKeyArray("{name}", ["search", "cart"])
        @static_branches
        def state():
            return "on" if tracing else "off", "on" if features.search else "off"
        """)
    file.write_text(head + body)
    shop = importlib.import_module(name)
    tracing, sold, search, old = shop.tracing, shop.sold, shop.features.search, shop.state
    seen = []
    sold.register(seen.append)
    tracing.enable()
    search.enable()
    file.write_text(head + "\n# edited\n" + body)
    importlib.invalidate_caches()
    importlib.reload(shop)
    assert shop.tracing is tracing and shop.sold is sold and shop.features.search is search
    assert old() == shop.state() == ("on", "on")
    tracing.disable()
    assert old() == shop.state() == ("off", "on")
    shop.sold(1)
    assert seen == [1]
    del sys.modules[name]


@pytest.mark.parametrize(
    "files",
    [
        ("<ipython-input-3-5f1c>", "<ipython-input-4-9a0b>"),
        ("/tmp/ipykernel_7/1.py", "/tmp/ipykernel_7/2.py"),
        ("<stdin>",) * 2,
    ],
)
def test_a_cell_of_a_notebook_runs_again(name, files):
    space = {}
    first, again = (run(source(name), "__main__", file, space)["tracing"] for file in files)
    assert again is first


def test_a_loop_and_a_factory_are_one_place(name):
    assert len({id(StaticKey(name)) for _ in range(3)}) == 1
    made = [StaticKey(name) for _ in range(2)]
    assert made[0] is made[1]
    make = maker("StaticKey")
    assert make(f"{name} made") is make(f"{name} made")


def test_what_it_says_now_counts_but_for_the_default(name):
    key = run(source(name, ", deferred=1, doc='old'"))["tracing"]
    again = run(source(name, ", default=True, deferred=2.5, doc='new'"))["tracing"]
    assert again is key and not key.enabled and (key.deferred, key.doc) == (2.5, "new")
    with pytest.raises(StaticKeyError, match="default is True or False"):
        run(source(name, ", default=1"))
    with pytest.raises(StaticKeyError, match="deferred is for how many"):
        run(source(name, ", deferred=-1"))
    assert (key.deferred, key.doc) == (2.5, "new")
    key.inc()
    key.dec()
    assert key.enabled  # it lingers, as it says now
    key.flush()


@pytest.mark.parametrize("first, again", [(0, 3600), (3600, 0)])
def test_the_delay_that_it_says_now_is_the_engines_too(name, first, again):
    key = run(source(name, f", deferred={first}"))["tracing"]
    assert run(source(name, f", deferred={again}"))["tracing"] is key
    key.inc()
    key.dec()
    assert key.enabled is bool(again)
    key.flush()


def test_a_subclass_that_the_module_makes_anew(name):
    source = f"""
class Key(StaticKey):
    __slots__ = ()
    def shout(self): return {{word!r}}
tracing = Key({name!r})
"""
    key = run(source.format(word="old"))["tracing"]
    new = run(source.format(word="new"))
    assert new["tracing"] is key and type(key) is new["Key"] and key.shout() == "new"
    with pytest.raises(StaticKeyError, match="there is a StaticKey"):
        run(f"Other = type('Other', (StaticKey,), {{}})\ntracing = Other({name!r})")


def test_a_subclass_with_an_init_of_its_own_makes_its_keys_once(name):
    class Key(StaticKey):
        def __init__(self, number):
            super().__init__(f"{name} {number}")
            self.number = number

    def make():
        return Key(7)

    key = make()
    assert (key.name, key.number) == (f"{name} 7", 7)
    with pytest.raises(StaticKeyError, match="there is a StaticKey"):
        make()


def test_of_many_threads_at_one_place_all_get_the_one_key(name):
    make = maker("StaticKey")
    made = []
    start = threading.Barrier(8)

    def work():
        start.wait()
        made.append(make(name))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 and len({id(key) for key in made}) == 1


def test_a_tracepoint_whose_key_is_kept_is_made_again(name):
    make = maker("Tracepoint")
    point = make(name, doc="what is sold")
    key = point.enabled
    seen = []
    point.register(seen.append)
    assert make(name) is point
    del point
    gc.collect()
    assert not key
    point = make(name)
    assert point.enabled is key and point.probes == ()
    point.register(seen.append)
    assert key.enabled
    point(1)
    assert seen == [1]


def test_a_place_keeps_nothing_alive(name):
    class Value:
        pass

    space = run(f"value = None\ndef make(): return StaticKey({name!r})")
    space["value"] = value = Value()
    gone = weakref.ref(value), weakref.ref(space["make"].__code__)
    key = space["make"]()
    del space, value
    gc.collect()
    assert [each() for each in gone] == [None, None] and jumplabel.key(name) is key


def test_a_module_whose_name_is_any_object_is_not_asked(name):
    class Name:
        def __getattr__(self, attribute):
            raise AssertionError(attribute)

        __str__ = __repr__ = __eq__ = __hash__ = __getattr__

    space = run("def make(name): return StaticKey(name)")
    space["__name__"] = Name()
    assert space["make"](name) is space["make"](name)


# ---- other places ----


@pytest.mark.parametrize(
    "first, second",
    [
        (("shop", "a/shop.py"), ("cart", "a/cart.py")),
        (("shop", __file__), ("shop", "other/shop.py")),
        (("__main__", __file__), ("__main__", "<stdin>")),
    ],
)
def test_two_places_are_told_of_each_other(name, first, second):
    key = run(source(name), *first)["tracing"]
    with pytest.raises(StaticKeyError, match=r"there is a StaticKey .* already.*jumplabel\.key\(") as caught:
        run(source(name), *second)
    assert first[1] in str(caught.value) and "twice" not in str(caught.value)
    assert jumplabel.key(name) is key


def test_two_places_in_one_function(name):
    """No file is run twice, as it has one module's name."""
    key = StaticKey(name)
    with pytest.raises(StaticKeyError, match="there is a StaticKey") as caught:
        StaticKey(name)
    assert "run twice" not in str(caught.value) and "It was made in test_two_places_in" in str(caught.value)
    with pytest.raises(StaticKeyError, match="there is a StaticKey"):
        run(f"def one(): return StaticKey({name!r})\ndef two(): return StaticKey({name!r})\none_, two_ = one(), two()")
    assert jumplabel.key(name) is key


def test_a_double_import_is_suspected(tmp_path):
    file = tmp_path / "shop.py"
    file.write_text(
        "from jumplabel import StaticKey\n"
        "tracing = StaticKey('shop.tracing')\n"
        "if __name__ == '__main__':\n"
        "    import shop\n"
    )
    ran = subprocess.run([sys.executable, file], capture_output=True, text=True)
    for part in ("'shop.tracing' already", f"Is {file} run twice?", "As '__main__' it has made", "makes it as 'shop'"):
        assert part in ran.stderr
    assert ran.returncode == 1


# ---- StaticKey.get ----


def test_get_makes_or_finds(name):
    key = StaticKey.get(name, default=True, deferred=0.5, doc="what for")
    assert (key.count, key.deferred, key.doc) == (1, 0.5, "what for")
    assert StaticKey.get(name) is key
    assert maker("StaticKey.get")(name, default=True, deferred=0.5) is key
    with pytest.raises(StaticKeyError, match="there is a StaticKey"):
        StaticKey(name)


@pytest.mark.parametrize("options", [{"default": True}, {"deferred": 1}])
def test_get_refuses_what_the_key_is_not(name, options):
    key = StaticKey(name)
    ((option, value),) = options.items()
    with pytest.raises(StaticKeyError, match=f"made with {option}=.*, not {value}"):
        StaticKey.get(name, **options)
    assert StaticKey.get(name, default=False, deferred=0) is key


def test_get_keeps_the_first_doc(name):
    key = StaticKey(name)
    assert StaticKey.get(name, doc="first").doc == "first"
    assert StaticKey.get(name, doc="second") is key and key.doc == "first"


def test_get_of_a_subclass(name):
    class Key(StaticKey):
        pass

    StaticKey(f"{name} plain")
    gone = Key.get(name)
    assert type(gone) is Key and StaticKey.get(name) is gone
    plain = StaticKey.get(f"{name} other")
    with pytest.raises(StaticKeyError, match="is no Key"):
        Key.get(plain.name)


@pytest.mark.parametrize("bad", ["", None, 7, ["list"], "shop.*"])
def test_get_refuses_bad_names(bad):
    with pytest.raises(StaticKeyError):
        StaticKey.get(bad)


def test_of_many_threads_that_get_it_one_makes_it(name):
    made = []
    start = threading.Barrier(8)

    def get(place):
        start.wait()
        made.append(place(name))

    threads = [threading.Thread(target=get, args=(maker("StaticKey.get", f"shop{n}"),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 and len({id(key) for key in made}) == 1
