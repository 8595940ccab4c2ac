"""The library reads the real time: freezegun and mocks of ``time`` do not move it.

Each case runs in a process of its own (processes.py).
"""

import pytest
from processes import run

LINGERS = """
    from jumplabel._keys import lingering
    from jumplabel._process.unpatched import monotonic, sleep, wall_clock
    from real_time import use, wait_for

    late, soon = StaticKey("late", deferred=3600), StaticKey("soon", deferred=0.05)

    def lingers_as_long_as_it_should():
        use(late)
        use(soon)  # this makes the thread look
        wait_for(lambda: not soon.enabled)
        assert late.enabled
        late.flush()
        wait_for(lambda: lingering.wake is lingering._start)
"""

REFUSE = """
import logging  # reads the time while it is imported
import sys
import time

def refuse(*_):
    raise AssertionError("a clock that a program has replaced was asked")

originals = [value for name, value in vars(time).items() if callable(value) and not isinstance(value, type)]
modules = [module for name, module in list(sys.modules.items()) if name.split(".")[0] in ("jumplabel", "time")]
for module in modules:
    for name, value in list(vars(module).items()):
        if any(value is original for original in originals):
            setattr(module, name, refuse)
"""


@pytest.mark.parametrize("first", ["", "import jumplabel._keys.lingering"], ids=["before", "behind"])
@pytest.mark.parametrize("date", ["2100-01-01", "1980-01-01"])
def test_a_frozen_date(date, first):
    pytest.importorskip("freezegun")
    freeze = f"import freezegun; freezegun.freeze_time({date!r}).start()"
    run(LINGERS, "lingers_as_long_as_it_should()", first=f"{first}\n{freeze}")


@pytest.mark.parametrize(
    "first", ["", "import jumplabel._keys.lingering, jumplabel._remote.connections, jumplabel._remote.ask"]
)
def test_functions_of_time_that_are_replaced_in_all_modules(first):
    run(
        LINGERS,
        """
        import fcntl
        import tempfile
        from jumplabel import serve
        from jumplabel._remote import ask
        from jumplabel._process import unpatched

        lingers_as_long_as_it_should()
        home = tempfile.TemporaryDirectory()
        server = serve(home.name + "/sockets")
        folder = os.open(home.name + "/sockets", os.O_RDONLY)
        server.close()
        fcntl.flock(folder, fcntl.LOCK_EX)  # the other process must wait for this
        unpatched.start_new_thread(lambda: (unpatched.sleep(0.02), os.close(folder)), ())
        server = serve(home.name + "/sockets")
        list(ask.ask(os.getpid(), {"command": "enable", "patterns": ["late"]}, 30.0))
        assert late.enabled
        server.close()
        """,
        first=f"{first}\n{REFUSE}",
    )


def test_a_watcher_is_told_the_real_time():
    pytest.importorskip("freezegun")
    run(
        LINGERS,
        """
        import tempfile
        from jumplabel import serve
        from jumplabel._remote import ask

        home = tempfile.TemporaryDirectory()
        with serve(home.name + "/sockets"):
            watched = ask.ask(os.getpid(), {"command": "watch", "patterns": ["*"]}, 30.0)
            assert next(watched) == {"watching": True}
            late.enable()
            assert next(watched)["time"] > os.stat(home.name).st_mtime - 1
        """,
        first='import freezegun; freezegun.freeze_time("1980-01-01").start()',
    )
