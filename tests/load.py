"""Sites of every kind under load, and every call checked: what the tests of tools and of other handlers watch.

    python load.py LIBRARY      toggles until its input ends; "toggling" on its output says that it has begun

LIBRARY is tests/c/callers.c, built.
"""

import ctypes
import faulthandler
import os
import sys
import threading

from callers import Callers, constant

from jumplabel import StaticKey, info, static_branches, static_gate, static_switch


class Load:
    """Two C threads without the GIL and one Python thread call the sites of a key, until the end of the block."""

    def __init__(self, library):
        self.key = key = StaticKey("load")
        self.library = ctypes.CDLL(str(library))
        off, on = constant(False), constant(True)
        self.native = [static_switch(key, to=on)(off) for _ in range(8)]
        self.addresses = (ctypes.c_void_p * len(self.native))(*map(id, self.native))
        self.callers = Callers(
            objects=ctypes.addressof(self.addresses),
            n_objects=len(self.native),
            vectorcall_offset=object.__basicsize__,
            off=id(False),
            on=id(True),
        )
        self.calls, self.wrong = 0, []

        def loop():
            while True:
                if key:
                    yield True
                else:
                    yield False

        def branch():
            if key:
                return True
            return False

        endless = static_branches(loop)()
        self.functions = [
            static_branches(branch),
            lambda: next(endless),
            static_gate(key, default=False)(lambda: True),
            static_switch(key, to=lambda: True)(lambda: False),
        ]

    def call_without_pause(self):
        while not self.stop:
            for number, function in enumerate(self.functions):
                done = self.callers.done
                result = function()
                if self.callers.begun == done and result != done % 2:
                    self.wrong.append((number, done, result))
                self.calls += 1

    def toggle(self, times):
        """Turn the key on and off again, each time."""
        for _ in range(times):
            for toggle in (self.key.enable, self.key.disable):
                self.callers.begun += 1
                toggle()
                self.callers.done += 1

    def toggle_while(self, condition):
        while condition():
            self.toggle(10)

    def toggle_under_fire(self):
        """Toggle until callers of both sorts have met a toggle."""
        before = self.calls, info().int3_current
        self.toggle_while(lambda: self.calls < before[0] + 10 or info().int3_current < before[1] + 10)

    def __enter__(self):
        self.stop, self.callers.stop = False, 0
        sys.setswitchinterval(1e-4)
        self.thread = threading.Thread(target=self.call_without_pause)
        self.thread.start()
        self.library.callers_start(ctypes.byref(self.callers))
        return self

    def __exit__(self, *exception):
        self.stop = True
        self.thread.join()
        self.library.callers_stop(ctypes.byref(self.callers))
        assert not self.wrong and not self.callers.wrong, (self.wrong, self.callers.wrong)


def main():
    faulthandler.enable()
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    with Load(sys.argv[1]) as load:
        load.toggle(10)
        print("toggling", flush=True)
        while not ended.is_set():
            load.toggle(10)
            os.getppid()  # for a debugger's breakpoint
    print("done")


if __name__ == "__main__":
    main()
