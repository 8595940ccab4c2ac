"""Other users, and the keys that a process tells of, for tests of the folders of sockets."""

import os

import pytest
from operators import MANY

from jumplabel._remote import ask

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")


NOBODY = 65534


def keys(pid, pattern="shop.*"):
    return [answer["key"] for answer in ask.ask(pid, {"command": "keys", "patterns": [pattern]}, MANY)]


def own_keys():
    """Return the keys of this process that tests of socket folders have made."""
    return keys(os.getpid(), "test_socket_folder.*")
