"""Curves of costs: fits, checks for flat costs, their table, and the rows of the scripts that measure them."""

import gc
import json
import os
import random
import runpy
import subprocess
import sys
import sysconfig
import threading
import time
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from jumplabel.benchmarks.harness import bench, growth
from jumplabel.benchmarks.harness.growth import check, curves, fit, table_lines

from jumplabel._diagnostics.storms import ENGINE, ffi, lib

DECADES = [10**n for n in range(7)]


def rows(name, cost, places=DECADES, syncs=(2, 3)):
    return {f"{name}: {place}, {n} syncs": cost(place) for place in places for n in syncs}


def line(text, name):
    """Return the cells of a series in the table."""
    found = [line for line in text if f"| {name}" in line]
    assert len(found) == 1, found
    return [cell.strip() for cell in found[0].split("|")[1:-1]]


# ---- what fits ----


@pytest.mark.parametrize("exponent", [0, 0.5, 1, 2, -1])
def test_the_exponent_of_a_power_is_exact(exponent):
    made = fit([(place, 3e-9 * place**exponent) for place in DECADES])
    assert made.exponent == pytest.approx(exponent) and made.error == pytest.approx(0, abs=1e-9)
    assert made.places == (1, 1_000_000)


def test_the_error_is_that_of_a_slope_by_least_squares():
    # Of y = 1, 2, 4 at x = 1, 2, 3 (as logarithms): slope 1.5, residuals 1/6, -1/3, 1/6.
    e = 2.718281828459045
    made = fit([(e**x, e**y) for x, y in ((1, 1), (2, 2), (3, 4))])
    assert made.exponent == pytest.approx(1.5)
    assert made.error == pytest.approx((1 / 6 / 1 / 2) ** 0.5)


def test_the_error_covers_the_noise():
    seeded = random.Random(1)
    within = 0
    for _ in range(200):
        made = fit([(place, place * seeded.lognormvariate(0, 0.1)) for place in DECADES])
        within += abs(made.exponent - 1) <= 2 * made.error
    assert 160 <= within < 200  # 90 % for normal noise and 5 degrees of freedom


def test_an_exponent_needs_two_places_and_its_error_three():
    assert fit([]) is None and fit([(1000, 1e-6)]) is None and fit([(1000, 1e-6), (1000, 2e-6)]) is None
    assert fit([(10, 1e-6), (1000, 1e-4)]) == (pytest.approx(1), None, (10, 1000))
    with pytest.raises(ValueError, match="above 0"):
        fit([(0, 1e-6), (1000, 1e-6)])


# ---- what is flat ----


def test_a_line_is_flat_and_a_square_is_not():
    assert check([(place, 2e-8 * place) for place in DECADES]).passed
    square = check([(place, 2e-8 * place**2) for place in (1000, 10_000)])
    assert not square.passed and square.spread == pytest.approx(10)
    assert not check(
        [(1000, 1e-5), (10_000, 1e-5)]
    ).passed  # a cost that does not grow with its cause is not flat either


def test_flat_is_within_a_factor_of_two_between_any_two_places():
    assert check([(1000, 1000.0), (10_000, 20_000.0), (100_000, 110_000.0)]).passed
    assert not check([(1000, 1000.0), (10_000, 20_100.0), (100_000, 100_000.0)]).passed
    assert check([(1000, 1.0)]) is None


@pytest.mark.parametrize("row", ["toggle, native sites", "memory, bytecode sites"])
def test_fixed_costs_count_below_a_thousand_sites_only(row):
    """A toggle takes two synchronizations, even with few sites."""
    (curve,) = curves(rows(row, lambda sites: 900 + sites))
    assert [made.passed for made in curve.checks.values()] == [True, True]
    assert all(made.places == (1000, 1_000_000) for made in (*curve.checks.values(), *curve.fits.values()))
    assert all(0.9 < made.exponent < 1 for made in curve.fits.values())
    (curve,) = curves(rows(row, lambda sites: 10_000 + sites))
    assert [made.passed for made in curve.checks.values()] == [False, False]


def test_a_toggle_may_grow_with_its_unavoidable_work():
    """Relative to that work the toggle is flat."""
    stores = rows("syncs and stores, native sites", lambda sites: 1e-9 * sites**1.3, syncs=[2])
    for factor, flat in ((lambda sites: 1.1, True), (lambda sites: sites**0.2, False)):
        toggles = rows("toggle, native sites", lambda sites, by=factor: by(sites) * 1e-9 * sites**1.3)
        (curve,) = curves(toggles | stores)
        assert not any(made.passed for made in curve.checks.values())
        made = curve.beside["native, 2 syncs"]
        assert list(curve.beside) == ["native, 2 syncs"] and made.passed == flat
        assert made.each == (pytest.approx(factor(1000)), pytest.approx(factor(1_000_000)))
        says = line(table_lines([curve]), "native, 2 syncs")[-1]
        assert says.endswith("1.10 to 1.10 of its syncs and stores, flat (1.00)" if flat else "NOT FLAT (3.98)")
    (curve,) = curves(rows("toggle, native sites", lambda sites: sites, syncs=[2]) | {next(iter(stores)): 1.0})
    assert curve.beside == {}


