"""Fixtures of the tests of operators: a process to reach, and the command that reaches it."""

from reached import environment, run, start

__all__ = ["environment", "run", "start"]
