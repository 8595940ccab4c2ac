"""Keys that follow loggers over time: threads, forks, signals, who keeps what, and what is left in the end."""

import gc
import logging
import signal
import sys
import threading
import time
import weakref

import pytest
from logger_checks import WATCHED, answers, keys_of, module, nothing_of_ours_is_left, shown, states
from processes import run
from site_checks import in_thread

import jumplabel
from jumplabel import static_branches
from jumplabel._keys.static_key import address
from jumplabel._loggers import change_hooks
from jumplabel._loggers.followed_loggers import bound
from jumplabel._loggers.log_keys import LogKey, bind, unbind
from jumplabel._program import name_watch

LOGGERS = """
    import logging
    from logger_checks import answers, keys_of, module, nothing_of_ours_is_left, states
    from jumplabel import static_gate
    from jumplabel._program import name_watch
    from jumplabel._loggers.log_keys import LogKey, bind, unbind

    logger = logging.getLogger("shop.cart")
    shop = module("shop.cart", logger=logger)
    keys = keys_of(shop, "logger")
"""

# ---- who keeps what ----


def test_a_key_that_goes_takes_all_with_it(logger, shop):
    keys = keys_of(shop, "logger")
    bind(keys)
    reference, before = weakref.ref(keys[0]), jumplabel.info().keys
    del keys[0]
    assert reference() is None and len(bound) == 5 and len(name_watch.everything) == 5
    assert jumplabel.info().keys == before - 1
    keys.clear()
    nothing_of_ours_is_left()


def test_loggers_and_modules_are_not_kept(logger):
    class Logger(logging.Logger):
        pass

    shop = module("shop", logger=Logger("of its own", 60))
    keys = [*keys_of(shop, "logger"), LogKey.of(shop.logger, "debug")]
    bind(keys)
    assert not any(states(keys))
    references = [weakref.ref(shop.logger), weakref.ref(shop), weakref.ref(Logger)]
    shop.logger = None
    del Logger
    gc.collect()
    assert [reference() is None for reference in references] == [True, False, True]
    del shop
    gc.collect()
    assert references[1]() is None
    logging.root.setLevel(logging.root.level)
    assert all(states(keys))
    bind(keys)
    assert all(states(keys))


def test_functions_may_outlive_their_module(logger):
    shop = module("shop", logger=logger)
    logger.setLevel(60)
    exec("def get():\n    return logger\ndef rebind(new):\n    global logger\n    logger = new", vars(shop))
    get, rebind = shop.get, shop.rebind
    (key,) = keys_of(shop, "logger", methods=["debug"])
    bind([key])
    del shop
    gc.collect()
    if get() is not None:  # then the interpreter has not emptied the variables
        assert not key.enabled
        logger.setLevel(10)
        assert key.enabled
        logger.setLevel(60)
        assert not key.enabled
    rebind(7)
    assert key.enabled or not WATCHED


def test_a_function_may_keep_its_key(logger):
    """As code made for a module does."""
    shop = module("shop", logger=logger)
    shop.key = LogKey("logging.kept", shop, ("logger",), "debug")
    exec("def function():\n    return 1 if key else 0", vars(shop))
    static_branches(shop.function)
    bind([shop.key])
    reference = weakref.ref(shop.key)
    del shop
    gc.collect()
    assert reference() is None


# ---- threads ----


@pytest.mark.parametrize("rounds", [200])
def test_no_record_is_lost_after_a_level_is_set(logger, shop, rounds):
    keys = keys_of(shop, "logger")
    bind(keys)
    records, turn, answer = [], threading.Semaphore(0), threading.Semaphore(0)

    debug = keys[0]
    work = static_branches(strict=True)(lambda: records.append(1) if debug else None)

    def other():
        while turn.acquire() and not stop:
            work()
            answer.release()

    stop = []
    thread = threading.Thread(target=other)
    thread.start()
    for n in range(rounds):
        logger.setLevel(60 if n % 2 else 10)
        records.clear()
        turn.release()
        answer.acquire()
        assert len(records) == (n + 1) % 2
    stop.append(1)
    turn.release()
    thread.join()


