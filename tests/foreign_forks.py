"""Forks that Python is not told of: what their tests begin with, and the ways to make one."""

FOREIGN = """
    import ctypes
    import tempfile
    from jumplabel import serve
    from jumplabel._process import forks
    from jumplabel._keys import lingering, toggles
    from jumplabel._remote import ask, serving
    from jumplabel._process.unpatched import monotonic, sleep
    from real_time import use, wait_for

    keys_module = sys.modules["jumplabel._keys.static_key"]
    key, deferred = StaticKey("key"), StaticKey("deferred", deferred=0.05)
    gate = static_gate(deferred, default="off")(lambda: "on")
    home = tempfile.TemporaryDirectory()
    folder = home.name + "/sockets"

    def threads():
        return len(os.listdir("/proc/self/task"))

    def switches():
        '''How often each other thread has been switched to.'''
        found = {}
        for task in os.listdir("/proc/self/task"):
            try:
                if int(task) != threading.get_native_id():
                    found[task] = re.findall("ctxt_switches:.*", Path(f"/proc/self/task/{task}/status").read_text())
            except OSError:
                pass  # it has just ended
        return found

    def past_python(function, fork=ctypes.PyDLL(None).fork):
        '''Run it in a child of such a fork; fail here where it fails there.

        First until each other thread waits for something else than the interpreter. Where one waits for that, CPython's
        own lock is unusable in the child.
        '''
        wait_for(lambda: (before := switches(), sleep(0.01), switches())[-1] == before)
        pid = fork()
        if not pid:
            run_and_exit(function, 20)
        assert ended(pid) == 0

    def reached(pid=None, key=key):
        '''By an operator, who switches a key.'''
        request = {"command": "enable", "patterns": [key.name]}
        (answer,) = ask.ask(pid or os.getpid(), request, 30.0)
        assert answer["outcome"] == "changed" and (pid or key.enabled), answer

    def own_socket():
        return os.path.exists(f"{folder}/{os.getpid()}.sock")
"""

FORKS = {
    "with the GIL": "fork = ctypes.PyDLL(None).fork",
    "without the GIL": "fork = ctypes.CDLL(None).fork",
    "os.fork": "fork = os.fork",
    "uWSGI with --py-call-uwsgi-fork-hooks": """
        from jumplabel._engine import lib

        def fork(real=ctypes.PyDLL(None).fork):
            ctypes.pythonapi.PyOS_BeforeFork()
            lib.fork_notice_urgent = 0  # it runs no bytecode in between
            pid = real()
            ctypes.pythonapi.PyOS_AfterFork_Parent() if pid else ctypes.pythonapi.PyOS_AfterFork_Child()
            return pid
        """,
    "uWSGI with --py-call-osafterfork": """
        if sys.version_info >= (3, 13):  # the interpreter ends with an error, as it is not told before the fork
            sys.exit()
        from jumplabel._engine import lib

        def fork(real=ctypes.PyDLL(None).fork):
            lib.fork_notice_urgent = 0  # it runs no bytecode in between
            pid = real()
            if not pid:
                ctypes.pythonapi.PyOS_AfterFork_Child()
            return pid
        """,
}
