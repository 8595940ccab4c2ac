"""Calls through native branches: any signature, threads without the GIL, forks, and where there are no trampolines.

Each in a process of its own (processes.py), as C crashes where Python raises.
"""

import pytest
from processes import run, script

NATIVE, PLAIN = {}, {"JUMPLABEL_NATIVE": "0"}
WAYS = {
    "int3": {"JUMPLABEL_POKE": "int3"},
    "word": {"JUMPLABEL_POKE": "word"},
    "signal": {"JUMPLABEL_SYNC": "signal"},
    "plain": PLAIN,
}
each_way = pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS)
native_and_plain = pytest.mark.parametrize("settings", [NATIVE, PLAIN], ids=["native", "plain"])

BRANCHES = script("native_branches")


@pytest.fixture(scope="module")
def signatures(build_c):
    return build_c("signatures", "-shared", "-fPIC", engine=())


@pytest.fixture(scope="module")
def callers(build_c):
    return build_c("callers", "-shared", "-fPIC", engine=())


# ---- any signature ----


@native_and_plain
def test_signatures_of_every_sort(signatures, settings):
    """The result through the branch is what the function itself returns."""
    run(
        BRANCHES,
        f"""
        ffi.cdef('''
            struct small {{ int i; float f; }};
            struct mixed {{ double d; long l; }};
            struct large {{ long l[5]; double d; }};
            int nothing_count(void);
        ''')
        SIGNATURES = {{
            "many": "double {{}}(signed char, short, int, long, unsigned char, void *, long, int, float, double, float,"
                    "double, double, float, double, double, double, float)",
            "single": "float {{}}(float, float)",
            "extended": "long double {{}}(long double, int)",
            "by_register": "struct small {{}}(struct small, int)",
            "by_both": "struct mixed {{}}(struct mixed)",
            "by_memory": "struct large {{}}(int, struct large, double)",
            "variadic": "int {{}}(char *, size_t, const char *, ...)",
            "nothing": "void {{}}(void)",
        }}
        for name, signature in SIGNATURES.items():
            for state in "off", "on":
                ffi.cdef(signature.format(f"{{name}}_{{state}}") + ";")
        library = ffi.dlopen({str(signatures)!r})
        pairs = {{name: [getattr(library, f"{{name}}_{{state}}") for state in ("off", "on")] for name in SIGNATURES}}
        branches = {{name: native_branch(key, off=off, on=on) for name, (off, on) in pairs.items()}}
        functions = {{name: branch.cast(ffi, SIGNATURES[name].format("(*)")) for name, branch in branches.items()}}

        def flat(result):
            if isinstance(result, ffi.CData) and ffi.typeof(result).kind == "struct":
                return bytes(ffi.buffer(ffi.new(ffi.typeof(result).cname + " *", result)))
            return float(result)

        text = ffi.new("char[200]")
        ARGUMENTS = {{
            "many": (-1, 2, 3, 4, 200, ffi.cast("void *", 6), 7, 8, *(1.5 * n for n in range(10))),
            "single": (1.5, 2.25),
            "extended": (ffi.cast("long double", 1.0625), 3),
            "by_register": (ffi.new("struct small *", (3, 1.5))[0], 4),
            "by_both": (ffi.new("struct mixed *", (1.25, 1 << 40))[0],),
            "by_memory": (1, ffi.new("struct large *", ([1, 2, 3, 4, 5], 2.5))[0], 0.5),
        }}
        assert key.entries[0].native is {settings is NATIVE}
        for state in (0, 1, 0, 1):
            key.enable() if state else key.disable()
            for name, arguments in ARGUMENTS.items():
                expected = flat(pairs[name][state](*arguments))
                assert flat(functions[name](*arguments)) == expected != flat(pairs[name][not state](*arguments)), name
            doubles = [ffi.cast("double", 0.5 + n) for n in range(10)]
            for n in 0, 1, 8, 10:
                length = functions["variadic"](text, 200, b"%d" + b" %g" * n, ffi.cast("int", 7), *doubles[:n])
                expected = " ".join([f"{{-1 if state else 1}}:7", *(f"{{0.5 + i:g}}" for i in range(n))]).encode()
                assert ffi.string(text) == expected and length == len(expected)
            before = library.nothing_count()
            functions["nothing"]()
            assert library.nothing_count() - before == (-1 if state else 1)
        """,
        **settings,
    )


