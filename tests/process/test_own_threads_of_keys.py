"""Forks while threads of the package switch deferred keys off, call callbacks and bind keys.

A fork past Python's hooks waits until these threads are asleep, without the GIL (csrc/cpython/own_thread.h). The child
has none of them, and continues their work. As in test_own_threads.py the main thread keeps the GIL.
"""

import pytest
from processes import run

PROCESS = """
    import ctypes
    import logging
    import tempfile
    from jumplabel import Toggle, on_toggle
    from jumplabel._keys import lingering, toggles
    from jumplabel._process import unpatched
    from jumplabel._engine import lib
    from operators import threads, wait_for

    signal.alarm(60)
    sys.setswitchinterval(1000)
    holding, free = ctypes.PyDLL(None), ctypes.CDLL(None)  # with the GIL, without the GIL
    forks = {"holding": holding.fork, "free": free.fork, "os": os.fork}

    waited = []
    '''The seconds that each fork has taken. A fork that waits in vain takes one second.'''

    def child(fork, function):
        '''Assert that the child can run threads. Fail here if the child fails.'''
        began = unpatched.monotonic()
        pid = forks[fork]()
        if pid:
            waited.append(unpatched.monotonic() - began)
        else:
            run_and_exit(lambda: (thread_works(), function()), 20)
        assert ended(pid) == 0

    class Waits:
        '''A callback that waits during its first call.'''

        def __init__(self):
            self.calls, self.inside, self.go_on = [], threading.Event(), threading.Event()

        def __call__(self, toggle):
            self.calls.append(toggle.key.name)
            if not self.inside.is_set():
                self.inside.set()
                self.go_on.wait()
"""

FORKS = ["holding", "free", "os"]


@pytest.mark.parametrize("fork", FORKS)
def test_the_thread_of_deferred_keys_waits_for_the_gil(fork):
    run(
        PROCESS,
        f"""
        key = StaticKey("key", deferred=0.005)
        for _ in range(20):
            key.inc()
            key.dec()
            holding.usleep(20_000)
            child("{fork}", lambda: wait_for(lambda: not key.enabled))
            wait_for(lambda: not key.enabled)
        thread_works()
        """,
    )


@pytest.mark.parametrize("fork", FORKS)
def test_the_thread_of_deferred_keys_sleeps(fork):
    """Another key begins to linger in the child, where no sleeping thread can be woken."""
    run(
        PROCESS,
        f"""
        late, soon = StaticKey("late", deferred=3600), StaticKey("soon", deferred=0.005)
        late.inc()
        late.dec()
        wait_for(lambda: threads() == 2 and not lib.static_keys_wake)

        def uses():
            soon.inc()
            soon.dec()
            wait_for(lambda: not soon.enabled)
            late.flush()
            wait_for(lambda: threads() == 1)

        for _ in range(5):
            child("{fork}", uses)
        assert sorted(waited)[len(waited) // 2] < 0.5, waited
        uses()
        """,
    )


@pytest.mark.parametrize("fork", FORKS)
def test_a_callback_that_is_about_to_be_called(fork):
    run(
        PROCESS,
        f"""
        told = []
        on_toggle(lambda toggle: told.append(toggle.key.name))
        for i in range(10):
            toggles.tell_elsewhere([Toggle(StaticKey(f"key {{i}}"), False, True, 0, 0)])
            names = [f"key {{j}}" for j in range(i + 1)]

            def each_is_told_once():
                wait_for(lambda: len(told) > i)
                thread_works()
                wait_for(lambda: threads() == 1)
                assert told == names, told

            holding.usleep(20_000)
            child("{fork}", each_is_told_once)
            each_is_told_once()
        assert sorted(waited)[len(waited) // 2] < 0.5, waited
        """,
    )


TOLD_BY = {
    "a teller": """
        def change():
            toggles.tell_elsewhere([Toggle(StaticKey(name), False, True, 0, 0) for name in ("first", "second")])
        """,
    "the thread of deferred keys": """
        keys = [StaticKey(name, default=True, deferred=0.005) for name in ("first", "second")]

        def change():
            with batch():
                for key in keys:
                    key.dec()
        """,
}


@pytest.mark.parametrize("told_by", TOLD_BY.values(), ids=TOLD_BY)
@pytest.mark.parametrize("fork", FORKS)
def test_calls_behind_a_call_that_has_begun(fork, told_by):
    """Only the parent finishes the call that has begun. Parent and child both make the others."""
    run(
        PROCESS,
        told_by,
        f"""
        waits, told = Waits(), []
        on_toggle(waits)
        on_toggle(lambda toggle: told.append(toggle.key.name))
        change()
        waits.inside.wait()

        def each_is_told_once():
            wait_for(lambda: len(told) == 2)
            thread_works()
            wait_for(lambda: threads() == 1)
            assert sorted(told) == ["first", "second"] and waits.calls == told

        for _ in range(3):
            child("{fork}", each_is_told_once)
        assert min(waited) < 0.5 or "{fork}" != "os", waited  # Python makes a new GIL
        assert told == []
        waits.go_on.set()
        each_is_told_once()
        """,
    )


