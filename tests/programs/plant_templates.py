"""What planting.py plants: statements and expressions with tests of keys in them."""

KEYS = ["_planted_a", "_planted_b", "_planted_flags.key_c", "_planted_flags.Flags.key_d", "_planted_flags.key_a"]
HINTED = ["_planted_likely({})", "_planted_unlikely({})", "_planted_hints.likely({})", "_planted_hints.unlikely({})"]
NAMES_OF_KEYS = {"_planted_a", "_planted_b", "_planted_cell", "key_a", "key_c", "key_d"}

MARK = "_planted_mark({})"
LONG = "\n".join(["    {mark}"] * 60)
"""More than a site can jump over, on every version."""

# {test} is the test of a key, {mark} a mark, another one at each place
STATEMENTS = [
    "if {test}: {mark}",
    "if {test}: {mark}\nelse: {mark}",
    "if not {test}: {mark}",
    "if not {test}: {mark}\nelse: {mark}",
    "if {mark}: {mark}\nelif {test}: {mark}",
    "if {test}: {mark}\nelif {test}: {mark}\nelif not {test}: {mark}\nelse: {mark}",
    "if {test} and {mark}: {mark}",
    "if {mark} and {test}: {mark}\nelse: {mark}",
    "if {test} or {mark}: {mark}",
    "if {mark} or not {test}: {mark}\nelse: {mark}",
    "if not ({test} and {mark} or {test}): {mark}",
    "if {test} and (not {test} or {mark}): {mark}\nelse: {mark}",
    "if {test}: pass",
    "if {test}:\n    if {test}: {mark}\n    else: {mark}",
    "while {test}:\n    {mark}\n    break",
    "while not {test}:\n    {mark}\n    break\nelse: {mark}",
    "while {test} and {mark}:\n    {mark}\n    if not {test}: break",
    "while True:\n    {mark}\n    if {test}: break\n    {mark}\n    if not {test}: break",
    "for _planted_i in _planted_three:\n    {mark}\n    if {test}: continue\n    if {test}: break\nelse: {mark}",
    "for _planted_i in _planted_three:\n    if {test}: {mark}",
    "for _planted_i in _planted_three:\n    if not {test}: continue\n    {mark}",
    "try:\n    assert {test}, {mark}\nexcept AssertionError: {mark}",
    "try:\n    assert not {test}\nexcept AssertionError: {mark}\nelse: {mark}\nfinally:\n    if {test}: {mark}",
    "assert {test} or True",
    "assert {mark} or not {test} or True",
    "try: {mark}\nfinally:\n    if {test}: {mark}",
    "with _planted_null:\n    if {test}: {mark}\n    else: {mark}",
    "match {mark}:\n    case 0 if {test}: {mark}\n    case _:\n        if not {test}: {mark}",
    "_planted_mark({mark} if {test} else {mark})",
    "_planted_mark({test} and {mark})",
    "_planted_mark({test} or {mark})",
    "_planted_mark({mark} and {test} or {mark})",
    "_planted_mark(not {test} or {mark})",
    "_planted_mark(({test} and {mark}) or ({test} or {mark}))",
    "_planted_mark(1 < ({test} and 2 or 3) < 4)",
    "_planted_mark([i for i in _planted_three if {test}])",
    "_planted_mark([i for i in _planted_three if {test} or i])",
    "_planted_mark(({{i for i in _planted_three if not {test}}}, {{i: i for i in _planted_three if {test} and i}}))",
    "_planted_mark([(i if {test} else -i) for i in _planted_three if i if {test}])",
    "_planted_mark(_planted_list(({test} and i) for i in _planted_three if {test} or i))",
    "_planted_mark((lambda i: {mark} if {test} else i)(1))",
    "def _planted_inner(i):\n    if {test}: {mark}\n    yield {test} and i\n"
    "    while not {test}:\n        yield {mark}\n        return\n_planted_mark(_planted_list(_planted_inner(7)))",
    "async def _planted_async():\n    async with _planted_null:\n        if {test}: return {mark}\n"
    "    return {test} or 1\n_planted_mark(_planted_run(_planted_async()))",
    "_planted_local = _planted_value\nif _planted_local: {mark}",
    "if {test}:\n" + LONG,
    "if not {test}:\n" + LONG + "\nelse: {mark}",
    "while {test}:\n" + LONG + "\n    break",
    "for _planted_i in _planted_three:\n    if {test}: continue\n" + LONG,
    "_planted_mark({test} and (" + ", ".join(["{mark}"] * 60) + "))",
]
LEAVES = ["if {test}: return", "if not {test}: return", "if {test}: raise ValueError({mark})"]
LEAVES_LOOPS = ["if {test}: continue", "if {test}: break", "if not {test}: break", "if {test} and {mark}: continue"]

NO_SITES = {"_planted_mark(not {test} or {mark})", "_planted_local = _planted_value\nif _planted_local: {mark}"}
"""Of STATEMENTS: a value that is not jumped on, and a local variable."""

GIVE_THE_KEY = {one for one in STATEMENTS if "yield {test} and" in one or "({test} and i) for" in one}
"""Of STATEMENTS: generators that yield the key itself."""

CRASHES = {"JumpTestCase"}
"""Classes of test_sys_settrace: to set ``f_lineno`` in what is planted crashes CPython 3.13, with bools too."""

# {e} is the expression that this takes the place of
EXPRESSIONS = [
    "{e} if {test} else {e}",
    "{e} if not {test} else {e}",
    "{e} if {test} and {mark} else {e}",
    "{e} if {test} else {e} if {test} else {e}",
    "({test} and None, {e})[1]",
    "({e}, {test} or 0)[0]",
]
CONDITIONS = [
    "{e} and ({test} or True)",
    "({test} or True) and {e}",
    "({test} and False) or {e}",
    "not (not {e} or ({test} and False))",
]
OTHER_VALUES = [
    "({mark}, {e})[1] if {test} else {e}",
    "({test} and {e}) if {test} else {e}",
    "({test} or {e}) if not {test} else {e}",
    "{test} and {e}",
    "{test} or {e}",
    "{e} if {test} else None",
]
