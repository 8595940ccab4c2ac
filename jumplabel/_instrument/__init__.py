"""Instrumenting modules: statements of a source become sites, when a module is imported or later.

In the order of the work: ``mark_statements.py`` changes the syntax tree, ``compile_marked.py`` makes code with sites,
``import_hook.py`` or ``loaded_modules.py`` puts it into a module, ``instrumented_modules.py`` keeps the books, and
``code_cache.py`` saves the work of the next start. May not know: operators, and what prints.
"""
