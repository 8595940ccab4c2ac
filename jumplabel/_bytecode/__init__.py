"""Bytecode: how the test of a key becomes a site. ``tests_become_sites.py`` tells the whole story.

In the order of the work: ``instructions.py`` reads code, ``find_tests.py`` finds tests, ``scope.py`` looks names up,
``plan_sites.py`` decides, ``tests_become_sites.py`` rewrites, ``new_code.py`` makes the code object, and
``code_objects.py`` keeps what belongs to it. May not know: decorators, modules, loggers, and other kinds of site.
"""
