"""uvicorn with workers under load while an operator toggles through ``--tree``: no error, no lost toggle.

Its workers are new Python processes (multiprocessing's spawn), which find JUMPLABEL_SERVE in their environment.
"""

import signal

import pytest
from servers.load import http_get
from servers.operating import toggled_under_load
from servers.running import another_process_serves, free_port, python, running, skip_without

pytestmark = pytest.mark.slow

skip_without("uvicorn")


@pytest.mark.parametrize("workers", [1, 3])
def test_workers(tmp_path, seconds, workers):
    port = free_port()
    command = python("uvicorn", "shop_asgi:application", "--port", port, "--workers", workers, "--log-level=warning")
    with running(tmp_path, *command) as server:
        toggled_under_load(server, http_get(port), workers, seconds)
        assert server.stop() in (0, -signal.SIGTERM)
        assert server.faults() == []
        if workers == 1:  # there is one process, which a signal ends in the end, without its interpreter
            another_process_serves(server.sockets)
        assert server.socket_names() == set()
