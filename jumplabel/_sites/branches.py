"""``@static_branches``: every test of a key in a function becomes a site in its bytecode.

Which tests do is plan_sites.py's question, with find_tests.py (what is a test?), scope.py (what is it of?) and
tests_become_sites.py (how does it become a site?). new_code.py makes the new code by the plan, and here it is put in
place of the old. With ``snapshot=True`` it is snapshots.py that does so, for one call at a time.
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
    """A decorator: every test of a key in a function becomes one instruction, which toggling the key rewrites.

    target    a function or method, with all that is defined in it; a class: its functions, properties, class methods,
              static methods, and the classes in it; or what stands for a function: a property, a gate or switch, a
              ``functools.partial``, the implementations of a ``singledispatch``, anything with ``__wrapped__``, such as
              what the decorators of wrapt make. In a class, a method is also found in a wrapper that does not say what
              it wraps, if it is in a closure or an attribute
    strict    refuse what has a test that is, or might be, one of a key and cannot become a site; see below
    snapshot  within one call every key keeps the value that it had when the call began; see below

    Returns the same object; its functions have new code. ``if``, ``elif``, ``while``, conditional expressions, ``and``,
    ``or``, ``not``, ``assert`` and the conditions of comprehensions test a key that can be found now: as a global, a
    closure variable, an attribute of a module or a class, or in a StaticKeyArray that is found so. Tests of keys found
    elsewhere (``self.key``) and every other use of a key work as before, and so does a call that is running already.

    With ``strict``, a test that stays an ordinary one is refused where it is a key's, or may be. The message says what
    to write instead. The rule:

    - The test of a name, or of what follows a name by dots, is refused unless the value can be looked up now and is no
      key: ``self.key``, a global that is not defined yet, an object's property. Only a plain local variable is taken to
      be no key.
    - What asks a key about itself is refused: ``if key.enabled:``, ``key.count > 0``, ``bool(key)``, and so is ``not
      key`` as a value. Write ``if key:``.
    - Items of a StaticKeyArray are tests of its keys: ``features["search"]`` is ``features.search``. The item of a
      dictionary is refused where it is a key now.
    - Any other subscript, call or comparison is an ordinary test, and accepted.

    This is asked of the code of the decorated thing's own module, not of what other modules have put into a class or
    around a function. To look runs no code of the program's: no property, ``__getattribute__`` or metaclass.

    From CPython 3.12 on, where a global or an attribute of a module or class stands for something else than the key
    that was found (``mock.patch.object(shop, "tracing", True)``, an assignment, ``del``), its sites are ordinary tests
    until it stands for that key again, at once and in calls that run. A site that skips more than 255 units follows
    plain values only (True, None, a number, a string), from soon after the change on. On 3.11 sites go on following
    their key, and so do closure variables, values (``x = key and y``) and snapshots: there hold the key itself, by
    ``key.override(True)`` or the pytest fixture ``static_keys``.

    Several sites do not flip at one instant: one call may see a key off in one place and on in the next. Copies of the
    code (``__code__.replace()``) are not toggled: they stay as they were made. A function that another tool has given
    such a copy (a profiler, a debugger) is told of by a ReplacedCodeWarning when its key is toggled, and by
    ``key.entries``.

    With ``snapshot`` they do. It decorates a function, under ``classmethod`` or ``staticmethod`` too, and returns a
    callable that stands for it, as a gate does; ``__wrapped__`` is the function, as it was. Of all keys, those toggled
    by one ``batch()`` included, a call sees the values of one instant. Generators and coroutines keep theirs as long as
    they live, and so do comprehensions and classes' bodies, which are parts of the call; functions defined within are
    functions of their own, with ordinary sites. It holds for tests: who asks a key otherwise (``key.enabled``,
    ``bool(key)``, a variable that the key was put into, what is called) hears how it is now.

    The code for a state of the keys is made by the first call in that state, with the defaults, attributes and
    annotations that the function then has, and the ``__code__`` that it had when decorated. The eight that were needed
    last are kept. As every test must go by the snapshot, a test of a key that is found and cannot become a site is
    refused, with or without ``strict``; and so are values that it says nothing of (``x = not key``, and ``x = key and
    y``, which may be the key, unless it is returned; ``x = key and y or z`` never is), more than 64 keys, and what is
    no function (decorate the methods of a class; put gates and switches over the snapshot, not under it). The test of a
    key that is not found now goes by its present state; only ``strict`` refuses it. A function in which no key is found
    is returned itself.
    As under a gate, ``__init_subclass__`` and ``__class_getitem__`` need their ``@classmethod`` written.

    Any thread may decorate. Raises DecorationError, with function, file and line, for what ``strict`` refuses and for
    bytecode that no compiler makes, with nothing changed; also for what has no Python function in it.
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
    except BaseException:  # an audit hook's, who has a right to it
        for function, code in old.items():
            if function.__code__ is not code:
                set_code(function, code)
        raise
    return target


def _is_of(function: FunctionType, module: str | None) -> bool:
    """Whether its code is the user's own: a class has functions from elsewhere, and so has a decorated function."""
    return module in (None, looks.text(dict.get(function.__globals__, "__name__")))


# A process may be forked by one thread while another is between its store and what it has to tell the interpreter.
forks.in_child(lib.code_poke_settle)
