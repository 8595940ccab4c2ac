"""Locks of the package in children of forks, also past Python's hooks: csrc/cpython/process_lock.h."""

import pytest
from foreign_forks import FOREIGN, FORKS
from processes import run


@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
def test_a_new_thread_does_not_take_a_dead_threads_hold_for_its_own(fork):
    """The C library gives the new thread the dead thread's stack, and so its ident."""
    run(
        FOREIGN,
        fork,
        """
        from jumplabel._process.unpatched import ProcessLock

        lock = ProcessLock()
        held, end = threading.Event(), threading.Event()

        def hold():
            with lock, lock:
                held.set()
                end.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()

        def child():
            tried, done = [], threading.Event()

            def work():
                if threading.get_ident() == holder.ident:
                    assert lock.acquire(False)
                    lock.release()
                    try:
                        lock.release()
                        tried.append("it held it more than once")
                    except RuntimeError:
                        tried.append("free")
                end.wait()

            for _ in range(20):
                thread = threading.Thread(target=work, daemon=True)
                thread.start()
                if thread.ident == holder.ident:
                    break
            else:
                return  # this C library does not give a dead thread's stack to another one
            wait_for(lambda: tried)
            assert tried == ["free"]

        jumplabel._lib.fork_notice_urgent = 0  # the C library's handler settles the locks
        past_python(child, fork)
        end.set()
        holder.join()
        """,
    )


@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
def test_the_forking_thread_keeps_its_locks_whichever_thread_is_first(fork):
    run(
        FOREIGN,
        fork,
        """
        from jumplabel._process.unpatched import ProcessLock

        lock, other = ProcessLock(), ProcessLock()

        def child():
            tried = []

            def work():
                for _ in range(2):
                    tried.append((lock.acquire(False), other.acquire(False)))
                with lock:
                    tried.append("free")

            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            wait_for(lambda: len(tried) == 2)
            assert tried == [(False, True)] * 2
            lock.release()
            wait_for(lambda: tried[-1] == "free")

        jumplabel._lib.fork_notice_urgent = 0  # the C library's handler settles the locks
        with lock:
            past_python(child, fork)
        """,
    )


@pytest.mark.parametrize("first", ["other.acquire(False) and other.release()", "forks.notice()"])
def test_locks_in_a_child_that_the_c_library_does_not_report(first):
    run(
        FOREIGN,
        f"""
        from jumplabel._process.unpatched import ProcessLock

        lock, other = ProcessLock(), ProcessLock()
        held, end = threading.Event(), threading.Event()

        def hold():
            with other:
                held.set()
                end.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()

        def child():
            {first}
            tried = []
            thread = threading.Thread(target=lambda: tried.append((lock.acquire(False), other.acquire(False))))
            thread.start()
            thread.join()
            lock.release()
            assert tried == [(False, True)]

        try:
            fork = ctypes.PyDLL(None)._Fork
        except AttributeError:
            end.set()
            sys.exit()  # glibc 2.34
        with lock:
            past_python(child, fork)
        end.set()
        holder.join()
        """,
    )


def test_locks_that_are_gone_are_not_settled_in_a_child():
    run(
        FOREIGN,
        """
        from jumplabel._process.unpatched import ProcessLock

        locks = [ProcessLock() for _ in range(9)]
        kept = locks[::3]
        for lock in kept:
            lock.acquire()
        locks[1] = locks[4] = locks[8] = None  # between others, and at the ends
        locks[:] = [ProcessLock()]
        past_python(lambda: [lock.release() for lock in kept])
        for lock in kept:
            lock.release()
        """,
    )
