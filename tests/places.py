"""Places in a program that make keys: code of modules that are made up, run as often as a test likes."""

import jumplabel


def run(source, module="shop", file="shop.py", space=None):
    """What a module is after its source has run, in its old variables or in new ones."""
    space = {} if space is None else space
    space.update({name: getattr(jumplabel, name) for name in jumplabel.__all__}, __name__=module)
    exec(compile(source, file, "exec"), space)
    return space


def maker(kind, module="shop"):
    """A place of its own: a function that makes one of these, of a module that is called so."""
    return run(f"def make(*arguments, **options): return {kind}(*arguments, **options)", module)["make"]
