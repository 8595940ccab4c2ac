"""A logger of a module, and a key for each of its methods.

The scripts use what it imports.
"""

# ruff: noqa: F401

import logging

from logger_checks import answers, keys_of, module, nothing_of_ours_is_left, states

from jumplabel import static_gate
from jumplabel._loggers.log_keys import LogKey, bind, unbind
from jumplabel._program import name_watch

logger = logging.getLogger("shop.cart")
shop = module("shop.cart", logger=logger)
keys = keys_of(shop, "logger")
