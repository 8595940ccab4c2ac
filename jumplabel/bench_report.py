"""What ``python -m jumplabel bench`` prints: the medians of all rows as tables of ratios, and our targets."""

import os
import platform
import sys
import sysconfig
from collections.abc import Iterator

from jumplabel.table import info, start

# What the tables call a row, and its names in the scripts: off and on, or one that knows no state.
CALLS = {
    "static_gate": ("gate off", "gate on"),
    "static_switch": ("switch off", "switch on"),
    "early return": ("early return off", "early return on"),
    "wraps wrapper": ("wraps wrapper off", "wraps wrapper on"),
    "wrapt enabled=": ("wrapt off", "wrapt on"),
    "partial": ("partial", "partial"),
    "C built-in": ("C built-in", "C built-in"),
    "direct call": ("direct call", "direct call"),
}
REFERENCES = ("early return", "wraps wrapper", "wrapt enabled=", "partial", "C built-in", "direct call")

STATES = ("off", "on")
CHECKS = (
    "check deleted",
    "static branch",
    "local flag",
    "global flag",
    "attribute flag",
    "closure flag",
    "logger.isEnabledFor",
    "sys.flags constant",
)
LOOPS = {"loop": "assigning None", "sum": "adding numbers"}
ADDED_BY_DEFINITION = {"check deleted": 0.0, "global flag": 1.0}  # the other rows are measured beside these two

TOGGLES = {1: "toggle, sites: 1", 100: "toggle, sites: 100", 10_000: "toggle, sites: 10000"}
BYTECODE_TOGGLES = {1: "toggle, bytecode sites: 1", 10_000: "toggle, bytecode sites: 10000"}
BARE_SYNCS = "two bare syncs"
BARE = {row: row.replace("toggle", "syncs and stores") for row in (*TOGGLES.values(), *BYTECODE_TOGGLES.values())}
USE, DEFERRED_USE = "inc, dec", "inc, dec of a deferred key"

# Names of rows, what they are called here, and the most that they may take, in µs.
DECORATIONS: dict[str, tuple[str, float | None]] = {
    "decorate, tests of a key": ("a function of 200 instructions", 1000),
    "decorate, no key named": ("one that names no key", 20),
    "decorate, closure again": ("a closure again", None),
}

# Of what has statements that log nothing, the time over that of the same without them; the most that is wanted.
LOGGED: dict[str, tuple[str, ...]] = {
    "empty loop": ("hook",),
    "summing": ("hook", "isEnabledFor guard", "plain logging"),
    "parsing": ("hook", "plain logging"),
    "decoder": ("hook", "isEnabledFor guard", "plain logging"),
}
LOGGED_MOST = 1.1 if sys.version_info < (3, 14) else 1.03
WITHOUT_TARGET = ("empty loop",)

# What is asked; rows, and what each is divided by.
RATIOS: dict[str, list[tuple[str, str]]] = {
    "A function with three tests that reads a global flag once, and others": [
        (f"{kind} {state}, called by {caller}", f"flag at entry {state}, called by {caller}")
        for caller in ("Python", "map", "sorted")
        for kind in ("snapshot", "in place")
        for state in STATES
    ],
    "Gates of a coroutine function, awaited, and of a generator function, iterated": [
        (f"{kind} gate {state}", f"early {kind} {state}") for kind in ("coroutine", "generator") for state in STATES
    ],
    "A call whose target can be swapped": [
        (f"call through {what}", "call through rebound global")
        for what in ("StaticCall", "attribute", "dictionary", "wrapper", "StaticCall off")
    ],
    "A C function that C calls": [
        (row, "pointer in a struct")
        for row in (
            *("native branch off", "native branch on"),
            *("native branch in a struct off", "native branch in a struct on"),
            *("flag in C off", "flag in C on", "constant pointer"),
        )
    ],
    "And that Python calls, through cffi": [
        (row, "pointer in a struct from Python")
        for row in ("native branch from Python off", "native branch from Python on", "pointer from Python")
    ],
    "A place that others can watch": [
        (f"{what}, {number} registered", f"callbacks, {number} registered")
        for number in ("none", "one", "three")
        for what in ("tracepoint", "blinker")
    ],
}

