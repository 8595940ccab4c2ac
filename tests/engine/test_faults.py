"""A call that is refused, whichever it is: an error that says so or another way, and every site as its key says.

First the engine's own calls, each in turn (tests/c/faults.c); then what a process as a whole is denied, for a while or
for good, with every kind of site. test_faults_memory.py is about memory that Python does not get.
"""

import c_programs
import pytest
from processes import run, script


@pytest.fixture(scope="module")
def faults(build_c):
    return build_c("faults", "-U_FORTIFY_SOURCE", *c_programs.options("faults"))  # which renames what is wrapped


@pytest.mark.slow
@pytest.mark.parametrize("case", c_programs.cases("faults"))
def test_every_call_of_the_engine(faults, case, stress_seconds):
    c_programs.run_case(faults, case, "1" if stress_seconds >= 10 else "5")


# ---- the process is denied ----

SITES = script("denied_sites")

DENIALS = {
    "files": """
        def deny():
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))

        def allow():
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)

        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        ERROR = errno.EMFILE
        """,
    "all files open": """
        def deny():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, limit[1]))
            try:
                while True:
                    files.append(os.open("/dev/null", os.O_RDONLY))
            except OSError as error:
                assert error.errno == errno.EMFILE

        def allow():
            while files:
                os.close(files.pop())

        files = []
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        ERROR = errno.EMFILE
        """,
    "memory": """
        def deny():
            now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (now, limit[1]))

        def allow():
            resource.setrlimit(resource.RLIMIT_AS, limit)

        limit = resource.getrlimit(resource.RLIMIT_AS)
        ERROR = errno.ENOMEM
        """,
}


@pytest.mark.parametrize("method", ["membarrier", "signal"])
@pytest.mark.parametrize("denial", DENIALS)
def test_denied_at_first(denial, method):
    """Sites are made all the same; those that are plain stay so, and the next ones are native."""
    run(
        SITES,
        DENIALS[denial],
        f"""
        deny()
        sites = make()
        native = {(denial, method) in [("files", "membarrier"), ("all files open", "membarrier")]}
        assert natives() == [native] * 2
        assert native or os.strerror(ERROR) in info().refusal
        toggles_work()
        allow()
        toggles_work()
        sites += make()
        assert sorted(natives()) == sorted([native] * 2 + [True] * 2)
        toggles_work()
        """,
        JUMPLABEL_SYNC=method,
    )


@pytest.mark.parametrize("method", ["membarrier", "signal"])
@pytest.mark.parametrize("denial", DENIALS)
def test_denied_later(denial, method):
    """Toggles are refused where the signal has to list the threads, and change nothing, or work as before."""
    run(
        SITES,
        DENIALS[denial],
        f"""
        sites = make()
        toggles_work()
        before = vars(Traces())
        with OtherThread():
            deny()
            if {denial != "memory" and method == "signal"}:
                toggles_are_refused(ERROR)
            elif {denial != "memory" or method == "membarrier"}:
                toggles_work()
            more = make()
            allow()
            sites += more
            expect(False)
            toggles_work()
            assert natives().count(True) >= 2
            sites += make()
            assert natives().count(True) >= 4
            toggles_work()
        assert vars(Traces()) == before
        """,
        JUMPLABEL_SYNC=method,
    )


def test_a_child_made_without_memory_leaves_its_parents_code_alone():
    run(
        SITES,
        DENIALS["memory"],
        """
        def child():
            allow()
            toggles_are_refused(errno.ENOMEM)

        sites = make()
        toggles_work()
        before = vars(Traces())
        deny()
        pid = fork(child)
        allow()
        assert ended(pid) == 0
        assert vars(Traces()) == before
        toggles_work()
        forked(toggles_work)
        """,
    )


def test_a_child_that_may_not_move_memory_leaves_nothing_behind():
    run(
        SITES,
        """
        def child():
            assert [line[1:] for line in Traces().mappings] == [line[1:] for line in before.mappings]
            toggles_are_refused(errno.ENOMEM)

        sites = make()
        before = Traces()
        seccomp.refuse("mremap")
        forked(child)
        assert vars(Traces()) == vars(before)
        toggles_work()
        """,
    )


def test_memory_may_never_gain_execution_from_now_on():
    run(
        SITES,
        """
        sites = make()
        try:
            seccomp.deny_write_execute()
        except OSError as error:
            assert error.errno == errno.EINVAL  # before Linux 6.3
        toggles_work()
        for _ in range(600):  # more than one region holds
            sites += make()
        assert all(natives())
        toggles_work()
        forked(toggles_work)
        """,
        PYTHON_JIT="0",  # the interpreter's own needs just that
    )


def test_the_signal_handler_may_not_be_looked_at_from_now_on():
    """The engine cannot tell whether it still holds the signal, and refuses to patch. Branches need no signal."""
    run(
        SITES,
        """
        sites = make()
        other = StaticKey("other")

        @static_branches
        def alone():
            return 1 if other else 0

        seccomp.refuse("rt_sigaction", 0, value=signal.SIGTRAP)
        toggles_are_refused(errno.EPERM)
        other.enable()
        assert alone() == 1
        """,
    )


def test_both_syncs_are_refused_from_now_on_and_no_branch_turns():
    run(
        SITES,
        """
        sites = make()
        with OtherThread():
            seccomp.refuse("membarrier")
            seccomp.refuse("rt_tgsigqueueinfo")
            toggles_are_refused(errno.EPERM)
        """,
    )


def test_few_addresses_are_left_to_the_program():
    run(
        SITES,
        """
        def megabytes():
            return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() >> 20

        before = megabytes()
        resource.setrlimit(resource.RLIMIT_AS, (before + 400 << 20, -1))
        sites = make()
        call = jumplabel.StaticCall(len)
        assert natives() == [True, True] and megabytes() < before + 100
        toggles_work()
        call.update(abs)
        assert call(-1) == 1
        """,
    )
