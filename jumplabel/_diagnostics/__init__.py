"""What this process runs on, what its sites look like, and how they hold out.

In here: ``info()``, the disassembler, ``demo`` and ``stress``. Nothing else in the package may need what is in here.
"""