# The row, what it is divided by, and the most that is wanted.
TARGETS: list[tuple[str, str, float | None]] = [
    ("gate off", "early return off", 0.6),
    ("gate off", "C built-in", 0.9),
    ("switch off", "wraps wrapper off", 0.4),
    ("switch off", "wrapt off", 0.4),
    ("switch off", "partial", 0.9),
    ("gate on", "partial", 0.9),
    ("switch on", "partial", 0.9),
    *((row, BARE[row], 1.3) for row in TOGGLES.values()),
    # {}.get computes the hash of its argument, but for a string, which has it stored: shown, so that nobody is misled.
    ("gate off", "C built-in of a str", None),
    # Called, and awaited or iterated over.
]

# What a static branch adds to a loop, of what a global flag adds.
ADDED = {"off": 0.2 if sys.version_info < (3, 14) else 0.1, "on": 1}
NS_A_SITE = 100


def report(medians: dict[str, float]) -> Iterator[str]:
    yield from _environment()
    yield ""
    yield "Ratios of medians: the row's time over the column's, both off or both on; below 1 the row is faster."
    yield ""
    yield from _calls(medians)
    yield ""
    yield from _checks(medians)
    yield ""
    yield from _logged(medians)
    yield ""
    yield from _ratios(medians)
    yield from _toggles(medians)
    yield ""
    yield from _decorations(medians)
    yield ""
    yield from _targets(medians)


def _environment() -> Iterator[str]:
    start()
    facts = info()
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    pgo = "--enable-optimizations" in arguments
    optimized = (
        "PGO (--enable-optimizations)" if pgo else "no --enable-optimizations, PGO only if its distributor did it"
    )
    yield f"interpreter  {platform.python_implementation()} {platform.python_version()}, {optimized}"
    yield f"kernel       {platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs"
    native = "native trampolines" if facts.native else f"plain branches ({facts.refusal})"
    yield f"jumplabel    {native}, sync method: {facts.sync_method or 'none'}, {facts.syncs_per_batch} syncs a batch"


def _calls(medians: dict[str, float]) -> Iterator[str]:
    first, width = max(map(len, CALLS)), max(map(len, REFERENCES))
    yield f"{'':<{first}}" + "".join(f"  {'/ ' + name:>{width + 1}}" for name in REFERENCES)
    yield f"{'':<{first}}" + f"  {'off    on':>{width + 1}}" * len(REFERENCES)
    for what, names in CALLS.items():
        cells = ""
        for reference in REFERENCES:
            off, on = (medians[a] / medians[b] for a, b in zip(names, CALLS[reference], strict=True))
            cells += f"  {'=' if what == reference else f'{off:.2f}  {on:.2f}':>{width + 1}}"
        yield f"{what:<{first}}{cells}"


def _checks(medians: dict[str, float]) -> Iterator[str]:
    """In a loop, what a check adds can be told; in a function, it drowns in what the rest of it takes."""
    first = max(map(len, CHECKS))
    columns = (*(f"added to a loop {what}" for what in LOOPS.values()), "a function / check deleted")
    yield "What a check adds to a loop over what a global flag adds to it; a function's time over that without a check."
    yield ""
    yield f"{'':<{first}}" + "".join(f"  {column}" for column in columns)
    yield f"{'':<{first}}" + "".join(f"  {'off    on':>{len(column)}}" for column in columns)
    for check in CHECKS:
        values = [*(_added(medians, loop, check) for loop in LOOPS), _handling(medians, check)]
        cells = "".join(
            f"  {f'{off:.2f}  {on:.2f}':>{len(column)}}" for column, (off, on) in zip(columns, values, strict=True)
        )
        yield f"{check:<{first}}{cells}"


