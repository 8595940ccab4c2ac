"""gunicorn with the application of these tests, from its start to its end."""

from servers.load import http_get
from servers.operating import toggled_under_load
from servers.running import free_port, python, running

WORKERS = 2


def gunicorn(port, *options):
    options = "--workers", str(WORKERS), "--timeout", "120", *options
    return python("gunicorn", "--bind", f"127.0.0.1:{port}", *options, "shop_wsgi:application")


def ends_in_order(server):
    assert server.stop() == 0
    assert server.faults() == []
    assert server.socket_names() == set()


def serves_and_follows(folder, seconds, *options, **environment):
    port = free_port()
    with running(folder, *gunicorn(port, *options), **environment) as server:
        toggled_under_load(server, http_get(port), WORKERS, seconds)
        ends_in_order(server)
