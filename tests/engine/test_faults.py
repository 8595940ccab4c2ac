"""A call that is refused, whichever it is: an error that says so or another way, and every site as its key says.

First the engine's own calls, each in turn (tests/c/faults.c); then what a process as a whole is denied, for a while or
for good, with every kind of site; then memory that Python does not get.
"""

import c_programs
import pytest
from processes import run


@pytest.fixture(scope="module")
def faults(build_c):
    return build_c("faults", "-U_FORTIFY_SOURCE", *c_programs.options("faults"))  # which renames what is wrapped


@pytest.mark.parametrize("case", c_programs.cases("faults"))
def test_every_call_of_the_engine(faults, case, stress_seconds):
    c_programs.run_case(faults, case, "1" if stress_seconds >= 10 else "5")


# ---- the process is denied ----

SITES = """
    import resource
    from jumplabel import JumpLabelError, static_branches

    key = StaticKey("key")

    def make():
        gate = static_gate(key, default="off")(lambda: "on")
        switch = static_switch(key, to=lambda: "on")(lambda: "off")

        def branch():
            if key:
                return "on"
            return "off"

        return [gate, switch, static_branches(branch)]

    def natives():
        return [entry.native for entry in key.entries if entry.kind != "branch"]

    def expect(state):
        assert key.enabled is state
        assert {entry.state for entry in key.entries} <= {state}
        assert [site() for site in sites] == ["on" if state else "off"] * len(sites)

    def toggles_work():
        for state in (True, False, True, False):
            key.enable() if state else key.disable()
            expect(state)

    def toggles_are_refused(error):
        code_before, count = code(key), key.count
        for toggle in (key.enable, key.inc, key.override(True).__enter__):
            refused(error, toggle)
            assert (code(key), key.count) == (code_before, count)
            expect(False)

    sites = []
"""

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
    """Not even whether it is still ours: no patch then. Branches need none."""
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


# ---- Python gets no memory ----

SWEEP = """
    import traceback

    try:
        from _testcapi import remove_mem_hooks, set_nomemory
    except ImportError:
        sys.exit(0)

    other = StaticKey("other")

    def without_memory(function, *args):
        '''Call it once for each n without memory for the n-th allocation, until it needs no more of them than n.'''
        calm = 0
        for n in range(10_000):
            result = raised = None
            set_nomemory(n, n + 1)
            try:
                result = function(*args)
            except (MemoryError, SystemError) as error:
                remove_mem_hooks()
                # CPython 3.11 goes on where it has no memory for a frame object: frame.f_back is None then.
                if not isinstance(error, MemoryError) and not isinstance(error.__cause__, MemoryError):
                    raise
                traceback.clear_frames(error.__traceback__)
                raised = True
            finally:
                remove_mem_hooks()
            yield result, raised
            del result
            calm = 0 if raised else calm + 1
            if calm == 30:  # some are done without
                return
        raise AssertionError("never enough")

    def entries():
        gc.collect()
        return len(jumplabel.jump_table())

    sites = make()
    toggles_work()
"""


@pytest.mark.parametrize("kind", ["gate", "switch"])
def test_without_memory_a_callable_is_made_or_not(kind):
    """Only the step that makes it: on the way there, CPython 3.12 itself crashes without memory."""
    run(
        SITES,
        SWEEP,
        f"""
        before = entries()
        address = int(ffi.cast("uintptr_t", key._key))
        for made, raised in without_memory(type(sites[0]), {kind!r}, key, address, None, len, "owner"):
            assert entries() == before + (not raised)
            del made
            toggles_work()
        """,
    )


def test_without_memory_a_call_has_a_target_more_or_not():
    run(
        SITES,
        SWEEP,
        """
        for room in range(8):  # for so many more, before it needs memory for them
            call = jumplabel.StaticCall(len)
            for state in range(room):
                assert call.__lead__(-state, len, False) == 0
            states, targets = iter(range(2, 1000)), gc.get_referents(call).count(len)
            for error, raised in without_memory(lambda: call.__lead__(next(states), len, False)):
                targets += error == 0
                assert gc.get_referents(call).count(len) == targets
                assert call.func is len and call("four") == 4
        """,
    )


