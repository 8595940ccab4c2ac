"""gunicorn under load while an operator toggles through ``--tree``: no error, no lost toggle.

The shortest of these tests, in the test command. test_gunicorn_workers.py has the others.
"""

import pytest
from servers.gunicorn_runs import serves_and_follows
from servers.running import skip_without

pytestmark = pytest.mark.slow

skip_without("gunicorn")


def test_sync(tmp_path, seconds):
    serves_and_follows(tmp_path, seconds)


def test_gevent_that_patches_in_the_master_and_preload(tmp_path, seconds):
    skip_without("gevent")
    serves_and_follows(tmp_path, seconds, "--worker-class=gevent", "--config=patches_at_once.py", "--preload")
