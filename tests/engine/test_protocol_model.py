"""What the model of the protocol says of each variant, and that it is a model of this code; see protocol_model.py."""

import re
from pathlib import Path

import protocol_model
import pytest
from protocol_machine import EACH, THREE_SYNCS, TWO_SYNCS, WORDS, Variant, search, steps
from protocol_model import VARIANTS

CSRC = Path(__file__).parent.parent.parent / "csrc"


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_variant(variant):
    result = search(variant)
    assert result.broken == variant.breaks, "\n".join(result.trace)
    assert bool(result.trace) == bool(variant.breaks)


def test_every_outcome_of_the_handler_is_met():
    """Else a variant without that outcome would hold for no reason."""
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
    assert "is taken for somebody else's, and kills" in printed
    numbers = [int(number) for number in re.findall(r"^ +(\d+)\. (?:patcher|caller 1): ", printed, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 20


def test_an_unexpected_verdict_is_told(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["protocol_model.py"])
    monkeypatch.setattr(protocol_model, "VARIANTS", [Variant("not at all", breaks="something"), Variant("right")])
    assert protocol_model.main() == 1
    assert "holds; EXPECTED: something" in capsys.readouterr().out


# ---- the model and the code ----

IN_C = {  # what the model's steps are called there
    "begin": "trap_batch_begin()",
    "old record": "trap_record(number, slot->displacement)",
    "new record": "trap_record(number, NEXT_DISPLACEMENT)",
    "int3": "write_first(slot, INT3)",
    "tail": "write_tail(slot, NEXT_DISPLACEMENT)",
    "first byte": "write_first(slot, PREFIX)",
    "old first byte": "write_first(slot, PREFIX)",
    "first sync": "sync_core()",
    "middle sync": "sync_core()",
    "last sync": "sync_core()",
    "end": "trap_batch_end()",
    "end of a failure": "trap_batch_end()",
    "word, new record": "write_word(slot, NEXT_DISPLACEMENT)",
    "old word, old record": "write_word(slot, slot->displacement)",
}


def body(file, function):
    code = re.sub(r"/\*.*?\*/", "", (CSRC / file).read_text(), flags=re.DOTALL)
    return re.search(rf"^[^\n]*\b{function}\([^;{{]*\)\n{{\n(.*?)^}}$", code, re.DOTALL | re.MULTILINE)[1]


def calls(code):
    return re.findall("|".join(map(re.escape, sorted(set(IN_C.values())))), code)


def in_c(way_steps):
    done = (step.removeprefix(EACH) for step in way_steps)
    return [IN_C[part] for step in done for part in ([step] if step in IN_C else step.split(", "))]


def test_a_batch_by_int3_has_these_steps():
    first, *others = (TWO_SYNCS.where_it_fails[step] for step in TWO_SYNCS.where_it_fails)
    assert not others
    begin, last = (THREE_SYNCS.steps.index(step) for step in ("first sync", "each: first byte"))
    cautious = (*THREE_SYNCS.steps[: begin + 1], *first, *THREE_SYNCS.steps[begin + 1 : last])
    both = TWO_SYNCS.steps[TWO_SYNCS.steps.index("each: tail, first byte") :]
    assert calls(body("arch/x86_64/int3_poke.c", "int3_poke")) == in_c((*cautious, *both))


def test_a_batch_by_words_has_these_steps():
    inner = [step for step in (*WORDS.steps, *WORDS.where_it_fails["last sync"]) if not step.startswith("end")]
    assert calls(body("arch/x86_64/word_poke.c", "word_poke")) == in_c(inner)
    word, record = (body("arch/x86_64/word_poke.c", "write_word").index(what) for what in ("write_site(", "record("))
    assert word < record


def test_the_handler_loads_in_this_order():
    outcome = body("engine/trap_outcome.c", "trap_outcome")
    assert 0 < outcome.index("atomic_load(&batch)") < outcome.index("atomic_load(&slot->poke)")
