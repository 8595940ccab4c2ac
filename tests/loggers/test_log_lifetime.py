"""Keys that follow loggers: what keeps them, what fails, forks, and the end."""

import gc
import logging
import weakref

import pytest
from logger_checks import WATCHED, keys_of, module, nothing_of_ours_is_left, states
from processes import run

import jumplabel
from jumplabel import static_branches
from jumplabel._loggers.followed_loggers import bound
from jumplabel._loggers.log_keys import LogKey, bind
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

# ---- references ----


def test_nothing_is_left_of_a_deleted_key(logger, shop):
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
    if get() is not None:  # the interpreter has not emptied the variables
        assert not key.enabled
        logger.setLevel(10)
        assert key.enabled
        logger.setLevel(60)
        assert not key.enabled
    rebind(7)
    assert key.enabled or not WATCHED


def test_a_function_may_keep_its_key(logger):
    """As code that is made for a module does."""
    shop = module("shop", logger=logger)
    shop.key = LogKey("logging.kept", shop, ("logger",), "debug")
    exec("def function():\n    return 1 if key else 0", vars(shop))
    static_branches(shop.function)
    bind([shop.key])
    reference = weakref.ref(shop.key)
    del shop
    gc.collect()
    assert reference() is None


# ---- what fails ----


def test_a_patch_that_fails_raises_and_the_next_change_makes_up_for_it():
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


def test_the_lock_is_free_after_a_patch_that_fails_while_caches_are_cleared():
    """And the next change makes up for the patch."""
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
        vars(logger)["level"] = 10  # past all hooks
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


# ---- another tool watches dicts ----


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
