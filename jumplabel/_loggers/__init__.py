"""Loggers: keys that are on exactly while a call of a logger's method would do something.

``log_keys.py`` has the key, ``followed_loggers.py`` its logger, ``logging_state.py`` and its two neighbours the answer
of each library's loggers. ``change_hooks.py`` hears of changes, ``logger_changes.py`` acts on them, ``turn_keys.py``
toggles, and ``logging_lock.py`` keeps threads apart. Runs none of the program's code. May not know: sources, modules,
and how a site is made.
"""
