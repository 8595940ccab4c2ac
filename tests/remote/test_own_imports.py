"""The serving thread and the thread that switches deferred keys off import nothing while a program runs."""

from processes import run

IMPORTS = """
    import builtins
    import logging
    import tempfile
    from jumplabel import serve
    from operators import ask, connect, lines, request, talk, wait_for

    class Recorder:
        '''The modules that are looked for and not imported yet.'''

        def __init__(self):
            self.found = []

        def find_spec(self, name, path=None, target=None):
            self.found.append(name)

    logger = logging.getLogger("shop")
    key = StaticKey("shop.tracing", doc="one line\\nand another")
    gate = static_gate(key)(lambda: 1)
    home = tempfile.TemporaryDirectory()
    server = serve(home.name + "/sockets")
    asked = [
        *(request(command, "*") for command in ("keys", "enable", "disable", "enable")),
        request("keys", "shop.*", "!shop.vendor", '"a, b"'),
        request("enable", "there is none"),
        b'{"command": "level", "logger": "shop", "level": "debug"}\\n',
        b'{"command": "level", "logger": "shop", "level": 7}\\n',
        b'{"command": "level", "logger": "none", "level": "no level"}\\n',
        b"no JSON\\n",
        b"\\xff\\n",
        request("keys", "!"),
        request("keys", *["many"] * 101),
        b"x" * 5000,
    ]
"""


def test_commands_over_the_socket():
    """Even the first command imports nothing: ``serve()`` has imported the modules that it needs."""
    run(
        IMPORTS,
        """
        recorder, real, ours = Recorder(), builtins.__import__, threading.get_ident()
        other_threads = []

        def recorded(name, *arguments, **options):
            if threading.get_ident() != ours:
                other_threads.append(name)
            return real(name, *arguments, **options)

        sys.meta_path.insert(0, recorder)
        builtins.__import__ = recorded
        for sent in asked:
            before = set(sys.modules)
            answers = talk(server.path, sent)
            assert (set(sys.modules) - before, recorder.found, other_threads) == (set(), [], []), (sent, answers)
        with connect(server.path) as watching:
            watching.sendall(request("watch", "*"))
            assert lines(watching.recv(1000)) == [{"watching": ["*"]}]
            key.disable()
            assert lines(watching.recv(1000))[0]["key"] == "shop.tracing"
        server.close()
        assert (recorder.found, other_threads) == ([], [])
        """,
    )


def test_the_other_threads():
    """They run callbacks, and report errors."""
    run(
        """
        import logging
        import builtins
        from jumplabel import Toggle, on_toggle
        from jumplabel._keys import toggles
        from operators import wait_for

        found, told, reported, ours = [], [], [], threading.get_ident()
        real = builtins.__import__

        class Recorder:
            def find_spec(self, name, path=None, target=None):
                found.append(name)

        def recorded(name, *arguments, **options):
            if threading.get_ident() != ours:
                found.append(name)
            return real(name, *arguments, **options)

        @on_toggle
        def fails(toggle):
            told.append(toggle.key.name)
            raise ValueError

        sys.unraisablehook = lambda unraisable: reported.append(unraisable.exc_type)
        sys.meta_path.insert(0, Recorder())
        builtins.__import__ = recorded
        key = StaticKey("key", deferred=0.005)
        for _ in range(2):
            key.inc()
            key.dec()
            wait_for(lambda: not key.enabled)
            toggles.tell_elsewhere([Toggle(key, False, True, 0, 0)])
        wait_for(lambda: len(told) == 6 and len(reported) == 6)
        assert found == []
        """
    )


def test_making_a_key():
    """Making a key takes the lock of all keys. An import may wait for another thread that makes a key."""
    run(
        """
        import builtins
        import inspect
        from jumplabel import StaticKeyArray, Tracepoint, key
        from jumplabel._program.own_builtins import BUILTINS

        found = []

        def recorded(name, *arguments, real=builtins.__import__, **options):
            found.append(name)
            return real(name, *arguments, **options)

        def make(doc):
            return StaticKey("key", doc=doc)

        builtins.__import__ = BUILTINS["__import__"] = recorded
        doc = "one line\\n\\tand others\\n\\n\\t\\tdeeper\\n"
        made = [make(doc), make(doc + "again"), StaticKey.get("other", doc=doc, default=True, deferred=1.5)]
        made += [StaticKeyArray("array", ["one", "two"]), Tracepoint("point", doc=doc)]
        for refused in (7, "", "a\\0b", "*", "key"):
            try:
                StaticKey(refused, doc=doc)
            except StaticKeyError:
                continue
            raise AssertionError(refused)
        assert key("key") is made[0] is made[1]
        assert found == []
        assert made[2].doc == inspect.cleandoc(doc)
        """
    )
