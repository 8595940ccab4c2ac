"""The kinds of site that a program writes: gates, static calls, tracepoints, branches, snapshots, native branches.

One file a kind. A native site is an engine's callable (``call_sites.py``, ``gates.py``); a branch is made by the
bytecode room. May not know: modules, sources, loggers, operators.
"""
