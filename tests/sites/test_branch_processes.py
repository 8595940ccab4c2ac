"""Branches in threads, in children of forks, and in processes of their own."""

import contextlib
import os
import threading
import time
import types

import pytest
from site_checks import fork_quietly, make

from jumplabel import static_branches


def test_parent_and_child_toggle_apart(key):
    function = static_branches(make(key))
    pid = fork_quietly()
    if not pid:
        status = 1
        with contextlib.suppress(BaseException):
            key.enable()
            status = 0 if function() == "on" and static_branches(make(key))() == "on" else 2
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert function() == "off"
    key.enable()
    assert function() == "on"


@pytest.mark.stress
def test_code_that_dies_while_its_key_is_toggled(key, other_key, stress_seconds):
    """A stress test: a store into a code object that is gone would hit what has its memory now."""
    end = time.monotonic() + min(stress_seconds, 5)
    failures = []

    def come_and_go():
        try:
            while time.monotonic() < end:
                space = {"key": key, "other": other_key}
                exec("def f():\n" + "    if key or other: pass\n" * 20, space)
                functions = [static_branches(types.FunctionType(space["f"].__code__, space)) for _ in range(3)]
                functions[0]()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for each in (key, other_key):
            each.enable()
            each.disable()
    for thread in threads:
        thread.join()
    assert not failures and not key.entries and not other_key.entries


@pytest.mark.stress
def test_a_fork_while_others_toggle_and_decorate(key, stress_seconds):
    stop = []

    def toggle():
        while not stop:
            key.enable()
            key.disable()

    def decorate():
        while not stop:
            static_branches(make(key))

    threads = [threading.Thread(target=work) for work in (toggle, decorate)]
    for thread in threads:
        thread.start()
    try:
        end = time.monotonic() + min(stress_seconds, 3)
        while time.monotonic() < end:
            pid = fork_quietly()
            if not pid:
                key.disable()
                function = static_branches(make(key))
                key.enable()
                os._exit(0 if function() == "on" else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        stop.append(True)
        for thread in threads:
            thread.join()