# ---- threads ----


@pytest.mark.stress
@each_way
@pytest.mark.parametrize("start", ["", "_short_lived", "_forking"])
def test_threads_without_the_gil_call_while_another_toggles(callers, signatures, stress_seconds, settings, start):
    """Each call returns what the toggles permit (oracle.h); a child sees one state, and none of the patches."""
    run(
        BRANCHES,
        f"""
        from callers import hammer

        library = ctypes.CDLL({str(signatures)!r})
        for function in (library.say_off, library.say_on):
            function.restype = ctypes.c_void_p

        def branches(key, sites):
            made = [native_branch(key, off=library.say_off, on=library.say_on) for _ in range(sites)]
            cells = (ctypes.c_void_p * sites)(*(branch.address for branch in made))
            objects = [ctypes.addressof(cells) + 8 * i for i in range(sites)]
            return objects, 0, library.say_off(), library.say_on(), (made, cells)

        callers = hammer({str(callers)!r}, {min(stress_seconds, 4) / 10}, 4, "callers_start{start}", make=branches)
        assert callers.wrong == 0 < callers.done
        assert callers.calls > 0 or callers.children > 0
        assert info().batches == {"0" if settings is PLAIN else "callers.done"}
        if info().poke != "auto":
            assert info().word_batches == (info().batches if info().poke == "word" else 0)
        assert info().int3_chained == 0
        """,
        **settings,
    )


@native_and_plain
def test_callers_in_c_at_the_end_of_the_interpreter(callers, signatures, settings):
    """C goes on calling when Python's last functions have run and its modules are gone."""
    run(
        """
        import atexit

        atexit.register(lambda: info())  # runs last of all, and has the engine free what was retired
        """,
        BRANCHES,
        f"""
        from callers import Callers

        class Last:
            def __del__(self, read=lib.jump_table_read, null=engine.NULL):
                read(null)

        sys.last_of_all = Last()

        library, caller = ctypes.CDLL({str(signatures)!r}), ctypes.CDLL({str(callers)!r})
        for function in (library.say_off, library.say_on):
            function.restype = ctypes.c_void_p
        pointer = native_branch(key, off=library.say_off, on=library.say_on).cast(ffi, "void *(*)(void)")
        cells = (ctypes.c_void_p * 2)(int(ffi.cast("uintptr_t", pointer)))
        cells[1] = ctypes.addressof(cells)
        callers = Callers(
            objects=ctypes.addressof(cells) + 8, n_objects=1, off=library.say_off(), on=library.say_on()
        )
        # The threads outlive this module, so what they read must, too.
        for each in (callers, cells):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))
        caller.callers_start(ctypes.byref(callers))
        for _ in range(100):
            key.enable()
            key.disable()
        """,
        **settings,
    )


# ---- forks ----


@native_and_plain
def test_a_child_has_its_own_code(settings):
    run(
        BRANCHES,
        """
        branches = [make() for _ in range(5)]
        functions = [branch.cast(ffi, "int(*)(int)") for branch in branches]

        def child():
            whole(False)
            turn()
            os.write(toggled, b"x")
            os.read(look_again, 1)
            whole(True)
            functions.append(make().cast(ffi, "int(*)(int)"))
            turn()
            turn()

        whole(False)
        has_toggled, toggled = os.pipe()
        look_again, look = os.pipe()
        pid = fork(child)
        os.close(toggled)
        assert os.read(has_toggled, 1) == b"x"
        whole(False)
        turn()
        turn()
        os.write(look, b"x")
        assert ended(pid) == 0
        whole(False)
        """,
        **settings,
    )