# ---- curves ----


def test_each_protocol_is_a_series_in_the_order_of_its_places():
    medians = rows("toggle, native sites", lambda sites: sites * 1e-8, reversed(DECADES), (3, 2))
    medians |= rows("toggle, bytecode sites", lambda sites: sites * 1e-9, DECADES, (2,))
    medians |= {
        "toggle, sites: 1000": 1.0,
        "toggle, native sites: 5, 2 syncs, and more": 1.0,
        "memory, native sites: 1000": 1.0,
    }
    (curve,) = curves(medians)
    assert list(curve.series) == ["native, 2 syncs", "native, 3 syncs", "bytecode, 2 syncs"]
    assert all([place for place, _ in points] == DECADES for points in curve.series.values())
    assert (curve.x_label, curve.y_label) == ("sites of the key", "seconds")
    assert curve.fits.keys() == curve.checks.keys() == curve.series.keys()


def test_without_rows_there_is_no_curve():
    assert curves({}) == [] and curves({"gate off": 1.0}) == []


def test_one_point_is_not_measured_instead_of_flat():
    (curve,) = curves(rows("memory, native sites", lambda sites: 700.0 * sites, [1, 1000], [2]))
    assert curve.fits == {"native, 2 syncs": None} and curve.checks == {"native, 2 syncs": None}
    assert line(table_lines([curve]), "native, 2 syncs")[-3:] == ["", "", "not measured"]


def test_a_hot_loops_speed_is_relative_to_the_one_without_toggles():
    name = "a pass over a gate, toggles a second"
    places = [0, 10, 1000, 10_000, 100_000]
    (curve,) = curves(rows(name, lambda rate: 4e-8 * (1 + rate * 1e-5), places, [2]))
    (points,) = curve.series.values()
    assert points[0] == (0, 1) and points[-1] == (100_000, pytest.approx(0.5))
    (made,) = curve.fits.values()
    assert made.exponent == pytest.approx(1) and made.places == (1000, 100_000)
    (curve,) = curves(rows(name, lambda rate: 4e-8 if rate < 100_000 else 3e-8, places, [2]))
    assert list(curve.fits.values()) == [None]  # no time was lost
    assert curves(rows(name, lambda rate: 4e-8, places[1:], [2])) == []  # place 0 is missing


def test_the_table_says_how_costs_grow_and_what_is_flat():
    medians = rows("toggle, native sites", lambda sites: 1e-6 + 2.5e-8 * sites, syncs=[2])
    medians |= rows("toggle, bytecode sites", lambda sites: 1e-12 * sites**2, syncs=[3])
    medians |= rows("memory, bytecode sites", lambda sites: 200.0 * sites, syncs=[2])
    medians |= rows("decorate, instructions", lambda size: 1e-6 * size, syncs=[2])
    text = list(table_lines(curves(medians)))
    assert line(text, "native, 2 syncs")[1:] == [
        *("native, 2 syncs", "1: 1.02 µs", "1,000,000: 25 ms", "0.99 ± 0.00", "1,000 to 1,000,000"),
        "25 ns to 26 ns, flat (1.04)",
    ]
    assert line(text, "bytecode, 3 syncs")[4:] == [
        *("2.00 ± 0.00", "1,000 to 1,000,000", "1 ns to 1 µs, NOT FLAT (1000.00)"),
    ]
    assert line(text, "bytecode, 2 syncs")[2:4] == ["1: 200 B", "1,000,000: 200,000,000 B"]
    assert line(text, "decorating, 2 syncs")[-1] == "" and "factor of 2 at most" in text[-1]


# ---- the scripts ----

needs_extra = pytest.mark.skipif(find_spec("pyperf") is None, reason="needs jumplabel[bench]")
SCRIPTS = sorted(bench.scripts_folder().glob("curve_*.py"))


@pytest.fixture
def rows_of(monkeypatch):
    """Return a function that runs a script, and returns its rows: places and makers by name."""
    monkeypatch.syspath_prepend(str(bench.scripts_folder()))
    monkeypatch.setenv("PYTHONMALLOC", "malloc")
    for name in ("curves", "many_sites"):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def run(script):
        found = {}

        class CurveRows:
            def __init__(self, places, fast):
                assert list(places) == sorted(places) and fast in places
                self.places = places

            def curve(self, name, make, *_, **__):
                assert name not in found
                found[name] = self.places, make

        shared = SimpleNamespace(CurveRows=CurveRows, OutOfReach=SystemExit, SYNCS=(2, 3), TimeFunction=None)
        monkeypatch.setitem(sys.modules, "curves", shared)
        runpy.run_path(str(script), run_name="__main__")
        return found

    return run


