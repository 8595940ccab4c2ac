"""Everything that is hard on a patcher, together in this process: what to run before trusting a machine with it.

Each storm is a function that does something without pause until it is told to stop, checks what it sees, and counts.
The signals and the forks come from the main thread, as they must. An oracle (csrc/testing/oracle.h) says what a call
may return while somebody toggles: the state that the last toggle left, or either one where a toggle overlaps the call.
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

from jumplabel._diagnostics.faults import FAULTS, Fault
from jumplabel._diagnostics.process_info import info, start
from jumplabel._diagnostics.storms import ENGINE, lib
from jumplabel._keys.batches import batch
from jumplabel._keys.static_key import StaticKey
from jumplabel._sites.branches import static_branches
from jumplabel._sites.gates import static_gate, static_switch
from jumplabel.errors import JumpLabelError

TIMER = 0.0005  # seconds between two signals
FORK_EVERY = 0.02
BLOCKING_FOR = 10  # forks, and not for as many
CHILD_MAY_TAKE = 60
FAULT_NOT_POSSIBLE = 77  # the status of a child
C_SITES = (1, 64)
C_THREADS = 2
C_ROUND = 0.25
SWITCH_INTERVAL = 0.0005  # or those who toggle wait 5 ms for the GIL after each patch


class WrongError(Exception):
    """A result that may not be."""


def expect(true: bool, what: str) -> None:
    if not true:
        raise WrongError(what)


class Sites:
    """One key, and a site of each kind, in a function that returns whether it found the key on."""

    def __init__(self, name: str) -> None:
        key = self.key = StaticKey(name)

        @static_gate(key, default=False)
        def gate() -> bool:
            return True

        @static_switch(key, to=lambda: True)
        def switch() -> bool:
            return False

        @static_branches
        def branch() -> bool:
            return True if key else False

        @static_branches
        def loop() -> bool:
            return bool([1 for _ in range(1) if key])

        self.functions = (gate, switch, branch, loop)
        self.begun = self.done = 0

    def toggle(self) -> None:
        self.begun += 1
        try:
            self.key.enable() if self.begun & 1 else self.key.disable()
        except BaseException:
            self.begun -= 1
            raise
        self.done = self.begun

    def check(self) -> None:
        """Call each function while others toggle."""
        for function in self.functions:
            done = self.done
            result = function()
            if self.begun == done and result is not bool(done & 1):
                raise WrongError(f"{function.__name__} returned {result} behind toggle {done}")

    def check_alone(self) -> None:
        """Toggle and call each function, with nobody else at the key."""
        for state in (True, False):
            self.key.enable() if state else self.key.disable()
            expect(self.shown() == {state} == {self.key.enabled}, f"{self.shown()} behind {self.key!r}")

    def shown(self) -> set[bool]:
        return {function() for function in self.functions}


class Stress:
    """What the storms share: when to stop, what they counted, what went wrong."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self.handling = False
        self.interrupted = False
        self.blocking = False  # whether some of the threads are to block all signals for the time being
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
        self.may_block = now.sync_method != "signal" and now.poke != "int3"  # both of which are for who never does

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
            expect(one.shown() & other.shown() == {True}, "behind a batch")
            with one.key.override(False), other.key.override(True), one.key.override(True), one.key.override(False):
                expect((one.shown(), other.shown()) == ({False}, {True}), "within overrides")
            try:
                with batch():
                    one.key.dec()
                    other.key.dec()
                    other.key.dec()
            except JumpLabelError:
                pass
            expect(one.shown() & other.shown() == {True}, "behind a batch that was refused")
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
        """Each calls, and ends; while some are to block all signals every other one does."""

        def call_some(block: bool) -> None:
            if block:
                signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
                under_way = self.sites.begun  # this toggle may not have seen it: README, Limits
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
        """Without the GIL, on all cores; now with SIGTRAP blocked, now without."""
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
        """Toggles, whatever the main thread is in the middle of; a toggle, perhaps."""
        self.sites.check()
        if self.handling:  # the next signal came before the last one was done with
            return
        self.handling = True
        try:
            self.in_signals.check_alone()
        finally:
            self.handling = False
        self.counts["signals handled"] += 1
        self.counts["toggles"] += 2

    def on_interrupt(self, *_: Any) -> None:
        """A KeyboardInterrupt may be lost: exceptions are ignored in what the interpreter calls around a fork."""
        self.interrupted = True
        self.stop.set()

    def on_trap(self, *_: Any) -> None:
        self.counts["traps handed on"] += 1

    def fork_and_wait(self, fault: Fault | None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # there are threads, and that is what we are here for
            pid = os.fork()
        if pid == 0:
            self.be_the_child(fault)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.counts["forks"] += 1
        if status == FAULT_NOT_POSSIBLE:
            fault = None
        elif status:
            raise WrongError(f"a child ended with {status}, fault: {fault.__name__ if fault else 'none'}")
        self.counts["faults injected"] += fault is not None

    def be_the_child(self, fault: Fault | None) -> NoReturn:
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
            self.toggle_in_spite_of(fault)
            if undo:
                undo()
                self.toggle_in_spite_of(None)
            status = 0
        except BaseException as error:
            sys.stderr.write(f"in a child, fault {fault.__name__ if fault else 'none'}: {error!r}\n")
        finally:
            os._exit(status)

    def toggle_in_spite_of(self, fault: Fault | None) -> None:
        """Each step works or is refused; then it has changed nothing."""
        for sites in (self.sites, self.in_signals) * 3:
            before = sites.key.enabled
            try:
                sites.key.disable() if before else sites.key.enable()
                expect(sites.shown() == {not before}, "behind a toggle")
            except (JumpLabelError, MemoryError):
                if not fault:
                    raise
                expect(sites.shown() == {before} == {sites.key.enabled}, "behind a toggle that was refused")
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
        own = [Counter[str]() for _ in self.storms]  # nobody shares one, so that += is safe
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
        """Ours are the signals. A process that crashes says where; one that hangs does on SIGQUIT (Ctrl-\\)."""
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL)
        handlers = {
            signal.SIGALRM: self.on_timer,
            signal.SIGTRAP: self.on_trap,
            signal.SIGINT: self.on_interrupt,
        }
        old = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        faulthandler.enable()
        faulthandler.register(signal.SIGQUIT)  # its watchdog thread blocks all signals, and nobody would trap
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
    """Let the storms loose on this process. Returns the number of errors."""
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
