"""Checks that tests of tracepoints share."""


class Oops(Exception):
    pass


def called(point, seen):
    """Return the probes that a call reaches, in order."""
    seen.clear()
    assert point() is None
    return [n for n, _, _ in seen]


def holds(point, probes):
    """Check that the tracepoint, its key and its site agree on these probes."""
    assert point.probes == tuple(probes)
    assert (point.enabled.enabled, point.enabled.count) == (bool(probes), int(bool(probes)))
    (entry,) = [entry for entry in point.enabled.entries if entry.kind == "tracepoint"]
    assert entry.state is bool(probes)
