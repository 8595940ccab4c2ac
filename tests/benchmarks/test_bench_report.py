"""The report that ``python -m jumplabel bench`` prints, made from invented figures."""

import sys
from importlib.util import find_spec
from itertools import pairwise

import pytest
from jumplabel.benchmarks.harness import (
    bench,
    lookup,
    markdown,
    overview,
    questions,
    reporting,
    run_facts,
    tables,
    targets,
)

import jumplabel

if not all(map(find_spec, (*bench.EXTRA, bench.CHARTS))):
    pytest.skip("needs jumplabel[bench]", allow_module_level=True)
import pyperf
from measurements import HERE, NAMED, all_rows, made, report, table

# ---- tables ----


def test_a_table_divides_by_each_reference_in_the_same_state():
    values = all_rows(**{"gate off": 1e-8, "gate on": 4e-8, "early return off": 4e-8, "early return on": 2e-8})
    gate = table(
        report({**values, "C built-in": 8e-8}), "What does a call cost that does nothing while its key is off?"
    )
    assert gate[""] == ["time", "/ early return", "/ C built-in", "/ direct call", "/ partial"]
    assert gate["static_gate"] == ["10.0 ns / 40.0 ns", "0.25 / 2.00", "0.12 / 0.50", "0.000 / 0.000", "0.000 / 0.000"]
    assert gate["early return"][1] == "=" and gate["C built-in"][:2] == ["80.0 ns", "2.00 / 4.00"]


def test_a_table_shows_shares_as_they_are_and_functions_relative_to_the_lower_bound():
    values = {"loop off, static branch": 0.05, "loop on, static branch": 1e-6, "function on, closure flag": 6.0}
    branch = table(report(all_rows(**values)), "What does a test of a flag add?")
    assert branch["static branch"] == ["0.050 / 0.000", "2.00 / 2.00", "1.00 / 1.00"]
    assert branch["closure flag"] == ["2.00 / 2.00", "2.00 / 2.00", "1.00 / 3.00"]
    assert branch["check deleted"] == ["0", "0", "="] and branch["global flag"] == ["1.00", "1.00", "1.00 / 1.00"]
    assert list(branch)[1:3] == ["static branch", "check deleted"]  # ours, then the lower bound


def test_a_table_has_a_column_for_each_way_of_calling():
    values = {"snapshot on, called by map": 5.0, "flag at entry off, called by Python": 1.0}
    snapshot = table(report(all_rows(**values)), "What does a function cost whose tests all use one snapshot?")
    assert snapshot[""] == [f"called by {caller}" for caller in ("Python", "map", "sorted")]
    assert snapshot["snapshot"] == ["2.00 / 1.00", "1.00 / 2.50", "1.00 / 1.00"]


def test_the_columns_of_a_table_are_aligned():
    lines = [line for line in report(all_rows()).splitlines() if line.startswith("|")]
    assert len(lines) > 50
    for above, below in pairwise(lines):
        if above.startswith("| -"):
            assert [len(cell) for cell in above.split("|")] == [len(cell) for cell in below.split("|")]


def test_a_bar_in_a_cell_does_not_end_it():
    assert list(markdown.table(["a", "b"], [["x|y", "1"]]))[2] == "| x\\|y |   1 |"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        *((1.5, "1.50 s"), (123.4, "123 s"), (0.9996, "1.00 s"), (0.0123, "12.3 ms"), (9.996e-6, "10.0 µs")),
        *((999.7e-9, "1.00 µs"), (99.96e-9, "100 ns"), (1.234e-9, "1.23 ns"), (1e-10, "0.10 ns")),
    ],
)
def test_a_duration_has_three_digits_and_the_unit_that_fits(seconds, shown):
    assert markdown.duration(seconds) == shown


# ---- missing rows, and rows without a name in questions.py ----


