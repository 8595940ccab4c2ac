"""CPython 3.11 fails to make a syntax tree while another thread makes one. Marking tries again."""

import ast
import gc
import sys
import threading
from collections.abc import Iterator

import pytest
from packages import Packages, sites

from jumplabel import install, instrument, instrumented
from jumplabel._instrument import mark_statements
from jumplabel._instrument.options import Options

SOURCE = "import logging\nlogger = logging.getLogger(__name__)\n" + "\n".join(
    f"def f{i}(a, b):\n    logger.debug('%s', a)\n    return [a + b * {i}, (a, b), {{a: b}}]" for i in range(200)
)


class AnotherThread:
    """Another thread, which makes a tree deep in its stack while this thread makes its next one."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.n = 0
        self.is_armed = False

    def __call__(self, phase: str, _: object) -> None:
        if phase == "start" and threading.get_ident() == self.thread and self.is_armed:
            self.is_armed = False
            self.n += 1
            other = threading.Thread(target=self.parse, args=(50,))
            other.start()
            other.join()

    def parse(self, depth: int) -> None:
        if depth:
            self.parse(depth - 1)
        else:
            ast.parse("x = [1, (2, 3)]")


@pytest.fixture
def other() -> Iterator[AnotherThread]:
    other = AnotherThread()
    threshold = gc.get_threshold()
    gc.callbacks.append(other)
    gc.set_threshold(100)
    try:
        yield other
    finally:
        gc.callbacks.remove(other)
        gc.set_threshold(*threshold)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="collections begin between two instructions")
def test_the_interpreter_fails_so(other: AnotherThread) -> None:
    other.is_armed = True
    with pytest.raises(SystemError, match="recursion depth mismatch"):
        ast.parse(SOURCE)


def test_a_tree_is_made_although_another_thread_makes_one(other: AnotherThread) -> None:
    other.is_armed = True
    assert mark_statements.mark(SOURCE.encode(), "shop.py", Options()).marks == 200
    assert other.n == 1


def test_a_module_is_instrumented_although_another_thread_makes_a_tree(
    packages: Packages, other: AnotherThread
) -> None:
    packages.write("shop_tree", SOURCE)
    hook = install("shop_tree")
    other.is_armed = True
    module = packages.load("shop_tree", SOURCE)
    assert len(sites("shop_tree")) == 200
    hook.uninstall()
    other.is_armed = True
    with instrument(module):
        assert instrumented()[0].sites == 200
    assert other.n == 2


def test_a_wrong_source_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = ("-" * 100_000 + "1").encode()
    with pytest.raises((RecursionError, MemoryError)):
        mark_statements.mark(deep, "shop.py", Options())
    with pytest.raises(SyntaxError):
        mark_statements.mark(b"x = = 1", "shop.py", Options())
    tried = []

    def fail(*arguments: object, **_: object) -> None:
        tried.append(arguments)
        raise SystemError("for ever")

    monkeypatch.setattr(mark_statements, "compile", fail, raising=False)
    with pytest.raises(SystemError, match="for ever"):
        mark_statements.mark(b"x = 1", "shop.py", Options())
    assert len(tried) == 100
