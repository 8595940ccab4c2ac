"""Foreign forks, as by uWSGI and C libraries: fork(3) without PyOS_AfterFork_Child().

Each case runs in a process of its own (processes.py).
"""

import pytest
from foreign_forks import FOREIGN, FORKS
from processes import run


@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
def test_a_child_opens_its_own_socket(fork):
    """The child calls nothing of the library."""
    run(
        FOREIGN,
        fork,
        """
        server = serve(folder)
        parent = server.path

        def child():
            wait_for(own_socket)
            assert server.path == f"{folder}/{os.getpid()}.sock" and serve(folder) is server
            reached()
            server.close()
            assert not own_socket() and os.path.exists(parent)

        past_python(child, fork)
        assert not key.enabled and server.path == parent
        reached()
        """,
    )


def test_a_child_serves_if_the_variable_says_so():
    run(
        FOREIGN,
        """
        folder = os.environ["JUMPLABEL_SERVE"]
        past_python(lambda: (wait_for(own_socket), reached()))
        """,
        first="""
        import os, tempfile
        place = tempfile.TemporaryDirectory()
        os.environ["JUMPLABEL_SERVE"] = place.name
        """,
    )


@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
def test_deferred_keys_go_off_in_a_child(fork):
    """Keys that linger during the fork, and keys that begin to linger in the child."""
    run(
        FOREIGN,
        fork,
        """
        slow, late = StaticKey("slow", deferred=0.5), StaticKey("late", deferred=3600)
        slow_gate = static_gate(slow, default="off")(lambda: "on")
        use(slow)
        use(late)

        def child():
            wait_for(lambda: slow_gate() == "off")
            use(deferred)
            wait_for(lambda: gate() == "off")
            assert late.enabled
            late.flush()
            wait_for(lambda: threads() == 1)

        past_python(child, fork)
        wait_for(lambda: slow_gate() == "off")
        late.flush()
        """,
    )


def test_a_key_that_was_made_again_with_a_delay_goes_off_in_a_child():
    """The child toggles nothing."""
    run(
        FOREIGN,
        """
        def make(**options):
            return StaticKey("again", **options)

        first = make()
        jumplabel._lib.fork_notice_urgent = 0  # as without other keys with a delay
        assert make(deferred=0.5) is first
        use(first)

        def child():
            assert first.enabled
            wait_for(lambda: not first.enabled)

        past_python(child)
        wait_for(lambda: not first.enabled)
        """,
    )


def test_a_toggle_notices_a_fork_in_another_thread():
    """The interpreter runs its pending calls in the main thread only."""
    run(
        FOREIGN,
        """
        use(StaticKey("lingers", deferred=3600))
        server = serve(folder)

        def work():
            def child():
                assert not own_socket()
                key.enable()
                assert own_socket()
                use(deferred)
                wait_for(lambda: gate() == "off")

            past_python(child)

            def batches():
                with batch():
                    key.enable()
                assert own_socket() and not jumplabel._lib.fork_notice_due

            past_python(batches)

            def serves():
                assert serve(folder).path.endswith(f"/{os.getpid()}.sock")
                reached()

            past_python(serves)

            def closes():
                server.close()
                assert os.path.exists(f"{folder}/{os.getppid()}.sock")

            past_python(closes)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """,
    )


def test_serve_notices_a_child_that_the_c_library_does_not_report():
    run(
        FOREIGN,
        """
        server = serve(folder)

        def child():
            assert serve(folder).path.endswith(f"/{os.getpid()}.sock")
            (answer,) = ask.ask(os.getpid(), {"command": "keys", "patterns": ["key"]}, 30.0)
            assert answer["key"] == "key"

        try:
            fork = ctypes.PyDLL(None)._Fork
        except AttributeError:
            sys.exit()  # glibc 2.34
        past_python(child, fork)
        reached()
        """,
    )


def test_locks_that_threads_of_the_parent_hold_are_free_in_a_child():
    run(
        FOREIGN,
        """
        instrumented = sys.modules["jumplabel._instrument.instrumented_modules"]
        locks = jumplabel._keys.registry.lock, instrumented._records_lock, jumplabel._remote.connections.lock
        held, end = threading.Event(), threading.Event()

        def hold():
            with locks[0], locks[1], locks[2]:
                held.set()
                end.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        assert [lock.acquire(False) for lock in locks] == [False] * 3

        def child():
            StaticKey("of the child").enable()
            assert jumplabel.keys() and jumplabel.instrumented() == []
            serve(folder)
            reached()

        past_python(child)
        end.set()
        holder.join()
        assert [lock.acquire(False) for lock in locks] == [True] * 3
        past_python(lambda: [lock.release() for lock in locks])  # the forking thread still holds its locks
        for lock in locks:
            lock.release()
            try:
                lock.release()
            except RuntimeError:
                continue
            raise AssertionError("released more often than taken")
        """,
    )


def test_a_child_is_not_in_the_parents_batch():
    run(
        FOREIGN,
        """
        with batch():
            key.enable()
            past_python(lambda: (deferred.enable(), deferred.enabled or 1 / 0, key.enabled and 1 / 0))
        assert key.enabled
        """,
    )


def test_callbacks_in_a_thread_of_ours_in_a_child():
    run(
        FOREIGN,
        """
        use(StaticKey("lingers", deferred=3600))
        told = []
        jumplabel.on_toggle(told.append)
        toggles._teller["start"] = "of a thread that the child does not have"

        def child():
            toggles.tell_elsewhere([toggles.Toggle(key, False, True, 0, 0)])
            wait_for(lambda: told)

        past_python(child)
        """,
    )


def test_a_child_is_tidied_up_once_and_its_children_too():
    run(
        FOREIGN,
        """
        use(StaticKey("lingers", deferred=3600))
        seen = []
        forks.in_child(lambda: seen.append(os.getpid()))

        def grandchild():
            assert len(seen) == 2 and seen[1] == os.getpid()

        def child():
            assert seen == [os.getpid()]
            key.enable()
            forks.notice()
            with batch():
                key.disable()
            assert seen == [os.getpid()]
            forked(grandchild)
            past_python(grandchild)

        past_python(child)
        assert seen == []
        """,
    )


def test_a_child_of_python_notices_its_own_children():
    run(
        FOREIGN,
        """
        use(StaticKey("lingers", deferred=3600))
        seen = []
        forks.in_child(lambda: seen.append(os.getpid()))

        def child():
            wait_for(lambda: seen == [os.getpid()])
            past_python(lambda: seen[1:] == [os.getpid()] or 1 / 0)

        forked(child)
        """,
    )


def test_an_error_in_a_child_is_reported_and_the_rest_is_done():
    run(
        FOREIGN,
        """
        use(StaticKey("lingers", deferred=3600))
        reported, seen = [], []
        sys.unraisablehook = lambda unraisable: reported.append(unraisable.exc_type)
        forks.in_child(lambda: 1 / 0)
        forks.in_child(lambda: seen.append(1))
        past_python(lambda: (reported == [ZeroDivisionError] and seen == [1]) or 1 / 0)
        """,
    )
