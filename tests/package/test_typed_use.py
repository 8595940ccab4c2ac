# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""A typing fixture: the whole interface, as a program with a strict type checker uses it.

mypy and pyright check this file (`nox -s types`): what is decorated keeps its type, and each `type: ignore` hides a
mistake that the checker must find. pytest runs it too, which shows only that the calls work. Mistakes stand in
functions that are never called.
"""

import colorsys
import ctypes
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
from pathlib import Path
from typing import Any, assert_type

import pytest

import jumplabel
from jumplabel import (
    CallbackError,
    DecorationError,
    Hook,
    Info,
    Instrumentation,
    Instrumented,
    InstrumentError,
    JumpEntry,
    JumpLabelError,
    NativeBranch,
    PatchError,
    PatternError,
    RemoteError,
    Server,
    SettingError,
    StaticCall,
    StaticKey,
    StaticKeyArray,
    StaticKeyError,
    Toggle,
    Tracepoint,
    TracepointError,
    batch,
    likely,
    native_branch,
    off_toggle,
    on_toggle,
    static_branches,
    static_gate,
    static_switch,
    unlikely,
)
from jumplabel.pytest_plugin import StaticKeys

tracing = StaticKey("typed.tracing")
lingering = StaticKey("typed.lingering", default=True, deferred=0.5)
features = StaticKeyArray("typed.features", ["search", "cart"])


def test_keys() -> None:
    assert_type(tracing.name, str)
    assert_type(tracing.enabled, bool)
    assert_type(tracing.count, int)
    assert_type(tracing.deferred, float)
    assert_type(tracing.entries, tuple[JumpEntry, ...])
    with tracing.override(True) as held:
        assert_type(held, StaticKey)
    with batch():
        tracing.inc()
        lingering.dec()
    tracing.dec()
    lingering.flush()
    tracing.enable()
    tracing.disable()
    assert_type(features.search, StaticKey)
    assert_type(features["cart"], StaticKey)
    assert_type(list(features), list[StaticKey])
    assert_type(features.prefix, str)
    assert_type(jumplabel.keys(), list[StaticKey])
    assert_type(jumplabel.key("typed.tracing"), StaticKey)


def wrong_keys() -> None:
    StaticKey(b"typed")  # type: ignore[arg-type]
    StaticKey("typed", defer=1)  # type: ignore[call-arg]
    StaticKey("typed", deferred="1 s")  # type: ignore[arg-type]
    tracing.enabled = True  # type: ignore[misc]
    tracing.toggle()  # type: ignore[attr-defined]
    tracing.override("on")  # type: ignore[arg-type]
    features[0]  # type: ignore[index]
    StaticKeyArray("typed", [1])  # type: ignore[list-item]
    jumplabel.key(tracing)  # type: ignore[arg-type]


# ---- branches ----


@static_branches
def total(prices: Iterable[int], *, scale: int = 1) -> int:
    result = 0
    for price in prices:
        if unlikely(tracing) or likely(features.search):
            result += 0
        result += price * scale
    return result


@static_branches(snapshot=True, strict=True)
def work(job: Callable[[], str]) -> str:
    return job() if not tracing else ""


@static_branches
class Cart:
    def __init__(self, size: int) -> None:
        self.size = size

    @property
    def half(self) -> int:
        return self.size // 2 if tracing else self.size

    @static_branches(snapshot=True)
    def add(self, n: int) -> "Cart":
        return Cart(self.size + n)


def test_branches() -> None:
    assert_type(total([1], scale=2), int)
    assert_type(work(lambda: "done"), str)
    assert_type(Cart(1), Cart)
    assert_type(Cart(1).add(2).half, int)
    assert_type(unlikely(tracing), StaticKey)
    assert_type(likely(3), int)


def wrong_branches() -> None:
    total(1)  # type: ignore[arg-type]
    total([1], factor=2)  # type: ignore[call-arg]
    work(lambda: 1)  # type: ignore[arg-type, return-value]
    Cart("1")  # type: ignore[arg-type]
    Cart(1).add("1")  # type: ignore[arg-type]
    static_branches(total, snapshot="yes")  # type: ignore[call-overload]


# ---- gates and switches ----


@static_gate(tracing)
def trace(event: str, *, level: int = 0) -> int:
    return len(event) + level


@static_gate(tracing, default=0.5)
def sample(n: int) -> int:
    return n


@static_gate(tracing, default=b"")
async def fetch(path: str) -> str:
    return path


@static_gate(tracing)
def lines(n: int) -> Generator[int, None, str]:
    yield n
    return "end"


@static_gate(tracing)
async def ticks(n: int) -> AsyncGenerator[int, None]:
    yield n


def checked(data: str) -> int:
    return int(data.strip())


@static_switch(tracing, to=checked)
def parse(data: str) -> int:
    return int(data)


class Shop:
    @static_gate(tracing)
    def method(self, n: int) -> str:
        return str(n)

    @classmethod
    @static_gate(tracing, default=0)
    def of(cls, n: int) -> int:
        return n

    @staticmethod
    @static_switch(tracing, to=checked)
    def parse(data: str) -> int:
        return int(data)


def test_gates_and_switches() -> None:
    assert_type(trace("event", level=1), int | None)
    assert_type(sample(1), int | float)
    fetched = assert_type(fetch("/"), Coroutine[Any, Any, str | bytes])
    fetched.close()
    assert_type(lines(1), Generator[int, None, str | None])
    assert_type(ticks(1), AsyncGenerator[int, None])
    assert_type(parse("1"), int)
    assert_type(Shop().method(1), str | None)
    assert_type(Shop.of(1), int)
    assert_type(Shop.parse("1"), int)


def wrong_gates_and_switches() -> None:
    trace(1)  # type: ignore[arg-type]
    trace("event", depth=1)  # type: ignore[call-arg]
    len(str(trace("event") + 1))  # type: ignore[operator]
    static_gate("typed.tracing")  # type: ignore[call-overload]
    static_switch(tracing, checked)(len)  # type: ignore[arg-type]
    static_switch(tracing)  # type: ignore[call-arg]
    parse(1)  # type: ignore[arg-type]
    Shop().method("1")  # type: ignore[arg-type]
    Shop.of("1")  # type: ignore[arg-type]


# ---- static calls, tracepoints, callbacks ----


@StaticCall
def greet(name: str, *, polite: bool = False) -> str:
    return f"{'good day' if polite else 'hi'}, {name}"


class Door:
    @StaticCall
    def open(self, width: int) -> float:
        return width / 2


sold = Tracepoint("typed.sold")


@sold.register
def count(cart: list[int], total: int) -> int:
    return len(cart) + total


def audit(toggle: Toggle) -> str:
    assert_type(toggle.key, StaticKey)
    assert_type(toggle.old, bool)
    assert_type(toggle.sites, int)
    assert_type(toggle.nanoseconds, int)
    return toggle.key.name


def test_calls_and_callbacks() -> None:
    assert_type(greet("you", polite=True), str)
    greet.update(lambda name, *, polite=False: name)
    greet.update(None)
    assert_type(Door().open(2), float)
    Door.open.update(None)
    assert_type(sold.name, str)
    assert_type(sold.enabled, StaticKey)
    assert_type(sold.probes, tuple[Callable[..., Any], ...])
    sold([1], total=1)
    assert_type(count([1], 1), int)
    sold.unregister(count)
    assert_type(on_toggle(audit)(Toggle(tracing, False, True, 0, 0)), str)
    off_toggle(audit)


def wrong_calls_and_callbacks() -> None:
    greet(1)  # type: ignore[arg-type]
    greet("you", loud=True)  # type: ignore[call-arg]
    greet.update(len)  # type: ignore[arg-type]
    greet.updat(None)  # type: ignore[attr-defined]
    StaticCall(1)  # type: ignore[arg-type]
    Door().open("2")  # type: ignore[arg-type]
    Tracepoint(1)  # type: ignore[arg-type]
    sold.regster(count)  # type: ignore[attr-defined]
    sold.register(1)  # type: ignore[type-var]
    len(sold([1]))  # type: ignore[func-returns-value]
    on_toggle(checked)  # type: ignore[type-var]
    off_toggle(1)  # type: ignore[arg-type]


# ---- C functions ----


def test_native_branches() -> None:
    lower, upper = ctypes.CDLL(None).tolower, ctypes.CDLL(None).toupper
    branch = native_branch(tracing, off=lower, on=upper)
    assert_type(branch, NativeBranch)
    assert_type(branch.address, int)
    assert_type(branch.key, StaticKey)


def wrong_native_branches() -> None:
    native_branch("typed.tracing", off=1, on=2)  # type: ignore[arg-type]
    native_branch(tracing, 1, 2)  # type: ignore[misc]


# ---- whole packages, and from outside ----


def test_packages_and_tables(tmp_path: Path) -> None:
    with jumplabel.install("typed", "typed.*", asserts="off", only_pure=True) as hook:
        assert_type(hook, Hook)
    done = jumplabel.instrument(colorsys)
    assert_type(done, Instrumentation)
    assert_type(jumplabel.instrumented(), list[Instrumented])
    done.uninstall()
    jumplabel.uninstall()
    assert_type(jumplabel.info(), Info)
    assert_type(jumplabel.info().refusal, str | None)
    assert_type(jumplabel.jump_table(), list[JumpEntry])
    assert_type([entry.address for entry in jumplabel.jump_table()], list[int])
    with jumplabel.serve(tmp_path) as server:
        assert_type(server, Server)


def wrong_packages_and_tables() -> None:
    jumplabel.install(1)  # type: ignore[arg-type]
    jumplabel.install("typed", asserts="no")  # type: ignore[arg-type]
    jumplabel.instrument("typed")  # type: ignore[arg-type]
    jumplabel.info().keys = 1  # type: ignore[misc]
    jumplabel.serve(1)  # type: ignore[arg-type]


def test_errors() -> None:
    errors: list[type[JumpLabelError]] = [CallbackError, DecorationError, InstrumentError, PatternError, RemoteError]
    errors += [SettingError, StaticKeyError, TracepointError]
    with pytest.raises(StaticKeyError):
        jumplabel.key("typed.nothing")
    try:
        tracing.enable()
    except PatchError as error:
        assert_type(error.errno, int | None)
    tracing.disable()


# ---- in tests ----


@pytest.mark.static_keys("typed.tracing", off=["typed.features.*"])
def test_fixture(static_keys: StaticKeys) -> None:
    static_keys.enable("typed.tracing", features.cart)
    static_keys.disable("typed.*, !typed.tracing")


def wrong_fixture(static_keys: StaticKeys) -> None:
    static_keys.enable(1)  # type: ignore[arg-type]
