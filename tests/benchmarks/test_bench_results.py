"""``python -m jumplabel bench`` stores, draws, compares and refuses results. The figures are invented."""

import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from jumplabel.benchmarks.harness import (
    bench,
    drawing,
    measuring,
    reporting,
    run_facts,
)
from jumplabel.benchmarks.harness.overview import OVERVIEW, overview
from jumplabel.benchmarks.harness.row_names import OTHER_LOGGERS

from jumplabel.__main__ import main

if not all(map(find_spec, (*bench.EXTRA, bench.CHARTS))):
    pytest.skip("needs jumplabel[bench]", allow_module_level=True)
import pyperf
from measurements import HERE, NAMED, all_rows, made, report


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Return a function that runs ``python -m jumplabel bench`` in an empty folder: status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["jumplabel", "bench", *arguments])
        try:
            status = main()
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def fake_charts(monkeypatch):
    """Write charts as text files of their arguments, because drawing takes long."""

    def draw(path_stem, *what, **more):
        for ending in ("svg", "png"):
            path_stem.with_name(f"{path_stem.name}.{ending}").write_text(f"{what} {more}")

    monkeypatch.setattr(drawing, "bars", draw)
    monkeypatch.setattr(drawing, "curve", draw)


@pytest.fixture
def fake_rows(monkeypatch):
    """Give rows these values instead of measuring. Collects the plans."""
    asked = SimpleNamespace(values=all_rows(), plans=[], facts={})

    def measure(pyperf, folder, plan, stream):
        asked.plans.append(plan)
        rows = {name: value for name, value in asked.values.items() if NAMED[name] in plan.scripts or not plan.scripts}
        return made(rows, **asked.facts)

    monkeypatch.setattr(measuring, "measure", measure)
    monkeypatch.setattr(run_facts, "here", lambda pyperf: {name: str(value) for name, value in HERE.items()})
    collected = {name: str(value) for name, value in HERE.items() if name.startswith("jumplabel_")}
    monkeypatch.setattr(run_facts, "collect", lambda command: {**collected, "jumplabel_command": " ".join(command)})
    return asked


# ---- a folder of results ----


def charts_shown(page):
    return [line.partition("](")[2].rstrip(")") for line in page.splitlines() if line.startswith("![")]


def test_one_page_shows_all_interpreters_that_were_measured(command, fake_rows, fake_charts, tmp_path):
    status, output, _ = command("--results", ".")
    assert status == 0 and output.startswith("## CPython 3.11.2\n")
    newer = {"python_version": "3.14.0 (64-bit)", "jumplabel_tag": "3.14"}
    made(all_rows(**{"gate off": 1.0}), **newer).dump("elsewhere.json")
    status, output, error = command("--report", "elsewhere.json", "--results", ".")
    assert status == 0 and output.startswith("## CPython 3.14.0\n") and "RESULTS.md" in error
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        *("RESULTS.md", "charts", "elsewhere.json", "results-3.11.json", "results-3.14.json")
    ]
    page = (tmp_path / "RESULTS.md").read_text()
    assert page.index("## CPython 3.11.2") < page.index("## CPython 3.14.0") and output.splitlines()[-1] in page
    both = next(line for line in page.splitlines() if line.startswith("| gate off / C built-in "))
    assert [cell.strip() for cell in both.split("|")[2:4]] == ["1.00 of 0.85: FAIL", "0.500 of 0.85: pass"]
    shown = charts_shown(page)
    assert "charts/off-3.11.svg" in shown and "charts/gate-3.14.svg" in shown and len(shown) == len(set(shown)) > 20
    for name in shown:
        assert (tmp_path / name).is_file() and (tmp_path / name).with_suffix(".png").is_file()
    assert len(list((tmp_path / "charts").iterdir())) == 2 * len(shown)