def test_all_at_once(logger, shop, stress_seconds):
    """Levels, names and bindings are changed by several threads; in the end all is right."""
    others = [logging.getLogger(f"{logger.name}.{n}") for n in range(3)]
    for n, each in enumerate(others):
        setattr(shop, f"other{n}", each)
    failed, end = [], time.monotonic() + stress_seconds / 3

    def levels():
        for n, each in enumerate(others):
            each.setLevel((10, 30, 60)[n])
            each.disabled = not each.disabled
        logger.setLevel(20)

    def names():
        shop.other0, shop.other1 = shop.other1, shop.other0
        vars(shop)["other2"] = logger
        vars(shop)["other2"] = others[2]

    def bindings():
        keys = keys_of(shop, "other1", name=f"{shop.__name__}.{threading.get_ident()}")
        bind(keys)
        unbind(keys[:3])
        bind(keys[:2])

    def repeat(function):
        try:
            while time.monotonic() < end:
                function()
        except BaseException as error:
            failed.append(error)

    keys = [key for n in range(3) for key in keys_of(shop, f"other{n}")]
    bind(keys)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=repeat, args=(each,)) for each in (levels, names, bindings, gc.collect)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failed
    if not WATCHED:
        bind(keys)
    logger.setLevel(10)
    for each in others:
        each.disabled = False
    expected = [answer for n in range(3) for answer in answers(getattr(shop, f"other{n}"))]
    assert states(keys) == expected


def test_a_name_rebound_while_another_thread_has_the_lock(logger, shop):
    """The key is on at once, and off as soon as somebody comes by."""
    logger.setLevel(60)
    keys = keys_of(shop, "logger")
    bind(keys)
    other = logging.getLogger(f"{logger.name}.other")
    has, let_go = threading.Event(), threading.Event()

    def hold():
        with logging._lock:
            has.set()
            let_go.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    has.wait()
    if WATCHED:
        shop.logger = other
        assert all(states(keys))
    let_go.set()
    thread.join()
    if WATCHED:
        LogKey.of(logger, "debug")
        assert states(keys) == [False] * 6
    else:
        shop.logger = other
        assert not any(states(keys))


def test_a_thread_may_rebind_a_name(logger, shop):
    logger.setLevel(60)
    keys = keys_of(shop, "logger")
    bind(keys)
    in_thread(setattr, shop, "logger", 7)
    assert all(states(keys))
    in_thread(setattr, shop, "logger", logger)
    assert not any(states(keys))


def set_level(logger):
    logger.setLevel(10)


def set_it_directly(logger):
    logger.level = 10


def clear_the_caches(logger):
    vars(logger)["level"] = 10  # past everybody
    logging.root._cache.clear()


@pytest.mark.parametrize("change", list(enumerate([set_level, set_it_directly, clear_the_caches])))
def test_a_signal_handler_may_set_a_level(logger, shop, change):
    """Wherever it interrupts what sets another one, what it has set last holds."""
    keys = keys_of(shop, "logger")
    bind(keys)
    logger.setLevel(60)
    child = logging.getLogger(f"{logger.name}.child")
    shop.child = child
    keys += keys_of(shop, "child")
    bind(keys)
    left = 0
    first, to_ten = change

    def handler(*_):
        to_ten(logger)
        assert all(states(keys[:6]))

    def trace(frame, event, argument):
        nonlocal left
        if "jumplabel" in frame.f_code.co_filename and event == "line":
            left -= 1
            if not left:
                sys.settrace(None)
                signal.raise_signal(signal.SIGUSR1)
        return trace

    for place in range(1 + first, 4000, 3):
        left = place
        before = signal.signal(signal.SIGUSR1, handler)
        try:
            sys.settrace(trace)
            with shown():
                child.level = 0 if place % 2 else 20
        finally:
            sys.settrace(None)
            signal.signal(signal.SIGUSR1, before)
        assert states(keys) == answers(logger) + answers(child)
        logger.setLevel(60)
        if left > 0:  # it was not interrupted
            break
    else:
        raise AssertionError("it never ended")
    assert place > 50


