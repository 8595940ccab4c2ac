"""The questions of the benchmarks: which rows answer each, and by which rows they are divided.

Data only. lookup.py finds the rows in a measurement. The pattern of a question also finds rows that are not named here,
under their own names.
"""

from .columns import Column, Question
from .row_names import (
    ADDED_BY_DEFINITION,
    BARE_SYNCS,
    BY_STATE,
    BYTECODE_SITES,
    CALLERS,
    CHECKS,
    IMPORTED,
    IN_ALL,
    LOG_WAYS,
    LOGGED,
    LOOPS,
    OTHER_DECORATORS,
    OTHER_LOGGERS,
    OTHER_TOGGLES,
    REGISTERED,
    SERVICES,
    SITES,
    SNAPSHOT_KINDS,
    UNDER_THE_HOOK,
)

QUESTIONS = (
    Question(
        "branch.py",
        "branch",
        "What does a test of a flag add?",
        "The loop has ten tests in each pass: the time that the test adds, divided by the time that a test of a global "
        "flag adds. The function has three tests: its time, divided by that of the same function without tests.",
        (
            *(
                Column(
                    f"added to a loop of `{statement}`",
                    {check: f"{loop} {{}}, {check}" for check in CHECKS if check not in ADDED_BY_DEFINITION},
                    others=rf"{loop} (?P<state>off|on), (?P<what>.+)",
                    shares=True,
                    given=ADDED_BY_DEFINITION,
                )
                for loop, statement in LOOPS.items()
            ),
            Column(
                "a function with three",
                {check: f"function {{}}, {check}" for check in (*CHECKS, *SERVICES, "check deleted")},
                references=("check deleted",),
                others=r"function (?P<state>off|on), (?P<what>.+)",
            ),
        ),
        ours=("static branch",),
        floor=("check deleted",),
        axis="cost as a multiple of a global flag's test, or of the function without tests",
    ),
    Question(
        "gate.py",
        "gate",
        "What does a call cost that does nothing while its key is off?",
        "The time of one call, and its ratio to other rows'.",
        (
            Column(
                "a call",
                {
                    "static_gate": "gate {}",
                    "early return": "early return {}",
                    "partial": "partial",
                    "C built-in": "C built-in",
                    "C built-in of a str": "C built-in of a str",
                    "direct call": "direct call",
                },
                references=("early return", "C built-in", "direct call", "partial"),
                others=BY_STATE,
            ),
        ),
        ours=("static_gate",),
        floor=("C built-in", "C built-in of a str"),
    ),
    Question(
        "gate.py",
        "gate-of-coroutines",
        "What does a gated coroutine or generator function cost, run to its end?",
        "The time, divided by that of such a function that tests a flag and returns early.",
        tuple(
            Column(
                heading,
                {"static_gate": f"{kind} gate {{}}", "early return": f"early {kind} {{}}", "of a C built-in": least},
                references=("early return",),
            )
            for kind, heading, least in (
                ("coroutine", "coroutine, awaited", "done future, awaited"),
                ("generator", "generator, iterated over", "empty tuple, iterated"),
            )
        ),
        ours=("static_gate",),
        floor=("of a C built-in",),
    ),
    Question(
        "switch.py",
        "switch",
        "What does a call cost that a key may redirect?",
        "The time of one call, and its ratio to other rows'. When on, every row calls the other function.",
        (
            Column(
                "a call",
                {
                    "static_switch": "switch {}",
                    "wraps wrapper": "wraps wrapper {}",
                    "wrapt enabled=": "wrapt {}",
                    "partial": "partial",
                    "direct call": "direct call",
                },
                references=("wraps wrapper", "wrapt enabled=", "partial", "direct call"),
                others=BY_STATE,
            ),
        ),
        ours=("static_switch",),
        floor=("direct call",),
    ),
    Question(
        "snapshot.py",
        "snapshot",
        "What does a function cost whose tests all use one snapshot?",
        "The time of a function with three tests, divided by that of one that copies a global flag into a local first.",
        tuple(
            Column(
                f"called by {caller}",
                {kind: f"{kind} {{}}, called by {caller}" for kind in SNAPSHOT_KINDS},
                references=("flag at entry",),
                others=rf"(?P<what>.+) (?P<state>off|on), called by {caller}",
            )
            for caller in CALLERS
        ),
        ours=("snapshot", "in place"),
        floor=("tests deleted",),
    ),
    Question(
        "static_call.py",
        "static-call",
        "What does a call cost whose target can be swapped?",
        "The time of one call, and its ratio to a call through a global that is rebound.",
        (
            Column(
                "a call",
                {
                    "StaticCall": "call through StaticCall",
                    "StaticCall of nothing": "call through StaticCall off",
                    "rebound global": "call through rebound global",
                    "attribute": "call through attribute",
                    "dictionary": "call through dictionary",
                    "wrapper": "call through wrapper",
                    "C built-in": "call through C built-in",
                },
                references=("rebound global",),
                others=r"call through (?P<what>.+)",
            ),
        ),
        ours=("StaticCall", "StaticCall of nothing"),
        floor=("C built-in",),
    ),
    Question(
        "tracepoint.py",
        "tracepoint",
        "What does an event cost that probes may watch?",
        "The time of one event, divided by that of a loop over a list of callbacks.",
        tuple(
            Column(
                f"{number} registered",
                {what: f"{what}, {number} registered" for what in ("tracepoint", "callbacks", "blinker", *least)},
                references=("callbacks",),
                others=rf"(?P<what>.+), {number} registered",
            )
            for number, least in REGISTERED.items()
        ),
        ours=("tracepoint",),
        floor=("C built-in", "direct call"),
    ),
    Question(
        "native_branch.py",
        "native-branch",
        "What does a choice between two C functions cost a C program?",
        "The time of one call, and its ratio to a call through a pointer in a struct.",
        (
            Column(
                "a call",
                {
                    "native branch": "native branch {}",
                    "native branch in a struct": "native branch in a struct {}",
                    "flag in C": "flag in C {}",
                    "pointer in a struct": "pointer in a struct",
                    "constant pointer": "constant pointer",
                },
                references=("pointer in a struct",),
                others=r"(?P<what>(?!.* from Python).+?)(?: (?P<state>off|on))?",
            ),
        ),
        ours=("native branch", "native branch in a struct"),
        floor=("constant pointer",),
    ),
    Question(
        "native_branch.py",
        "native-branch-from-python",
        "What does such a choice cost Python, through cffi?",
        "The time of one call, and its ratio to a call through a pointer in a struct.",
        (
            Column(
                "a call",
                {
                    "native branch": "native branch from Python {}",
                    "pointer in a struct": "pointer in a struct from Python",
                    "pointer": "pointer from Python",
                },
                references=("pointer in a struct",),
                others=r"(?P<what>.+) from Python(?: (?P<state>off|on))?",
            ),
        ),
        ours=("native branch",),
        floor=("pointer",),
    ),
    Question(
        "span.py",
        "span",
        "What does a span cost that may be recorded?",
        "The time of a function with a span around its work, and its ratio to the function without a span.",
        (
            Column(
                "a span",
                {
                    "static branch": "span, static branch {}",
                    "global flag": "span, global flag {}",
                    "OpenTelemetry's SDK": "span, SDK {}",
                    "its API without SDK": "span, API without SDK off",
                    "span deleted": "span, deleted",
                },
                references=("span deleted", "global flag"),
                others=r"span, (?P<what>.+?)(?: (?P<state>off|on))?",
            ),
        ),
        ours=("static branch",),
        floor=("span deleted",),
    ),
    Question(
        "log.py",
        "log",
        'What does a disabled `logger.debug("%s", x)` leave of a function\'s speed?',
        "The function's time, divided by that of the same function without the statement.",
        tuple(
            Column(
                heading,
                {label: f"{what}, {way}" for label, way in LOG_WAYS[what].items()},
                others=rf"{what}, (?P<what>.+?)(?: (?P<state>off|on))?",
                shares=True,
                given={"deleted": 1.0},
            )
            for what, heading in LOGGED.items()
        ),
        ours=tuple(UNDER_THE_HOOK),
        floor=("deleted",),
        axis="time as a multiple of the function's without the statement",
    ),
    Question(
        "log.py",
        "log-record",
        "What does a record cost that is logged to /dev/null?",
        "The time of one record, and its ratio to a record of `logging`.",
        (
            Column(
                "a record",
                {
                    **{label: f"record logged, {way}" for label, way in IN_ALL.items()},
                    **{name: f"record logged, {name}" for name in OTHER_LOGGERS[:3]},
                },
                references=("plain logging",),
                others=r"record logged, (?P<what>.+)",
            ),
        ),
        ours=("import hook",),
    ),
    Question(
        "toggle.py",
        "toggle",
        "What does a toggle cost?",
        "The time of one toggle, and its ratio to the two synchronizations that native sites need.",
        (
            Column(
                "a toggle",
                {
                    **{f"key with {n:,} native site{'s' * (n > 1)}": f"toggle, sites: {n}" for n in SITES},
                    **{
                        f"key with {n:,} bytecode site{'s' * (n > 1)}": f"toggle, bytecode sites: {n}"
                        for n in BYTECODE_SITES
                    },
                    BARE_SYNCS: BARE_SYNCS,
                    **{name: f"toggle, {name}" for name in OTHER_TOGGLES},
                },
                references=(BARE_SYNCS,),
                others=r"(?:toggle, )?(?P<what>(?!inc, dec|syncs and stores).+)",
            ),
        ),
        ours=(
            *(f"key with {n:,} native site{'s' * (n > 1)}" for n in SITES),
            *(f"key with {n:,} bytecode site{'s' * (n > 1)}" for n in BYTECODE_SITES),
        ),
        floor=(BARE_SYNCS,),
    ),
    Question(
        "toggle.py",
        "toggle-stores",
        "What does a toggle cost beside the synchronizations and stores of its own sites?",
        "The time of a toggle from Python, divided by that of a loop in the engine that only synchronizes and stores.",
        tuple(
            Column(
                f"{n:,} {kind} site{'s' * (n > 1)}",
                {"a toggle": f"toggle, {row}: {n}", "syncs and stores": f"syncs and stores, {row}: {n}"},
                references=("syncs and stores",),
            )
            for kind, row, counts in (("native", "sites", SITES), ("bytecode", "bytecode sites", BYTECODE_SITES))
            for n in counts
        ),
        ours=("a toggle",),
        floor=("syncs and stores",),
    ),
    Question(
        "toggle.py",
        "deferred",
        "What does it cost to add and remove a user of a key?",
        "The time of both, and its ratio to an ordinary key with one native site.",
        (
            Column(
                "inc and dec",
                {"an ordinary key": "inc, dec", "one that lingers": "inc, dec of a deferred key"},
                references=("an ordinary key",),
                others=r"inc, dec (?P<what>.+)",
            ),
        ),
        ours=("an ordinary key", "one that lingers"),
    ),
    Question(
        "decorating.py",
        "decorating",
        "What does a decorator cost, once?",
        "The time of one decoration, and its ratio to a decorator with `functools.wraps`.",
        (
            Column(
                "a decoration",
                {
                    "a function of 200 instructions": "decorate, tests of a key",
                    "one that names no key": "decorate, no key named",
                    "a closure again": "decorate, closure again",
                    **{name: f"decorate, {name}" for name in OTHER_DECORATORS},
                },
                references=("functools.wraps",),
                others=r"(?:decorate, )?(?P<what>.+)",
            ),
        ),
        ours=("a function of 200 instructions", "one that names no key", "a closure again", "static_gate"),
        floor=("partial",),
    ),
    Question(
        "importing.py",
        "hook",
        "What does the import hook add to a start?",
        "The time of importing 50 modules with 500 log statements, divided by the time without the hook.",
        tuple(
            Column(heading, {"hook": f"{what}, hook", "no hook": f"{what}, plain"}, references=("no hook",))
            for heading, what in (("of .pyc files", "import of .pyc files"), ("first, to compile", "first import"))
        ),
        ours=("hook",),
        floor=("no hook",),
    ),
    Question(
        "importing.py",
        "importing",
        "What does it take to import the package?",
        "The time in a new process, and its ratio to `logging`.",
        (
            Column(
                "import",
                {name: f"import {name}" for name in IMPORTED},
                references=("logging",),
                others=r"import (?P<what>\S+)",
            ),
        ),
        ours=("jumplabel",),
    ),
)
