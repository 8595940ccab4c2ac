"""The part of jumplabel that every run of pytest loads: the marker and the fixture ``static_keys``.

jumplabel/pytest_plugin.py does the work. The first test that uses the fixture loads it. This module is not in the
package, as importing it would import the package in every run of pytest: before coverage begins to measure, and also
where the package cannot be imported. (pytest's assertion rewriting need not look at it: PYTEST_DONT_REWRITE.)
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jumplabel.pytest_plugin import StaticKeys

MARKER = "static_keys"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARKER}(*on, off=()): hold static keys on, and others off, for the test, by their names or by patterns such "
        "as 'shop.*'; the marker nearest to the test decides (jumplabel)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Have a marked test use the fixture.

    The fixture comes after those of wider scopes, which other tests share, and before all others of the test's own.
    """
    names = getattr(item, "fixturenames", None)
    if names is None or MARKER in names or item.get_closest_marker(MARKER) is None:
        return
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    own = [name for name in names if name in definitions and definitions[name][-1].scope == "function"]
    names.insert(names.index(own[0]) if own else len(names), MARKER)


@pytest.fixture
def static_keys(request: pytest.FixtureRequest) -> "Iterator[StaticKeys]":
    """Set static keys for this test: ``static_keys.enable("shop.tracing", "asserts.*")``, and ``disable``."""
    from jumplabel.pytest_plugin import set_for

    with set_for(list(request.node.iter_markers(MARKER))[::-1]) as keys:
        yield keys
