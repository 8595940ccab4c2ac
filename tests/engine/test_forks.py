"""Forks by any thread at any time: parent and child have code of their own, and toggle apart.

Each case in a process of its own (processes.py).
"""

import re
import subprocess
from pathlib import Path

import pytest
from processes import METHODS, SITES, run

# ---- every kind of site ----


LIVE = """
    def live():
        '''As a child, which a fork by any thread at any time has made.'''
        now = info()
        assert (now.batches, now.sites_patched, now.sync_calls) == (0, 0, 0)
        assert (now.int3_current, now.int3_previous, now.int3_stale, now.int3_chained) == (0, 0, 0, 0)
        whole(key.enabled)
        for _ in range(3):
            turn()
        assert info().batches == 3
"""


@pytest.mark.parametrize("method", METHODS)
def test_several_threads_fork_while_another_toggles(method):
    run(
        SITES,
        LIVE,
        """
        def fork_again_and_again():
            for _ in range(10):
                children.append(ended(fork(live)))

        children = []
        with OtherThread(toggle):
            threads = [threading.Thread(target=fork_again_and_again) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert children == [0] * 30
        whole(False)
        """,
        JUMPLABEL_SYNC=method,
    )


@pytest.mark.stress
@pytest.mark.parametrize("method", METHODS)
def test_threads_without_the_gil_fork_while_another_toggles(build_c, stress_seconds, method):
    """Their children call trampolines, and see one state only: that of the fork. (tests/c/callers.c)"""
    library = build_c("callers", "-shared", "-fPIC", engine=())
    run(
        f"""
        from callers import hammer

        callers = hammer({str(library)!r}, {min(stress_seconds, 3)}, 4, "callers_start_forking")
        assert callers.wrong == 0 < callers.children and callers.done == info().batches
        """,
        JUMPLABEL_SYNC=method,
    )


@pytest.mark.parametrize("start", ["fork", "forkserver", "spawn"])
def test_multiprocessing(start):
    """The key that a worker is given is its own of that name."""
    run(
        SITES,
        f"""
        import multiprocessing

        def begin(given):
            assert given is key
            assert (info().batches, info().int3_current) == (0, 0)
            turn()

        def work(given, number):
            assert given is key
            for _ in range(20):
                turn()
            return number

        if __name__ == "__main__":
            key.enable()
            gate_of_other = static_gate(other)(lambda: None)
            context = multiprocessing.get_context({start!r})
            with OtherThread(lambda: (other.enable(), other.disable())):
                process = context.Process(target=begin, args=(key,))
                process.start()
                process.join()
                assert process.exitcode == 0
                with context.Pool(3) as pool:
                    assert pool.starmap(work, [(key, number) for number in range(20)], 1) == list(range(20))
            whole(True)
        """,
    )


@pytest.mark.parametrize("method", METHODS)
def test_programs_are_started_while_another_thread_toggles(method):
    """They are started by vfork, by posix_spawn, and by a fork with Python code in the child."""
    run(
        SITES,
        LIVE,
        """
        import subprocess

        with OtherThread(toggle):
            for _ in range(20):
                subprocess.run(["true"], check=True)
                subprocess.run(["true"], check=True, close_fds=False)
                subprocess.run(["true"], check=True, preexec_fn=live)
                assert ended(os.posix_spawnp("true", ["true"], os.environ)) == 0
                assert os.system("true") == 0
        whole(False)
        assert info().int3_chained == 0
        """,
        JUMPLABEL_SYNC=method,
    )


def test_a_child_keeps_the_override_of_another_thread():
    run(
        SITES,
        LIVE,
        """
        held, end = threading.Event(), threading.Event()

        def hold():
            with key.override(True):
                held.set()
                end.wait()

        def child():
            key.inc()
            key.dec()
            whole(True)
            with key.override(False):
                whole(False)
            whole(True)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        forked(child)
        whole(True)
        end.set()
        thread.join()
        whole(False)
        forked(live)
        """,
    )


def test_parent_and_child_end_their_override_apart():
    run(
        SITES,
        """
        with key.override(True):
            pid = os.fork()
            if pid:
                assert ended(pid) == 0
            whole(True)
        whole(False)
        if not pid:
            os._exit(0)
        """,
    )


def test_parent_and_child_end_their_batch_apart():
    run(
        SITES,
        """
        with batch():
            key.enable()
            pid = os.fork()
            if pid:
                assert ended(pid) == 0
            whole(False)
        whole(True)
        if not pid:
            os._exit(0)
        assert info().batches == 1
        """,
    )


def test_a_process_made_in_a_batch_is_not_in_it():
    """It never comes to the end of the block."""
    run(
        SITES,
        LIVE,
        """
        with batch():
            key.enable()
            forked(live)
            whole(False)
        whole(True)
        """,
    )


@pytest.mark.stress
def test_a_server_with_eight_workers(stress_seconds):
    """Each toggles, calls and checks; they come and go, and the parent toggles too."""
    run(
        SITES,
        LIVE,
        """
        import time

        WORKERS, SECONDS = 8, float(os.environ["SECONDS"])
        LIFE = SECONDS / 3

        def call_without_pause():
            assert {gate(), switch(), branch()} <= {"on", "off"}

        def work():
            live()
            end = time.monotonic() + LIFE
            with OtherThread(call_without_pause):
                while time.monotonic() < end:
                    turn()
                    with batch():
                        key.inc()
                        other.inc()
                    whole(True)
                    with batch():
                        other.dec()
                        key.dec()
                    with key.override(True):
                        whole(True)
            assert info().batches > 3 and info().int3_chained == 0

        gate_of_other = static_gate(other)(lambda: None)
        workers, made = set(), 0
        end = time.monotonic() + SECONDS
        while workers or time.monotonic() < end or made < 2 * WORKERS:
            while len(workers) < WORKERS and (time.monotonic() < end or made < 2 * WORKERS):
                workers.add(fork(work))
                made += 1
                turn()
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid:
                assert status == 0
                workers.remove(pid)
            turn()
            time.sleep(0.001)
        """,
        SECONDS=str(2 * stress_seconds),
    )


# ---- in the middle of a patch ----


C = Path(__file__).parent.parent / "c"


@pytest.fixture(scope="module")
def forks(build_c):
    return build_c("forks", "-include", C / "hooks.h")


@pytest.mark.parametrize("case", re.findall(r"^ +TEST\((\w+)\),$", (C / "forks.c").read_text(), re.MULTILINE))
def test_interleaving(forks, case):
    done = subprocess.run([forks, case], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
