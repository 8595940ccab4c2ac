"""Tracepoint: which probes are called, when and with what; what they raise; its key."""

import copy
import pickle
import sys

import pytest
from probes import Oops, called, holds
from site_checks import CALLS, nothing_made

import jumplabel
from jumplabel import StaticKey, StaticKeyError, Tracepoint, batch, static_gate

# ---- calls ----


@pytest.mark.parametrize(("args", "kwargs"), CALLS)
@pytest.mark.parametrize("n", range(4))
def test_each_probe_gets_the_arguments_and_the_call_returns_none(point, probes, seen, n, args, kwargs):
    for probe in probes[:n]:
        point.register(probe)
    assert point(*args, **kwargs) is None
    assert seen == [(each, args, kwargs) for each in range(n)]
    assert all(one is other for _, got, _ in seen for one, other in zip(got, args, strict=True))


def test_keyword_only_arguments(point):
    got = []
    point.register(lambda a, /, b=2, *, c, d=4: got.append((a, b, c, d)))
    point(1, c=3)
    point(1, 0, d=0, c=0)
    assert got == [(1, 2, 3, 4), (1, 0, 0, 0)]


def test_none_one_and_several_in_every_transition(point, probes, seen):
    """The transitions are from each set of up to three probes to each set with one more or one less."""
    for n in range(4):
        for gone in range(n):
            for probe in probes[:n]:
                point.register(probe)
                holds(point, point.probes)
                assert called(point, seen) == list(range(len(point.probes)))
            point.unregister(probes[gone])
            left = [each for each in range(n) if each != gone]
            assert called(point, seen) == left
            holds(point, [probes[each] for each in left])
            point.register(probes[gone])
            assert called(point, seen) == [*left, gone]
            for probe in point.probes:
                point.unregister(probe)
                holds(point, point.probes)
            assert called(point, seen) == []


def test_register_is_a_decorator(point):
    got = []

    @point.register
    def probe(x):
        got.append(x)

    point(1)
    probe(2)
    assert got == [1, 2] and point.probes == (probe,)


def test_without_probes_the_arguments_are_not_looked_at(point):
    evaluated = []
    assert point(evaluated.append(1), nonsense=evaluated.append(2)) is None
    assert evaluated == [1, 2]


def test_it_is_no_method(point, seen):
    class Shop:
        sold = point

    point.register(lambda *args: seen.append(args))
    Shop().sold(1)
    Shop.sold(2)
    assert seen == [(1,), (2,)] and Shop().sold is point


class Pair(tuple):
    """A probe that is a tuple, as a namedtuple with a __call__ is."""

    __slots__ = ()

    def __call__(self, seen):
        seen.append(tuple(self))


@pytest.mark.parametrize("items", [(), (1,), (print, print)])
def test_a_probe_that_is_a_tuple_is_one_probe(point, seen, items):
    probe, other = Pair(items), Pair((7,))
    point.register(probe)
    assert point.probes == (probe,) and point.probes[0] is probe
    point(seen)
    point.register(other)
    point(seen)
    point.unregister(probe)
    point(seen)
    assert seen == [items, items, (7,), (7,)] and point.probes == (other,)


def test_a_static_call_of_a_tuple_calls_it(seen):
    call = jumplabel.StaticCall(lambda seen: None)
    call.update(Pair((3,)))
    call(seen)
    assert seen == [(3,)]


def test_a_probe_may_register_and_unregister(point, probes, seen):
    """The call that runs goes on with the probes that it found."""

    def change(*args):
        seen.append(("change", args, {}))
        point.unregister(change)
        point.unregister(probes[1])
        point.register(probes[2])

    for probe in (probes[0], change, probes[1]):
        point.register(probe)
    assert called(point, seen) == [0, "change", 1]
    assert called(point, seen) == [0, 2]
    point.unregister(probes[0])
    assert called(point, seen) == [2]


def test_the_only_probe_may_unregister_itself(point, seen):
    def once():
        point.unregister(once)
        seen.append(("once", (), {}))

    point.register(once)
    assert called(point, seen) == ["once"]
    assert called(point, seen) == []


# ---- what probes raise ----


class Cancelled(BaseException):
    pass


def raiser(error):
    def raiser(*args):
        raise error

    return raiser


@pytest.mark.parametrize("n", [1, 3])
def test_an_exception_is_reported_and_the_others_are_called(point, probes, seen, reported, n):
    raises = raiser(Oops("here"))
    for probe in (probes[0], raises, probes[1])[3 - n :] if n > 1 else (raises,):
        point.register(probe)
    assert called(point, seen) == ([0, 1] if n > 1 else [])
    assert [(probe, type(error)) for probe, error in reported] == [(raises, Oops)]
    assert called(point, seen) == ([0, 1] if n > 1 else []) and len(reported) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, Cancelled])
@pytest.mark.parametrize("n", [1, 3])
def test_what_is_no_exception_passes_on_at_once(point, probes, seen, reported, error, n):
    raises = raiser(error)
    for probe in (probes[0], raises, probes[1]) if n > 1 else (raises,):
        point.register(probe)
    with pytest.raises(error):
        point()
    assert [each for each, _, _ in seen] == ([0] if n > 1 else []) and reported == []


def test_wrong_arguments_are_the_probes_trouble(point, reported):
    point.register(lambda a: None)
    assert point(1, 2) is None
    assert [type(error) for _, error in reported] == [TypeError]


