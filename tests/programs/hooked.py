"""What package_tests.py and hooked_stdlib.py share: the import hook, what is logged, and a thread that turns loggers.

All of it is for a process of its own.
"""

import contextlib
import functools
import hashlib
import logging
import os
import random
import re
import sys
import time
from collections import Counter

import suites

import jumplabel
import jumplabel._instrument.mark_statements  # as with the hook: hypothesis takes examples from the loaded modules
from jumplabel import StaticKeyError
from jumplabel._keys.patterns import Patterns

LEVELS = [logging.NOTSET, 1, 5, 7, logging.DEBUG, logging.INFO, logging.WARNING, logging.CRITICAL + 10]


class Records:
    """Keeps what files under a folder log: of each record the place, the logger, the level and the text.

    Addresses in the text do not count, nor does the order, as threads have none. Where arguments vary from run to run
    (times, ports, names of temporary files), the text is that of the statement, without them.
    """

    def __init__(self, folder: str, arguments_vary: bool = False) -> None:
        self._under = os.path.join(os.path.abspath(folder), "")
        self._arguments_vary = arguments_vary
        self._factory = logging.getLogRecordFactory()
        self._records: list[str] = []
        self.n = 0
        self.digests: dict[str, str] = {}
        logging.setLogRecordFactory(self._made)

    def _made(self, *args, **kwargs):
        record = self._factory(*args, **kwargs)
        if record.pathname.startswith(self._under):
            where = f"{record.pathname.removeprefix(self._under)}:{record.lineno} in {record.funcName}"
            message = record.getMessage()
            if self._arguments_vary:
                message = re.sub("[0-9]+", "0", record.msg) if record.args and isinstance(record.msg, str) else ""
            text = f"{where}: {record.name} {record.levelno} {bool(record.exc_info)} {message}"
            self._records.append(re.sub("0x[0-9a-f]+", "0x", text))
        return record

    def belong_to(self, test: str) -> None:
        """Count what was logged since the last call as the test's."""
        records, self._records = sorted(self._records), []
        if records:
            self.n += len(records)
            self.digests[test] = hashlib.sha256("\n".join(records).encode("utf-8", "replace")).hexdigest()


class Asked:
    """Counts the logging statements that are reached: how often a logger is asked for its level.

    For runs without the hook, where every statement asks.
    """

    n = 0

    def __init__(self) -> None:
        original = logging.Logger.isEnabledFor

        def counted(logger, level):
            self.n += 1
            return original(logger, level)

        logging.Logger.isEnabledFor = counted


@contextlib.contextmanager
def flipping(package, seed):
    """Have a thread turn the package's loggers, the root logger, all logging and the assertions all the while.

    Yields [n], and a list for what goes wrong: what disagreeing() says, at moments at which no other thread turns any.
    """
    n, chance = [0], random.Random(seed)
    before = {logging.root: logging.root.level}

    def one():
        names = [name for name in list(logging.root.manager.loggerDict) if f"{name}.".startswith(f"{package}.")]
        logger = logging.getLogger(chance.choice(names or [package]))
        before.setdefault(logger, logger.level)
        return logger

    def flip():
        what = chance.randrange(8)
        if what < 3:
            one().setLevel(chance.choice(LEVELS))
        elif what < 5:
            logging.root.setLevel(chance.choice(LEVELS))
        elif what < 6:
            logging.disable(chance.choice([0, 0, 0, logging.DEBUG, logging.CRITICAL]))
        elif what < 7:
            one().disabled = chance.random() < 0.25
        else:
            for key in asserts_keys():
                with contextlib.suppress(StaticKeyError):
                    key.enable() if chance.random() < 0.5 else key.disable()
        n[0] += 1

    def flip_and_wait():
        flip()
        time.sleep(chance.random() * 0.001)
        if chance.random() < 0.5:
            wrong.extend(still_disagreeing())

    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-4)
    try:
        with suites.repeated(flip_and_wait) as wrong:
            yield n, wrong
    finally:
        sys.setswitchinterval(switch_interval)
        logging.disable(logging.NOTSET)
        for logger, level in before.items():
            logger.disabled = False
            logger.setLevel(level)


def asserts_keys():
    return [key for key in jumplabel.keys() if key.name.startswith("asserts.")]


def enable_asserts() -> None:
    """Enable the assertions of all loaded modules."""
    for key in asserts_keys():
        key.enable()


def log_keys():
    return [key for key in jumplabel.keys() if key.name.startswith("logging.")]


def sites() -> tuple[int, int]:
    """Return the numbers of sites: of logging statements, of assertions."""
    kinds = Counter(entry.key.partition(".")[0] for entry in jumplabel.jump_table())
    return kinds["logging"], kinds["asserts"]


def disagreeing() -> list[str]:
    """Return the keys and sites that are in another state than the logger that their names lead to."""
    wrong = []
    for key in log_keys():
        found = _logger_and_level(key.name)
        is_on = found and found[0].isEnabledFor(found[1])
        if found and (key.enabled != is_on or any(entry.state != is_on for entry in key.entries)):
            states = [entry.state for entry in key.entries]
            wrong.append(f"{key!r} with sites {states}: {found[0]!r} says {is_on} for {found[1]}")
    return wrong


def still_disagreeing(moments: int = 20) -> list[str]:
    """Return what goes on to disagree: for a moment another thread may be turning a logger."""
    wrong = disagreeing()
    while wrong and moments:
        time.sleep(0.002)
        moments, wrong = moments - 1, [text for text in disagreeing() if text in wrong]
    return wrong


def _logger_and_level(name):
    """``logging.<module>.<logger>.<method>[:<level>]``; None where that is a mock, or a closure's."""
    name, _, level = name.partition(" (")[0].partition(":")
    _, *path = name.split(".")
    for n in range(len(path) - 1, 0, -1):
        module = sys.modules.get(".".join(path[:n]))
        if module is not None:
            with contextlib.suppress(AttributeError):
                *holders, method = path[n:]
                logger = functools.reduce(getattr, holders, module)
                if level:
                    number = int(level) if level.isdigit() else functools.reduce(getattr, level.split("."), module)
                else:
                    number = getattr(logging, {"exception": "ERROR"}.get(method, method.upper()))
                if type(logger) is logging.Logger:
                    return logger, number
    return None


def loaded(patterns) -> list[str]:
    """Return the modules that the hook comes too late for."""
    patterns = Patterns(patterns)
    return [name for name in sys.modules if name in patterns]
