"""Invented measurements in the form of ``python -m jumplabel bench``, and parts of its report."""

import io

import pyperf
from jumplabel.benchmarks.harness import lookup, questions, reporting

HERE = {
    "python_version": "3.11.2 (64-bit)",
    "python_config_args": "'--enable-optimizations'",
    "cpu_model_name": "A CPU",
    "cpu_count": 8,
    "platform": "Linux-6.18.44-x86_64-with-glibc2.36",
    "hostname": "here",
    "date": "2026-01-02 03:04:05.678",
    "load_avg_1min": 0.5,
    "jumplabel_tag": "3.11",
    "jumplabel_version": "1.2",
    "jumplabel_compared": "wrapt 2.5",
    "jumplabel_command": "python -m jumplabel bench",
}
NAMED = {
    name: question.script
    for question in questions.QUESTIONS
    for column in question.columns
    for row in column.rows.values()
    for name in lookup.names_of(row).values()
}


def made(values, script=None, **facts):
    """Return a suite with these medians. A row's script is that of questions.py, or the given one."""
    rows = []
    for name, value in values.items():
        about = {**HERE, "name": name, "jumplabel_script": script or NAMED[name], **facts}
        runs = [pyperf.Run([value * x for x in (1, 0.9, 1.1)], metadata=about, collect_metadata=False)] * 2
        rows.append(pyperf.Benchmark(runs))
    return pyperf.BenchmarkSuite(rows)


def all_rows(**values):
    return {**dict.fromkeys(NAMED, 2.0), **values}


def report(values, script=None, **facts):
    return "\n".join(reporting.report_lines(made(values, script, **facts)))


def table(text, title):
    """Return the rows of the table under a heading, by their first cell."""
    lines = text.partition(f"### {title}")[2].partition("###")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: row[1:] for row in cells if set(row[0]) != {"-"} and row[0] != "target"}


class Terminal(io.StringIO):
    def isatty(self):
        return True
