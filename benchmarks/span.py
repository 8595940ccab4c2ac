"""Measure what an OpenTelemetry span around a function's work costs, off and on.

Without an SDK the API's spans do nothing. With an SDK, off means that its sampler refuses all spans, or that the
function tests a flag or a key first. On means that the SDK begins, records and ends a span. No processor exports it.
"""

import itertools
from collections.abc import Callable
from typing import Any

from rows import ARGUMENT, DUPLICATES, Rows, passed_on

from jumplabel import StaticKey, static_branches

Work = Callable[[Any], Any]
FLAG = False
numbers = itertools.count()  # for the names of keys


def deleted(tracer: Any, on: bool) -> Work:
    return passed_on


def always(tracer: Any, on: bool) -> Work:
    def work(x: object) -> object:
        with tracer.start_as_current_span("work"):
            return x

    return work


def flag(tracer: Any, on: bool) -> Work:
    global FLAG
    FLAG = on

    def work(x: object) -> object:
        if FLAG:
            with tracer.start_as_current_span("work"):
                return x
        return x

    return work


def branch(tracer: Any, on: bool) -> Work:
    tracing = StaticKey(f"benchmarks.span.{next(numbers)}", default=on)

    @static_branches(strict=True)
    def work(x: object) -> object:
        if tracing:
            with tracer.start_as_current_span("work"):
                return x
        return x

    if len(tracing.entries) != 1:
        raise AssertionError(f"the sites are {tracing.entries}")
    return work


def api_tracer(spans: list[Any] | None = None) -> Any:
    from opentelemetry import trace

    tracer = trace.get_tracer(__name__)
    with tracer.start_as_current_span("work") as span:
        if span.is_recording():
            raise AssertionError(f"{span}: there is an SDK")
    return tracer


def sdk_tracer(spans: list[Any] | None = None, records: bool = True) -> Any:
    """Return a tracer. It adds each ended span to the list, if there is one."""
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider, sampling

    class Lister(SpanProcessor):
        def on_end(self, span: Any) -> None:
            spans.append(span)

    provider = TracerProvider(sampler=sampling.ALWAYS_ON if records else sampling.ALWAYS_OFF, shutdown_on_exit=False)
    if spans is not None:
        provider.add_span_processor(Lister())
    return provider.get_tracer(__name__)


def refusing_tracer(spans: list[Any] | None = None) -> Any:
    return sdk_tracer(spans, records=False)


def no_tracer(spans: list[Any] | None = None) -> Any:
    return None


# By row: the function, its tracer, the state of its flag, and the number of spans that a call records.
ROWS: dict[str, tuple[Callable[[Any, bool], Work], Callable[..., Any], bool, int]] = {
    "span, deleted": (deleted, no_tracer, False, 0),
    "span, static branch off": (branch, sdk_tracer, False, 0),
    "span, global flag off": (flag, sdk_tracer, False, 0),
    "span, API without SDK off": (always, api_tracer, False, 0),
    "span, SDK off": (always, refusing_tracer, False, 0),
    "span, static branch on": (branch, sdk_tracer, True, 1),
    "span, global flag on": (flag, sdk_tracer, True, 1),
    "span, SDK on": (always, sdk_tracer, True, 1),
}


def function(name: str) -> Work:
    make, tracer, on, expected = ROWS[name]
    spans: list[Any] = []
    result = make(tracer(spans), on)(ARGUMENT)
    if result is not ARGUMENT or len(spans) != expected:
        raise AssertionError(f"{name}: returned {result!r}, recorded {spans}")
    return make(tracer(), on)


if __name__ == "__main__":
    rows = Rows()
    for name in filter(rows.wants, ROWS):
        rows.runner.timeit(
            name,
            "call(argument)",
            setup="argument = ARGUMENT",
            globals={"call": function(name), "ARGUMENT": ARGUMENT},
            duplicate=10 if name.endswith("on") else DUPLICATES,
        )
