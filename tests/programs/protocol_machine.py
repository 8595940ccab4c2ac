"""The machine, the callers and the patcher that protocol_model.py searches.

The machine:
  - Data (the batch word, the records) is read as it is: sequentially consistent atomics read and write it.
  - Instruction bytes are not. A core may see each byte of a site as it is now or as it was at any time since the core
    last serialized, and it may see it differently at every fetch. Two exceptions, which the protocol leans on and which
    can be switched off here to see why:
      in order      a core that sees a first byte sees a tail that was there when that byte was stored, or a later one
      whole words   one aligned store of a whole site is seen whole; only where a variant says so
    Three syncs need neither, two need the first (Intel's word, see int3_poke.c). Patching by words needs the second,
    and so does a thread that goes on behind an int3, because its SIGTRAP did not reach us.
  - A tail is two bytes here: a core that sees one of the old tail and one of the new executes a torn instruction.
  - sync makes every core serialize, all as it returns; a sync that fails makes none. So does a trap: the kernel enters
    the handler by iret. A core that serializes earlier or more often sees less, and nothing new.

The callers: a call executes a site and ends, or traps and ends as the handler decides. A thread may stand for any time
between its trap and each of the handler's loads, and before it executes the site again. One caller is enough, calling
one site: callers write nothing that others read, so each sees what it would see alone; what it does at another site
only makes its core serialize; and the patcher treats both sites alike. (Where threads block SIGTRAP the patcher reads
what they write: two callers.) The patcher may be a caller itself, in a signal handler: that is a caller that runs
between two of the patcher's steps only.

The patcher: so many batches in a row, each of one of the two sites or of both, in every order. A call begins when it
first fetches, and a toggle returns with its last step: both as late, or early, as is hardest.
"""

from collections import deque
from functools import cache
from itertools import product
from typing import NamedTuple

OFF, ON = 0, 1  # tails; also what a call does: the off path or the on path
PREFIX, INT3 = 0, 1
FIRST_BYTES = ("the prefix", "int3")
TAILS = ("nop", "jmp")
PATHS = ("off", "on")
SITES = ("A", "B")

# What may be wrong.
TORN = "a torn instruction is executed"
KILLED = "a thread that has SIGTRAP blocked is killed by an int3"
NOT_OURS = "a trap of ours ({}) is taken for another library's, and kills"
WRONG = "a call goes the {} way when it may not"
LEFT = "a site is left with {}"
FOR_EVER = "patching has stopped, and a thread is sent back to its site for ever"


class Way(NamedTuple):
    """One way to patch a batch: its steps, and what follows instead where a sync fails; not named: nothing does."""

    steps: tuple[str, ...]
    where_it_fails: dict[str, tuple[str, ...]]


# poke_batch() and poke_words(). What begins with EACH is done for one site after the other; several steps: all of them
# for one site, then for the next.
EACH = "each: "
TWO_SYNCS = Way(
    (
        "begin",
        "each: old record, int3",
        "first sync",
        "each: new record",
        "each: tail, first byte",
        "last sync",
        "end",
    ),
    {"first sync": ("each: old first byte", "end of a failure")},
)
WORDS = Way(
    ("first sync", "each: word, new record", "last sync", "end"),
    {"first sync": ("end of a failure",), "last sync": ("each: old word, old record", "end of a failure")},
)


def change(way, old, new):
    """Return the way with consecutive steps replaced; both are texts."""
    text = "; ".join(way.steps)
    assert text.count(old) == 1
    return way._replace(steps=tuple(step.strip() for step in text.replace(old, new).split(";") if step.strip()))


THREE_SYNCS = change(TWO_SYNCS, "each: tail, first byte", "each: tail; middle sync; each: first byte")
NO_LAST_SYNC = change(TWO_SYNCS, "last sync", "")


class Variant(NamedTuple):
    name: str
    breaks: str = ""  # what the search must find; nothing: the protocol holds
    why: str = ""
    int3: Way | None = TWO_SYNCS
    words: Way | None = None
    failing: tuple[str, ...] = ()  # syncs that may fail, or not, each time
    in_order: bool = True
    whole_words: bool = False
    swallowed: bool = False  # a SIGTRAP may not reach our handler, and the thread goes on behind the int3
    trap_serializes: bool = True
    knows: tuple[str, ...] = ("previous", "stale")  # traps that the handler sends back to the site
    record_first: bool = False  # the handler's loads in the other order
    blocks: str = ""  # when a thread may block SIGTRAP: never, "between" int3 batches, or at "any" time
    callers: int = 1
    called: tuple[int, ...] = (0,)
    batches: int = 3


