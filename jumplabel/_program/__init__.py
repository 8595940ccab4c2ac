"""The program's own objects: how they are looked at, named and called.

In here: lookups that run no code of the program's, kinds and names of functions, names that are watched, and the types
that the engine makes. May not know: keys, sites, processes. Uses only ``jumplabel.errors`` and the engine.
"""
