"""Functions that test names, and what the table of followed names has gained since."""

import gc
import itertools

from places import run

from jumplabel import StaticKey
from jumplabel._program import name_watch

_numbers = itertools.count()


def new_name():
    """A path that no other test has."""
    return f"name{next(_numbers)}"


def new_key():
    return StaticKey(f"name_table.{next(_numbers)}")


def space_of(test="tracing", **variables):
    """The variables of a module with a function that tests a name."""
    return run(f"@static_branches\ndef state(): return 'on' if {test} else 'off'", space=variables)


def moment():
    """For what is done soon after a change."""
    for _ in range(50):
        (lambda: 0)()


def added_since(before):
    gc.collect()
    moment()
    pairs, paths, _ = name_watch.followers()
    return pairs - before[0], paths - before[1]