class Thread(NamedTuple):
    # Or "door", "loaded" (between the handler's loads), "back" (at the site, for another try), "behind" (the int3).
    at: str = "outside"
    site: int = 0
    may: frozenset = frozenset()  # the paths that this call may take
    loaded: tuple = ()
    backs: int = 0  # how often it was sent back since the last batch
    blocked: bool = False
    views: tuple = ()  # for each site its bytes since this core last serialized, oldest first


class State(NamedTuple):
    left: int  # batches
    running: tuple | None  # way, sites, the sync that failed, the number of the next step
    batch: tuple  # its number, and whether it is active
    records: tuple  # for each site slot->poke: the number of the batch, and the path
    now: tuple  # for each site slot->displacement, as a path
    may: tuple  # for each site the paths that a call may take that begins now
    bytes: tuple  # for each site first byte, tail, and whether one aligned store wrote both
    threads: tuple


class Result(NamedTuple):
    states: dict  # each with the one before it, and the step between
    broken: str
    trace: list[str]


def put(items, index, item):
    return (*items[:index], item, *items[index + 1 :])


@cache
def fetches(view, in_order, whole_words):
    """Return what a core with this view may take for the site: the first byte, and the two of the tail."""
    found = set()
    for i, j, k in product(range(len(view)), repeat=3):
        torn_word = whole_words and any(view[n][2] for n in range(min(i, j, k) + 1, max(i, j, k) + 1))
        if not torn_word and (i <= min(j, k) or not in_order):
            found.add((view[i][0], view[j][1], view[k][1]))
    return sorted(found)


# ---- the patcher ----


@cache
def program(way_steps, sites):
    """Return the steps of a batch one by one, each with its site, or None where it is the batch's."""
    done = []
    for step in way_steps:
        if step.startswith(EACH):
            done += [(part, site) for site in sites for part in step.removeprefix(EACH).split(", ")]
        else:
            done.append((step, None))
    return done


def store(variant, state, site, written):
    threads = []
    for thread in state.threads:
        seen = thread.views[site] if site in variant.called else ()
        threads.append(thread._replace(views=put(thread.views, site, (*seen, written))))
    return state._replace(bytes=put(state.bytes, site, written), threads=tuple(threads))


def serialize(thread):
    return thread._replace(views=tuple(view[-1:] for view in thread.views))


def allow(state, sites, paths):
    """Allow calls of these sites these paths from now on; calls that have begun, also those of before."""
    may = state.may
    for site in sites:
        may = put(may, site, frozenset(paths[site]))
    threads = tuple(
        thread._replace(may=thread.may | may[thread.site]) if thread.at != "outside" else thread
        for thread in state.threads
    )
    return state._replace(may=may, threads=threads)


def patch(variant, state, step, site, sites):
    """Take one step of a batch. Return the next state, or what is wrong."""
    number, _ = state.batch
    new = [1 - path for path in state.now]
    if step == "begin":
        return state._replace(batch=(number + 1, True))
    if step in ("first sync", "no first sync"):
        # Until here the batch may fail, and no caller may have seen it.
        state = allow(state, sites, {s: {state.now[s], new[s]} for s in sites})
    if step == "no first sync":
        return state
    if step.endswith("sync"):
        return state._replace(threads=tuple(map(serialize, state.threads)))
    if step.startswith("end"):
        if step == "end":
            state = state._replace(now=tuple(new[s] if s in sites else now for s, now in enumerate(state.now)))
        for s in sites:
            if state.bytes[s][:2] != (PREFIX, state.now[s]):
                return LEFT.format(FIRST_BYTES[state.bytes[s][0]])
        state = allow(state, sites, {s: {state.now[s]} for s in sites})
        return state._replace(batch=(number, False), running=None)
    first, tail, _ = state.bytes[site]
    path = state.now[site] if step.startswith("old ") else new[site]
    what = step.removeprefix("old ").removeprefix("new ")
    if what == "record":
        return state._replace(records=put(state.records, site, (number, path)))
    if what == "word":
        return store(variant, state, site, (PREFIX, path, True))
    if what == "tail":
        return store(variant, state, site, (first, path, True))
    return store(variant, state, site, (INT3 if what == "int3" else PREFIX, tail, False))


def patcher_steps(variant, state):
    if state.running is None:
        for name, way in (("int3", variant.int3), ("words", variant.words)):
            # This is the look for threads that have SIGTRAP blocked; a thread that blocks it later is the known window.
            if not state.left or not way or (name == "int3" and any(thread.blocked for thread in state.threads)):
                continue
            for sites in ((0,), (1,), (0, 1)):
                chosen = state._replace(left=state.left - 1, running=(name, sites, "", 0))
                yield f"patcher: a toggle of {' and '.join(SITES[s] for s in sites)}, by {name}", chosen
        return
    name, sites, failed, index = state.running
    way = variant.int3 if name == "int3" else variant.words
    step, site = program(way.where_it_fails[failed] if failed else way.steps, sites)[index]
    moved = state._replace(running=(name, sites, failed, index + 1))
    text = f"patcher: {step}" if site is None else f"patcher: {step} of {SITES[site]}"
    yield text, patch(variant, moved, step, site, sites)
    if step in variant.failing:
        after = (name, sites, step, 0) if step in way.where_it_fails else moved.running
        yield f"{text} fails", moved._replace(running=after)


