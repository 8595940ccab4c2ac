"""What tests of the folders of sockets have in common: several users, and the keys that a process tells of."""

import os

import pytest
from operators import MANY

from jumplabel._remote import ask

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")


NOBODY = 65534


def keys(pid, pattern="shop.*"):
    return [answer["key"] for answer in ask.ask(pid, {"command": "keys", "patterns": [pattern]}, MANY)]


def own_keys():
    """Of this process, in which other tests have left keys of other names."""
    return keys(os.getpid(), "test_socket_folder.*")