def test_a_report_of_one_script_has_its_tables_and_says_what_is_missing():
    text = report({name: 2.0 for name, script in NAMED.items() if script == "switch.py"})
    assert "### What does a call cost that a key may redirect?" in text and "test of a flag add?\n\n|" not in text
    absent = [line for line in text.splitlines() if line.startswith("- `")]
    assert len(absent) == len(questions.QUESTIONS) - 2  # gate.py also measures direct calls and partial
    assert "- `branch.py`: What does a test of a flag add?" in absent and "switch.py" not in "".join(absent)
    shown = table(text, "Targets")
    of_switches = {f"switch off / {other}" for other in ("wraps wrapper off", "wrapt off", "partial")}
    assert set(shown) == {*of_switches, "switch on / partial"}
    assert "Not measured: gate off / early return off; " in text


def test_any_row_may_be_missing():
    for missing in NAMED:
        values = all_rows()
        del values[missing]
        questions, others = lookup.measured(values, {name: {script} for name, script in NAMED.items()})
        assert not others and list(targets.target_table(values, (3, 14)))
        lines = list(tables.tables(questions))
        assert {line for line in lines if line.startswith("Not measured: ")} == {f"Not measured: {missing}."}
        assert overview.overview(questions)


def test_a_state_that_is_missing_is_a_question_mark():
    values = all_rows()
    del values["gate on"]
    gate = table(report(values), "What does a call cost that does nothing while its key is off?")
    assert gate["static_gate"][:2] == ["2.00 s / ?", "1.00 / ?"]


def test_a_table_without_its_reference_has_no_such_column():
    values = {"gate off": 1e-6, "gate on": 2e-6, "partial": 4e-6}
    gate = table(report(values, "gate.py"), "What does a call cost that does nothing while its key is off?")
    assert gate[""] == ["time", "/ partial"] and gate["static_gate"] == ["1.00 µs / 2.00 µs", "0.25 / 0.50"]


def test_unnamed_rows_are_found_by_their_script():
    assert "Other rows" not in report(all_rows())
    suite = made(all_rows())
    for benchmark in made({"a rival off": 1.0, "a rival on": 8.0, "another": 4.0}, "gate.py"):
        suite.add_benchmark(benchmark)
    for benchmark in made({"gate of something": 3e-9}, "other.py"):
        suite.add_benchmark(benchmark)
    text = "\n".join(reporting.report_lines(suite))
    gate = table(text, "What does a call cost that does nothing while its key is off?")
    assert gate["a rival"][:2] == ["1.00 s / 8.00 s", "0.50 / 4.00"] and gate["another"][:2] == [
        "4.00 s",
        "2.00 / 2.00",
    ]
    assert table(text, "Other rows") == {"": ["time"], "gate of something": ["3.00 ns"]}


def test_rows_without_values_are_left_out():
    suite = made({"gate off": 1.0})
    about = {**HERE, "name": "gate on", "jumplabel_script": "gate.py"}
    suite.add_benchmark(pyperf.Benchmark([pyperf.Run([], warmups=[(1, 0.1)], metadata=about, collect_metadata=False)]))
    assert "1.00 s / ?" in "\n".join(reporting.report_lines(suite))


# ---- targets ----


def results(values, version=(3, 11)):
    return {target.what: (value, result) for target, value, result in targets.target_rows(values, version)}


def test_targets_pass_up_to_their_limit_and_fail_beyond():
    values = {"gate off": 0.8504, "C built-in": 1.0, "early return off": 2.0, "switch off": 9.0, "partial": 10.0}
    values.update({"toggle, sites: 10000": 0.0009, "toggle, bytecode sites: 10000": 0.0011})
    values.update({"decorate, tests of a key": 400e-6, "decorate, no key named": 21e-6, "empty loop, hook": 9.0})
    found = results(values)
    assert found["gate off / C built-in"] == ("0.850", "FAIL") and found["switch off / partial"] == ("0.900", "pass")
    assert found["gate off / early return off"] == ("0.425", "pass")
    assert found["one of 10,000 native sites in a toggle"] == ("90.0 ns", "pass")
    assert found["one of 10,000 bytecode sites in a toggle"] == ("110 ns", "FAIL")
    assert found["decorating a function of 200 instructions"] == ("400 µs", "pass")
    assert found["decorating one that names no key"] == ("21.0 µs", "FAIL")
    assert found["empty loop under the hook / without the statement"] == ("9.00", "")  # it has no limit
    assert found["switch on / partial"] == ("", "not measured")


