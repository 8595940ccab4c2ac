"""A model of the patching protocol, and an exhaustive search of every interleaving of patcher and caller.

    python tests/programs/protocol_model.py [--batches 4] [WORD ...]    # only variants with these words in their names

It mirrors int3_poke() and word_poke() of csrc/arch/x86_64, and trap_outcome() of csrc/engine, step by step: see
protocol_machine.py. Each variant says what must come out: the protocol holds, or, with one line of it changed, it
breaks; then the shortest way there is printed.
"""

import argparse
import sys

from protocol_machine import (
    FOR_EVER,
    KILLED,
    LEFT,
    NO_LAST_SYNC,
    NOT_OURS,
    THREE_SYNCS,
    TORN,
    TWO_SYNCS,
    WORDS,
    WRONG,
    Variant,
    Way,
    change,
    search,
)

# ---- the variants ----

WRONG_WAY = WRONG.format("on")
STALE_KILLS, PREVIOUS_KILLS = NOT_OURS.format("stale"), NOT_OURS.format("previous")
ANY_SYNC = ("first sync", "middle sync", "last sync")

VARIANTS = [
    # As it is.
    Variant("two syncs"),
    Variant("two syncs, the first may fail", failing=("first sync",)),
    Variant("two syncs, the last may fail", failing=("last sync",)),
    Variant("two syncs, two callers of two sites", callers=2, called=(0, 1), batches=2),
    Variant("three syncs", int3=THREE_SYNCS),
    Variant("three syncs, any may fail", int3=THREE_SYNCS, failing=ANY_SYNC),
    Variant(
        "SIGTRAPs that do not reach the handler",
        why="what stands behind the int3 is a whole instruction, the old one or the new one",
        swallowed=True,
        whole_words=True,
        failing=("first sync",),
    ),
    Variant("SIGTRAPs that do not reach the handler, words are not seen whole", TORN, swallowed=True),
    Variant("words and int3 in turns", words=WORDS, whole_words=True),
    Variant("words and int3 in turns, the first sync may fail", words=WORDS, whole_words=True, failing=("first sync",)),
    Variant(
        "words where a thread blocks SIGTRAP, which it does between batches",
        words=WORDS,
        whole_words=True,
        blocks="between",
        callers=2,
        batches=2,
    ),
    Variant(
        "nothing but words, a thread blocks SIGTRAP at any time", int3=None, words=WORDS, whole_words=True, blocks="any"
    ),
    # What the machine must give.
    Variant(
        "three syncs, bytes are seen in any order",
        why="the sync between tails and first bytes makes good what the machine does not promise",
        int3=THREE_SYNCS,
        in_order=False,
    ),
    Variant(
        "two syncs, bytes are seen in any order",
        TORN,
        "so two syncs need the promise that a new first byte is not seen before its tail",
        in_order=False,
    ),
    Variant(
        "three syncs, bytes are seen in any order, the middle sync may fail",
        TORN,
        "then there are two syncs",
        int3=THREE_SYNCS,
        in_order=False,
        failing=("middle sync",),
    ),
    Variant("words are not seen whole", TORN, words=WORDS),
    Variant(
        "words, and three syncs whose bytes are seen in any order",
        int3=THREE_SYNCS,
        words=WORDS,
        whole_words=True,
        in_order=False,
    ),
    Variant("a trap does not serialize", why="the last sync is enough", trap_serializes=False),
    Variant(
        "a trap does not serialize, the last sync may fail",
        FOR_EVER,
        "one of the two must take the int3 out of sight",
        trap_serializes=False,
        failing=("last sync",),
    ),
    # The handler.
    Variant(
        "no stale rule",
        STALE_KILLS,
        knows=("previous",),
    ),
    Variant(
        "no stale rule, and the loads in the other order",
        STALE_KILLS,
        "a trap two batches old, without the help of a batch that begins between the loads",
        knows=("previous",),
        record_first=True,
    ),
    Variant(
        "no previous rule either",
        PREVIOUS_KILLS,
        knows=(),
    ),
    Variant(
        "the handler's loads in the other order",
        why="numbers only grow, so that it is current in either order only if the batch was active at both loads, or "
        "has ended just now; what else it may be is sent back anyway, and only counted under another name",
        failing=("first sync", "last sync"),
        record_first=True,
    ),
    # The steps of a batch.
    Variant(
        "overwritten without int3, first byte first",
        TORN,
        int3=Way(("begin", "first sync", "each: first byte, tail", "last sync", "end"), {}),
    ),
    Variant(
        "overwritten without int3, tail first",
        TORN,
        int3=Way(("begin", "first sync", "each: tail, first byte", "last sync", "end"), {}),
    ),
    Variant("no sync after the int3", TORN, int3=change(TWO_SYNCS, "first sync", "no first sync")),
    Variant(
        "the new record before the first sync",
        WRONG_WAY,
        "the batch can still fail, and was seen",
        int3=change(TWO_SYNCS, "first sync; each: new record", "each: new record; first sync"),
        failing=("first sync",),
    ),
    Variant(
        "tails before the first sync",
        TORN,
        int3=change(
            TWO_SYNCS,
            "first sync; each: new record; each: tail, first byte",
            "each: tail; first sync; each: new record; each: first byte",
        ),
    ),
    Variant(
        "first bytes before tails",
        TORN,
        int3=change(TWO_SYNCS, "each: tail, first byte", "each: first byte, tail"),
    ),
    Variant(
        "the first bytes are not put back where the first sync fails",
        LEFT.format("int3"),
        int3=TWO_SYNCS._replace(where_it_fails={"first sync": ("end of a failure",)}),
        failing=("first sync",),
    ),
    Variant(
        "no last sync",
        why="a thread that still sees an int3 traps, and that serializes: sent back, it finds the new instruction",
        int3=NO_LAST_SYNC,
    ),
    Variant(
        "no last sync, a thread blocks SIGTRAP after the batch",
        KILLED,
        "that is what the last sync is for",
        int3=NO_LAST_SYNC,
        words=WORDS,
        whole_words=True,
        blocks="between",
    ),
    Variant(
        "the last sync fails, and a thread blocks SIGTRAP after the batch",
        KILLED,
        "part of the known window",
        blocks="between",
        failing=("last sync",),
    ),
    Variant(
        "the first sync fails, and a thread blocks SIGTRAP after the batch",
        KILLED,
        "part of the known window",
        words=WORDS,
        whole_words=True,
        blocks="between",
        failing=("first sync",),
    ),
    Variant(
        "a thread blocks SIGTRAP between the look for such threads and the end of the batch",
        KILLED,
        "the known window",
        words=WORDS,
        whole_words=True,
        blocks="any",
    ),
    # Words.
    Variant(
        "words, the record before the word",
        why="either order will do: only a late trap of a batch by int3 looks at the record, and it may go either way",
        words=change(WORDS, "word, new record", "new record, word"),
        whole_words=True,
        failing=("first sync",),
    ),
    Variant(
        "words without a record",
        why="nor any: a late trap then goes by the record of its own batch, and its call is as old as that",
        words=change(WORDS, "word, new record", "word"),
        whole_words=True,
        failing=("first sync",),
    ),
    Variant(
        "words, the record before the first sync",
        WRONG_WAY,
        "a late trap goes by it, and the batch can still fail",
        words=change(WORDS, "first sync; each: word, new record", "each: new record; first sync; each: word"),
        whole_words=True,
        failing=("first sync",),
    ),
    Variant(
        "words without their first sync",
        why="it only finds out whether syncs are refused, while nothing has been changed",
        words=change(WORDS, "first sync", "no first sync"),
        whole_words=True,
    ),
    Variant(
        "words, the last sync fails",
        WRONG_WAY,
        "known: a core that has seen the new word may go on seeing it, though the toggle failed and all is put back",
        words=WORDS,
        whole_words=True,
        failing=("last sync",),
    ),
    Variant(
        "words, the last sync fails and nothing is put back",
        WRONG.format("off"),
        "no better: a core that has seen the old word may go on seeing it, though the toggle has succeeded",
        words=WORDS._replace(where_it_fails={"first sync": ("end of a failure",)}),
        whole_words=True,
        failing=("last sync",),
    ),
]


def main():
    parser = argparse.ArgumentParser(description="Search all interleavings of the patching protocol and its variants.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only the variants with all these words in the name")
    parser.add_argument("--batches", type=int, help="batches in a row, where the variant names no number")
    options = parser.parse_args()
    n_wrong = 0
    for variant in VARIANTS:
        if not all(word in variant.name for word in options.words):
            continue
        if options.batches and variant.batches == Variant("").batches:
            variant = variant._replace(batches=options.batches)
        result = search(variant)
        n_wrong += result.broken != variant.breaks
        verdict = f"BREAKS: {result.broken}" if result.broken else "holds"
        expected = "" if result.broken == variant.breaks else f"; EXPECTED: {variant.breaks or 'holds'}"
        print(f"{variant.name}: {len(result.states):,} states, {verdict}{expected}", flush=True)
        if variant.why:
            print(f"    ({variant.why})")
        for number, text in enumerate(result.trace, 1):
            print(f"    {number:2}. {text}")
    print("all as expected" if not n_wrong else f"{n_wrong} not as expected")
    return n_wrong > 0


if __name__ == "__main__":
    sys.exit(main())
