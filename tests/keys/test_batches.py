"""The cost of a batch: two synchronizations whatever its size, counted from outside."""

import shutil
import subprocess
import sys

import pytest

import jumplabel
from jumplabel import StaticKey, static_gate

PROGRAM = """
import sys
from jumplabel import StaticKey, batch, static_gate

n_keys, n_sites, n_toggles = map(int, sys.argv[1:])
keys = [StaticKey(f"batches.{i}") for i in range(n_keys)]
gates = [static_gate(key)(abs) for key in keys for _ in range(n_sites)]
for _ in range(n_toggles):
    with batch():
        for key in keys:
            key.disable() if key else key.enable()
assert {gate(-1) for gate in gates} == {1 if n_toggles % 2 else None}
"""


def membarrier_calls(tmp_path, n_keys, n_sites, n_toggles):
    trace = tmp_path / "trace"
    numbers = map(str, (n_keys, n_sites, n_toggles))
    strace = ["strace", "-f", "-e", "trace=membarrier", "-o", trace]
    subprocess.run([*strace, sys.executable, "-c", PROGRAM, *numbers], check=True)
    return trace.read_text().count("membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE")


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize(("n_keys", "n_sites"), [(1, 1), (1, 10_000), (100, 10)])
def test_membarrier_calls_a_batch(tmp_path, n_keys, n_sites):
    calls = [membarrier_calls(tmp_path, n_keys, n_sites, n_toggles) for n_toggles in (0, 7)]
    assert calls[1] - calls[0] == 2 * 7


@pytest.mark.parametrize("n_sites", [1, 10_000])
def test_sync_calls_a_toggle(n_sites):
    """The same by our own count, where strace is not at hand."""
    key = StaticKey("batches.counted")
    gates = [static_gate(key)(abs) for _ in range(n_sites)]
    before = jumplabel.info()
    key.enable()
    key.enable()
    after = jumplabel.info()
    assert {gate(-1) for gate in gates} == {1}
    assert after.sync_calls - before.sync_calls == before.syncs_per_batch
    assert after.sites_patched - before.sites_patched == n_sites
    assert after.batches - before.batches == 1


def test_a_block_within_the_opening_of_a_block_leaves_that_open(key, other_key, monkeypatch):
    """A signal handler may come in between, and open one of its own."""
    batches = sys.modules["jumplabel._keys.batches"]
    running, handled = batches._running, []

    def interrupted():
        if not handled:
            handled.append(True)
            with jumplabel.batch():
                key.inc()
                key.dec()
        return running()

    monkeypatch.setattr(batches, "_running", interrupted)
    with jumplabel.batch():
        other_key.enable()
        assert not other_key.enabled
    assert handled and other_key.enabled
