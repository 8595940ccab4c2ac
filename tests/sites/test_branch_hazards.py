"""Sites in code objects in hard places: dying code, forks, sub-interpreters, other tools."""

import ctypes
import os
import subprocess
import sys
import textwrap
import threading
import warnings

import pytest
from site_checks import make

from jumplabel import static_branches
from jumplabel._engine import lib


def run(program, *arguments):
    subprocess.run([sys.executable, "-c", textwrap.dedent(program), *arguments], check=True)


TOGGLED_BESIDE_OTHER_TOOLS = """
import ctypes
python = ctypes.pythonapi
new_index = getattr(python, "PyUnstable_Eval_RequestCodeExtraIndex", None) or python._PyEval_RequestCodeExtraIndex
set_extra = getattr(python, "PyUnstable_Code_SetExtra", None) or python._PyCode_SetExtra
set_extra.argtypes = ctypes.py_object, ctypes.c_ssize_t, ctypes.c_void_p

import threading
from jumplabel import StaticKey

key, ended = StaticKey("k"), []

def toggle():
    while not ended:
        key.enable()
        key.disable()

thread = threading.Thread(target=toggle)
"""


def test_other_tools_have_taken_every_place_on_code_objects():
    """Other tools hold all 255 places for good. Other threads toggle meanwhile, and may see half-made sites."""
    program = """
        from jumplabel import DecorationError, jump_table, static_branches

        while new_index(None) >= 0:
            pass
        thread.start()
        for _ in range(300):
            space = {"key": key}
            exec("def f(): return 1 if key else 2", space)
            code = space["f"].__code__
            try:
                static_branches(space["f"])
            except DecorationError as error:
                assert "f, <string>:1: other tools" in str(error)
            else:
                raise AssertionError
            assert space["f"].__code__ is code
        ended.append(True)
        thread.join()
        assert not jump_table()
        """
    run(TOGGLED_BESIDE_OTHER_TOOLS + textwrap.dedent(program))


def test_another_tool_keeps_data_on_code_that_has_no_sites():
    """When such code dies, the interpreter calls every owner of a place, also owners without data on it."""
    program = """
        from jumplabel import static_branches

        @static_branches
        def function():
            return 1 if key else 2

        def other():
            pass

        assert set_extra(other.__code__, new_index(None), 1) == 0
        del other
        """
    run(TOGGLED_BESIDE_OTHER_TOOLS + textwrap.dedent(program))


@pytest.mark.parametrize("what", ["plain", "copied", "traced"])
def test_another_tool_lets_go_of_the_interpreter_while_code_dies(what):
    """The interpreter calls that tool's free function before ours, so a toggle meets dying code."""
    program = """
        import gc, sys, time
        from jumplabel import jump_table, static_branches

        free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda extra: time.sleep(0.001))
        new_index.argtypes = [ctypes.c_void_p]
        index = new_index(ctypes.cast(free, ctypes.c_void_p))
        thread.start()
        for _ in range(300):
            space = {"key": key}
            exec("def f(): return 1 if key else 2", space)
            static_branches(space["f"])
            set_extra(space["f"].__code__, index, 1)
            if sys.argv[1] == "copied":
                space["f"].__code__.co_code
            elif sys.argv[1] == "traced":
                sys.settrace(lambda *event: None)
                space["f"]()
                sys.settrace(None)
        ended.append(True)
        thread.join()
        del space
        gc.collect()
        assert not jump_table()
        """
    run(TOGGLED_BESIDE_OTHER_TOOLS + textwrap.dedent(program), what)


def test_sub_interpreters_take_their_sites_along():
    program = """
        import sys
        from jumplabel import info

        inside = '''
        from jumplabel import StaticKey, info, static_branches
        key = StaticKey("k")
        def make():
            space = {"key": key}
            exec("def f(): return 1 if key else 2", space)
            return static_branches(space["f"])
        made = [make() for _ in range(100)]
        assert {f() for f in made} == {2} and info().bytecode_sites == 100
        copies = {f.__code__.co_code for f in made}  # the toggle has dropped these copies, with the GIL
        key.enable()
        assert {f() for f in made} == {1} and not copies & {f.__code__.co_code for f in made}
        del copies
        made.clear()
        import gc
        gc.collect()
        assert info().bytecode_sites == 0
        key.disable()
        left = make()
        '''.replace("\\n        ", "\\n")
        if sys.version_info >= (3, 13):
            import _interpreters as interpreters
            one = interpreters.create("legacy")
            failed = interpreters.exec(one, inside)
            assert not failed, failed
        else:
            import _xxsubinterpreters as interpreters
            one = interpreters.create(isolated=False)
            interpreters.run_string(one, inside)
        interpreters.destroy(one)
        assert info().bytecode_sites == 0
        """
    run(program)


def in_memory(function):
    code = function.__code__
    return bytes((ctypes.c_ubyte * len(code.co_code)).from_address(id(code) + type(code).__basicsize__))


def test_a_fork_between_a_store_and_its_second_step(key):
    """A thread has stored, and waits for the GIL to take the second step. The child has to take that step itself."""
    function = static_branches(make(key))
    site = key.entries[0].address - id(function.__code__) - type(function.__code__).__basicsize__
    many = {"key": key}  # storing into many sites gives this thread the time to get the GIL back
    exec("def f():\n" + "    if key: pass\n" * 20_000, many)
    static_branches(many["f"])
    interval = sys.getswitchinterval()
    sys.setswitchinterval(100)
    try:
        for _ in range(200):
            key.disable()
            stale = function.__code__.co_code  # the interpreter keeps these bytes, and the toggle has to drop them
            # key.enable() would keep the GIL meanwhile. Callers in C do not.
            thread = threading.Thread(target=lib.static_key_toggle, args=(key._key, lib.KEY_ENABLE))
            thread.start()
            if in_memory(function)[site + 1] != stale[site + 1] and function.__code__.co_code is stale:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    pid = os.fork()
                if not pid:
                    os._exit(function.__code__.co_code[site + 1] != in_memory(function)[site + 1])
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
                break
            thread.join()
        else:
            pytest.skip("the thread never waited at the right moment")
        thread.join()
        assert function.__code__.co_code[site + 1] == in_memory(function)[site + 1]
    finally:
        sys.setswitchinterval(interval)


def test_traced_code_goes_with_its_function(key):
    """The second step holds code objects while it looks at them, and lets go of them."""
    function = static_branches(make(key))
    sys.settrace(lambda *event: None)
    try:
        function()
        key.enable()
        key.disable()
    finally:
        sys.settrace(None)
    function.__code__.co_code  # noqa: B018
    key.enable()
    assert len(key.entries) == 1
    del function
    assert not key.entries