def test_each_row_of_the_scripts_is_a_series_of_a_curve(rows_of):
    found = {}
    for script in SCRIPTS:
        found |= rows_of(script)
    assert list(found) and sorted(found) == sorted(row for kind in growth.KINDS for row in kind.rows)
    for kind in growth.KINDS:
        for row in kind.rows:
            places, _ = found[row]
            assert sum(place >= kind.fitted_from for place in places) >= 3  # an error needs three places
            assert not kind.relative_to_zero or places[0] == 0
    ends = [(found[row][0][0], found[row][0][-1]) for kind in growth.KINDS[:4] for row in kind.rows]
    assert set(ends) == {(1, 1_000_000), (1, 64), (0, 100_000)}


def test_the_toggle_loop_keeps_its_rate_and_ends_with_the_key_off(key):
    state, errors, seen = ffi.new("struct toggle_loop *"), [], set()
    period = 0.02
    began = time.monotonic()
    thread = threading.Thread(target=lambda: errors.append(lib.toggle_loop(ENGINE, key._key, int(period * 1e9), state)))
    thread.start()
    while not (state.toggles >= 5 and key.enabled) and time.monotonic() < began + 60:
        if state.toggles >= 2:
            seen.add(key.enabled)
    toggles = state.toggles
    state.stop = 1
    thread.join(60)
    assert errors == [0] and seen == {False, True} and not key.enabled
    assert 5 <= toggles <= (time.monotonic() - began) / period


@pytest.mark.parametrize("script", ["sites", "threads", "rate", "size"])
def test_every_row_can_be_measured(rows_of, script):
    """Measure each row at its first place, where it checks its sites. Rates are also measured with toggles."""
    for places, make in rows_of(bench.scripts_folder() / f"curve_{script}.py").values():
        for place in {places[0], places[0] or places[1]}:
            assert make(place)(1) > 0
            gc.collect()


def measured(folder, script, *options):
    """Run a script. Return the rows by name, and the metadata of all."""
    done = subprocess.run(
        [
            *(sys.executable, script, "-o", folder / "out.json", "--quiet"),
            *("--values", "1", "--warmups", "0", "--loops", "1", *options),
        ],
        env={**os.environ, "JUMPLABEL_SYNCS": "2"},
        capture_output=True,
        text=True,
        timeout=100,
    )
    if "mallinfo2, of glibc" in done.stderr:
        pytest.skip("needs mallinfo2: glibc 2.33")
    assert done.returncode == 0, done.stderr
    suite = json.loads((folder / "out.json").read_text())
    return {(suite["metadata"] | row.get("metadata", {}))["name"]: row for row in suite["benchmarks"]}, suite[
        "metadata"
    ]


@needs_extra
def test_rows_are_measured_in_processes_with_their_settings(tmp_path):
    """A row for three syncs refuses a process with two."""
    rows, facts = measured(tmp_path, bench.scripts_folder() / "curve_sites.py", "--most", "1")
    assert list(rows) == [
        f"{what}, {kind} sites: 1, {n} syncs"
        for kind in ("native", "bytecode")
        for what, n in (("toggle", 2), ("toggle", 3), ("syncs and stores", 2))
    ]
    assert facts["unit"] == "second"


@needs_extra
def test_a_place_out_of_reach_is_left_out(tmp_path):
    """The other places keep their rows."""
    (tmp_path / "script.py").write_text(
        f"import sys; sys.path.insert(0, {str(bench.scripts_folder())!r})\n"
        "from curves import CurveRows, OutOfReach\n"
        "def make(place):\n"
        "    def seconds(loops):\n"
        "        if place == 10:\n"
        "            raise OutOfReach('too much')\n"
        "        return place * loops\n"
        "    return seconds\n"
        "CurveRows([1, 10, 100], fast=1).curve('work', make)\n"
    )
    rows, _ = measured(tmp_path, tmp_path / "script.py")
    values = {name: [run["values"] for run in row["runs"] if "values" in run] for name, row in rows.items()}
    assert values == {f"work: {place}, {syncs} syncs": [[place]] for syncs in (2, 3) for place in (1, 100)}


@needs_extra
@pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="free-threaded builds have one allocator")
def test_memory_is_in_bytes_and_complete(tmp_path):
    """The interpreter allocates a gate and its dictionary."""
    name = "memory, native sites: 10, 3 syncs"
    rows, facts = measured(tmp_path, bench.scripts_folder() / "curve_memory.py", "--only", name)
    (values,) = [run["values"] for run in rows[name]["runs"] if "values" in run]
    assert facts["unit"] == "byte" and 500 < values[0] / 10 < 1200


@needs_extra
def test_options_end_an_axis_earlier():
    """In a new process, because pyperf allows one Runner in each."""
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from curves import CurveRows\n"
        "rows = CurveRows([1, 10, 100, 1000], fast=100); print(rows.places, rows.args.processes)"
    )
    for options, says in (
        (["--most", "10", "--processes", "3"], "[1, 10] 3"),
        (["--fast"], "[1, 10, 100] 1"),
    ):
        command = [sys.executable, "-c", code, str(bench.scripts_folder()), *options]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == says
