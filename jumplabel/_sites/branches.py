"""``@static_branches``: every test of a key in a function becomes a site in its bytecode.

The decorator finds the functions (function_search.py), has their new code made (new_code.py), and sets it. How a test
becomes a site is told at the head of tests_become_sites.py. With ``snapshot=True``, snapshots.py leads each call to
new code instead.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, overload

from jumplabel._bytecode import replaced_code
from jumplabel._bytecode.code_objects import set_code
from jumplabel._bytecode.new_code import rewritten
from jumplabel._bytecode.plan_sites import refusal
from jumplabel._engine import lib
from jumplabel._process import forks
from jumplabel._program import looks
from jumplabel._program.exported import exported
from jumplabel._sites.function_search import functions_in, module_of
from jumplabel._sites.snapshots import snapshot_of
from jumplabel.errors import DecorationError

T = TypeVar("T")


@overload
def static_branches(target: T, *, strict: bool = False, snapshot: bool = False) -> T: ...
@overload
def static_branches(*, strict: bool = False, snapshot: bool = False) -> Callable[[T], T]: ...
@exported
def static_branches(target: Any = None, *, strict: bool = False, snapshot: bool = False) -> Any:
    """Decorator: make every test of a key in a function one instruction, which a toggle of the key rewrites.

    target    a function or method, with all that is defined in it; a class, with its functions, properties, class
              methods, static methods, and the classes in it; or a wrapper of a function: a property, a gate or switch,
              a ``functools.partial``, the implementations of a ``singledispatch``, anything with ``__wrapped__``, such
              as what the decorators of wrapt make. In a class, a method is also found in a wrapper without
              ``__wrapped__``, if the wrapper has it in a closure or an attribute
    strict    refuse a test that is a key's, or may be, and cannot become a site; see below
    snapshot  within one call every key keeps the value that it had when the call began; see below

    Returns the same object; its functions have new code. **Several sites do not flip at one instant**: one call may see
    a key off in one place and on in the next, unless ``snapshot`` is set.

    A test is an ``if``, ``elif``, ``while``, ``assert``, ``and``, ``or`` or ``not``, a conditional expression, or the
    condition of a comprehension. The key must be found now: as a global, a closure variable, an attribute of a module
    or a class, or in a StaticKeyArray that is found so. Tests of keys found elsewhere (``self.key``) and every other
    use of a key work as before. So does a call that is running already.

    Copies of the code (``__code__.replace()``) are not toggled: they stay as they were made. Where another tool (a
    profiler, a debugger) has given a function such a copy, a toggle of the key gives a ReplacedCodeWarning, and
    ``key.entries`` shows the site as replaced.

    With ``strict``, a test that is a key's, or may be, is refused if it stays an ordinary test. The message says what
    to write instead. The rule:

    - The test of a name, or of a name with dots, is refused unless the value can be looked up now and is no key. So are
      ``self.key``, a global that is not defined yet, and an object's property. Only a plain local variable counts as no
      key.
    - A test that asks a key about itself is refused: ``if key.enabled:``, ``key.count > 0``, ``bool(key)``. So is
      ``not key`` as a value. Write ``if key:``.
    - Items of a StaticKeyArray are tests of its keys: ``features["search"]`` is ``features.search``. The item of a
      dictionary is refused where it is a key now.
    - Any other subscript, call or comparison is an ordinary test, and accepted.

    The rule holds for the code of the decorated object's own module. It does not hold for what other modules have put
    into a class or around a function. The check runs no code of the program's: no property, ``__getattribute__`` or
    metaclass.

    From CPython 3.12 on, sites follow their names. Where a global, or an attribute of a module or class, stands for
    something else than the key that was found (``mock.patch.object(shop, "tracing", True)``, an assignment, ``del``),
    its sites are ordinary tests until the name stands for that key again. Both changes hold at once, also in calls that
    are running. A site that skips more than 255 units follows plain values only (True, None, a number, a string), from
    soon after the change on.

    Some sites go on following their key instead: all sites on 3.11, and on every version closure variables, values
    (``x = key and y``) and snapshots. In a test, hold their key by ``key.override(True)`` or the pytest fixture
    ``static_keys``.

    With ``snapshot``, the decorated object is a function, perhaps under ``classmethod`` or ``staticmethod``. The result
    is a callable that stands for the function, as a gate does; ``__wrapped__`` is the function, unchanged. A call sees
    all keys as they were at one instant, also the keys that one ``batch()`` toggles. Generators and coroutines keep
    that state as long as they live. Comprehensions and classes' bodies are parts of the call. Functions defined within
    are functions of their own, with ordinary sites. The snapshot holds for tests alone: ``key.enabled``, ``bool(key)``,
    a variable with the key in it, and the functions that are called show the present state.

    The first call in a state of the keys makes the code for that state. That code has the defaults, attributes and
    annotations that the function has then, and the ``__code__`` that it had when decorated. The codes of the eight
    states needed last are kept.

    As every test must go by the snapshot, these are refused, with or without ``strict``:

    - a test of a key that is found and cannot become a site
    - a value that the snapshot does not decide: ``x = not key``, and ``x = key and y``, which may be the key, unless it
      is returned. ``x = key and y or z`` never is the key
    - more than 64 keys
    - anything but a function. Decorate the methods of a class; put gates and switches over the snapshot, not under it

    The test of a key that is not found now goes by the key's present state; only ``strict`` refuses it. A function in
    which no key is found is returned itself. As under a gate, ``__init_subclass__`` and ``__class_getitem__`` need
    their ``@classmethod`` written.

    Any thread may decorate. Raises DecorationError, with function, file and line, for what ``strict`` or ``snapshot``
    refuses and for bytecode that no compiler makes; and for an object without a Python function. Nothing has changed
    then.
    """
    if target is None:
        return lambda target: static_branches(target, strict=strict, snapshot=snapshot)
    if snapshot:
        made = snapshot_of(target, strict)
        if made is not target:
            return made
    functions = dict.fromkeys(functions_in(target))
    if not functions and not issubclass(type(target), type):
        raise DecorationError(f"static_branches decorates a Python function or a class, not {target!r}")
    module = module_of(target)
    for function in functions if strict else ():
        if replaced_code.runs_a_copy(function):
            why = "another tool has replaced its code by a copy, in which the sites stay as they are; let it end first"
            raise refusal(function.__code__, function.__code__.co_firstlineno, why)
    old = {function: function.__code__ for function in functions}
    new = {function: rewritten(function, strict and _is_of(function, module)) for function in functions}
    try:
        for function, code in new.items():
            if code is not old[function]:
                set_code(function, code)
    except BaseException:  # of an audit hook, which may refuse a change of __code__
        for function, code in old.items():
            if function.__code__ is not code:
                set_code(function, code)
        raise
    return target


def _is_of(function: FunctionType, module: str | None) -> bool:
    """Return whether a function's code is of the decorated object's module; True where that module cannot be told.

    A class may have functions from other modules, and so may a decorated function.
    """
    return module in (None, looks.text(dict.get(function.__globals__, "__name__")))


# One thread may fork the process while another is between its store and the second step, which tells the interpreter.
forks.in_child(lib.code_poke_settle)
