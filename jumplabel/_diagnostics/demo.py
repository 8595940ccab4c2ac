"""Toggle a key while threads call a function that depends on it, and count wrong results."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jumplabel._diagnostics.disassemble import SITE_SIZE, entries, name_site, read
from jumplabel._diagnostics.process_info import info
from jumplabel._diagnostics.storms import ffi, lib
from jumplabel._keys.static_key import StaticKey
from jumplabel._sites.gates import static_gate, static_switch

OFF, ON = "off", "on"

# A key of one site is patched faster than a waiting thread wakes up. More sites make the batch longer. So the hot site
# is an int3 for long enough that threads run into it.
OTHER_SITES = 500

# After each toggle the toggling thread waits this long for the GIL (default: 5 ms).
SWITCH_INTERVAL = 0.0005

# That wait is within the toggle, and calls that overlap a toggle may show either state. So the toggling thread pauses
# at times after a toggle: the calls in this pause must show the new state. The number is odd, so that pauses follow
# toggles of both kinds.
PAUSE_EVERY = 51
PAUSE = 1e-6

CALLS_AT_A_TIME = 1000
REPORT_EVERY = 0.5
WATCH_FOR = 0.5
MAX_STATES = 16


class Demo:
    """The hot function, its key, and the counts of calls, toggles and wrong results."""

    def __init__(self) -> None:
        self.key = StaticKey("jumplabel.demo")
        self.stop = False
        self.begun = self.done = 0  # numbers of the last toggle that began, and the last that returned
        self.calls: list[int] = []
        self.between: list[int] = []  # the calls that no toggle overlapped
        self.wrong = 0

        @static_switch(self.key, to=lambda: ON)
        def hot() -> str:
            return OFF

        self.hot = hot
        self.others = [static_gate(self.key)(lambda: None) for _ in range(OTHER_SITES)]

    def work(self, index: int) -> None:
        try:
            self.call_and_check(index)
        except BaseException:
            self.wrong += 1
            raise

    def call_and_check(self, index: int) -> None:
        """Call without pause. A call that no toggle overlapped must show the state of the last toggle."""
        hot = self.hot
        while not self.stop:
            between = 0
            for _ in range(CALLS_AT_A_TIME):
                done = self.done
                result = hot()
                if self.begun == done:
                    between += 1
                    if result is not (ON if done & 1 else OFF):
                        self.wrong += 1
                elif result is not ON and result is not OFF:
                    self.wrong += 1
            self.calls[index] += CALLS_AT_A_TIME
            self.between[index] += between

    def toggle(self) -> None:
        self.begun += 1
        if self.begun & 1:
            self.key.enable()
        else:
            self.key.disable()
        self.done = self.begun
        if self.begun % PAUSE_EVERY == 0:
            time.sleep(PAUSE)

    @contextmanager
    def workers(self, n: int) -> Iterator[None]:
        self.calls, self.between = [0] * n, [0] * n
        threads = [threading.Thread(target=self.work, args=(index,)) for index in range(n)]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL)
        try:
            for thread in threads:
                thread.start()
            yield
        finally:
            self.stop = True
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            sys.setswitchinterval(interval)


@contextmanager
def watched(address: int) -> Iterator[list[bytes]]:
    """Collect the states of a site during a ``with`` block. The list is complete after the block."""
    states: list[bytes] = []
    stop = ffi.new("int *")
    seen = ffi.new("uint64_t[]", MAX_STATES)

    def watch() -> None:
        n = lib.site_watch(ffi.cast("void *", address), stop, seen, MAX_STATES)
        states.extend(seen[i].to_bytes(8, "little")[:SITE_SIZE] for i in range(n))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield states
    finally:
        stop[0] = 1
        thread.join()


def run(seconds: float, threads: int, show: Callable[[str], Any]) -> int:
    """Run the demonstration, and pass its lines to ``show``. Returns the number of wrong results."""
    demo = Demo()
    (site,) = entries(demo.hot)
    show(f"threads calling a static_switch: {threads}; toggled meanwhile: its key, which has {OTHER_SITES} other sites")
    if not site.native:
        show(f"no bytes and no traps to show: this is a plain branch, as {info().refusal}")

    def show_site(when: str) -> None:
        if site.native:
            show(_state(f"site {when}", read(site.address, SITE_SIZE)))

    show_site("before")
    began = time.monotonic()
    try:
        with demo.workers(threads):
            if site.native:
                with watched(site.address) as states:
                    _toggle_until(demo, began + min(WATCH_FOR, seconds))
                for state in states:
                    show(_state("site during", state))
            _toggle_and_report(demo, began, seconds, show)
    finally:
        took = time.monotonic() - began
        show_site("after")
        show(f"{sum(demo.calls):,} calls, {sum(demo.between):,} of them between two toggles, in {took:.1f} s")
        show(f"{demo.begun:,} toggles, {_traps()}, {demo.wrong} wrong results")
    return demo.wrong


def _toggle_until(demo: Demo, end: float) -> None:
    while time.monotonic() < end:
        demo.toggle()


def _toggle_and_report(demo: Demo, began: float, seconds: float, show: Callable[[str], Any]) -> None:
    then, calls_then = began, 0
    while then < began + seconds:
        _toggle_until(demo, min(time.monotonic() + REPORT_EVERY, began + seconds))
        now, calls = time.monotonic(), sum(demo.calls)
        rate = (calls - calls_then) / (now - then)
        show(f"{now - began:5.1f} s  {rate:>12,.0f} calls/s  {demo.done:>8,} toggles  {_traps()}  {demo.wrong} wrong")
        then, calls_then = now, calls


def _traps() -> str:
    now = info()
    counts = (now.int3_current, now.int3_previous, now.int3_stale, now.int3_chained)
    names = ("current", "previous", "stale", "chained")
    return "traps: " + ", ".join(f"{count:,} {name}" for count, name in zip(counts, names, strict=True))


def _state(when: str, code: bytes) -> str:
    return f"{when:<11}  {code.hex(' ')}  {name_site(code)}"