@pytest.mark.parametrize("told_by", TOLD_BY.values(), ids=TOLD_BY)
@pytest.mark.parametrize("fork", FORKS)
def test_a_callback_that_forks_in_a_thread_of_ours(fork, told_by):
    """The thread continues with the next calls in the child, too."""
    run(
        PROCESS,
        told_by,
        f"""
        told, children, forking = [], [], []
        waits, has_forked = threading.Event(), threading.Event()
        late, soon = StaticKey("late", deferred=3600), StaticKey("soon", deferred=0.005)
        late.inc()
        late.dec()

        @on_toggle
        def forks_once(toggle):
            told.append(toggle.key.name)
            if len(told) > 1:
                return
            waits.wait()
            forking.append(threading.get_ident())
            pid = forks["{fork}"]()
            if pid:
                children.append(pid)
                has_forked.set()
            else:
                signal.alarm(20)
                threading.Thread(target=checks, daemon=True).start()

        seen = []
        on_toggle(lambda toggle: seen.append(toggle.key.name))

        def each_is_told_once():
            wait_for(lambda: len(seen) == 2)
            thread_works()
            assert sorted(told) == ["first", "second"] and seen == told

        def checks():
            status = 1
            try:
                each_is_told_once()
                if "{fork}" == "os":  # otherwise the next toggle notices the fork, and the thread goes on until then
                    wait_for(lambda: forking[0] not in sys._current_frames())
                jumplabel.off_toggle(forks_once)
                soon.inc()
                soon.dec()
                wait_for(lambda: not soon.enabled)
                assert late.enabled
                thread_works()
                status = 0
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                os._exit(status)

        change()
        waits.set()
        has_forked.wait()  # this thread releases the GIL, and never takes it again
        each_is_told_once()
        assert ended(children[0]) == 0
        """,
    )


def test_a_callback_that_ends_the_thread_of_callbacks():
    """The later callbacks in the same row are not called. Those in other rows are."""
    run(
        PROCESS,
        """
        told = []

        @on_toggle
        def exits(toggle):
            told.append(toggle.key.name)
            if toggle.key is first:
                raise SystemExit

        first, second, third = (StaticKey(name) for name in ("first", "second", "third"))
        toggles.tell_elsewhere([Toggle(first, False, True, 0, 0), Toggle(second, False, True, 0, 0)])
        toggles.tell_elsewhere([Toggle(third, False, True, 0, 0)])
        wait_for(lambda: told == ["first", "third"])
        wait_for(lambda: threads() == 1)
        """,
    )


@pytest.mark.parametrize("fork", FORKS)
def test_keys_that_wait_for_the_lock_of_logging(fork):
    """Another import holds the lock. Each child binds the keys itself."""
    run(
        PROCESS,
        f"""
        home = tempfile.TemporaryDirectory()
        logger = logging.getLogger("shop")
        Path(home.name, "shop.py").write_text(
            "from __main__ import logger\\ndef sell():\\n    logger.debug('sold')\\n"
        )
        sys.path.insert(0, home.name)
        jumplabel.install("shop")

        def imports():
            import shop

        logging._lock.acquire()
        importing = threading.Thread(target=imports)
        importing.start()
        importing.join()
        (key,) = (key for key in jumplabel.keys() if key.name.startswith("logging.shop."))

        def is_bound():
            if logging._lock._is_owned():  # otherwise logging has made a new lock
                logging._lock.release()
            wait_for(lambda: not key.enabled)
            wait_for(lambda: threads() == 1)
            thread_works()
            logger.setLevel(logging.DEBUG)
            assert key.enabled

        for _ in range(10):
            holding.usleep(20_000)
            child("{fork}", is_bound)
            assert key.enabled
        assert sorted(waited)[len(waited) // 2] < 0.5, waited
        is_bound()
        """,
    )


def test_keys_that_no_thread_can_be_started_for_are_bound_by_the_next_import():
    run(
        PROCESS,
        """
        home = tempfile.TemporaryDirectory()
        logger = logging.getLogger("shop")
        for name in "shop", "cart":
            Path(home.name, name + ".py").write_text(
                "from __main__ import logger\\ndef sell():\\n    logger.debug('sold')\\n"
            )
        sys.path.insert(0, home.name)
        jumplabel.install("shop", "cart")

        def imports():
            import shop

        def no_thread(*_):
            raise RuntimeError("can't start new thread")

        instrumented = sys.modules["jumplabel._instrument.instrumented_modules"]
        with logging._lock:
            importing = threading.Thread(target=imports)
            real, instrumented.start_own_thread = instrumented.start_own_thread, no_thread
            importing.start()
            importing.join()
        instrumented.start_own_thread = real
        (key,) = (key for key in jumplabel.keys() if key.name.startswith("logging.shop."))
        assert key.enabled and "shop" in sys.modules
        import cart
        assert not key.enabled
        """,
    )
