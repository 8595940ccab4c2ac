"""The kinds of site that a program writes: gates, static calls, tracepoints, branches, snapshots, native branches.

To add a kind, add its file here and export its names in ``jumplabel/__init__.py``. A callable builds on a C type, which
has to know the name of the kind: ``csrc/cpython/callable.c`` (two targets that stay), ``csrc/cpython/call_site.c``
(targets that change). A new way to patch is a row of ``csrc/engine/site_kind.h``. Branches are made by the bytecode
room. May not know: modules, sources, loggers, operators.
"""
