"""A server and its clients: hostile ones, slow ones, and those that watch; each case in a process of its own."""

import pytest
from processes import run
from served_process import END, PROCESS, WORKS

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