def test_a_logger_that_changes_while_a_key_is_bound_to_it(logger, shop, monkeypatch):
    """Between the look whether it concerns anybody, and the change."""
    keys = keys_of(shop, "logger")
    concerns, looks = change_hooks.listeners.concerns, []
    logger.disabled = True
    shop.root = logging.root
    keep = keys_of(shop, "root")
    bind(keep)

    def bound_behind_its_back(thing):
        if thing is logger and not looks:
            looks.append(thing)
            bind(keys)
            assert not any(states(keys))
            return False
        return concerns(thing)

    monkeypatch.setattr(change_hooks.listeners, "concerns", bound_behind_its_back)
    logger.disabled = False
    assert looks and states(keys) == answers(logger) and any(states(keys))


def test_nobody_turns_by_an_old_look(logger, shop):
    (key,) = keys_of(shop, "logger", methods=["debug"])
    before = name_watch.changes()
    name_watch.changed()
    assert name_watch.turn(before, [], [address(key)]) == name_watch.STALE and key.enabled
    assert name_watch.turn(name_watch.changes(), [], [address(key)]) == 0 and not key.enabled


def test_all_is_on_in_the_middle_of_a_change_that_nobody_can_foresee(logger, shop, monkeypatch):
    keys = keys_of(shop, "logger")
    logger.setLevel(60)
    bind(keys)
    through, seen = change_hooks.listeners.make_change, []

    def spy(changed, attributes, change, wait):
        through(changed, attributes, lambda: (seen.append(states(keys)), change()), wait)

    monkeypatch.setattr(change_hooks.listeners, "make_change", spy)
    logger.__class__ = type("Quiet", (logging.Logger,), {})
    logger.level = 10
    logger.level = 50
    logger.__class__ = logging.Logger
    assert seen == [[True] * 6, [True] * 6, [True] * 6, [True] * 6]
    assert states(keys) == answers(logger)


def test_what_goes_on_past_the_lock_stays_on_until_the_lock_is_free(logger, shop):
    """Also if somebody has worked it out in the middle, from before the change."""
    keys = keys_of(shop, "logger")
    logger.setLevel(60)
    bind(keys)
    has, let_go = threading.Event(), threading.Event()

    def hold():
        with logging._lock:
            has.set()
            let_go.wait()

    thread = threading.Thread(target=hold)

    def change():
        assert all(states(keys))
        bind(keys)
        assert not any(states(keys))
        thread.start()
        has.wait()
        vars(logger)["level"] = 10

    try:
        change_hooks.listeners.make_change_past_lock(logger, change)
        assert all(states(keys))
    finally:
        let_go.set()
        thread.join()


# ---- what fails ----


def test_a_patch_that_fails_is_raised_and_made_up_for():
    run(
        LOGGERS,
        """
        gates = [static_gate(key)(lambda: 1) for key in keys]
        logger.setLevel(60)
        bind(keys)

        blocking = BlockingThread()
        for change in (
            lambda: logger.setLevel(10),
            lambda: setattr(logger, "level", 10),
            lambda: setattr(logger, "debug", print),
            lambda: unbind(keys),
        ):
            refused(errno.EDEADLK, change)
            assert [gate() for gate in gates] == [None] * 6 and not any(states(keys))
        assert logger.level == 60 and "debug" not in vars(logger)
        reports = []
        sys.unraisablehook = reports.append
        if name_watch.HEARS_ALL:
            shop.logger = None
            states(keys)  # a call, between whose instructions it is looked at again
            assert [report.exc_value.errno for report in reports] == [errno.EDEADLK]
        else:
            refused(errno.EDEADLK, setattr, shop, "logger", None)
            shop.__dict__["logger"] = None
        assert not any(states(keys))
        refused(errno.EDEADLK, bind, keys)
        blocking.unblock()
        logging.root.setLevel(30)
        assert [gate() for gate in gates] == [1] * 6 and all(states(keys))
        blocking.end()
        """,
        JUMPLABEL_SYNC="signal",
    )


