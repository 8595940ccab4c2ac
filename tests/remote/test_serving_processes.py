"""jumplabel.serve() among hostile clients, and in processes that fork, lose their descriptors or watch.

Each case runs in a process of its own (processes.py).
"""

import pytest
from processes import run
from served_process import PROCESS

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
