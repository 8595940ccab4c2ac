"""jumplabel.serve() among hostile clients, and in processes that fork, lose their descriptors or watch.

Each case runs in a process of its own (processes.py).
"""

import pytest
from processes import run

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

# ---- hostile clients ----

HOSTILE = {
    "silent": "held = [connect(server.path) for _ in range(connections.CLIENTS)]",
    "half a request": """
        held = [connect(server.path) for _ in range(connections.CLIENTS)]
        for connection in held:
            connection.sendall(b'{"command"')
        """,
    "hundreds": "held = [connect(server.path) for _ in range(300)]",
    "hundreds that come and go": """
        for _ in range(300):
            connect(server.path).close()
        held = []
        """,
    "hundreds with a request each, that go": """
        for _ in range(300):
            with connect(server.path) as connection:
                try:
                    connection.sendall(request("keys"))
                except OSError:
                    pass
        held = []
        """,
    "endless": """
        def endless(connection):
            try:
                while True:
                    connection.sendall(b"x" * 1000)
            except OSError:
                pass

        held = [connect(server.path) for _ in range(4)]
        threading.Thread(target=endless, args=(held[0],)).start()
        for connection in held:
            threading.Thread(target=endless, args=(connection,), daemon=True).start()
        """,
    "garbage": """
        held = [connect(server.path) for _ in range(16)]
        for n, connection in enumerate(held):
            connection.sendall(os.urandom(100 * n) + b"\\n")
        """,
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_the_process_and_others_are_served(hostile):
    run(
        PROCESS,
        WORKS,
        "soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))",
        hostile,
        """
        works()
        assert len(server._connections._clients) <= connections.CLIENTS
        later()
        for connection in held:  # the server has dropped all of them, gone or not
            assert len(lines(rest(connection) if connection.fileno() >= 0 else b"")) <= 1
            connection.close()
        del held
        """,
        END,
    )


def test_more_clients_than_the_limit_are_told_at_once_that_the_server_is_busy():
    run(
        PROCESS,
        "server = serve(folder)",
        """
        held = [connect(server.path) for _ in range(connections.CLIENTS)]
        with connect(server.path) as late:
            assert [list(answer) for answer in lines(rest(late))] == [["error", "busy"]]
        held.pop().close()
        assert ask(server.path, "keys", "none") == []
        for connection in held:
            connection.close()
        clean()
        """,
    )


def test_an_answer_that_is_not_read_is_not_made_and_is_given_up():
    run(
        PROCESS,
        WORKS,
        """
        keys = [StaticKey(f"other.{n}.{'x' * 1000}") for n in range(1500)]
        held = connect(server.path)
        held.sendall(request("keys"))
        seen = set()
        wait_for(lambda: seen.update(server._connections._clients.values()) or any(client.out for client in seen))
        (client,) = (client for client in seen if client.out)
        works()
        assert len(client.out) < 1 << 15
        later()
        wait_for(lambda: client not in server._connections._clients.values())
        assert 0 < len(rest(held)) < 1 << 20
        held.close()
        assert len(ask(server.path, "keys")) == 1501  # a client that reads gets the whole answer
        """,
        END,
    )


def test_no_descriptors_left():
    run(
        PROCESS,
        WORKS,
        """
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 40, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(10)]
        files = []
        try:
            while True:
                files.append(open("/dev/null"))
        except OSError:
            pass
        for connection in waiting:
            connection.connect(server.path)
        wait_for(lambda: reported)
        seen = worked[0]
        wait_for(lambda: worked[0] > seen + 100)
        assert len(reported) == 1
        for file in files:
            file.close()
        later()
        works()
        assert {error.errno for error in reported} == {errno.EMFILE}
        reported.clear()
        for connection in waiting:
            connection.close()
        """,
        END,
    )


# ---- watching ----

WATCHING = """
    server = serve(folder)
    other = StaticKey("cellar.tracing")
    gate = static_gate(key)(len)

    def watching(*patterns):
        connection = connect(server.path)
        connection.sendall(request("watch", *patterns))
        file = connection.makefile("rb")
        assert lines(file.readline()) == [{"watching": list(patterns)}]
        return connection, file
"""


def test_a_watcher_hears_of_each_toggle():
    run(
        PROCESS,
        WATCHING,
        """
        connection, file = watching("shop.*")
        everything = watching("*")
        start = time.time()
        key.enable()
        key.enable()
        other.enable()
        ask(server.path, "disable", "shop.tracing")
        for old, new in ((False, True), (True, False)):
            (told,) = lines(file.readline())
            assert start <= told.pop("time") <= time.time()
            assert told == {"key": "shop.tracing", "old": old, "new": new, "sites": 1}
        assert [lines(everything[1].readline())[0]["key"] for _ in range(3)] == [key.name, other.name, key.name]
        for end in (*everything, connection):
            end.close()
        file.close()
        clean()
        """,
    )


def test_toggles_are_collected_only_while_an_operator_watches():
    run(
        PROCESS,
        "server = serve(folder)",
        """
        for _ in range(3):
            with connect(server.path) as connection:
                connection.sendall(request("watch"))
                assert connection.recv(100)
                assert len(jumplabel._keys.toggles.callbacks) == 1
            wait_for(lambda: not jumplabel._keys.toggles.callbacks)
        with connect(server.path) as connection:
            connection.sendall(request("watch"))
            assert connection.recv(100)
            connection.sendall(b"more")
            assert rest(connection) == b""
        clean()
        """,
    )


def test_a_watcher_that_does_not_read_is_dropped():
    run(
        PROCESS,
        WORKS,
        """
        connections._BEHIND = 1 << 12
        held = [connect(server.path) for _ in range(2)]
        for connection in held:
            connection.sendall(request("watch"))
            assert connection.recv(100)
        slow = list(server._connections._clients.values())
        good = connect(server.path)
        good.sendall(request("watch"))
        told = []
        file = good.makefile("rb")
        count = lambda: [told.append(lines(line)[0].get("lost", 1)) for line in file]
        reader = threading.Thread(target=count, daemon=True)
        reader.start()
        wait_for(lambda: told)  # the operator watches now
        toggles = 0
        end = time.monotonic() + MANY
        while not all(client.lost and len(client.out) > connections._BEHIND for client in slow):
            key.enable()
            key.disable()
            toggles += 2
            assert all(len(client.out) < 1 << 13 for client in slow) and time.monotonic() < end
            time.sleep(0)
        works()
        wait_for(lambda: sum(told) == 1 + toggles + 6)
        assert toggles > 100
        later()
        wait_for(lambda: len(server._connections._clients) == 1)
        good.shutdown(socket.SHUT_RDWR)
        reader.join()
        file.close()
        for connection in [*held, good]:
            connection.close()
        """,
        END,
    )


def test_toggles_that_no_watcher_could_be_told_are_counted():
    run(
        PROCESS,
        WATCHING,
        """
        connection, file = watching("*")
        connections._TOGGLES = 3
        entered, leave = threading.Event(), threading.Event()
        jumplabel._remote.operator_requests.answers = lambda request: entered.set() or leave.wait(MANY) and iter(())
        with connect(server.path) as slow:
            slow.sendall(request("keys"))
            assert entered.wait(MANY)  # the thread waits here
            for _ in range(4):
                key.enable()
                key.disable()
            leave.set()
            answers = [lines(file.readline())[0] for _ in range(4)]
        assert [answer.get("new") for answer in answers] == [True, False, True, None] and answers[3] == {"lost": 5}
        file.close()
        connection.close()
        clean()
        """,
    )


def test_half_of_the_clients_may_watch():
    run(
        PROCESS,
        "server = serve(folder)",
        """
        held = [connect(server.path) for _ in range(connections.CLIENTS // 2)]
        for connection in held:
            connection.sendall(request("watch"))
            assert b"watching" in connection.recv(100)
        assert "watching already" in talk(server.path, request("watch"))[0]["error"]
        assert ask(server.path, "keys", "none") == []
        for connection in held:
            connection.close()
        clean()
        """,
    )


def test_a_callback_that_closes_the_server():
    run(
        PROCESS,
        "server = serve(folder)",
        """
        jumplabel.on_toggle(close := lambda toggle: server.close())
        talk(server.path, request("enable"))
        jumplabel.off_toggle(close)
        assert key and not os.listdir(folder)
        clean()
        """,
    )


def test_the_last_toggles_are_told_when_the_server_closes():
    run(
        PROCESS,
        WATCHING,
        """
        connection, file = watching("*")
        jumplabel.on_toggle(close := lambda toggle: server.close())
        ask_and_close = talk(server.path, request("enable", key.name))
        jumplabel.off_toggle(close)
        assert [told["new"] for told in lines(file.read())] == [True]
        file.close()
        connection.close()
        clean()
        """,
    )


def test_toggles_are_not_collected_by_a_batch_of_the_program():
    run(
        PROCESS,
        "server = serve(folder)",
        """
        with batch():
            assert ask(server.path, "enable", key.name)[0]["outcome"] == "changed" and key
        clean()
        """,
    )


# ---- forks ----


def test_a_child_has_a_socket_of_its_own():
    run(
        PROCESS,
        "server = serve(folder)",
        """
        parents = server.path

        def child():
            assert server.path == str(folder / f"{os.getpid()}.sock") and serve(folder) is server
            ask(server.path, "enable", key.name)
            assert key and states(parents, key.name) == {key.name: False}
            forked(grandchild)
            server.close()
            assert os.listdir(folder) == [Path(parents).name]
            assert states(parents, key.name) == {key.name: False} and not reported

        def grandchild():
            assert os.path.basename(server.path) == f"{os.getpid()}.sock"
            assert states(server.path, key.name) == {key.name: True}
            server.close()

        forked(child)
        assert not key and states(parents, key.name) == {key.name: False}
        clean()
        """,
    )


def test_sockets_of_children_do_not_pile_up():
    run(
        PROCESS,
        "server = serve(folder)",
        """
        for _ in range(5):
            forked(lambda: None)  # ends by os._exit()
        assert len(os.listdir(folder)) == 2
        clean()
        """,
    )


def test_a_child_keeps_no_connection_of_its_parent():
    run(
        PROCESS,
        "server = serve(folder)",
        """
        def child():
            assert os.read(may_end, 1) == b"x"
            server.close()

        with connect(server.path) as watching, connect(server.path) as silent:
            watching.sendall(request("watch"))
            assert watching.recv(100)
            wait_for(lambda: len(server._connections._clients) == 2)
            may_end, end = os.pipe()
            fds = descriptors()
            pid = fork(child)
            later()
            assert rest(silent) == b""  # although the child still lives
            key.enable()
            assert lines(watching.recv(1000))[0]["new"] is True
            server.close()
            assert rest(watching) == b""
            os.write(end, b"x")
        assert ended(pid) == 0
        os.close(may_end)
        os.close(end)
        clean()
        """,
    )


def test_a_child_has_as_many_descriptors_as_its_parent():
    run(
        PROCESS,
        "server = serve(folder)",
        """
        here = descriptors(), threads()

        def child(depth):
            wait_for(lambda: (descriptors(), threads()) == here)
            assert not jumplabel._keys.toggles.callbacks
            if depth:
                with connect(server.path) as connection:
                    connection.sendall(request("watch"))
                    assert connection.recv(100)
                    wait_for(lambda: len(server._connections._clients) == 1)
                    inner = fork(lambda: (connection.close(), child(depth - 1)))
                    assert ended(inner) == 0

        with connect(server.path) as connection:
            connection.sendall(request("watch"))
            assert connection.recv(100)
            forked(lambda: (connection.close(), child(2)))
        clean()
        """,
    )


def test_a_fork_waits_for_serve_in_another_thread():
    run(
        PROCESS,
        """
        import fcntl
        folder.mkdir(0o700)
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
        made = []
        thread = threading.Thread(target=lambda: made.append(serve(folder)), daemon=True)
        thread.start()
        wait_for(lambda: not connections.lock.acquire(False) or connections.lock.release())
        threading.Timer(0.1, lambda: fcntl.flock(held, fcntl.LOCK_UN)).start()

        def child():
            (server,) = jumplabel._remote.serving._servers
            assert ask(server.path, "keys", "none") == [] and str(os.getpid()) in server.path
            server.close()

        forked(child)
        thread.join()
        os.close(held)
        (server,) = made
        assert ask(server.path, "keys", "none") == []
        clean()
        """,
    )


def test_forks_in_the_middle_of_everything():
    run(
        PROCESS,
        """
        server = serve(folder)
        stop = threading.Event()

        def operate():
            path = server.path
            while not stop.is_set():
                assert ask(path, "enable", key.name) and ask(path, "disable", key.name)

        operators = [threading.Thread(target=operate, daemon=True) for _ in range(3)]
        for operator in operators:
            operator.start()

        def child():
            assert list(states(server.path, key.name)) == [key.name]
            ask(server.path, "enable", key.name)
            assert key
            server.close()

        for _ in range(20):
            forked(child)
        stop.set()
        for operator in operators:
            operator.join()
        clean()
        """,
    )


def test_a_child_that_can_have_no_socket_goes_on():
    run(
        PROCESS,
        "server = serve(folder)",
        """
        def child():
            (error,) = reported
            assert isinstance(error, RemoteError) and "open to others" in str(error)
            assert server._connections.closing and not jumplabel._remote.serving._servers
            wait_for(lambda: (descriptors(), threads()) == before)
            key.enable()
            server.close()
            os.chmod(folder, 0o700)
            with serve(folder) as again:
                assert states(again.path, key.name) == {key.name: True}

        os.chmod(folder, 0o755)
        forked(child)
        assert states(server.path, key.name) == {key.name: False}
        os.chmod(folder, 0o700)
        clean()
        """,
    )


def test_a_closed_server_is_not_opened_in_a_child():
    run(
        PROCESS,
        "server = serve(folder)",
        """
        server.close()
        forked(lambda: os.listdir(folder) == [] or os._exit(7))
        clean()
        """,
    )


@pytest.mark.skipif("os.geteuid() != 0", reason="needs root, to become another user")
def test_a_worker_that_changes_its_user_is_reached_by_root():
    run(
        PROCESS,
        "server = serve(folder)",
        """
        def worker():
            os.setresuid(65534, 65534, 65534)
            os.write(ready, b"x")
            os.read(may_end, 1)
            server.close()

        is_ready, ready = os.pipe()
        may_end, end = os.pipe()
        pid = fork(worker)
        os.read(is_ready, 1)
        assert states(folder / f"{pid}.sock", key.name) == {key.name: False}
        os.write(end, b"x")
        assert ended(pid) == 0
        assert f"{pid}.sock" in os.listdir(folder)  # the worker could not remove it
        for descriptor in (is_ready, ready, may_end, end):
            os.close(descriptor)
        forked(server.close)
        assert f"{pid}.sock" not in os.listdir(folder)
        clean()
        """,
    )


def test_a_program_that_closes_all_descriptors_serves_again():
    """Programs do this to become daemons."""
    run(
        PROCESS,
        "server = serve(folder)",
        """
        def daemon():
            os.closerange(3, 1000)
            files = [open(folder.parent / f"file{n}", "wb+") for n in range(20)]  # they take the closed numbers
            again = serve(folder)
            assert again is not server and states(again.path, key.name) == {key.name: False}
            server.close()
            again.close()
            assert states_of_files(files) == {b""}

        def states_of_files(files):
            return {(file.seek(0), file.read())[1] for file in files}

        def forgetful():
            os.closerange(3, 1000)
            files = [open(folder.parent / f"file{n}", "wb+") for n in range(20)]
            server.close()
            assert states_of_files(files) == {b""}

        forked(daemon)
        forked(forgetful)
        clean()
        """,
    )


@pytest.mark.parametrize("lost", ["_connections._listener", "_connections._heard"])
def test_a_server_whose_descriptor_is_another_file_by_now_touches_nothing(lost):
    run(
        PROCESS,
        f"LOST = {lost!r}",
        """
        from operator import attrgetter
        server = serve(folder)
        assert states(server.path, key.name) == {key.name: False}  # the server's thread waits again
        wait_for(lambda: not server._connections._clients)
        held = connect(server.path)
        wait_for(lambda: server._connections._clients)
        number = attrgetter(LOST)(server).fileno()
        ours, theirs = socket.socketpair()
        ours.settimeout(0.0)
        theirs.settimeout(0.0)
        theirs.sendall(b"of the program")
        os.dup2(ours.fileno(), number)
        held.sendall(request("keys"))  # this wakes the server's thread
        wait_for(lambda: reported)
        assert [type(error) for error in reported] == [RemoteError] and "closes all descriptors" in str(reported[0])
        assert rest(held) == b"" if held.settimeout(0.2) else True
        reported.clear()
        assert ours.recv(100) == b"of the program" and os.fstat(number)
        again = serve(folder)
        assert again is not server and states(again.path, key.name) == {key.name: False}
        server.close()
        again.close()
        os.fstat(number)
        """,
    )


def test_a_toggle_is_not_written_to_a_descriptor_that_is_another_file_by_now():
    run(
        PROCESS,
        """
        server = serve(folder)
        number = server._connections._alarm._rung.fileno()
        ours, theirs = socket.socketpair()
        theirs.settimeout(0.0)
        kept = os.dup(number)
        os.dup2(ours.fileno(), number)
        server._connections._ring()
        try:
            raise AssertionError(theirs.recv(100))
        except BlockingIOError:
            pass
        os.dup2(kept, number)
        os.close(kept)
        ours.close()
        theirs.close()
        clean()
        """,
    )


def test_a_folder_whose_descriptor_is_another_file_by_now_stays_open():
    run(
        PROCESS,
        """
        server = serve(folder)
        number = server._folder
        with open(folder.parent / "file", "w") as file:
            os.dup2(file.fileno(), number)
        server.close()
        os.fstat(number)
        os.close(number)
        os.unlink(server.path)
        clean()
        """,
    )
