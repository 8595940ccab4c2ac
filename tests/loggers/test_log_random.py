"""Random changes of a tree of loggers: after each of them a key is off only if its logger would do nothing, and exactly
then, but for what a logger says no to by its cache alone."""

import itertools
import logging
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logger_checks import LEVELS, module

from jumplabel._loggers.log_keys import LogKey, bind, unbind

NAMES = ["a", "a.b", "a.b.c", "a.d", "e"]
METHODS = {**LEVELS, "log": 15}
numbers = itertools.count()

levels = st.sampled_from([0, 1, 10, 15, 16, 20, 30, 40, 50, 60])
which = st.integers(0, len(NAMES) - 1)
operations = st.one_of(
    st.tuples(st.just("set_level"), which, levels),
    st.tuples(st.just("root_level"), levels),
    st.tuples(st.just("disable"), levels),
    st.tuples(st.just("disable_directly"), levels),
    st.tuples(st.just("disabled"), which, st.booleans()),
    st.tuples(st.just("level_directly"), which, levels),
    st.tuples(st.just("reparent"), which, which),
    st.tuples(st.just("create"), which, st.sampled_from(["x", "x.y", "y.x.z"])),
    st.tuples(st.just("ask"), which, levels),
    st.tuples(st.just("rebind"), which, which),
    st.tuples(st.just("mock"), which),
    st.tuples(st.just("delete"), which),
    st.tuples(st.just("method"), which, st.sampled_from(["debug", "isEnabledFor"]), st.booleans()),
    st.tuples(st.just("bind"), which),
    st.tuples(st.just("unbind"), which),
)


class Tree:
    """A manager, and a module with a name for each of some of its loggers."""

    def __init__(self):
        self.manager = logging.Manager(logging.RootLogger(logging.WARNING))
        self.manager.setLoggerClass(logging.Logger)
        self.loggers = [self.manager.getLogger(name) for name in NAMES]
        self.loggers[0].parent.manager = self.manager
        for logger in self.loggers:
            logger.manager = self.manager
        self.module = module("tree", **{f"logger{n}": logger for n, logger in enumerate(self.loggers)})
        run = next(numbers)
        self.keys = [
            {
                method: LogKey(
                    f"logging.{run}.{n}.{method}", self.module, (f"logger{n}",), method, 15 if method == "log" else None
                )
                for method in METHODS
            }
            for n in range(len(NAMES))
        ]
        self.bound = set()

    def set_level(self, n, level):
        self.loggers[n].setLevel(level)

    def root_level(self, level):
        self.manager.root.setLevel(level)

    def disable(self, level):
        self.manager.disable = level
        self.manager._clear_cache()

    def disable_directly(self, level):
        self.manager.disable = level

    def disabled(self, n, disabled):
        self.loggers[n].disabled = disabled

    def level_directly(self, n, level):
        self.loggers[n].level = level

    def reparent(self, n, m):
        above = self.loggers[m]
        while above is not None and above is not self.loggers[n]:
            above = above.parent
        if above is None:
            self.loggers[n].parent = self.loggers[m]

    def create(self, n, name):
        self.loggers[n] = self.manager.getLogger(f"{NAMES[n]}.{name}")
        setattr(self.module, f"logger{n}", self.loggers[n])

    def ask(self, n, level):
        self.loggers[n].isEnabledFor(level)

    def rebind(self, n, m):
        setattr(self.module, f"logger{n}", self.loggers[m])

    def mock(self, n):
        setattr(self.module, f"logger{n}", mock.Mock())

    def delete(self, n):
        vars(self.module).get(f"logger{n}") and delattr(self.module, f"logger{n}")

    def method(self, n, name, replaced):
        if replaced:
            setattr(self.loggers[n], name, mock.Mock())
        elif name in vars(self.loggers[n]):
            delattr(self.loggers[n], name)

    def bind(self, n):
        self.bound.add(n)
        bind(self.keys[n].values())

    def unbind(self, n):
        self.bound.discard(n)
        unbind(self.keys[n].values())

    def expected(self, n, method):
        logger = vars(self.module).get(f"logger{n}")
        if n not in self.bound or type(logger) is not logging.Logger:
            return True
        one = logger
        while one is not None:
            if not {"debug", "isEnabledFor"}.isdisjoint(vars(one)):
                return True
            one = None if one.level else one.parent
        level = METHODS[method]
        if logger.disabled:
            return False
        cache = dict(logger._cache)
        dict.clear(logger._cache)
        enabled = logger.isEnabledFor(level) or cache.get(level, False)
        dict.clear(logger._cache)
        dict.update(logger._cache, cache)
        return enabled

    def check(self):
        for n, keys in enumerate(self.keys):
            logger = vars(self.module).get(f"logger{n}")
            for method, key in keys.items():
                assert key.enabled == self.expected(n, method), (n, method, logger)
                assert key.enabled or not dict(logger._cache).get(METHODS[method])


@pytest.mark.usefixtures("logger")
@given(st.lists(operations, min_size=1, max_size=40))
def test_after_any_change_the_keys_are_right(changes):
    tree = Tree()
    for n in range(len(NAMES) - 1):
        tree.bind(n)
    tree.check()
    for name, *arguments in changes:
        getattr(tree, name)(*arguments)
        tree.check()