# ---- a caller ----


def execute(variant, thread, site, may):
    """Yields all that may come of executing a site."""
    behind = thread.at == "behind"
    for first, tail, tail_too in fetches(thread.views[site], variant.in_order, variant.whole_words):
        what = FIRST_BYTES[INT3] if first == INT3 and not behind else TAILS[tail]
        text = f"{'calls' if thread.at == 'outside' else 'executes'} {SITES[site]} and finds {what}"
        if first == INT3 and thread.blocked and not behind:
            yield text, KILLED
        elif first == INT3 and not behind:
            trapped = thread._replace(at="door", site=site, may=may)
            yield text, serialize(trapped) if variant.trap_serializes else trapped
        elif tail != tail_too:
            yield f"{text} with half the tail of {TAILS[tail_too]}", TORN
        elif tail not in may:
            yield text, WRONG.format(PATHS[tail])
        elif thread.at != "outside":
            yield text, leave(thread)


def leave(thread):
    return Thread(blocked=thread.blocked, views=thread.views)


def decide(variant, state, thread, batch, record):
    """The end of handler()."""
    (number, active), (poked, path) = batch, record
    if active and poked == number:
        if path not in thread.may:
            return "goes on", WRONG.format(PATHS[path])
        return f"current: goes the {PATHS[path]} way", leave(thread)
    age = "previous" if (poked + 1 if active else poked) == number else "stale"
    if age not in variant.knows:
        return "chained", NOT_OURS.format(age)
    over = not state.left and state.running is None
    if over and thread.backs == 2:
        return age, FOR_EVER
    return f"{age}: back to the site", thread._replace(at="back", loaded=(), backs=thread.backs + over)


def caller_steps(variant, state, thread):
    if thread.at == "outside":
        for site in variant.called:
            yield from execute(variant, thread, site, state.may[site])
        window = state.running is not None and state.running[0] == "int3"
        if variant.blocks == "any" or (variant.blocks == "between" and not window):
            yield f"{'un' * thread.blocked}blocks SIGTRAP", thread._replace(blocked=not thread.blocked)
    elif thread.at in ("back", "behind"):
        yield from execute(variant, thread, thread.site, thread.may)
    elif thread.at == "door":
        loaded = state.records[thread.site] if variant.record_first else state.batch
        yield (
            f"handler loads the {'record' if variant.record_first else 'batch'}: {loaded}",
            thread._replace(at="loaded", loaded=loaded),
        )
        if variant.swallowed:
            yield "its SIGTRAP does not reach the handler", thread._replace(at="behind")
    else:
        if variant.record_first:
            text, after = decide(variant, state, thread, state.batch, thread.loaded)
        else:
            text, after = decide(variant, state, thread, thread.loaded, state.records[thread.site])
        yield f"handler: {text}", after


# ---- the search ----


def steps(variant, state):
    """Yields everything that may happen next: a text, and the next state or, as a string, what is wrong."""
    yield from patcher_steps(variant, state)
    for i, thread in enumerate(state.threads):
        for text, after in caller_steps(variant, state, thread):
            if not isinstance(after, str):
                after = state._replace(threads=put(state.threads, i, after))
            yield f"caller {i + 1}: {text}", after


def first_state(variant):
    nop = (PREFIX, OFF, False)
    return State(
        left=variant.batches,
        running=None,
        batch=(0, False),
        records=((0, OFF),) * len(SITES),
        now=(OFF,) * len(SITES),
        may=(frozenset({OFF}),) * len(SITES),
        bytes=(nop,) * len(SITES),
        threads=(Thread(views=((nop,),) * len(SITES)),) * variant.callers,
    )


def search(variant):
    """Search every state that can be reached, breadth first, up to the first that is wrong."""
    start = first_state(variant)
    came_from = {start: None}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        for text, after in steps(variant, state):
            if isinstance(after, str):
                return Result(came_from, after, [*way_to(came_from, state), text])
            if after not in came_from:
                came_from[after] = (state, text)
                queue.append(after)
    return Result(came_from, "", [])


def way_to(came_from, state):
    texts = []
    while came_from[state]:
        state, text = came_from[state]
        texts.append(text)
    return texts[::-1]
