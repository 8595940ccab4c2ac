"""Scripts of processes that serve, for processes.run(): a server with a clock of the test's, work beside it, an end."""

PROCESS = """
    import resource
    import socket
    import tempfile
    import time

    from jumplabel import RemoteError, StaticKey, serve
    from jumplabel._remote import connections
    from operators import *

    class Clock:
        '''The server's clock. Only later() moves it.'''

        now = 1000.0

        def monotonic(self):
            return self.now

    def later():
        '''Let the time of every connected client run out.'''
        clock.now += 1000
        server._connections._ring()

    clock = Clock()
    connections.monotonic = clock.monotonic
    connections._LONG_TURN = float("inf")  # the time passes within a turn, too
    reported = []
    sys.unraisablehook = lambda unraisable: reported.append(unraisable.exc_value)
    before = descriptors(), 1  # the thread of the preamble may still be ending
    home = tempfile.TemporaryDirectory()
    folder = Path(home.name) / "sockets"
    key = StaticKey("shop.tracing")

    def clean():
        '''Close the server, and assert that its threads and descriptors go.'''
        wait_for(lambda: not server._connections._clients)
        wait_for(lambda: not jumplabel._keys.toggles.callbacks)
        server.close()
        wait_for(lambda: (descriptors(), threads()) == before)
        home.cleanup()
        assert reported == [], reported
"""

WORKS = """
    server = serve(folder)
    worked, done = [0], threading.Event()

    def work():
        '''The work of the process itself.'''
        while not done.is_set():
            worked[0] += 1
            time.sleep(0)

    def works():
        '''Assert that the process goes on, and that a good client is served.'''
        seen = worked[0]
        for _ in range(3):
            assert ask(server.path, "enable", "shop.tracing", when_busy=later)[0]["outcome"] == "changed" and key
            assert ask(server.path, "disable", "shop.tracing", when_busy=later)[0]["outcome"] == "changed" and not key
        wait_for(lambda: worked[0] > seen + 100)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
"""

END = """
    done.set()
    worker.join()
    clean()
"""
