"""Gates of coroutine functions in threads, in children of forks, and without trampolines."""

import asyncio
import os
import threading

import pytest
from emptiness import after
from processes import run
from site_checks import fork_quietly

import jumplabel
from jumplabel import StaticKey, static_gate
from jumplabel._diagnostics import disassemble


async def coroutine(n=0):
    await asyncio.sleep(0)
    return "coroutine", n


@pytest.fixture
def gate(key):
    return static_gate(key, default="off")(coroutine)


def test_called_and_awaited_in_threads_while_another_toggles(key, gate):
    stop, wrong = threading.Event(), []

    def toggle():
        while not stop.is_set():
            key.enable()
            key.disable()

    async def awaits():
        for n in range(300):
            for result in await asyncio.gather(gate(n), gate(n)):
                if result not in ("off", ("coroutine", n)):
                    wrong.append(result)

    toggler = threading.Thread(target=toggle)
    workers = [threading.Thread(target=lambda: asyncio.run(awaits())) for _ in range(3)]
    for thread in (toggler, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    toggler.join()
    assert wrong == []


def test_a_child_toggles_its_own(key, gate):
    before = gate()
    pid = fork_quietly()
    if not pid:
        key.enable()
        right = (after(before), after(gate()) is None) == ("off", True)  # the function waits: it has not returned
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (after(before), after(gate())) == ("off", "off")


SCRIPT = """
    import asyncio
    key = StaticKey("key")

    @static_gate(key, default=7)
    async def coroutine(n):
        return n

    @static_gate(key, default=7)
    def generator(n):
        yield n

    @static_gate(key)
    async def async_generator(n):
        yield n

    async def main():
        return await coroutine(1), list(generator(1)), [item async for item in async_generator(1)]

    for enabled in (False, True, False):
        key.enable() if enabled else key.disable()
        assert asyncio.run(main()) == ((1, [1], [1]) if enabled else (7, [], []))
    assert coroutine() is not coroutine() and [entry.native for entry in key.entries] == [NATIVE] * 3
"""


@pytest.mark.parametrize(
    ("native", "settings"),
    [
        pytest.param(False, {"JUMPLABEL_NATIVE": "0"}, id="plain"),
        pytest.param(True, {"JUMPLABEL_POKE": "word"}, id="word"),
        pytest.param(True, {"JUMPLABEL_SYNC": "signal"}, id="signal"),
    ],
)
def test_it_works_in_every_setting(native, settings):
    run(SCRIPT.replace("NATIVE", str(native)), **settings)


def test_its_trampoline_can_be_shown(key, gate, monkeypatch):
    assert jumplabel.info().native and gate.__kind__ == "gate"

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(disassemble, "import_module", missing)
    for made, words in ((gate, 4), (static_gate(StaticKey(f"{key.name} plain"))(lambda: None), 3)):
        lines = list(disassemble.lines_of(made))
        assert sum(word in line for line in lines for word in disassemble.WORDS.values()) == words
