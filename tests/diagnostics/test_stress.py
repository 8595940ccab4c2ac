"""``python -m jumplabel stress``: its report, and the faults that it must find."""

import re
import signal
import subprocess
import sys
import time

import pytest

COMMAND = [sys.executable, "-m", "jumplabel", "stress", "--seconds"]
SOME = [
    "calls from Python",
    "callables made",
    "faults injected",
    "forks",
    "signals handled",
    "threads started",
    "toggles",
]


def counts(output):
    return {name: int(n.replace(",", "")) for name, n in re.findall(r"^ *(\S.*?)  +([\d,]+)$", output, re.MULTILINE)}


def run(tmp_path, monkeypatch, seconds, **settings):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    done = subprocess.run([*COMMAND, str(seconds)], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert re.search("^errors  +none ", done.stdout, re.MULTILINE), done.stdout
    return counts(done.stdout)


@pytest.mark.stress
def test_stress(tmp_path, monkeypatch, stress_seconds):
    found = run(tmp_path, monkeypatch, max(3, stress_seconds))
    assert set(SOME) <= found.keys()
    assert found["calls from C"] > 0
    assert 0 < found["of which without int3"] < found["batches of native sites"] < found["native sites patched"]
    assert found["traps: current"] > 0
    assert found["traps: not ours"] > 0 and found["traps handed on"] > 0


@pytest.mark.parametrize(
    "settings",
    [
        {"JUMPLABEL_SYNC": "signal"},
        {"JUMPLABEL_POKE": "word"},
        {"JUMPLABEL_SYNCS": "3", "JUMPLABEL_POKE": "int3"},
    ],
)
def test_stress_with_other_settings(tmp_path, monkeypatch, settings):
    found = run(tmp_path, monkeypatch, 1, **settings)
    assert found["toggles"] and found["calls from Python"] and found["forks"]
    words = found["of which without int3"]
    if "JUMPLABEL_POKE" in settings:
        assert words == (found["batches of native sites"] if settings["JUMPLABEL_POKE"] == "word" else 0)


def test_stress_finds_a_site_that_does_not_follow(tmp_path):
    """Some toggles reach no site, so the command must fail."""
    (tmp_path / "lame.py").write_text(
        "import runpy, sys\n"
        "from jumplabel import StaticKey\n"
        "enable, n = StaticKey.enable, 0\n"
        "def lame(key):\n"
        "    global n\n"
        "    n += 1\n"
        "    n % 50 and enable(key)\n"
        "StaticKey.enable = lame\n"
        "sys.argv = ['jumplabel', 'stress', '--seconds', '60']\n"
        "runpy.run_module('jumplabel', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "lame.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    assert re.search("^errors  +[1-9]", done.stdout, re.MULTILINE), done.stdout
    assert "WrongError" in done.stdout


def test_stress_ends_at_once_on_ctrl_c(tmp_path):
    command = ["env", "--default-signal=INT", *COMMAND, "60"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as stress:
        for _ in range(3):
            stress.stdout.readline()
        time.sleep(0.5)
        interrupted = time.monotonic()
        stress.send_signal(signal.SIGINT)
        _, error = stress.communicate(timeout=60)
    assert time.monotonic() - interrupted < 30
    assert (stress.returncode, error) == (130, "")
