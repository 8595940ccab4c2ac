"""sys.monitoring sees the same in a function with sites as in a plain one, and the code stays right meanwhile."""

import sys
from opcode import opmap
from types import CodeType

import pytest
from site_checks import off_on_off
from tools import FILE, in_another_thread, pair, run, traced, turn, warm

if sys.version_info < (3, 12):
    pytest.skip("sys.monitoring is new in 3.12", allow_module_level=True)

monitoring = sys.monitoring
EVENTS = monitoring.events
TOOLS = (monitoring.PROFILER_ID, 4)

# Events that are the same with sites. RAISE and the like can only be had for all code at once.
LOCAL = {name: getattr(EVENTS, name) for name in ("LINE", "PY_START", "PY_RETURN", "PY_RESUME", "PY_YIELD")}
ALL = LOCAL | {
    name: getattr(EVENTS, name) for name in ("RAISE", "RERAISE", "PY_UNWIND", "PY_THROW", "EXCEPTION_HANDLED")
}
# Events that differ, as a site always is a jump. They must do no harm.
OTHERS = {name: getattr(EVENTS, name) for name in ("INSTRUCTION", "JUMP", "BRANCH", "CALL")}


@pytest.fixture(autouse=True)
def tools():
    for tool in TOOLS:
        monitoring.use_tool_id(tool, f"test {tool}")
    yield
    for tool in TOOLS:
        monitoring.free_tool_id(tool)


def codes(function):
    """Return the function's code object, and those within."""

    def within(code):
        yield code
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from within(constant)

    return list(within(function.__code__))


class Monitor:
    """Keeps the events of functions in forms.py, does something at one of them, and answers.

    function  None: events of all code; a function: only of its own
    """

    def __init__(self, events, at=None, action=None, answer=None, function=None, tool=TOOLS[0]):
        self.seen = []
        self.events, self.at, self.action, self.answer = events, at, action, answer
        self.function, self.tool = function, tool

    def set(self, number):
        if self.function is None:
            monitoring.set_events(self.tool, number)
        else:
            for code in codes(self.function):
                monitoring.set_local_events(self.tool, code, number)

    def __enter__(self):
        for name, number in self.events.items():
            monitoring.register_callback(self.tool, number, lambda *args, name=name: self.callback(name, *args))
        self.set(sum(self.events.values()))
        return self

    def __exit__(self, *_):
        self.set(0)
        for number in self.events.values():
            monitoring.register_callback(self.tool, number, None)

    def callback(self, name, code, where, *more):
        if code.co_filename != FILE:
            return None
        if name not in OTHERS:
            self.seen.append((name, code.co_name, where, *map(repr, more)) if name != "PY_YIELD" else (name, where))
            if len(self.seen) == self.at:
                self.action()
        return self.answer


def seen(function, *args, local=False, **kwargs):
    with Monitor(*args, function=function if local else None, **kwargs) as monitor:
        outcome = run(function)
    return monitor.seen, outcome


@pytest.mark.parametrize("others", [{}, OTHERS], ids=["", "and instructions"])
@pytest.mark.parametrize(("events", "local"), [(ALL, False), (LOCAL, True)], ids=["global", "local"])
@pytest.mark.parametrize("warmed", [False, True], ids=["cold", "warm"])
def test_events_are_the_same(both, key, other_key, events, local, others, warmed):
    for _ in off_on_off(key):
        for _ in range(2):
            turn(other_key)
            expected = seen(both[0], events | others, local=local)
            assert expected[0]
            if warmed:
                warm(both[1])
            assert seen(both[1], events | others, local=local) == expected
            assert run(both[1]) == expected[1]


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "thread"])
@pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
def test_a_key_turned_in_a_callback_counts_at_once(both, key, local, elsewhere):
    def turned(function, at):
        was = key.enabled
        action = (lambda: in_another_thread(turn, key)) if elsewhere else (lambda: turn(key))
        outcome = seen(function, LOCAL, at, action, local=local)
        if was != key.enabled:
            turn(key)
        return outcome

    for _ in off_on_off(key):
        for at in range(1, len(seen(both[0], LOCAL)[0]) + 1):
            assert turned(both[1], at) == turned(both[0], at)


def test_a_key_turned_in_a_callback_that_ends_the_monitoring_first_counts_at_once(both, key):
    """By then the instruction that waits for the callback has its own opcode back."""

    def ended(function, at):
        def end():
            monitor.set(0)
            turn(key)

        was = key.enabled
        with Monitor(LOCAL, at, end, function=function) as monitor:
            outcome = run(function)
        if was != key.enabled:
            turn(key)
        return monitor.seen, outcome

    for _ in off_on_off(key):
        for at in range(1, len(seen(both[0], LOCAL, local=True)[0]) + 1):
            assert ended(both[1], at) == ended(both[0], at)


