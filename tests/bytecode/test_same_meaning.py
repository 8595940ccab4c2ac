"""Functions with planted tests of keys do what they do undecorated; programs/same_meaning.py compares many more."""

import os
import re

import pytest
from plant_templates import CONDITIONS, EXPRESSIONS, LEAVES, LEAVES_LOOPS, NO_SITES, OTHER_VALUES, STATEMENTS
from planted_modules import Plants, loads_of_keys
from same_meaning import SEED, Counts, sample

from jumplabel import static_branches


@pytest.mark.parametrize("hinted", [False, True])
@pytest.mark.parametrize("template", [*STATEMENTS, *LEAVES, *LEAVES_LOOPS, *EXPRESSIONS, *CONDITIONS, *OTHER_VALUES])
def test_what_is_planted_becomes_sites(request, template, hinted):
    plants = Plants(request.node.nodeid)
    body = template.replace("{e}", "x").replace("{test}", "_planted_likely(_planted_a)" if hinted else "_planted_a")
    body = re.sub("{mark}", "_planted_mark(1)", body).replace("{{", "{").replace("}}", "}")
    body = f"if x and ({body}): pass" if template in CONDITIONS else f"return {body}" if "{e}" in template else body
    source = "def f(x):\n    for _ in x:\n" + "".join(f"        {line}\n" for line in body.splitlines())
    namespace = dict(plants.namespace)
    exec(source, namespace)
    n_tests = loads_of_keys(namespace["f"].__code__)
    static_branches(namespace["f"])
    assert plants.sites() == (0 if template in NO_SITES else n_tests)
    assert n_tests > 0 or "_planted_local" in template


@pytest.mark.slow
def test_planted_functions_do_what_they_do_undecorated():
    total, found = Counts(), []
    for name, seed, counts, differences in sample(int(os.environ.get("JUMPLABEL_DIFFERENTIAL", "300")), SEED):
        total += counts
        found += [(name, seed, *difference) for difference in differences]
    assert not found, f"{len(found)} differences, the first: {found[:5]}"
    assert total.sites > 0.75 * total.tests > 0
    assert total.failed < 0.8 * total.calls and total.marked > 0.2 * total.calls
    assert total.noise < 0.03 * total.calls
