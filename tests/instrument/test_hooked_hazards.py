"""What happens while modules are imported, reloaded and uninstalled: other threads, locks, forks, snapshots."""

import gc
import importlib
import logging
import sys
import threading
import time
import weakref

import pytest
from packages import Packages, records, sites
from processes import run

import jumplabel
from jumplabel import install, instrument, instrumented

SHOP = """
    import logging
    logger = logging.getLogger(__name__)

    def buy(x):
        logger.debug("buy %s", x)
        assert x
        return x
"""


def wait_until(true: object) -> None:
    end = time.monotonic() + 30
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_snapshot_does_not_keep_the_state_of_loggers(packages: Packages) -> None:
    """A statement after setLevel() logs, also in a call that began before."""
    source = """
        import logging
        from jumplabel import StaticKey, static_branches
        logger = logging.getLogger(__name__)
        tracing = StaticKey(__name__ + ".tracing")

        @static_branches(snapshot=True)
        def work():
            before = bool(tracing.enabled)
            logger.setLevel(logging.DEBUG)
            logger.debug("working")
            tracing.enable()
            return before, 1 if tracing else 0
        """
    install("stall_a")
    module = packages.load("stall_a", source)
    with records("stall_a", logging.INFO) as handler:
        assert (module.work(), handler.take()) == ((False, 0), ["working"])
        assert (module.work(), handler.take()) == ((True, 1), ["working"])


def test_an_import_does_not_wait_for_the_lock_of_logging(packages: Packages) -> None:
    """Another thread imports while it holds the lock, as dictConfig() does."""
    install("stall_b")
    packages.write("stall_b", SHOP.replace("logging.getLogger(__name__)", "logging.root"))
    lock = logging._lock  # type: ignore[attr-defined]
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            release.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    try:
        importing = threading.Thread(target=importlib.import_module, args=("stall_b",))
        importing.start()
        importing.join(30)
        assert not importing.is_alive()
        key = jumplabel.key("logging.stall_b.logger.debug")
        assert key.enabled
    finally:
        release.set()
        holder.join()
    wait_until(lambda: not key.enabled)


def test_an_assertion_that_another_hook_has_stays_off(packages: Packages) -> None:
    install("stall_c", asserts="off")
    module = packages.load("stall_c", SHOP)
    with instrument(module, asserts="off"):
        pass
    assert not jumplabel.key("asserts.stall_c").enabled
    assert module.buy(0) == 0


def test_a_hook_that_goes_during_an_import_leaves_nothing(packages: Packages) -> None:
    hook = install("stall_d", asserts="off")
    module = packages.load("stall_d", f"{SHOP}\n    __import__('jumplabel').uninstall()\n")
    assert hook not in sys.meta_path
    gc.collect()
    assert sites("stall_d") == []
    assert instrumented() == []
    with pytest.raises(AssertionError):
        module.buy(0)


def test_a_reload_leaves_nothing_of_the_previous_load(packages: Packages) -> None:
    from jumplabel._instrument.instrumented_modules import records as all_records

    install("stall_e", asserts="off")
    module = packages.load("stall_e", SHOP)
    for _ in range(5):
        importlib.reload(module)
    gc.collect()
    assert len([record for record in all_records() if record.name == "stall_e"]) == 1
    assert [report.name for report in instrumented()] == ["stall_e"]
    assert len(sites("stall_e")) == 2
    old = module.buy
    importlib.reload(module)
    assert [report.name for report in instrumented()] == ["stall_e"]
    assert old(0) == 0


def test_the_code_of_a_closure_is_there_for_the_next_one(packages: Packages) -> None:
    source = """
        def make(log):
            def inner():
                log.debug("a")
            return inner
        """
    install("stall_f")
    make = packages.load("stall_f", source).make
    one, other = logging.getLogger("stall_f.one"), logging.getLogger("stall_f.other")
    code = weakref.ref(make(one).__code__)
    gc.collect()
    assert make(one).__code__ is code() is not make(other).__code__
    for n in range(8):
        make(logging.getLogger(f"stall_f.{n}"))
    gc.collect()
    assert code() is None
    packages.forget()
    del make
    gc.collect()
    assert sites("stall_f") == []


def test_a_child_imports_though_another_thread_was_importing(packages: Packages) -> None:
    packages.write("stall_g", SHOP)
    run(
        f"""
        from jumplabel import instrumented
        from jumplabel._instrument.instrumented_modules import _records_lock
        sys.path.insert(0, {str(packages.folder)!r})
        jumplabel.install("stall_g", asserts="off")
        held, release = threading.Event(), threading.Event()

        def hold():
            with _records_lock:
                held.set()
                release.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        pid = os.fork()
        if pid == 0:
            signal.alarm(30)
            import stall_g
            os._exit(0 if stall_g.buy(0) == 0 and len(instrumented()) == 1 else 1)
        assert os.waitpid(pid, 0)[1] == 0
        release.set()
        thread.join()
        """
    )
