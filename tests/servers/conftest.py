"""What the tests with real servers need. Each skips where its server is not installed: the extra `servers` has them."""

import pytest

pytest.register_assert_rewrite("servers.running", "servers.load", "servers.operating")


@pytest.fixture
def seconds(stress_seconds):
    """How long each server is under load, at least."""
    return stress_seconds
