"""Modules whose marked code is kept in files: a source, and how it is imported again."""

from typing import Any

from packages import Packages

CART = """
    import logging
    logger = logging.getLogger(__name__)

    def total(price):
        logger.debug("price %s", price)
        assert price
        return price
"""


def again(packages: Packages, name: str, source: str = CART) -> Any:
    packages.forget()
    return packages.load(name, source)
