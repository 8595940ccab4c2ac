"""Keys: what a static key knows, and what one toggle does.

In here: ``static_key.py``, the registry of living keys, batches, overrides, deferred keys, callbacks of toggles, and
the jump table as Python reads it. ``transactions.py`` is the one way from Python into the engine's transaction.
May not know: how a site is made, or which function has it.
"""
