"""``key.override()``: hold a key on or off for a block, or for each run of a function."""

from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from types import FunctionType, TracebackType, coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from jumplabel._engine import ffi, lib
from jumplabel._keys.batches import current_batch
from jumplabel._keys.toggles import callbacks, new_report, tell
from jumplabel._keys.transactions import check
from jumplabel._process.unpatched import get_ident
from jumplabel._program.functions import (
    check_can_be_off,
    full_name,
    inside,
    is_awaitable_generator_function,
    own_flavour,
)
from jumplabel.errors import DecorationError, StaticKeyError

if TYPE_CHECKING:
    from jumplabel._keys.static_key import StaticKey

F = TypeVar("F", bound=Callable[..., Any])

_TEST_PREFIX = "test"
"""Begins the names of a class's test methods, as for unittest's loader and ``unittest.mock.patch``."""


@contextmanager
def _held(key: "StaticKey", enabled: bool) -> Iterator[None]:
    """Hold the key on or off for a ``with`` block.

    This is a generator: where a signal handler raises between its steps, the generator is dropped and lifts its
    override.
    """
    if current_batch() is not None:
        raise StaticKeyError(f"{key!r}: an override within a batch would never be seen; put the batch inside it")
    override = ffi.new("struct key_override **")
    report = new_report(1) if callbacks else ffi.NULL
    try:
        # Within the try: a signal handler may raise right behind the call.
        try:
            error = lib.static_key_override(key._key, enabled, override, report)
        finally:
            if report:
                tell(report, [key])
        check(error, key)
        yield
    finally:
        try:
            if callbacks and not report:
                report = new_report(1)
        finally:
            # The engine looks whether there is an override to lift: we may have no memory to look, or for a report.
            try:
                error = lib.static_key_lift(key._key, override, report)
            finally:
                if report:
                    tell(report, [key])
        check(error, key)


class Override:
    """What ``StaticKey.override`` returns: a context manager and a decorator, for any number of uses.

    Any thread may use it, also while it is in use. A thread leaves the block that it has entered last. A thread that
    has entered none leaves the newest block.
    """

    def __init__(self, key: "StaticKey", enabled: bool) -> None:
        self._key = key
        self._enabled = enabled
        self._entered: list[tuple[int, AbstractContextManager[None]]] = []

    def __enter__(self) -> "StaticKey":
        held = self._hold()
        held.__enter__()
        self._entered.append((get_ident(), held))
        return self._key

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        thread = get_ident()
        ours = [each for each in self._entered if each[0] == thread] or self._entered
        if not ours:
            raise StaticKeyError(f"{self!r} ends without a beginning")
        last = ours[-1]
        self._entered.remove(last)
        last[1].__exit__(kind, error, at)

    def __call__(self, function: F) -> F:
        """Return the function, holding the key for each of its runs: see ``StaticKey.override``.

        Raises DecorationError.
        """
        what = f"override of {self._key.name!r}"
        if isinstance(function, type):
            self._decorate_tests(what, function)
            return function
        if isinstance(function, classmethod | staticmethod):
            return type(function)(self(function.__func__))
        if not callable(function):
            hint = "; decorate the function inside it" if hasattr(function, "__get__") else ""
            raise DecorationError(f"{what}: it decorates a function or a class with tests, not {function!r}{hint}")
        check_can_be_off(what, function)
        return wraps(function)(_RUNS[own_flavour(inside(function))](self._hold, function))  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"<override of {self._key.name!r}, {'on' if self._enabled else 'off'}>"

    def _hold(self) -> AbstractContextManager[None]:
        return _held(self._key, self._enabled)

    def _decorate_tests(self, what: str, kind: type) -> None:
        tests = {name: value for name, value in vars(kind).items() if name.startswith(_TEST_PREFIX) and _runs(value)}
        inherited = [name for base in kind.__mro__[1:] for name in vars(base) if name.startswith(_TEST_PREFIX)]
        for name in inherited:
            value = next(vars(base)[name] for base in kind.__mro__ if name in vars(base))
            if _runs(value):
                tests.setdefault(name, value)
        if not tests:
            raise DecorationError(
                f"{what}: {full_name(kind)} is a class without tests (methods whose names begin with "
                f"{_TEST_PREFIX!r}); decorate the methods that are to run with it"
            )
        decorated = {name: self(value) for name, value in tests.items()}
        for name, value in decorated.items():
            setattr(kind, name, value)


def _runs(value: object) -> bool:
    return isinstance(value, FunctionType | classmethod | staticmethod)


# ---- one run of a function ----

_Hold = Callable[[], AbstractContextManager[None]]


def _of_function(hold: _Hold, function: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with hold():
            return function(*args, **kwargs)

    return run


def _of_coroutine_function(hold: _Hold, function: Any) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> Any:
        with hold():
            return await function(*args, **kwargs)

    return run


def _of_generator_function(hold: _Hold, function: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with hold():
            return (yield from function(*args, **kwargs))

    return coroutine(run) if is_awaitable_generator_function(inside(function)) else run


def _of_async_generator_function(hold: _Hold, function: Any) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with hold():
            steps = function(*args, **kwargs)
            step = steps.__anext__()
            while True:
                try:
                    value = await step
                except StopAsyncIteration:
                    return
                try:
                    sent = yield value
                except GeneratorExit:
                    await steps.aclose()
                    raise
                except BaseException as error:
                    step = steps.athrow(error)
                else:
                    step = steps.asend(sent)

    return run


_RUNS = {
    "": _of_function,
    "a coroutine function": _of_coroutine_function,
    "a generator function": _of_generator_function,
    "an async generator function": _of_async_generator_function,
}
