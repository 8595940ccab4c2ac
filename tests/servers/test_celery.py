"""celery's workers under load while an operator toggles through ``--tree``: no error, no lost toggle."""

import itertools
import json
import threading
import time

import pytest
from servers.operating import toggled_under_load, toggled_while_workers_are_replaced
from servers.running import python, running, skip_without

pytestmark = pytest.mark.slow

skip_without("celery", "uvicorn", "django")


@pytest.fixture
def ask(tmp_path):
    """A function that has a worker do one task, and returns what the task wrote."""
    from celery import Celery

    for name in ("answers", "control", "queue", "sent"):
        (tmp_path / name).mkdir()
    options = {"data_folder_in": f"{tmp_path}/sent", "data_folder_out": f"{tmp_path}/sent"}
    application = Celery("tests", broker="filesystem://localhost", set_as_current=False)
    application.conf.update(broker_transport_options={**options, "control_folder": f"{tmp_path}/control"})
    numbers, one = itertools.count(), threading.Lock()

    def ask():
        name = str(next(numbers))
        with one:
            application.send_task("answer", [name], ignore_result=True)
            for file in (tmp_path / "sent").iterdir():  # a file that is being written must not be in the queue
                file.rename(tmp_path / "queue" / file.name)
        file, end = tmp_path / "answers" / name, time.monotonic() + 60
        while not file.exists():
            assert time.monotonic() < end, f"no worker does task {name}"
            time.sleep(0.002)
        return json.loads(file.read_text())

    yield ask
    application.close()


def worker(*options):
    command = "celery", "--app=shop_tasks", "worker", "--loglevel=INFO", "--without-mingle", "--without-gossip"
    return python(*command, "--without-heartbeat", *options)


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent"])
def test_pool(tmp_path, seconds, ask, pool):
    if pool == "gevent":
        skip_without("gevent")
    with running(tmp_path, *worker(f"--pool={pool}", "--concurrency=2")) as server:
        toggled_under_load(server, ask, 2 if pool == "prefork" else 1, seconds)
        assert server.stop() == 0
        assert server.faults() == []
        assert server.socket_names() == set()


def test_processes_that_are_replaced_inherit_from_their_parent(tmp_path, seconds, ask):
    with running(tmp_path, *worker("--pool=prefork", "--concurrency=2", "--max-tasks-per-child=40")) as server:
        toggled_while_workers_are_replaced(server, ask, 2, seconds, inherited=True)
        assert server.stop() == 0
        assert server.faults() == []
        assert server.socket_names() == set()
