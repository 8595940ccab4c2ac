"""What does a gate cost, off and on, against a function that returns early, and against the least that a call costs?"""

import functools

from rows import ARGUMENT, Call, Rows, passed_on

from jumplabel import StaticKey, static_gate

FLAG = False


def gate(on: bool) -> Call:
    key = StaticKey("benchmarks.gate", default=on)
    call = static_gate(key)(passed_on)
    return Call(call, ARGUMENT, passed_on) if on else Call(call, None, None)


def early_return(on: bool) -> Call:
    global FLAG
    FLAG = on

    def call(x: object) -> object:
        if not FLAG:
            return None
        return x

    return Call(call, ARGUMENT if on else None, call)


if __name__ == "__main__":
    Rows().calls(
        [
            ("gate off", lambda: gate(on=False)),
            ("early return off", lambda: early_return(on=False)),
            ("C built-in", lambda: Call({}.get, None, None)),
            # The least that any call costs: a built-in that the interpreter calls directly, and no hash to compute.
            ("C built-in of a str", lambda: Call({}.get, None, None, argument="event")),
            ("gate on", lambda: gate(on=True)),
            ("early return on", lambda: early_return(on=True)),
            ("partial", lambda: Call(functools.partial(passed_on), ARGUMENT, passed_on)),
            ("direct call", lambda: Call(passed_on, ARGUMENT, passed_on)),
        ]
    )
