"""The states of an operator's connection, and its deadline in each."""

import pytest

from jumplabel._process.unpatched_sockets import socketpair
from jumplabel._remote import connections
from jumplabel._remote.connections import ANSWER_SECONDS, REQUEST_SECONDS, _Client, _State


@pytest.fixture
def clock(monkeypatch):
    """A list with one item, the time."""
    now = [1000.0]
    monkeypatch.setattr(connections, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def client(clock):
    ours, theirs = socketpair()
    yield _Client(ours)
    ours.close()
    theirs.close()


def test_a_client_has_seconds_to_send_its_request(client):
    assert client.state is _State.SENDS_REQUEST and not client.watching
    assert client.deadline == 1000 + REQUEST_SECONDS


def test_reading_moves_the_deadline_up_to_that_of_the_whole_answer(client, clock):
    client.state = _State.READS_ANSWER
    clock[0] = 1002.0
    client.begin_reading()
    assert client.deadline == 1002 + ANSWER_SECONDS
    clock[0] = 1003.0
    client.has_read(1 << 16)  # a quarter of a second more
    assert client.deadline == 1002 + ANSWER_SECONDS + 0.25
    client.has_read(1 << 20)
    assert client.deadline == 1003 + ANSWER_SECONDS


def test_a_watching_client_has_a_deadline_only_while_it_lags(client, clock):
    client.state = _State.WATCHES
    client.note_lag()
    assert client.watching and client.deadline is None
    clock[0] = 2000.0
    client.out += bytes(connections._BEHIND + 1)
    client.note_lag()
    assert client.watching and client.deadline == 2000 + ANSWER_SECONDS
    clock[0] = 2001.0
    client.note_lag()
    assert client.deadline == 2000 + ANSWER_SECONDS  # lagging on does not move it
    client.has_read(1)
    assert client.deadline == 2001 + ANSWER_SECONDS
    del client.out[0]
    client.note_lag()
    assert client.state is _State.WATCHES and client.deadline is None


def test_a_long_turn_of_the_thread_moves_all_deadlines(client, clock):
    client.state = _State.READS_ANSWER
    client.begin_reading()
    client.delay(3.0)
    assert client.deadline == 1003 + ANSWER_SECONDS
    clock[0] = 1002.0
    client.has_read(0)
    assert client.deadline == 1002 + ANSWER_SECONDS  # the whole answer's is later


def test_a_lagging_client_is_dropped_at_its_deadline_and_a_watching_one_stays(clock):
    ours = connections.Connections(None)
    pairs = [socketpair() for _ in range(2)]
    for (connection, _), behind in zip(pairs, (0, 2 * connections._BEHIND), strict=True):
        connection.setblocking(False)
        while connections._send(connection, bytes(1 << 16)):  # fill it: the operator does not read
            pass
        ours.welcome(connection)
        ours._clients[connection].state = _State.WATCHES
        ours._clients[connection].out += bytes(behind)
    assert ours._patience() is None
    ours._tell()
    assert ours._patience() == ANSWER_SECONDS
    clock[0] += ANSWER_SECONDS
    ours._turn()
    assert list(ours._clients) == [pairs[0][0]] and ours._patience() is None
    ours.close()
    for pair in pairs:
        for end in pair:
            end.close()


def test_an_answer_begins_its_time_when_it_is_made(clock, monkeypatch):
    ours = connections.Connections(None)
    connection, operator = socketpair()
    connection.setblocking(False)

    def slow_answers(request):
        clock[0] += 60.0  # as a large toggle may take
        yield from [{"key": "x" * 1000}] * 10_000

    monkeypatch.setattr(connections.operator_requests, "answers", slow_answers)
    ours.welcome(connection)
    operator.sendall(b'{"command": "keys", "patterns": ["*"]}\n')
    ours._read(ours._clients[connection])
    client = ours._clients[connection]
    assert client.state is _State.READS_ANSWER and client.deadline == clock[0] + ANSWER_SECONDS
    ours.close()
    operator.close()
