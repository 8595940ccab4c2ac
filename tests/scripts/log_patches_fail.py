"""Patches of keys that follow a logger fail, and are made up for."""

import errno
import logging
import sys

from follows_a_logger import keys, logger, shop
from logger_checks import states
from preamble import BlockingThread, refused

from jumplabel import static_gate
from jumplabel._loggers.log_keys import bind, unbind
from jumplabel._program import name_watch

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
