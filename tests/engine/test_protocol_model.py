"""What the model of the protocol says of each variant, and that it is a model of this code; see protocol_model.py."""

import re
import subprocess
from pathlib import Path

import c_programs
import protocol_model
import pytest
from protocol_machine import SITES, THREE_SYNCS, TWO_SYNCS, WORDS, Variant, program, search, steps
from protocol_model import VARIANTS

CSRC = Path(__file__).parent.parent.parent / "csrc"


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_variant(variant):
    result = search(variant)
    assert result.broken == variant.breaks, "\n".join(result.trace)
    assert bool(result.trace) == bool(variant.breaks)


def test_every_outcome_of_the_handler_is_met():
    """Without this a variant that lacks an outcome would hold for no reason."""
    variant = Variant("all outcomes", words=WORDS, whole_words=True)
    met = {text for state in search(variant).states for text, _ in steps(variant, state)}
    for outcome in ("current: goes the off way", "current: goes the on way", "previous: back", "stale: back"):
        assert any(f"handler: {outcome}" in text for text in met)


def test_callers_do_not_meet():
    """Each of two callers goes through the states of a single one: so one is enough."""
    two = Variant("two", callers=2, batches=2)
    alone = set(search(two._replace(callers=1)).states)
    together = search(two).states
    for i in range(2):
        assert {state._replace(threads=state.threads[i : i + 1]) for state in together} == alone


def test_a_counterexample_is_printed_step_by_step(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["protocol_model.py", "no", "stale", "rule", "other", "order"])
    assert protocol_model.main() == 0
    printed = capsys.readouterr().out
    assert "is taken for another library's, and kills" in printed
    numbers = [int(number) for number in re.findall(r"^ +(\d+)\. (?:patcher|caller 1): ", printed, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 20


def test_an_unexpected_verdict_is_told(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["protocol_model.py"])
    monkeypatch.setattr(protocol_model, "VARIANTS", [Variant("not at all", breaks="something"), Variant("right")])
    assert protocol_model.main() == 1
    assert "holds; EXPECTED: something" in capsys.readouterr().out


# ---- the model and the code ----

STORES = {  # of a site that is turned on: what its first byte, tail, word and record become
    "old record": "record off",
    "new record": "record on",
    "int3": "first int3",
    "tail": "tail on",
    "first byte": "first prefix",
    "old first byte": "first prefix",
    "word": "word on",
    "old word": "word off",
}


def steps_of(way, failing=None):
    """The steps by which both sites are turned on, as tests/c/poke_steps.c prints them."""
    names = list(way.steps)
    if failing in way.where_it_fails:
        names[names.index(failing) + 1 :] = way.where_it_fails[failing]
    found = []
    for name, site in program(tuple(names), (0, 1)):
        if site is not None:
            found.append(f"{SITES[site]} {STORES[name]}")
        else:
            found.append(name.split()[-1] if name.endswith("sync") else name.split()[0])
    return found


@pytest.fixture(scope="module")
def turn_on(build_c):
    program = build_c("poke_steps", *c_programs.options("poke_steps"))

    def run(way, failing=0):
        done = subprocess.run([program, way, str(failing)], capture_output=True, text=True)
        if done.returncode == c_programs.NOT_POSSIBLE_HERE:
            pytest.skip("no process may trace another one here")
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    return run


@pytest.mark.parametrize("failing", [None, "first sync", "last sync"])
def test_a_batch_by_int3_has_these_steps(turn_on, failing):
    number = 0 if failing is None else 1 if failing == "first sync" else 2
    assert turn_on("int3", number) == steps_of(TWO_SYNCS, failing)


@pytest.mark.parametrize("failing", [None, "first sync", "middle sync", "last sync"])
def test_a_cautious_batch_by_int3_has_these_steps(turn_on, failing):
    number = [None, "first sync", "middle sync", "last sync"].index(failing)
    assert turn_on("cautious", number) == steps_of(THREE_SYNCS, failing)


@pytest.mark.parametrize("failing", [None, "first sync", "last sync"])
def test_a_batch_by_words_has_these_steps(turn_on, failing):
    """No batch of traps begins: there is none to end either."""
    number = [None, "first sync", "last sync"].index(failing)
    assert turn_on("words", number) == [step for step in steps_of(WORDS, failing) if step != "end"]


def test_the_handler_loads_in_this_order():
    code = re.sub(r"/\*.*?\*/", "", (CSRC / "engine" / "trap_outcome.c").read_text(), flags=re.DOTALL)
    outcome = re.search(r"^enum trap_outcome trap_outcome\(.*?^}$", code, re.DOTALL | re.MULTILINE)[0]
    assert 0 < outcome.index("atomic_load(&batch)") < outcome.index("atomic_load(&slot->poke)")
