"""Everything that is hard on a patcher, together in this process. Run it before you trust a machine with patching.

Each storm is a function that works without pause until the stop, checks its results, and counts. Python runs signal
handlers in the main thread, so signals and forks come from there. An oracle (csrc/testing/oracle.h) knows the allowed
results of a call while threads toggle: the state of the last toggle, or either state where a toggle overlaps the call.
"""

import faulthandler
import gc
import os
import platform
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from jumplabel._diagnostics.checked_sites import Sites, WrongError, expect
from jumplabel._diagnostics.faults import FAULTS, Fault
from jumplabel._diagnostics.process_info import info, start
from jumplabel._diagnostics.storms import ENGINE, lib
from jumplabel._keys.batches import batch
from jumplabel._keys.static_key import StaticKey
from jumplabel.errors import JumpLabelError

TIMER = 0.0005  # seconds between two signals
FORK_EVERY = 0.02
BLOCKING_FOR = 10  # forks during which threads block signals, then as many during which they do not
CHILD_MAY_TAKE = 60  # seconds
FAULT_NOT_POSSIBLE = 77  # exit status of a child whose fault this machine cannot make
C_SITES = (1, 64)
C_THREADS = 2
C_ROUND = 0.25
SWITCH_INTERVAL = 0.0005  # by default a toggling thread waits 5 ms for the GIL after each patch


