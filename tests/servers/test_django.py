"""Django's runserver with its reloader under load while an operator toggles through ``--tree``: no lost toggle."""

import os
import time

import pytest
from servers.load import http_get
from servers.operating import toggled_under_load
from servers.running import exists, free_port, running, skip_without, sys, wait_for

pytestmark = pytest.mark.slow

skip_without("django")


def test_runserver_and_its_reloader(tmp_path, seconds):
    port = free_port()
    with running(tmp_path, sys.executable, "shop_django.py", "runserver", f"127.0.0.1:{port}") as server:
        ask = http_get(port)
        toggled_under_load(server, ask, 1, seconds / 2)
        before = ask()["pid"]
        assert before != server.pid

        source = tmp_path / "apps" / "shop_sites.py"

        def has_reloaded():
            """The reloader looks once a second, and begins with a module some time after its import: touch it again."""
            if time.time() > source.stat().st_mtime + 2:
                os.utime(source)
            return not exists(before)

        wait_for(has_reloaded, server.log)
        toggled_under_load(server, ask, 1, seconds / 2)
        assert server.stop(ask()["pid"]) == 0
        assert server.faults() == []
        assert server.socket_names() == set()