def test_the_lock_is_free_after_a_patch_that_fails_in_the_clearing_of_the_caches():
    """And what failed is made up for by the next change."""
    run(
        LOGGERS,
        """
        gates = [static_gate(key)(lambda: 1) for key in keys]
        logger.setLevel(60)
        bind(keys)
        turn, fails = name_watch.turn, []

        def failing(before, on, off):
            return -errno.EPERM if fails and (on or off) else turn(before, on, off)

        name_watch.turn = failing
        vars(logger)["level"] = 10  # past everybody
        fails.append(1)
        refused(errno.EPERM, logging.root.setLevel, 30)
        assert not any(states(keys))
        thread = threading.Thread(target=logging.getLogger, args=("another",))
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
        fails.clear()
        logging.root.setLevel(30)
        assert states(keys) == answers(logger) == [True] * 6
        """,
    )


# ---- forks and the end ----


def test_a_child_follows_its_own_loggers():
    run(
        LOGGERS,
        """
        gate = static_gate(keys[0], default="off")(lambda: "on")

        def child():
            assert gate() == "off"
            logger.setLevel(10)
            assert gate() == "on" and states(keys) == answers(logger)
            shop.logger = logging.getLogger("other")
            assert states(keys) == answers(shop.logger)
            unbind(keys)
            nothing_of_ours_is_left()

        bind(keys)
        holder = OtherThread(lambda: logging.getLogger("shop").setLevel(0))
        with holder:
            for _ in range(10):
                forked(child)
                assert gate() == "off" and states(keys) == answers(logger)
        """,
    )


@pytest.mark.parametrize("settings", [{}, {"JUMPLABEL_NATIVE": "0"}, {"JUMPLABEL_POKE": "word"}])
def test_a_process_ends_with_keys_that_are_bound(settings):
    run(
        LOGGERS,
        """
        import atexit
        sys.modules["shop.cart"] = shop
        sys.modules["late"] = late = module("late", gate=static_gate(keys[0])(lambda: 1), keys=keys)
        adapter = shop.adapter = logging.LoggerAdapter(logger, {})
        more = keys_of(shop, "adapter")
        bind([*keys, *more])

        class Late:
            def __del__(self, logger=logger, shop=shop):
                logger.setLevel(10)
                logger.disabled = True
                shop.logger = 7

        late.late = Late()
        atexit.register(logger.setLevel, 20)
        del late, keys
        """,
        **settings,
    )


# ---- somebody else watches dicts ----


TAKE_ALL_WATCHERS = """
import ctypes
add = ctypes.pythonapi.PyDict_AddWatcher
add.argtypes = [ctypes.c_void_p]
keep = ctypes.PYFUNCTYPE(ctypes.c_int, *[ctypes.c_int, *[ctypes.c_void_p] * 3])(lambda *_: 0)
while True:
    try:
        add(ctypes.cast(keep, ctypes.c_void_p))
    except RuntimeError:
        break
"""


@pytest.mark.skipif(not WATCHED, reason="there are no watchers")
def test_without_a_watcher_modules_get_a_class():
    run(
        LOGGERS,
        """
        assert not name_watch.HEARS_ALL
        bind(keys)
        assert type(shop) is name_watch._Module
        logger.setLevel(60)
        assert not any(states(keys))
        shop.logger = 7
        assert all(states(keys))
        unbind(keys)
        nothing_of_ours_is_left()
        """,
        first=TAKE_ALL_WATCHERS,
    )
