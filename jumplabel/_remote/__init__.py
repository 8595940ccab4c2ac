"""Operators: read and toggle the keys of another process.

In here: the socket that a process serves (``serving.py``, ``connections.py``), the requests (``operator_requests.py``),
the asking side (``ask.py``, ``remote_exec.py``) and its commands. This room may not know how keys come to be, or how
modules are instrumented.
"""
