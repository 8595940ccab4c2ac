"""Instrumenting modules: statements of a source become sites, when a module is imported or later.

The work goes in this order. ``mark_statements.py`` changes the syntax tree. ``compile_marked.py`` makes code with sites
from it, and ``code_cache.py`` keeps the code for the next start. ``import_hook.py`` or ``loaded_modules.py`` puts the
code into a module, and ``instrumented_modules.py`` keeps the books. May not know: operators, and what prints.
"""
