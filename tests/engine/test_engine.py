"""The engine in C programs without Python: the protocol under fire, and every interleaving that it must survive."""

import re
import subprocess

import pytest
from c_programs import cases, options, run_case

PROGRAMS = [
    *("asked_again", "blocked", "bytecode", "calls", "calls_under_fire", "chained", "holding", "interleavings"),
    *("native_branches", "synchronization", "words"),
]


@pytest.fixture(scope="module")
def programs(build_c):
    return {name: build_c(name, *options(name)) for name in PROGRAMS}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_case_is_run(programs, program):
    listed = subprocess.run([programs[program]], capture_output=True, text=True, check=True).stdout.split()
    assert listed == cases(program)


@pytest.mark.parametrize(("program", "case"), [(program, case) for program in PROGRAMS for case in cases(program)])
def test_case(programs, program, case):
    run_case(programs[program], case)


@pytest.fixture(scope="module")
def stress(build_c):
    return build_c("stress")


@pytest.mark.stress
@pytest.mark.parametrize(
    ("sites", "method", "syncs", "way"),
    [
        (1, "membarrier", 2, "int3"),
        (64, "membarrier", 2, "int3"),
        (1, "membarrier", 3, "int3"),
        (1, "signal", 2, "int3"),
        (1, "membarrier", 2, "auto"),
        (64, "membarrier", 2, "word"),
        (1, "signal", 2, "word"),
    ],
)
def test_under_fire(stress, stress_seconds, sites, method, syncs, way):
    """Two threads call, a third toggles, all without pause: no call returns what it may not (csrc/testing/oracle.h)."""
    command = [stress, str(stress_seconds), str(sites), method, str(syncs), way]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    counts = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", done.stdout)}
    assert counts["wrong"] == counts["chained"] == 0
    assert counts["strict"] >= sites * 2  # each thread calls each site when the last toggle has returned
    assert counts["batches"] == counts["toggles"] > 0
    if way == "int3":
        assert counts["current"] > 0  # the sites really were met while they were armed
        assert counts["word_batches"] == 0
    elif way == "word":
        assert counts["current"] == 0
        assert counts["word_batches"] == counts["batches"]
    assert counts["sites_patched"] == sites * counts["toggles"]
    # One for each new trampoline, none a site. (In auto, a thread that is just being made blocks all signals.)
    assert counts["sync_calls"] - sites == syncs * counts["batches"] - (syncs - 2) * counts["word_batches"]
