"""What coverage measures of functions with sites, and of the same functions without."""

import json
import sys

import coverage
from tools import FILE, FORMS, pair, run, turn

from jumplabel import StaticKey

key, other_key = StaticKey("key"), StaticKey("other key")
pairs = [pair(name, key, other_key) for name in FORMS]


def measured(which, on_the_way):
    measuring = coverage.Coverage(data_file=None, config_file=False, branch=sys.argv[1] == "branch", include=[FILE])
    measuring.start()
    try:
        for functions in pairs:
            run(functions[which])
            if on_the_way:
                for at in range(1, 5):
                    was = key.enabled
                    run(functions[which], at, lambda: turn(key))
                    if was != key.enabled:
                        turn(key)
    finally:
        measuring.stop()
    data = measuring.get_data()
    return [sorted(data.lines(FILE)), sorted(data.arcs(FILE) or ())]


seen = []
for _ in range(2):
    for _ in range(2):
        for on_the_way in (False, True):
            seen.append([measured(which, on_the_way) for which in (0, 1)])
        turn(key)
    turn(other_key)
json.dump(seen, sys.stdout)
