"""Loggers: keys that are on exactly while a call of a logger's method would do something.

In here: the state of loggers of ``logging``, loguru and structlog, read without running their code, and how a change
of it is heard. May not know: sources, modules, and how a site is made.
"""