def test_results_replace_those_of_the_same_scripts_and_no_others(command, fake_rows, fake_charts, tmp_path):
    command("--results", ".", "--quiet")
    rows = all_rows(**{"gate off": 0.5, "switch off": 0.25})
    del rows["gate on"]
    fake_rows.values = rows
    status, output, _ = command("--results", ".", "--only", "gate", "--quiet")
    assert status == 0 and "switch" not in output.partition("Not measured at all")[0]
    kept = pyperf.BenchmarkSuite.load("results-3.11.json")
    medians = {row.get_name(): row.median() for row in kept}
    assert medians["gate off"] == 0.5 and medians["switch off"] == 2.0
    assert set(medians) == {name for name in NAMED if NAMED[name] in bench.SCRIPTS} - {
        "gate on"
    }  # a row that the script does not have any more
    page = (tmp_path / "RESULTS.md").read_text()
    assert "- measured: `bench --results . --quiet`" in page and "--only gate" in page


def test_a_row_that_two_scripts_measure_is_replaced_by_either(command, fake_rows, fake_charts):
    made({"partial": 1.0, "switch off": 1.0}, "switch.py").dump("first.json")
    made({"partial": 2.0, "gate off": 2.0}, "gate.py").dump("second.json")
    assert command("--report", "first.json", "--results", ".")[0] == 0
    assert command("--report", "second.json", "--results", ".")[0] == 0
    medians = {row.get_name(): row.median() for row in pyperf.BenchmarkSuite.load("results-3.11.json")}
    assert medians == {"switch off": 1.0, "partial": 2.0, "gate off": 2.0}


def test_results_of_another_machine_are_not_mixed_with_these(command, fake_rows, tmp_path):
    made({"gate off": 1.0}, hostname="elsewhere").dump("results-3.11.json")
    before = (tmp_path / "results-3.11.json").read_bytes()
    status, _, error = command("--results", ".")
    assert status == 2 and "its hostname is elsewhere, here it is here" in error and not fake_rows.plans
    made({"gate off": 1.0}).dump("mine.json")
    assert command("--report", "mine.json", "--results", ".")[0] == 2
    assert (tmp_path / "results-3.11.json").read_bytes() == before and not (tmp_path / "RESULTS.md").exists()
    assert command("--append", "results-3.11.json")[0] == 2 and not fake_rows.plans


def test_few_rows_make_a_page(command, fake_rows, fake_charts, tmp_path):
    fake_rows.values = {"gate off": 1.0}
    status, _, _ = command("--results", ".")
    assert status == 0 and charts_shown((tmp_path / "RESULTS.md").read_text()) == []
    fake_rows.values = {"gate off": 1.0, "early return off": 2.0, "summing, hook": 1.0, "two bare syncs": 1e-6}
    assert command("--results", ".")[0] == 0
    names = [f"charts/{name}-3.11.svg" for name in ("off", "gate", "log", "toggle")]
    assert charts_shown((tmp_path / "RESULTS.md").read_text()) == names


# ---- earlier measurements ----


def test_a_stored_measurement_is_reported_and_compared_without_measuring(command, fake_rows, tmp_path):
    made(all_rows()).dump("old.json")
    made(all_rows(**{"gate off": 4.0})).dump("new.json")
    status, output, _ = command("--report", "new.json")
    assert status == 0 and output == report(all_rows(**{"gate off": 4.0})) + "\n"
    done = subprocess.run(
        [sys.executable, "-m", "jumplabel", "bench", "--report", "new.json", "--compare", "old.json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(output) and not fake_rows.plans
    compared = done.stdout.removeprefix(output)
    assert "### Compared" in compared and "| old " in compared and "2.00x slower" in compared


def test_a_measurement_is_compared_with_what_it_replaces(command, fake_rows, fake_charts, monkeypatch):
    ran = []

    def compare_to(command):
        ran.append([pyperf.BenchmarkSuite.load(file).get_benchmark("gate off").median() for file in command[-2:]])
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(bench.subprocess, "run", compare_to)
    command("--results", ".")
    fake_rows.values = all_rows(**{"gate off": 0.5})
    assert command("--results", ".", "--compare", "results-3.11.json")[0] == 0
    assert ran == [[2.0, 0.5]]


@pytest.mark.parametrize("option", ["--report", "--compare", "--append"])
@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "not JSON of pyperf's"), ("[]", "not JSON of pyperf's"), ('{"version": "1.0"}', "not JSON of")],
)
def test_a_file_that_is_not_pyperfs_is_refused_before_anything_is_measured(
    command, fake_rows, tmp_path, option, text, says
):
    (tmp_path / "old.json").write_text(text)
    status, _, error = command(option, "old.json")
    assert status == 2 and f"old.json is {says}" in error and error.count("\n") == 1 and not fake_rows.plans


