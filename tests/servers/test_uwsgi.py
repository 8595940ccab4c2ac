"""uWSGI under load while an operator toggles through ``--tree``: no error, no lost toggle.

It forks in C. Python's hooks hear of that with --py-call-uwsgi-fork-hooks and --enable-threads; without them the engine
notices it (csrc/cpython/fork_notice.h).
"""

import sys
from importlib import metadata

import pytest
from servers.load import http_get
from servers.operating import toggled_under_load, toggled_while_workers_are_replaced
from servers.running import another_process_serves, free_port, running

pytestmark = pytest.mark.slow

try:
    FILES = metadata.files("uwsgi") or []
except metadata.PackageNotFoundError:
    pytest.skip("uWSGI is not installed", allow_module_level=True)

WORKERS = 2
HOOKS = "--enable-threads", "--py-call-uwsgi-fork-hooks"


def uwsgi(port, *options):
    (program,) = (file.locate() for file in FILES if file.name == "uwsgi")
    options = "--master", "--need-app", "--die-on-term", f"--processes={WORKERS}", *options
    return program, f"--http-socket=127.0.0.1:{port}", f"--virtualenv={sys.prefix}", *options


def ends_in_order(server):
    """uWSGI ends its master, and some workers, without their interpreter: the next process removes their sockets."""
    assert server.stop() == 0
    assert server.faults() == []
    another_process_serves(server.sockets)
    assert server.socket_names() == set()


@pytest.mark.parametrize("lazy", [[], ["--lazy-apps"]], ids=["", "lazy"])
@pytest.mark.parametrize("hooks", [HOOKS, ["--enable-threads"], []], ids=["hooks", "threads", "nothing"])
def test_workers(tmp_path, seconds, hooks, lazy):
    port = free_port()
    with running(tmp_path, *uwsgi(port, *hooks, *lazy, "--wsgi=shop_wsgi")) as server:
        toggled_under_load(server, http_get(port), WORKERS, seconds)
        ends_in_order(server)


@pytest.mark.parametrize("hooks", [HOOKS, ["--enable-threads"]], ids=["hooks", "threads"])
def test_workers_that_serve_by_a_call_of_their_own(tmp_path, seconds, hooks):
    """The application calls serve() in the master, and in each worker by uwsgidecorators.postfork."""
    port = free_port()
    with running(tmp_path, *uwsgi(port, *hooks, "--wsgi=shop_postfork"), JUMPLABEL_SERVE="") as server:
        toggled_under_load(server, http_get(port), WORKERS, seconds)
        ends_in_order(server)


def test_workers_that_are_replaced_inherit_from_a_master_that_has_loaded_the_application(tmp_path, seconds):
    port = free_port()
    with running(
        tmp_path, *uwsgi(port, *HOOKS, "--wsgi=shop_wsgi", "--max-requests=100", "--min-worker-lifetime=1")
    ) as server:
        toggled_while_workers_are_replaced(server, http_get(port), WORKERS, seconds, inherited=True)
        ends_in_order(server)
