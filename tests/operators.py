"""Talking to a process's socket, well or badly; for test_serving.py, and for scripts in processes of their own."""

import json
import os
import socket
import time
from contextlib import suppress

MANY = 60.0  # seconds that nothing takes


def wait_for(condition):
    end = time.monotonic() + MANY
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def connect(path):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(path))
    connection.settimeout(MANY)
    return connection


def rest(connection):
    """Return all that comes, to the end or until it is cut off."""
    received = b""
    with suppress(ConnectionError):
        while data := connection.recv(1 << 16):
            received += data
    return received


def lines(received):
    return [json.loads(line) for line in received.splitlines()]


def request(command, *patterns):
    return json.dumps({"command": command, "patterns": patterns or ["*"]}).encode() + b"\n"


def talk(path, sent, when_busy=lambda: None):
    """Return the answer to these bytes. Ask again while the server is busy."""
    end = time.monotonic() + MANY
    while True:
        with connect(path) as connection:
            with suppress(ConnectionError):
                connection.sendall(sent)
            answers = lines(rest(connection))
        if not (answers and "busy" in answers[0]):
            return answers
        assert time.monotonic() < end
        when_busy()
        time.sleep(0.01)


def ask(path, command, *patterns, **when_busy):
    *answers, end = talk(path, request(command, *patterns), **when_busy)
    assert end == {"end": True}, end
    return answers


def states(path, *patterns):
    return {answer["key"]: answer["on"] for answer in ask(path, "keys", *patterns)}


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def threads():
    return len(os.listdir("/proc/self/task"))
