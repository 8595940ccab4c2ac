"""Keys that follow loggers, and what they should be, for tests of these."""

import contextlib
import logging
import sys
from types import ModuleType

from jumplabel._engine import lib
from jumplabel._loggers.log_keys import LogKey
from jumplabel._program import name_watch

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50, "exception": 40}
WATCHED = name_watch.HEARS_ALL
"""Whether changes of any dict are heard of."""


@contextlib.contextmanager
def shown():
    """Show tracers the library's own functions, too, where statements of the program call them."""
    lib.unseen_is_shown = 1
    try:
        yield
    finally:
        lib.unseen_is_shown = 0


def module(name, **variables):
    made = ModuleType(name)
    vars(made).update(variables)
    return made


def keys_of(module, *path, methods=LEVELS, name=None):
    """Return a key for each method of the logger that the path leads to."""
    name = name or f"{module.__name__}.{'.'.join(path)}"
    return [LogKey(f"logging.{name}.{method}", module, path, method) for method in methods]


def states(keys):
    return [key.enabled for key in keys]


def answers(logger, methods=LEVELS):
    """Return what the logger itself says for each method. Its cache stays as it was."""
    before = dict(logger._cache)
    logger._cache.clear() if logger is not logger.root else dict.clear(logger._cache)
    found = [logger.isEnabledFor(LEVELS[method]) for method in methods]
    dict.clear(logger._cache)
    dict.update(logger._cache, before)
    return found


def nothing_of_ours_is_left():
    from jumplabel._loggers.followed_loggers import bound

    assert not bound and not name_watch.names and not name_watch.everything
    assert "__setattr__" not in vars(logging.Logger) and "__setattr__" not in vars(logging.Manager)
    assert "__setattr__" not in vars(logging.LoggerAdapter)
    assert type(logging.root._cache) is dict
    assert all(type(each) is not name_watch._Module for each in sys.modules.values())