class Stress:
    """The state that the storms share: the stop, the counts, the errors."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self.handling = False
        self.interrupted = False
        self.blocking = False  # some threads block all signals for now
        self.sites = Sites("jumplabel.stress")
        self.in_signals = Sites("jumplabel.stress.signals")
        self.storms: list[Callable[[Counter[str]], None]] = [
            self.call,
            self.call,
            self.toggle,
            self.hold_and_batch,
            self.make_and_drop,
            self.start_threads,
        ]
        now = info()
        if now.native:
            self.storms.append(self.call_from_c)
        # Synchronization by signals, and poking by int3 only, need threads that never block signals.
        self.may_block = now.sync_method != "signal" and now.poke != "int3"

    # ---- the storms ----

    def call(self, counts: Counter[str]) -> None:
        while not self.stop.is_set():
            for _ in range(100):
                self.sites.check()
            counts["calls from Python"] += 100 * len(self.sites.functions)

    def toggle(self, counts: Counter[str]) -> None:
        while not self.stop.is_set():
            self.sites.toggle()
            counts["toggles"] += 1
            if counts["toggles"] % 51 == 0:
                time.sleep(1e-6)  # for calls that no toggle overlaps

    def hold_and_batch(self, counts: Counter[str]) -> None:
        one, other = Sites("jumplabel.stress.one"), Sites("jumplabel.stress.other")
        while not self.stop.is_set():
            with batch():
                one.key.inc()
                other.key.inc()
                expect(one.shown() | other.shown() == {False}, "within a batch")
            expect(one.shown() & other.shown() == {True}, "after a batch")
            with one.key.override(False), other.key.override(True), one.key.override(True), one.key.override(False):
                expect((one.shown(), other.shown()) == ({False}, {True}), "within overrides")
            try:
                with batch():
                    one.key.dec()
                    other.key.dec()
                    other.key.dec()
            except JumpLabelError:
                pass
            expect(one.shown() & other.shown() == {True}, "after a batch that was refused")
            with batch():
                one.key.dec()
                other.key.dec()
            counts["toggles"] += 10

    def make_and_drop(self, counts: Counter[str]) -> None:
        for number in self.until_stopped():
            made = Sites(f"jumplabel.stress.made.{number}")
            made.check_alone()
            vars(made.functions[0])["cycle"] = made
            del made
            counts["callables made"] += 4
            counts["toggles"] += 2
            if number % 7 == 6:
                gc.collect()

    def start_threads(self, counts: Counter[str]) -> None:
        """Start threads that call and end. While ``blocking`` is set every other thread blocks all signals."""

        def call_some(block: bool) -> None:
            if block:
                signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
                under_way = self.sites.begun  # this toggle may have begun before the thread blocked: README, Limits
                while self.sites.done <= under_way and not self.stop.is_set():
                    time.sleep(0.001)
            for _ in range(100):
                self.sites.check()

        for number in self.until_stopped():
            thread = threading.Thread(target=self.guard(call_some), args=(self.blocking and number % 2 == 1,))
            thread.start()
            thread.join()
            counts["threads started"] += 1

    def call_from_c(self, counts: Counter[str]) -> None:
        """Call from C threads without the GIL, on all cores, at times with SIGTRAP blocked."""
        key = StaticKey("jumplabel.stress.c")
        for number in self.until_stopped():
            storm = lib.storm_start(ENGINE, key._key, C_SITES[number % 2], C_THREADS, self.blocking)
            if not storm:
                raise MemoryError("no threads, or no trampolines")
            end = time.monotonic() + C_ROUND
            try:
                while time.monotonic() < end:
                    error = lib.storm_toggle(storm)
                    expect(not error, os.strerror(-error))
            finally:
                found = lib.storm_stop(storm)
            counts["calls from C"] += found.calls
            counts["toggles"] += found.toggles
            expect(not found.wrong, f"{found.wrong} wrong results of calls from C")
            expect(found.strict, "no call from C was checked between two toggles")
            if key:
                key.disable()

    # ---- the main thread ----

    def on_timer(self, *_: Any) -> None:
        """Toggle in the middle of whatever the main thread does, perhaps of a toggle."""
        self.sites.check()
        if self.handling:  # a signal came while the handler of another runs
            return
        self.handling = True
        try:
            self.in_signals.check_alone()
        finally:
            self.handling = False
        self.counts["signals handled"] += 1
        self.counts["toggles"] += 2

    def on_interrupt(self, *_: Any) -> None:
        """Stop without KeyboardInterrupt. The interpreter ignores exceptions in the functions it calls at a fork."""
        self.interrupted = True
        self.stop.set()

    def on_trap(self, *_: Any) -> None:
        self.counts["traps handed on"] += 1

    def fork_and_wait(self, fault: Fault | None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forks of processes with threads
            pid = os.fork()
        if pid == 0:
            self.run_child(fault)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.counts["forks"] += 1
        if status == FAULT_NOT_POSSIBLE:
            fault = None
        elif status:
            raise WrongError(f"a child ended with {status}, fault: {fault.__name__ if fault else 'none'}")
        self.counts["faults injected"] += fault is not None

    def run_child(self, fault: Fault | None) -> NoReturn:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(CHILD_MAY_TAKE)
            fresh = info()
            expect(fresh.batches == fresh.sync_calls == fresh.int3_current == 0, f"a child's counters: {fresh}")
            try:
                undo = fault() if fault else None
            except OSError:  # an old kernel, or a sandbox within a sandbox
                os._exit(FAULT_NOT_POSSIBLE)
            self.toggle_despite(fault)
            if undo:
                undo()
                self.toggle_despite(None)
            status = 0
        except BaseException as error:
            sys.stderr.write(f"in a child, fault {fault.__name__ if fault else 'none'}: {error!r}\n")
        finally:
            os._exit(status)

    def toggle_despite(self, fault: Fault | None) -> None:
        """Toggle and make sites. Each step works, or is refused without any change."""
        for sites in (self.sites, self.in_signals) * 3:
            before = sites.key.enabled
            try:
                sites.key.disable() if before else sites.key.enable()
                expect(sites.shown() == {not before}, "after a toggle")
            except (JumpLabelError, MemoryError):
                if not fault:
                    raise
                expect(sites.shown() == {before} == {sites.key.enabled}, "after a toggle that was refused")
        try:
            Sites("jumplabel.stress.child").check_alone()
        except (JumpLabelError, MemoryError):
            if not fault:
                raise

    # ---- how they run ----

    def until_stopped(self) -> Iterator[int]:
        number = 0
        while not self.stop.is_set():
            yield number
            number += 1

    def guard(self, storm: Callable[..., None]) -> Callable[..., None]:
        def run(*args: Any) -> None:
            try:
                storm(*args)
            except Exception as error:
                self.errors.append(f"{getattr(storm, '__name__', storm)}: {error!r}")
                self.stop.set()

        return run

    def run(self, seconds: float) -> None:
        own = [Counter[str]() for _ in self.storms]  # one for each thread, so += is safe
        threads = [
            threading.Thread(target=self.guard(storm), args=(counts,))
            for storm, counts in zip(self.storms, own, strict=True)
        ]
        with self.in_charge():
            for thread in threads:
                thread.start()
            try:
                self.guard(self.lead)(time.monotonic() + seconds)
            finally:
                self.stop.set()
                for thread in threads:
                    thread.join()
        if self.interrupted:
            raise KeyboardInterrupt
        for counts in own:
            self.counts += counts

    def lead(self, end: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, TIMER, TIMER)
        try:
            for number in self.until_stopped():
                self.blocking = self.may_block and number // BLOCKING_FOR % 2 == 1
                self.fork_and_wait(FAULTS[number % len(FAULTS)])
                os.kill(os.getpid(), signal.SIGTRAP)
                time.sleep(FORK_EVERY)
                if time.monotonic() > end:
                    break
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    @contextmanager
    def in_charge(self) -> Iterator[None]:
        """Install our signal handlers. faulthandler shows where the process crashes, or hangs on SIGQUIT (Ctrl-\\)."""
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL)
        handlers = {
            signal.SIGALRM: self.on_timer,
            signal.SIGTRAP: self.on_trap,
            signal.SIGINT: self.on_interrupt,
        }
        old = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        faulthandler.enable()
        # Not faulthandler's watchdog: its thread blocks all signals, so no batch would use int3.
        faulthandler.register(signal.SIGQUIT)
        try:
            yield
        finally:
            faulthandler.unregister(signal.SIGQUIT)
            for number, handler in old.items():
                signal.signal(number, handler)
            sys.setswitchinterval(interval)


# ---- the report ----

COUNTERS = {
    "batches": "batches of native sites",
    "word_batches": "  of which without int3",
    "sites_patched": "native sites patched",
    "int3_current": "traps: current",
    "int3_previous": "traps: previous",
    "int3_stale": "traps: stale",
    "int3_chained": "traps: not ours",
}


def run(seconds: float, show: Callable[[str], Any]) -> int:
    """Run the storms in this process, and report through ``show``. Returns the number of errors.

    seconds  how long they run
    """
    start()
    before = info()
    show(f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.release()}")
    show(f"{_processor()}, {os.cpu_count()} processors")
    show(
        f"native sites: {'yes' if before.native else before.refusal}; "
        f"synchronization: {before.sync_method or 'none'}, poke: {before.poke}"
    )
    stress = Stress()
    began = time.monotonic()
    stress.run(seconds)
    took = time.monotonic() - began
    after = info()
    counts = {name: stress.counts[name] for name in sorted(stress.counts)}
    counts |= {text: getattr(after, name) - getattr(before, name) for name, text in COUNTERS.items()}
    for text, count in counts.items():
        show(f"{text:<24} {count:>14,}")
    show(f"{'errors':<24} {len(stress.errors) or 'none':>14}   in {took:.1f} s")
    for error in stress.errors:
        show(error)
    return len(stress.errors)


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.processor()
