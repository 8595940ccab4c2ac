"""Places in a program that make keys: code of modules that are made up, run as often as a test likes."""

import jumplabel


def run(source, module="shop", file="shop.py", space=None):
    """Run a module's source, in its old variables or in new ones, and return the module."""
    space = {} if space is None else space
    space.update({name: getattr(jumplabel, name) for name in jumplabel.__all__}, __name__=module)
    exec(compile(source, file, "exec"), space)
    return space


def maker(kind, module="shop"):
    """Return a function that makes an object of this kind, at a place of its own in a module of this name."""
    return run(f"def make(*arguments, **options): return {kind}(*arguments, **options)", module)["make"]