@pytest.mark.parametrize("option", ["--report", "--compare"])
@pytest.mark.parametrize("file", ["none.json", "."])
def test_a_file_that_cannot_be_read_is_refused_before_anything_is_measured(command, fake_rows, option, file):
    status, _, error = command(option, file)
    assert status == 2 and f"{file} cannot be read: " in error and not fake_rows.plans


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--results", "none"], "none is no folder"),
        (["--results", "results-3.11.json"], "is no folder"),
        (["--only", "gat"], "there is no script gat.py; there are gate.py, "),
        (["--report", "results-3.11.json", "--fast", "--min-time=1"], "leave out --fast --min-time=1"),
        (["--report", "results-3.11.json", "--only", "gate"], "leave out --only"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_measured(command, fake_rows, arguments, says):
    made({"gate off": 1.0}).dump("results-3.11.json")
    status, _, error = command(*arguments)
    assert status == 2 and says in error and error.count("\n") == 1 and not fake_rows.plans


def test_broken_results_in_the_folder_are_named_before_anything_is_measured(command, fake_rows, tmp_path):
    (tmp_path / "results-3.9.json").write_text("")
    assert "results-3.9.json is not JSON" in command("--results", ".")[2]
    (tmp_path / "results-3.9.json").unlink()
    (tmp_path / "charts").write_text("")
    assert "charts is to be a folder" in command("--results", ".")[2]
    assert not fake_rows.plans


def test_a_script_that_fails_ends_the_measurement_with_its_output(command, monkeypatch, tmp_path):
    (tmp_path / "gate.py").write_text("print('what it said'); raise SystemExit(3)")
    monkeypatch.setattr(bench, "scripts_folder", lambda: tmp_path)
    status, output, error = command("--only", "gate.py", "--output", "new.json")
    assert status == 2 and "what it said" in error and error.endswith("jumplabel: gate.py failed with status 3\n")
    assert output == "" and not (tmp_path / "new.json").exists()


def test_options_choose_scripts_and_rounds(command, fake_rows, monkeypatch, tmp_path):
    fake_rows.values = {"gate off": 1.0, "switch off": 1.0}
    for name in ("gate.py", "curve_sites.py"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(bench, "scripts_folder", lambda: tmp_path)
    every = list(bench.SCRIPTS)
    for arguments, scripts, curves, rounds, options, curve_options in (
        ([], every, [], 15, [], []),
        (["--curves", "-p", "3"], every, ["curve_sites.py"], 3, [], []),
        (
            ["--only", "switch", "--only", "gate.py", "--fast"],
            ["switch.py", "gate.py"],
            [],
            5,
            ["--values=2"],
            ["--fast"],
        ),
        (["--only", "curve_sites", "--rigorous", "--min-time=1"], [], ["curve_sites.py"], 30, ["--min-time=1"], []),
    ):
        assert command(*arguments)[0] == 0
        assert fake_rows.plans[-1] == measuring.Plan(scripts, rounds, options, curves, curve_options)


def test_an_interrupted_measurement_leaves_nothing(command, monkeypatch, tmp_path):
    def interrupted(*plan):
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "measure", interrupted)
    assert command("--output", "new.json", "--results", ".") == (130, "", "") and not list(tmp_path.iterdir())


# ---- curves ----


def test_curves_have_their_table_and_their_charts(command, tmp_path):
    suite = made({"gate off": 1.0, "early return off": 1.0})
    times = {0: 1e-6, 1: 1e-6, 1000: 40e-6, 100_000: 4e-3}
    rows = {f"toggle, native sites: {n}, {syncs} syncs": seconds for n, seconds in times.items() for syncs in (2, 3)}
    for benchmark in made(rows, "curve_sites.py"):
        suite.add_benchmark(benchmark)
    suite.dump("new.json")
    status, output, _ = command("--report", "new.json", "--results", ".")
    assert status == 0 and "### Curves\n\n| " in output and "Other rows" not in output
    assert "1,000 to 100,000" in output and "### What does a call cost that does nothing" in output
    page = (tmp_path / "RESULTS.md").read_text()
    shown = charts_shown(page)[-1]
    assert shown == "charts/curve-time-of-a-toggle-by-sites-3.11.svg"
    svg = (tmp_path / shown).read_text()
    for text in ("Time of a toggle, by sites", "native, 2 syncs", "native, 3 syncs", "1,000", "100,000", "100 µs"):
        assert f">{text}</text>" in svg, text
    assert ">0</text>" not in svg  # a logarithmic axis has no 0


# ---- charts ----


def test_charts_have_their_words_as_text_and_are_the_same_each_time(command, fake_rows, tmp_path):
    values = {"gate off": 0.5, "gate on": 4.0, "early return off": 2.0, "early return on": 2.0, "C built-in": 1.0}
    fake_rows.values = {**values, "summing, hook": 1.0, "summing, isEnabledFor guard": 2.0}
    command("--results", ".", "--quiet")
    first = {file.name: file.read_bytes() for file in (tmp_path / "charts").iterdir()}
    assert set(first) == {f"{name}-3.11.{ending}" for name in ("off", "gate", "log") for ending in ("svg", "png")}
    svg = first["off-3.11.svg"].decode()
    for text in (
        *("What code costs while it is switched off", "CPython 3.11.2 · A CPU · Linux 6.18.44 x86_64"),
        *("a call that does nothing:  trace(event)", "static_gate", "function that returns early  (= 1)"),
        *(
            "0.25 / 2.00",
            "behind isEnabledFor  (= 1)",
            "jumplabel&apos;s import hook",
            "off / on",
            "the least there is",
        ),
    ):
        assert f">{text}</text>" in svg.replace("'", "&apos;"), text
    assert ">early return  (= 1)</text>" not in svg and "Date" not in svg
    assert all(data.startswith(b"\x89PNG") for name, data in first.items() if name.endswith("png"))
    command("--results", ".", "--quiet")
    assert first == {file.name: file.read_bytes() for file in (tmp_path / "charts").iterdir()}


def test_the_overview_shows_the_usual_code_as_one():
    values = all_rows(**{"summing, hook": 1.1, "summing, isEnabledFor guard": 3.0, "summing, plain logging": 5.0})
    values.update({"function on, OpenFeature in memory": 6.0, "function on, static branch": 3.0})
    values.update({"gate off": 1.0, "blinker, none registered": 8.0, "blinker, one registered": 4.0})
    groups = {
        group.title.partition(":")[0]: rows for group, rows, _ in overview(reporting.results_of(made(values)).questions)
    }
    assert len(groups) == len(OVERVIEW) - 1  # not spans, whose usual code takes as long as the lower bound here
    log = groups["a log statement"]
    assert log == {
        "import hook": {"off": pytest.approx(0.05)},
        "isEnabledFor guard": {"off": 1.0},
        "plain logging": {"off": 2.0},
        "deleted": {"off": 0.0},
        **{name: {"off": 0.5} for name in (*OTHER_LOGGERS, "structlog, hook", "loguru, hook")},
    }
    call = groups["a call that does nothing"]
    assert call["static_gate"] == {"off": 0.5, "on": 1.0} and call["C built-in"] == {"off": 1.0}
    assert groups["an event that others may watch"]["blinker"] == {"off": 4.0, "on": 2.0}
    assert groups["a test"]["check deleted"] == {"off": 0.0}
    assert groups["a feature flag"]["static branch"] == {"on": 0.25} and "local flag" not in groups["a feature flag"]


def test_matplotlib_is_imported_for_charts_only(tmp_path):
    made(all_rows()).dump(str(tmp_path / "new.json"))
    program = """if True:
        import sys
        sys.argv[1:] = ["bench", "--report", "new.json"]
        from jumplabel.__main__ import main
        main()
        assert "matplotlib" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
