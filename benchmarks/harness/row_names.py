"""Names that the benchmark scripts give to their rows. Data only."""

CHECKS = (
    *("static branch", "local flag", "global flag", "attribute flag", "closure flag"),
    *("logger.isEnabledFor", "sys.flags constant", "sys.monitoring"),
)
SERVICES = ("OpenFeature no-op", "OpenFeature in memory")
LOOPS = {"loop": "done = None", "sum": "total += i"}
ADDED_BY_DEFINITION = {"check deleted": 0.0, "global flag": 1.0}  # the scale of the other rows
LOGGED = {"empty loop": "an empty loop", "summing": "total += x", "parsing": "parsing", "decoder": "a decoder"}
OTHER_LOGGERS = ("structlog", "structlog uncached", "loguru", "loguru.disable")
UNDER_THE_HOOK = {"import hook": "hook", "structlog, hook": "structlog, hook", "loguru, hook": "loguru, hook"}
IN_ALL = {"import hook": "hook", "isEnabledFor guard": "isEnabledFor guard", "plain logging": "plain logging"}
LOG_WAYS = {
    "empty loop": {"import hook": "hook"},
    "summing": {**IN_ALL, **{name: name for name in OTHER_LOGGERS}, **UNDER_THE_HOOK},
    "parsing": {"import hook": "hook", "plain logging": "plain logging"},
    "decoder": IN_ALL,
}
OTHER_TOGGLES = (
    "attribute flag",
    "logger.setLevel",
    "loguru.enable",
    "blinker.connect",
    "sys.monitoring of a function",
)
OTHER_DECORATORS = ("static_gate", "functools.wraps", "wrapt", "partial")
IMPORTED = ("jumplabel", "logging", "blinker", "wrapt", "structlog", "loguru", "OpenFeature", "OpenTelemetry")
SNAPSHOT_KINDS = ("snapshot", "in place", "flag at entry", "tests deleted")
CALLERS = ("Python", "map", "sorted")
REGISTERED: dict[str, tuple[str, ...]] = {"none": ("C built-in",), "one": ("direct call",), "three": ()}
SITES, BYTECODE_SITES = (1, 100, 10_000), (1, 10_000)
BARE_SYNCS = "two bare syncs"
BY_STATE = r"(?P<what>.+?)(?: (?P<state>off|on))?"