def test_without_memory_a_function_has_all_its_branches_or_none():
    """Only the steps that make them: on the way there, CPython 3.11 itself crashes without memory."""
    run(
        SITES,
        SWEEP,
        """
        import jumplabel._bytecode.new_code
        real = sys.modules["jumplabel._bytecode.new_code"].make_branches

        def function_to_decorate():
            variables = {"key": key, "other": other}
            exec("def function(): return (1 if key else 0), [2 if other else 3 for _ in '1'], key and 4", variables)
            return variables["function"]

        def make_branches(code, branches):
            global refusals
            set_nomemory(n, n + 1)
            try:
                real(code, branches)
            finally:
                remove_mem_hooks()

        sys.modules["jumplabel._bytecode.new_code"].make_branches = make_branches
        before, refusals = entries(), 0
        for n in range(60):
            function = function_to_decorate()
            old = function.__code__
            try:
                static_branches(function)
            except MemoryError as error:
                traceback.clear_frames(error.__traceback__)
                del error
                refusals += 1
                assert function.__code__ is old and entries() == before
            else:
                assert entries() > before
            assert function() == (0, [3], key)
            key.enable()
            assert function() == (1, [3], 4)
            key.disable()
            del function, old
            assert entries() == before
        assert refusals
        """,
    )


def test_without_memory_the_sites_of_a_module_are_made_or_not():
    """Of several code objects, in one call: each has all of its sites, or none."""
    run(
        SITES,
        SWEEP,
        """
        from jumplabel._bytecode.code_objects import branches_of, make_branches_of_module

        def arguments():
            codes = [toggles_work.__code__.replace(co_name=name) for name in "ab"]  # nothing runs it
            marked = [(0, 0, 1, False, "mark", 7), (1, 0, 1, False, "mark", 8)]
            return "shop", {"mark": key._address}, [(code_object, marked) for code_object in codes]

        def make():
            make_branches_of_module(*left.pop())

        given = [arguments() for _ in range(300)]
        left = given[:]
        before, refusals = entries(), 0
        for _, raised in without_memory(make):
            made = [len(branches_of(code_object)) for code_object, _ in given.pop()[2]]
            assert made in ([[0, 0], [2, 0], [2, 2]] if raised else [[2, 2]])
            assert entries() == before
            refusals += bool(raised)
        assert refusals
        """,
    )


def test_without_memory_no_branch_is_overlooked():
    """Of a function that is decorated again."""
    run(
        SITES,
        SWEEP,
        """
        from jumplabel._bytecode.code_objects import branches_of
        code_object = sites[2].__code__
        there = branches_of(code_object)
        assert there
        for found, raised in without_memory(branches_of, code_object):
            assert raised or found == there
        """,
    )


def test_without_memory_a_toggle_is_done_or_not():
    run(
        SITES,
        SWEEP,
        """
        def both():
            with batch():
                key.enable()
                other.enable()

        both()  # the first one makes a context, and CPython 3.11 crashes where there is no memory for it
        key.disable()
        other.disable()
        for toggle in (key.enable, both):
            for _, raised in without_memory(toggle):
                assert raised or key.enabled
                assert toggle is not both or key.enabled == other.enabled
                expect(key.enabled)
                key.disable()
                other.disable()
                toggles_work()
        """,
    )


def test_a_batch_that_was_never_entered_swallows_nothing():
    """A signal handler raises right behind the call that opens it."""
    run(
        SITES,
        """
        batches = sys.modules["jumplabel._keys.batches"]
        variable = batches.collecting

        class Interrupted:
            get, reset = variable.get, variable.reset

            def set(self, value):
                variable.set(value)
                raise KeyboardInterrupt

        batches.collecting = Interrupted()
        try:
            with batch():
                raise AssertionError("entered")
        except KeyboardInterrupt:
            pass
        batches.collecting = variable
        sites = make()
        toggles_work()
        """,
    )
