"""Operators: reading and toggling the keys of another process.

In here: the socket that a process serves (``serving.py``, ``connections.py``), what may be asked
(``operator_requests.py``), the asking side (``ask.py``, ``remote_exec.py``) and its commands. May not know: how keys
come to be, or what instruments a module.
"""