def sites(code, key):
    """Return the offsets of the units that turning the key changes, also while they are instrumented."""
    before = code._co_code_adaptive
    turn(key)
    after = code._co_code_adaptive
    turn(key)
    return [i - 1 for i in range(1, len(before), 2) if before[i] != after[i]]


@pytest.mark.parametrize("events", [LOCAL, OTHERS, LOCAL | OTHERS], ids=["lines", "instructions", "all"])
@pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
def test_code_is_right_after_it_was_turned_while_instrumented(both, key, events, local):
    def jumps():
        return [code._co_code_adaptive[site : site + 2] for code, site in all_sites]

    plain, decorated = both
    all_sites = [(code, site) for code in codes(decorated) for site in sites(code, key)]
    jumps_when, expected = {}, {}
    for enabled in off_on_off(key):
        jumps_when[enabled], expected[enabled] = jumps(), run(plain)
    assert {jump[0] for jump in jumps()} == {opmap["JUMP_FORWARD"]}
    for enabled in (True, False, False, True):
        with Monitor(events, function=decorated if local else None):
            run(decorated)
            if key.enabled is not enabled:
                turn(key)
            assert [jump[1] for jump in jumps()] == [jump[1] for jump in jumps_when[enabled]]
            assert run(decorated) == expected[enabled]
        assert run(decorated) == expected[enabled]
        if local:
            assert jumps() == jumps_when[enabled]
        for now in off_on_off(key):
            assert run(decorated) == expected[now]
            assert [jump[1] for jump in jumps()] == [jump[1] for jump in jumps_when[now]]
        key.enable() if enabled else key.disable()


def test_two_tools_at_once_and_a_tracer_too(both, key, other_key):
    """One tool comes and goes, in either order, while the key is turned."""
    for _ in off_on_off(key):
        for _ in range(2):
            turn(other_key)
            seen_by = []
            for function in both:
                with Monitor(LOCAL, function=function) as first, Monitor(LOCAL | OTHERS, tool=TOOLS[1]) as second:
                    outcomes = [traced(function)]
                    first.set(0)
                    turn(key)
                    outcomes.append(run(function))
                    first.set(EVENTS.LINE)
                    second.set(0)
                    outcomes.append(traced(function))
                    turn(key)
                    outcomes.append(run(function))
                seen_by.append((first.seen, second.seen, outcomes))
            assert seen_by[0] == seen_by[1]


@pytest.mark.parametrize("events", [LOCAL, LOCAL | OTHERS], ids=["lines", "instructions"])
@pytest.mark.parametrize("restart", [False, True], ids=["", "restart"])
def test_a_callback_that_wants_no_more_events(both, key, events, restart):
    """After DISABLE, a location is not reported until events restart. Turning the key does not change that."""

    def disabled(function):
        monitoring.restart_events()
        outcomes = []
        with Monitor(events, answer=monitoring.DISABLE, function=function) as monitor:
            for _ in off_on_off(key):
                outcomes.append(run(function))
                if restart:
                    monitoring.restart_events()
        return monitor.seen, outcomes

    assert disabled(both[1]) == disabled(both[0])


def test_a_key_turned_in_a_callback_that_wants_no_more_events_counts_at_once(both, key):
    def turned(function, at):
        was = key.enabled
        monitoring.restart_events()
        outcome = seen(function, LOCAL, at, lambda: turn(key), monitoring.DISABLE, local=True)
        if was != key.enabled:
            turn(key)
        return outcome

    for _ in off_on_off(key):
        for at in range(1, len(seen(both[0], LOCAL, local=True)[0]) + 1):
            assert turned(both[1], at) == turned(both[0], at)


def test_instructions_of_a_site_are_reported_and_turning_the_key_there_counts_on_the_next_pass(key, other_key):
    """This callback alone comes too late: the interpreter has fetched the jump, and does not look again."""
    plain, decorated = pair("in_a_loop", key, other_key)
    site = sites(decorated.__code__, key)[0]

    def turn_it(code, offset):
        if code is decorated.__code__ and offset == site and not key.enabled:
            key.enable()

    monitoring.register_callback(TOOLS[0], EVENTS.INSTRUCTION, turn_it)
    monitoring.set_local_events(TOOLS[0], decorated.__code__, EVENTS.INSTRUCTION)
    values = [value for value, _ in run(decorated)[0]]
    assert values == [0, 1, 11, 2, 12]
    assert run(decorated) == run(plain)
