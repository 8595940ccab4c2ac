"""Tests of a tracepoint, which are branches of its key."""

import gc
import types

import pytest

from jumplabel import DecorationError, Tracepoint, static_branches


def places(point):
    """Functions that test its key, each found by another way; and whether they evaluated what stands behind that."""
    module, evaluated = types.ModuleType("shop"), []
    module.point, module.Class = point, type("Class", (), {"point": point})
    for name in ("point", "module.point", "Class.point", "module.Class.point"):
        first = name.partition(".")[0]
        space = {first: {"point": point, "module": module, "Class": module.Class}[first], "evaluated": evaluated}
        exec(f"def function():\n    if {name}.enabled:\n        {name}(evaluated.append({name!r}))", space)
        yield name, space.pop("function"), evaluated

    def closure():
        if point.enabled:
            point(evaluated.append("closure"))

    yield "closure", closure, evaluated


@pytest.mark.parametrize("strict", [False, True])
def test_a_test_of_enabled_is_a_site_and_skips_the_arguments(point, probes, seen, strict):
    for name, function, evaluated in places(point):
        assert static_branches(strict=strict)(function) is function
        assert sorted(entry.kind for entry in point.enabled.entries) == ["branch", "tracepoint"], name
        for held in ([], probes[:1], probes[:2], probes[:1], []):
            for probe in set(held) - set(point.probes):
                point.register(probe)
            for probe in set(point.probes) - set(held):
                point.unregister(probe)
            evaluated.clear()
            seen.clear()
            function()
            assert evaluated == ([name] if held else []) and len(seen) == len(held), name
        with point.enabled.override(True):
            function()
            assert evaluated == [name] and seen == []
        del function
        gc.collect()


def test_strict_refuses_what_may_not_be_a_tracepoint(point):
    class Other(Tracepoint):
        enabled = True

    class Shop:
        def sell(self):
            if self.point.enabled:
                return 1

    other = Other(f"{point.name} other")

    def function():
        if other.enabled:
            return 1

    with pytest.raises(DecorationError, match="cannot become a site"):
        static_branches(strict=True)(function)
    with pytest.raises(DecorationError, match="cannot become a site"):
        static_branches(strict=True)(Shop)
    static_branches(function)
    assert function() == 1


@pytest.mark.parametrize("name", ["enabled", "name", "probes", "__class__"])
def test_what_a_site_relies_on_cannot_be_set(point, name):
    for target in (point, Tracepoint):
        with pytest.raises((AttributeError, TypeError)):
            setattr(target, name, type("Other", (), {}))
    with pytest.raises((AttributeError, TypeError)):
        delattr(point, name)
