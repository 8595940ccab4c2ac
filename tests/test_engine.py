"""The engine in C programs without Python: the protocol under fire, and every interleaving that it must survive."""

import re
import subprocess

import pytest
from c_programs import cases, options, run_case


@pytest.fixture(scope="module")
def programs(build_c):
    return {name: build_c(name, *options(name)) for name in ("interleavings", "bytecode", "synchronization")}


@pytest.mark.parametrize("program", ["bytecode", "interleavings", "synchronization"])
def test_every_case_is_run(programs, program):
    listed = subprocess.run([programs[program]], capture_output=True, text=True, check=True).stdout.split()
    assert listed == cases(program)


@pytest.mark.parametrize("case", cases("interleavings"))
def test_interleaving(programs, case):
    run_case(programs["interleavings"], case)


@pytest.mark.parametrize("case", cases("bytecode"))
def test_bytecode(programs, case):
    run_case(programs["bytecode"], case)


@pytest.mark.parametrize("case", cases("synchronization"))
def test_synchronization(programs, case):
    run_case(programs["synchronization"], case)


@pytest.fixture(scope="module")
def stress(build_c):
    return build_c("stress")


@pytest.mark.parametrize(
    ("sites", "method", "syncs"), [(1, "membarrier", 2), (64, "membarrier", 2), (1, "membarrier", 3), (1, "signal", 2)]
)
def test_under_fire(stress, stress_seconds, sites, method, syncs):
    """Two threads call, a third toggles, all without pause: no call returns what it may not (tests/c/oracle.h)."""
    command = [stress, str(stress_seconds), str(sites), method, str(syncs)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    counts = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", done.stdout)}
    assert counts["wrong"] == counts["chained"] == 0
    assert counts["current"] > 100 * stress_seconds  # the sites really were met while they were armed
    assert counts["batches"] == counts["toggles"] > 0
    assert counts["sites_patched"] == sites * counts["toggles"]
    assert counts["sync_calls"] - sites == syncs * counts["toggles"]  # one for each new trampoline, none a site