def test_newer_interpreters_have_stricter_targets():
    values = {"summing, hook": 1.05, "loop off, static branch": 0.15, "loop on, static branch": 0.15}
    for version, result in (((3, 11), "pass"), ((3, 13), "pass"), ((3, 14), "FAIL"), ((3, 15), "FAIL")):
        found = results(values, version)
        assert found["summing under the hook / without the statement"] == ("1.05", result)
        assert found["static branch off / global flag, loop of `done = None`"] == ("0.150", result)
        assert found["static branch on / global flag, loop of `done = None`"] == ("0.150", "pass")


def test_a_report_is_about_the_interpreter_that_was_measured():
    values = {"summing, hook": 1.05}
    assert table(report(values), "Targets")["summing under the hook / without the statement"][-1] == "pass"
    newer = report(values, python_version="3.14.0 (64-bit)", jumplabel_tag="3.14-jit")
    assert table(newer, "Targets")["summing under the hook / without the statement"][-1] == "FAIL"
    assert newer.startswith("## CPython 3.14.0, JIT on\n")


# ---- facts ----


def test_a_report_has_the_facts_of_each_command():
    suite = made({"gate off": 1.0}, jumplabel_settings="JUMPLABEL_SYNCS=3")
    later = {"jumplabel_command": "python -m jumplabel bench --only x", "date": "2026-01-03 00:00:00.1"}
    for benchmark in made({"switch off": 1.0}, load_avg_1min=7.25, jumplabel_settings="JUMPLABEL_SYNCS=3", **later):
        suite.add_benchmark(benchmark)
    earlier = {**HERE, "name": "gate off", "load_avg_1min": 2.0, "date": "2026-01-02 02:59:00.1"}
    suite.get_benchmark("gate off").add_run(pyperf.Run([1.0], metadata=earlier, collect_metadata=False))
    lines = "\n".join(reporting.report_lines(suite)).splitlines()
    assert lines[:2] == ["## CPython 3.11.2", ""]
    assert lines[2] == "- interpreter: CPython 3.11.2, PGO (--enable-optimizations)"
    assert "- machine: A CPU, 8 CPUs" in lines and "- kernel: Linux 6.18.44 x86_64" in lines
    assert "- jumplabel: 1.2" in lines and "- compared with: wrapt 2.5" in lines
    assert "- measured: `python -m jumplabel bench`, 2026-01-02 02:59 to 03:04, load average 0.5 to 2.0" in lines
    assert "- measured: `python -m jumplabel bench --only x`, 2026-01-03 00:00 to 00:00, load average 7.2" in lines


def test_facts_are_collected_of_this_process(monkeypatch):
    monkeypatch.setenv("JUMPLABEL_SYNCS", "2")
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    found = run_facts.collect(["bench", "--only", "a b"])
    assert found["jumplabel_tag"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert found["jumplabel_command"] == "python -m jumplabel bench --only 'a b'"
    assert {"JUMPLABEL_SYNCS=2", "PYTHONOPTIMIZE=1"} <= set(found["jumplabel_settings"].split())
    assert "somewhere" not in str(found)
    assert f"wrapt {run_facts.metadata.version('wrapt')}" in found["jumplabel_compared"].split(", ")
    assert "matplotlib" not in found["jumplabel_compared"] and "pytest" not in found["jumplabel_compared"]
    assert jumplabel.info().sync_method in found["jumplabel_sites"] or not jumplabel.info().native
    pyperf.Run([1.0], metadata=found, collect_metadata=False)  # raises if pyperf refuses them


def test_a_suite_of_another_program_has_the_facts_that_it_knows():
    runs = [pyperf.Run([1.0], metadata={"name": "gate off"}, collect_metadata=False)]
    text = "\n".join(reporting.report_lines(pyperf.BenchmarkSuite([pyperf.Benchmark(runs)])))
    assert text.startswith("## CPython of an unknown version\n") and "- measured: `scripts by themselves`" in text