def test_a_hook_that_raises_does_not_hurt_the_program(point, probes, seen, monkeypatch, capsys):
    monkeypatch.setattr(sys, "unraisablehook", raiser(ValueError("the hook's own")))
    point.register(raiser(Oops))
    point.register(probes[0])
    assert called(point, seen) == [0]
    assert "the hook's own" in capsys.readouterr().err


def test_the_programs_own_exception_is_left_alone(point, reported):
    point.register(raiser(Oops))
    try:
        raise ZeroDivisionError
    except ZeroDivisionError as error:
        point()
        assert sys.exc_info()[1] is error and len(reported) == 1


@pytest.mark.parametrize("n", [1, 2])
def test_a_probe_that_calls_the_tracepoint_without_end(point, reported, n):
    """It is told once, by the outermost; where each told it, two probes would take for ever."""
    probes = [lambda: point(), lambda: point()]
    for probe in probes[:n]:
        point.register(probe)
    assert point() is None
    assert [(probe, type(error)) for probe, error in reported] == [(probe, RecursionError) for probe in probes[:n]]


def test_tracepoints_that_lead_to_each_other(point, request, reported):
    """With no Python function on the way, nothing else looks at the stack."""
    other = Tracepoint(f"{request.node.nodeid} other")
    point.register(other)
    other.register(point)
    assert point() is None
    assert [type(error) for _, error in reported] == [RecursionError]
    point.unregister(other)  # nothing else would take that cycle apart


# ---- the key ----


def test_the_key_is_on_while_there_are_probes(point, probes):
    key = point.enabled
    assert jumplabel.key(point.name) is key and key in jumplabel.keys() and key is point.enabled
    gate = static_gate(key, default="off")(lambda: "on")
    for probe in probes[:2]:
        point.register(probe)
        assert key and gate() == "on"
    point.unregister(probes[1])
    assert key and gate() == "on"
    point.unregister(probes[0])
    assert not key and gate() == "off"


def test_the_key_cannot_be_toggled(point, probes):
    for held in ([], probes[:1]):
        for probe in held:
            point.register(probe)
        with nothing_made():
            for toggle in (point.enabled.enable, point.enabled.disable, point.enabled.inc, point.enabled.dec):
                with pytest.raises(StaticKeyError, match=r"register\(\) or unregister\(\)"):
                    toggle()
                with pytest.raises(StaticKeyError), batch():
                    toggle()
        holds(point, held)


def test_override_mutes_the_probes(point, probes, seen):
    point.register(probes[0])
    with point.enabled.override(False):
        assert called(point, seen) == []
        point.register(probes[1])
        assert called(point, seen) == [] and point.probes == tuple(probes[:2])
    assert called(point, seen) == [0, 1]
    with point.enabled.override(False):
        point.unregister(probes[0])
        point.unregister(probes[1])
    assert called(point, seen) == []
    with point.enabled.override(True):
        assert point.enabled and called(point, seen) == []
        point.register(probes[2])
        assert called(point, seen) == [2]
    assert called(point, seen) == [2]


def test_register_in_a_batch_takes_effect_at_once(point, probes, seen, key):
    with batch():
        key.enable()
        point.register(probes[0])
        assert called(point, seen) == [0] and not key
    with pytest.raises(Oops), batch():
        point.unregister(probes[0])
        raise Oops
    assert called(point, seen) == []


# ---- what it is ----


@pytest.mark.parametrize("name", ["", None, 7, "a\0b", "lone surrogate \udc80"])
def test_a_bad_name_is_refused(name):
    with nothing_made(), pytest.raises(StaticKeyError):
        Tracepoint(name)


def test_a_name_that_is_taken_leaves_nothing(point, key):
    before = jumplabel.info().keys
    for name in (point.name, key.name):
        with nothing_made(), pytest.raises(StaticKeyError, match="there is a StaticKey"):
            Tracepoint(name)
    with pytest.raises(StaticKeyError):
        StaticKey(point.name)
    assert jumplabel.info().keys == before


def test_repr_and_jump_table():
    point = Tracepoint("shop.sold")
    assert repr(point) == "<Tracepoint 'shop.sold' with 0 probes>"
    (entry,) = point.enabled.entries
    here = sys._getframe().f_lineno - 3
    assert (entry.key, entry.kind) == ("shop.sold", "tracepoint") and entry in jumplabel.jump_table()
    assert entry.owner == f"{__name__}.test_repr_and_jump_table:{here}"
    point.register(print)
    assert repr(point) == "<Tracepoint 'shop.sold' with 1 probe>"
    assert point.enabled.entries[0].state


def test_it_is_itself_and_nothing_else(point, request):
    other = Tracepoint(f"{request.node.nodeid} other")
    assert point == point and point != other and len({point, other, point}) == 2
    assert copy.copy(point) is point and copy.deepcopy([point]) == [point]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_gives_the_tracepoint_of_that_name(point, protocol):
    data = pickle.dumps(point, protocol)
    assert pickle.loads(data) is point
    assert pickle.loads(pickle.dumps(point.enabled, protocol)) is point.enabled


def test_unpickling_a_tracepoint_that_is_not_there_says_so(request):
    name = request.node.nodeid
    data = pickle.dumps(Tracepoint(name))
    with pytest.raises(StaticKeyError, match="there is no StaticKey"):
        pickle.loads(data)
    key = StaticKey(name)
    with pytest.raises(StaticKeyError, match="not that of a living Tracepoint"):
        pickle.loads(data)
    del key
    key = Tracepoint(name).enabled
    with pytest.raises(StaticKeyError, match="not that of a living Tracepoint"):
        pickle.loads(data)
    assert key is jumplabel.key(name)
