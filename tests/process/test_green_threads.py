"""Our threads, locks and sockets under gevent and eventlet, which replace those of the standard library.

Each case runs in a process of its own. The green library patches before or after the package is imported.
"""

import pytest
from processes import run

PATCHES = {
    "gevent": "import gevent.monkey; gevent.monkey.patch_all()",
    "eventlet": """
import warnings
warnings.simplefilter("ignore")
import eventlet
eventlet.monkey_patch()
""",
}

SPAWN = {
    "gevent": """
import gevent
spawn, sleep, in_a_native_thread = gevent.spawn, gevent.sleep, gevent.get_hub().threadpool.apply

def wait(green):
    return green.get()
""",
    "eventlet": """
import eventlet
import eventlet.tpool
spawn, sleep, in_a_native_thread = eventlet.spawn, eventlet.sleep, eventlet.tpool.execute

def wait(green):
    return green.wait()
""",
}

GREEN = """
import logging
import subprocess
import tempfile
from jumplabel import serve
from jumplabel._keys import lingering, toggles
from jumplabel._process.unpatched import monotonic

key, deferred = StaticKey("shop.tracing"), StaticKey("shop.deferred", deferred=0.05)
gate = static_gate(deferred, default="off")(lambda: "on")
home = tempfile.TemporaryDirectory()
ticks = [0]

def tick():
    '''A greenlet that counts while other greenlets can run.'''
    while True:
        ticks[0] += 1
        sleep(0.001)

spawn(tick)

def wait_for(condition):
    end = monotonic() + 60
    while not condition():
        assert monotonic() < end
        sleep(0.002)

def use(key):
    key.inc()
    key.dec()

def command(*words):
    '''Run python -m jumplabel while this process's greenlets go on.'''
    before = ticks[0]
    environment = {**os.environ, "JUMPLABEL_SERVE": home.name + "/s"}
    arguments = [sys.executable, "-m", "jumplabel", words[0], "--timeout", "30", str(os.getpid()), *words[1:]]
    with open(home.name + "/output", "w+") as output:
        process = subprocess.Popen(arguments, env=environment, stdout=output, stderr=output)
        wait_for(lambda: process.poll() is not None)
        output.seek(0)
        assert process.returncode == 0, output.read()
    assert ticks[0] > before

def passes_in_a_child(function):
    '''Wait without waitpid(): gevent's replacement misses the end of a first child that is quick.'''
    def child():
        function()
        Path(home.name, "passed").touch()

    fork(child)
    wait_for(lambda: os.path.exists(home.name + "/passed"))

def goes_off(key):
    wait_for(lambda: not key.enabled)
"""

EITHER = [(library, when) for library in PATCHES for when in ("before", "behind")]


def green(library, when, *scripts, **settings):
    pytest.importorskip("greenlet")
    if library == "gevent":
        pytest.importorskip("gevent")
    patches = PATCHES[library]
    if when == "before":
        run(SPAWN[library], GREEN, *scripts, first=patches, **settings)
    else:
        first = "import jumplabel, jumplabel._loggers.log_keys, logging; from jumplabel._remote import serving\n"
        run(SPAWN[library], GREEN, *scripts, first=first + patches, **settings)


@pytest.mark.parametrize(("library", "when"), EITHER)
def test_a_served_process_is_reached(library, when):
    green(
        library,
        when,
        """
        told = []
        jumplabel.on_toggle(lambda toggle: told.append((toggle.key.name, toggle.new)))
        server = serve(home.name + "/s")
        command("enable", "shop.tracing")
        assert key.enabled and told == [("shop.tracing", True)]
        command("keys")
        server.close()
        assert not os.path.exists(server.path)
        """,
    )


@pytest.mark.parametrize(("library", "when"), EITHER)
def test_deferred_keys_go_off(library, when):
    """Also in a thread of the green library's pool, which has no hub."""
    green(
        library,
        when,
        """
        use(deferred)
        assert gate() == "on"
        goes_off(deferred)
        assert gate() == "off"
        in_a_native_thread(lambda: use(deferred))
        goes_off(deferred)
        while_all_wait = StaticKey("while all wait", deferred=0.05)
        use(while_all_wait)
        jumplabel._process.unpatched.sleep(0.01)
        end = monotonic() + 60
        while while_all_wait.enabled:  # no switch to another greenlet
            assert monotonic() < end
        """,
    )


