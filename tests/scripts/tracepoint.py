"""A tracepoint with two probes, and whether everything agrees on its probes."""

from jumplabel import Tracepoint, static_branches

point, seen = Tracepoint("point"), []


def first(*args, **kwargs):
    seen.append(("first", args, kwargs))


def second(*args, **kwargs):
    seen.append(("second", args, kwargs))


@static_branches(strict=True)
def branch():
    if point.enabled:
        point(seen.append("evaluated"))


def whole(*probes):
    """Everything agrees on these."""
    names = [probe.__name__ for probe in probes]
    assert point.probes == probes and point.enabled.enabled is bool(probes)
    assert [entry.state for entry in point.enabled.entries] == [bool(probes)] * 2
    seen.clear()
    assert point(1, a=2) is None and seen == [(name, (1,), {"a": 2}) for name in names]
    seen.clear()
    branch()
    assert seen == (["evaluated"] if probes else []) + [(name, (None,), {}) for name in names]


def turn():
    point.register(first)
    whole(first)
    point.register(second)
    whole(first, second)
    point.unregister(first)
    whole(second)
    point.unregister(second)
    whole()
