"""The program's own objects: how they are looked at, named and called.

In here: lookups that run no code of the program, kinds and names of functions, names that are watched, the types that
the engine makes, and how the package names what it exports. May not know: keys, sites, processes. Uses only
``jumplabel.errors`` and the engine.
"""