@pytest.mark.parametrize(("library", "when"), EITHER)
def test_a_fork_while_green_threads_live(library, when):
    green(
        library,
        when,
        """
        server = serve(home.name + "/s")
        slow = StaticKey("slow", deferred=0.3)
        use(slow)

        def child():
            goes_off(slow)
            use(deferred)
            goes_off(deferred)
            assert server.path.endswith(f"/{os.getpid()}.sock")
            command("enable", "shop.tracing")
            assert key.enabled

        passes_in_a_child(child)
        assert not key.enabled
        command("keys")
        goes_off(slow)
        """,
    )


@pytest.mark.parametrize(("library", "when"), EITHER)
def test_a_fork_in_a_batch_of_a_green_thread(library, when):
    green(
        library,
        when,
        """
        def opener():
            with batch():
                key.enable()
                passes_in_a_child(lambda: (deferred.enable(), deferred.enabled or 1 / 0, key.enabled and 1 / 0))
                assert not key.enabled
            assert key.enabled

        wait(spawn(opener))
        """,
    )


@pytest.mark.parametrize(("library", "when"), EITHER)
def test_callbacks_in_a_thread_of_ours(library, when):
    """The callbacks of toggles in a thread that may hold any lock."""
    green(
        library,
        when,
        """
        told = []
        jumplabel.on_toggle(told.append)
        toggles.tell_elsewhere([toggles.Toggle(key, False, True, 0, 0)])
        end = monotonic() + 60
        while not told:  # no switch to another greenlet
            assert monotonic() < end
        """,
    )


@pytest.mark.parametrize(("library", "when"), EITHER)
def test_logging_follows_its_loggers(library, when):
    """Also if another greenlet holds logging's lock, which is a green lock, while a module is imported."""
    green(
        library,
        when,
        """
        sys.path.insert(0, home.name)
        Path(home.name, "shop.py").write_text(
            "import logging\\nlogger = logging.root.manager.loggerDict['shop']\\n"
            "def work(said):\\n    logger.debug('%s', said())\\n"
        )
        jumplabel.install("shop", logging=True)
        logging.getLogger("shop")
        release = []

        def hold():
            with logging._lock:
                release.append(None)
                while len(release) < 2:
                    sleep(0.001)

        holder = spawn(hold)
        wait_for(lambda: release)
        import shop
        (logging_key,) = [found for found in jumplabel.keys() if found.name.startswith("logging.shop")]
        assert logging_key.enabled  # it stays on until it can be bound
        release.append(None)
        wait(holder)
        wait_for(lambda: not logging_key.enabled)
        logging.getLogger("shop").setLevel(logging.DEBUG)
        wait_for(lambda: logging_key.enabled)
        logging.getLogger("shop").setLevel(logging.INFO)
        wait_for(lambda: not logging_key.enabled)
        shop.work(lambda: 1 / 0)
        """,
    )


@pytest.mark.parametrize("library", PATCHES)
def test_our_locks_stay_locks_of_threads(library):
    """eventlet replaces the existing locks in modules."""
    green(
        library,
        "behind",
        """
        from jumplabel._remote import connections
        from jumplabel._keys import registry
        from jumplabel._process import unpatched
        instrumented = sys.modules["jumplabel._instrument.instrumented_modules"]
        for lock in registry.lock, instrumented._records_lock, connections.lock:
            assert type(lock) is unpatched.ProcessLock
        assert type(lingering._only_one) is type(unpatched.allocate_lock())
        assert unpatched.start_new_thread.__module__ == "_thread"
        """,
    )


def test_our_threads_are_system_threads_under_any_other_library():
    run(
        """
        use = StaticKey("k", deferred=0.01)
        use.inc()
        use.dec()
        while use.enabled:
            pass
        """,
        first="""
        import _thread
        real = _thread.start_new_thread

        def replaced(*arguments):
            import sys
            if "jumplabel" in sys._getframe(1).f_code.co_filename:
                raise AssertionError("a thread that is not the system's")
            return real(*arguments)

        _thread.start_new_thread = replaced
        import jumplabel._keys.lingering
        assert jumplabel._process.unpatched.start_new_thread is not replaced
        """,
    )