# ---- no trampolines ----


def test_every_stub_is_used_and_used_again():
    run(
        BRANCHES,
        script("every_stub"),
        **PLAIN,
    )


@pytest.mark.usefixtures("seccomp_filters")
def test_trampolines_and_stubs_side_by_side():
    """Executable memory is refused when the first of it is used up."""
    run(
        BRANCHES,
        """
        branches = [make()]
        seccomp.refuse_executable_memory()
        while len(branches) < 1 + info().arena_bytes // 64:
            branches.append(make())
        assert sorted({entry.native for entry in key.entries}) == [False, True]
        functions = [branch.cast(ffi, "int(*)(int)") for branch in branches]
        whole(False)
        turn()
        turn()
        del branches, functions
        gc.collect()
        assert key.entries == ()
        for _ in range(300):
            make()
        """,
    )


@pytest.mark.usefixtures("seccomp_filters")
def test_stubs_where_executable_memory_is_refused():
    run(
        BRANCHES,
        """
        seccomp.refuse_executable_memory()
        functions = [make().cast(ffi, "int(*)(int)")]
        assert "executable memory refused" in info().refusal
        assert [(entry.native, entry.what) for entry in key.entries] == [(False, "plain branch")]
        whole(False)
        turn()
        turn()
        """,
    )


# ---- garbage ----


@native_and_plain
def test_finalizers_in_the_same_garbage_still_call(settings):
    run(
        BRANCHES,
        """
        results = []

        class Resource:
            '''Younger than what it holds: the collector comes to that first.'''

            def __init__(self, branch, function):
                self.branch, self.function, self.me = branch, function, self

            def __del__(self):
                # A branch that was freed would give its place to a branch that leads elsewhere.
                others = [native_branch(key, off=on, on=off) for _ in range(50)]
                call = self.function or ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(self.branch.address)
                results.append(call(7))

        gc.disable()
        for hold in (True, False) * 10:
            branch = make()
            Resource(*(None, branch.cast(ffi, "int(*)(int)")) if hold else (branch, None))
        del branch
        gc.collect()
        assert results == [8] * 20 and key.entries == ()
        """,
        **settings,
    )


# ---- a real library ----


def test_crc32_plain_and_counted(build_c):
    """One target is zlib's function, the other a C function that counts. Python's threads call without the GIL."""
    library = build_c("counted", "-shared", "-fPIC", engine=())
    run(
        BRANCHES,
        f"""
        import zlib

        CRC32 = "unsigned long (*)(unsigned long, const unsigned char *, unsigned int)"
        ffi.cdef('''
            unsigned long crc32(unsigned long crc, const unsigned char *data, unsigned int size);
            unsigned long counted_crc32(unsigned long crc, const unsigned char *data, unsigned int size);
            extern unsigned long (*plain_crc32)(unsigned long, const unsigned char *, unsigned int);
            extern unsigned long counted_calls, counted_bytes;
        ''')
        real, counting = ffi.dlopen("libz.so.1"), ffi.dlopen({str(library)!r})
        counting.plain_crc32 = real.crc32
        crc32 = native_branch(key, off=real.crc32, on=counting.counted_crc32).cast(ffi, CRC32)
        data = bytes(range(256)) * 8
        expected = zlib.crc32(data)

        def checksum():
            for _ in range(100):
                assert crc32(0, data, len(data)) == expected

        def in_threads(function):
            threads = [threading.Thread(target=function) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        in_threads(checksum)
        assert counting.counted_calls == 0
        key.enable()
        in_threads(checksum)
        assert (counting.counted_calls, counting.counted_bytes) == (200, 200 * len(data))
        key.disable()
        in_threads(checksum)
        assert counting.counted_calls == 200
        with OtherThread(lambda: (key.enable(), key.disable())):
            in_threads(checksum)
        """,
    )