def _added(medians: dict[str, float], loop: str, check: str) -> tuple[float, float]:
    if check in ADDED_BY_DEFINITION:
        return (ADDED_BY_DEFINITION[check],) * 2
    return medians[f"{loop} off, {check}"], medians[f"{loop} on, {check}"]


def _handling(medians: dict[str, float], check: str) -> tuple[float, float]:
    off, on = (medians[f"function {state}, {check}"] / medians[f"function {state}, check deleted"] for state in STATES)
    return off, on


def _logged(medians: dict[str, float]) -> Iterator[str]:
    ways = max(LOGGED.values(), key=len)
    yield 'With a disabled logger.debug("%s", x), over the same without it.'
    yield ""
    yield f"{'':<10}" + "".join(f"  {way:>18}" for way in ways)
    for what, ways_here in LOGGED.items():
        cells = (f"{medians[f'{what}, {way}']:.2f}" if way in ways_here else "" for way in ways)
        yield f"{what:<10}{''.join(f'  {cell:>18}' for cell in cells)}".rstrip()


def _ratios(medians: dict[str, float]) -> Iterator[str]:
    for what, pairs in RATIOS.items():
        yield what
        for row, reference in pairs:
            yield f"  {f'{row} / {reference}':<70}  {medians[row] / medians[reference]:.2f}"
        yield ""


def _toggles(medians: dict[str, float]) -> Iterator[str]:
    yield f"one toggle / {BARE_SYNCS}              whole  a site  / with the stores"
    for kind, toggles in (("sites", TOGGLES), ("bytecode sites", BYTECODE_TOGGLES)):
        for sites, name in toggles.items():
            ratio = medians[name] / medians[BARE_SYNCS]
            stores = medians[name] / medians[BARE[name]]
            yield f"  of a key with {sites:>6,} {kind:<14}  {ratio:>8.2f}  {ratio / sites:>6.3f}  {stores:>16.2f}"
    yield f"{DEFERRED_USE} that lingers / of an ordinary one  {medians[DEFERRED_USE] / medians[USE]:.3f}"


def _decorations(medians: dict[str, float]) -> Iterator[str]:
    yield "static_branches, once"
    for name, (what, _) in DECORATIONS.items():
        yield f"  of {what:<30}  {medians[name] * 1e6:>6.1f} µs"


def _targets(medians: dict[str, float]) -> Iterator[str]:
    yield "targets"
    for what, value, most, unit in _figures(medians):
        mark = "pass" if most and value <= most else "FAIL"
        yield f"  {what:<46}  {value:.2f}{unit}" + (f"  wanted: at most {most:.2f}{unit}  {mark}" if most else "")


def _figures(medians: dict[str, float]) -> Iterator[tuple[str, float, float | None, str]]:
    """What, its value, the most that it may be, and their unit."""
    for row, reference, most in TARGETS:
        yield f"{row} / {reference}", medians[row] / medians[reference], most, ""
    for what in LOGGED:
        most = None if what in WITHOUT_TARGET else LOGGED_MOST
        yield f"{what} under the hook / without the statement", medians[f"{what}, hook"], most, ""
    for loop, what in LOOPS.items():
        for state, added in zip(STATES, _added(medians, loop, "static branch"), strict=True):
            yield f"static branch {state} / global flag, {what}", added, ADDED[state], ""
    for kind, toggles in (("sites", TOGGLES), ("bytecode sites", BYTECODE_TOGGLES)):
        sites = max(toggles)
        yield f"one of {sites:,} {kind} in a toggle", medians[toggles[sites]] / sites * 1e9, NS_A_SITE, " ns"
    for name, (what, most) in DECORATIONS.items():
        if most:
            yield f"decorating {what}", medians[name] * 1e6, most, " µs"
