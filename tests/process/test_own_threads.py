"""Threads of the package while a C library forks past Python's hooks: csrc/cpython/own_thread.h.

The child of such a fork inherits the GIL as it is. Here the main thread keeps the GIL:
ctypes.PyDLL calls C without releasing it, and sys.setswitchinterval stops Python from taking it.
"""

import pytest
from processes import run

PROCESS = """
    import ctypes
    import socket
    import tempfile
    import time
    from jumplabel import on_toggle, serve
    from jumplabel._remote import connections
    from operators import ask, connect, request, wait_for

    signal.alarm(60)
    sys.setswitchinterval(1000)
    holding, free = ctypes.PyDLL(None), ctypes.CDLL(None)  # with the GIL, without the GIL
    key = StaticKey("key")
    home = tempfile.TemporaryDirectory()
    server = serve(home.name + "/sockets")
    assert ask(server.path, "enable", "key")[0]["outcome"] == "changed"

    def child(fork):
        '''Assert that the child can run threads, and that its server answers.'''
        def works():
            thread_works()
            assert ask(serve(home.name + "/sockets").path, "keys")[0]["on"]

        pid = fork()
        if not pid:
            run_and_exit(works, 20)
        assert ended(pid) == 0
"""


@pytest.mark.parametrize("fork", ["holding", "free"])
def test_the_child_of_a_fork_while_the_thread_waits_for_the_gil(fork):
    """A client makes the thread want the GIL, which the main thread keeps until it has forked."""
    run(
        PROCESS,
        f"""
        for _ in range(20):
            with connect(server.path) as client:
                sent = request("keys")
                assert holding.send(client.fileno(), sent, len(sent), 0) == len(sent)
                holding.usleep(20_000)
                child({fork}.fork)
                assert client.recv(100)
        thread_works()
        """,
    )


def test_a_fork_does_not_wait_for_ever_for_a_callback():
    run(
        PROCESS,
        """
        inside, done = threading.Event(), threading.Event()

        @on_toggle
        def wait(toggle):
            inside.set()
            done.wait()

        with connect(server.path) as client:
            client.sendall(request("disable", "key"))
            inside.wait()
            pid = holding.fork()
            if not pid:
                os._exit(0)
            assert ended(pid) == 0
            done.set()
            assert client.recv(100)
        """,
    )


def test_a_callback_may_fork():
    """The callback runs in a thread of the package. The fork does not wait for that thread."""
    run(
        PROCESS,
        """
        @on_toggle
        def fork(toggle):
            began = time.monotonic()
            pid = free.fork()
            if not pid:
                os._exit(0)
            assert ended(pid) == 0
            waited.append(time.monotonic() - began)

        waited = []
        for _ in range(3):
            ask(server.path, "disable", "key")
            ask(server.path, "enable", "key")
        assert min(waited) < 0.5, waited
        child(holding.fork)
        """,
    )


def test_the_thread_goes_on_after_forks():
    run(
        PROCESS,
        """
        for fork in (holding.fork, free.fork, os.fork) * 5:
            child(fork)
            assert ask(server.path, "disable", "key")[0]["outcome"] == "changed"
            assert ask(server.path, "enable", "key")[0]["outcome"] == "changed"
        """,
    )
