"""Packages of source files to import, and what to look at in them."""

import importlib
import logging
import sys
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import jumplabel

CART = """
    import logging

    logger = logging.getLogger(__name__)
    evaluated = []

    def argument(value):
        evaluated.append(value)
        return value

    def total(prices):
        result = 0
        for price in prices:
            logger.debug("price %s", argument(price))
            assert price > 0, "no price"
            result += price
        return result
"""
"""A module with a logging statement and an assertion."""


class Packages:
    """A folder of modules on sys.path. Afterwards none of them is loaded or found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: set[str] = set()

    def write(self, name: str, source: str, package: bool = False) -> Path:
        path = self.folder.joinpath(*name.split("."), *(["__init__"] if package else [])).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != dedent(source):  # or its time would be another one
            path.write_text(dedent(source))
        self.names.add(name.partition(".")[0])
        importlib.invalidate_caches()
        return path

    def load(self, name: str, source: str) -> ModuleType:
        self.write(name, source)
        return importlib.import_module(name)

    def forget(self) -> None:
        """Unload the modules. What still uses one keeps it."""
        for name in list(sys.modules):
            if name.partition(".")[0] in self.names:
                del sys.modules[name]
        importlib.invalidate_caches()

    def caches(self) -> list[Path]:
        return sorted(self.folder.rglob("*jumplabel*.pyc"))


class Records(logging.Handler):
    """Keeps what a logger was given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def take(self) -> list[str]:
        messages = [record.getMessage() for record in self.records]
        self.records.clear()
        return messages


@contextmanager
def records(name: str, level: int = logging.NOTSET) -> Any:
    logger, handler = logging.getLogger(name), Records()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(level)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.propagate = before[1]
        logger.setLevel(before[0])


def sites(module: str) -> list[str]:
    """Return the keys of a module's sites, in the order of the lines."""
    entries = [entry for entry in jumplabel.jump_table() if (entry.owner or "").startswith(f"{module}.")]
    return [entry.key for entry in sorted(entries, key=lambda entry: int(entry.owner.rpartition(":")[2]))]
