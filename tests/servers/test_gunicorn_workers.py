"""All kinds of gunicorn's workers under load while an operator toggles through ``--tree``: no error, no lost toggle.

gunicorn is in the extra `test`, for test_gunicorn.py. These run where the extra `servers` is installed.
"""

import pytest
from servers.gunicorn_runs import WORKERS, ends_in_order, gunicorn, serves_and_follows
from servers.load import http_get
from servers.operating import toggled_while_workers_are_replaced
from servers.running import free_port, running, skip_without

pytestmark = pytest.mark.slow

skip_without("gunicorn", "uvicorn", "django")


def test_sync_in_the_default_folder(tmp_path, seconds):
    serves_and_follows(tmp_path, seconds, JUMPLABEL_SERVE="1")


def test_threads(tmp_path, seconds):
    serves_and_follows(tmp_path, seconds, "--worker-class=gthread", "--threads=4")


def test_preload(tmp_path, seconds):
    serves_and_follows(tmp_path, seconds, "--preload")


def test_preload_with_threads(tmp_path, seconds):
    serves_and_follows(tmp_path, seconds, "--preload", "--worker-class=gthread", "--threads=4")


# ---- green threads ----


def test_gevent(tmp_path, seconds):
    skip_without("gevent")
    serves_and_follows(tmp_path, seconds, "--worker-class=gevent")


def test_gevent_that_patches_in_the_master(tmp_path, seconds):
    skip_without("gevent")
    serves_and_follows(tmp_path, seconds, "--worker-class=gevent", "--config=patches_at_once.py")


# ---- workers that are replaced ----


@pytest.mark.parametrize("workers", ["sync", "gthread", "gevent"])
def test_workers_that_are_replaced(tmp_path, seconds, workers):
    if workers == "gevent":
        skip_without("gevent")
    port = free_port()
    options = f"--worker-class={workers}", "--max-requests=100", "--max-requests-jitter=50"
    with running(tmp_path, *gunicorn(port, *options)) as server:
        toggled_while_workers_are_replaced(server, http_get(port), WORKERS, seconds)
        ends_in_order(server)


def test_workers_that_are_replaced_inherit_from_a_master_that_has_loaded_the_application(tmp_path, seconds):
    port = free_port()
    with running(tmp_path, *gunicorn(port, "--preload", "--max-requests=100", "--max-requests-jitter=50")) as server:
        toggled_while_workers_are_replaced(server, http_get(port), WORKERS, seconds, inherited=True)
        ends_in_order(server)
