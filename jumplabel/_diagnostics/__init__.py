"""Diagnostics: what this process runs on, its sites' instructions, and tests of patching under load.

In here: ``info()``, the disassembler, ``demo`` and ``stress``, and their commands. No other room may use this one.
"""
