"""``instrument()``: give functions of loaded modules code with sites, made from their source."""

import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType

from jumplabel._bytecode.code_objects import set_code
from jumplabel._bytecode.plan_sites import KNOWN
from jumplabel._instrument.asserts_off import take_off
from jumplabel._instrument.closures import follow
from jumplabel._instrument.compile_marked import MarkedCode, codes, compile_or_leave, with_objects
from jumplabel._instrument.definitions import FOLLOW
from jumplabel._instrument.instrumented_modules import Owner, Record, add, all_functions
from jumplabel._instrument.options import Asserts, Options, checked
from jumplabel._instrument.original_code import origin
from jumplabel._keys.patterns import OURS
from jumplabel.errors import InstrumentError


class Instrumentation(Owner):
    """The result of ``instrument()``. ``uninstall()`` undoes the instrumentation; so does the end of a ``with`` block.

    functions  the number of functions with new code
    left       (name, why) of the functions and modules that stay as they were
    """

    def __init__(self) -> None:
        self.functions = 0
        self.left: list[tuple[str, str]] = []

    def __repr__(self) -> str:
        return f"<jumplabel.Instrumentation of {self.functions} functions, {len(self.left)} left>"


def instrument(
    target: ModuleType, *, logging: bool = True, asserts: Asserts = False, keys: bool = True, only_pure: bool = False
) -> Instrumentation:
    """Instrument a loaded module; for a package, also every loaded module in it.

    target   the module or package
    logging, asserts, keys, only_pure    as for ``install()``, which instruments modules that are imported later

    The source is read and compiled again. Each living function whose code is still what the source says gets the
    instrumented code: methods, functions within decorators, closures. Other functions stay as they are: their source
    has changed since, or a tool has rewritten their code, ``static_branches`` included. Calls that are running,
    generators and coroutines go on in the code that they have. The garbage collector finds the functions, but not those
    that were made before ``gc.freeze()``.

    Any thread may call this. Raises InstrumentError for an object that is no module, for a module without a source file
    in which there are no modules with one, and for a wrong option. Raises SyntaxError, with nothing changed, for a
    source that is no longer Python.
    """
    if not isinstance(target, ModuleType):
        raise InstrumentError(f"instrument() takes a module, such as sys.modules['shop'], not {target!r}")
    options = checked(logging, asserts, keys, only_pure)
    done = Instrumentation()
    prepared = []
    if target.__name__ in OURS:
        raise InstrumentError("jumplabel itself cannot be instrumented: it has to work while it instruments")
    for module in _modules(target):
        path = _source(module)
        if path is None:
            done.left.append((module.__name__, "it has no source file"))
        else:
            prepared.append(_Prepared(module, path, options, done))
    if not prepared:
        raise InstrumentError(f"{target!r} has no source file: it cannot be instrumented")
    if not options.asserts_start_on:
        take_off()
    functions: dict[int, list[FunctionType]] = {}
    for function in all_functions():
        functions.setdefault(id(function.__globals__), []).append(function)
    try:
        for one in prepared:
            add(one.record)
            one.replace(functions.get(id(vars(one.module)), []), done)
    except BaseException:  # such as that of an audit hook, which may refuse new code
        done.uninstall()
        raise
    return done


def _modules(target: ModuleType) -> Iterator[ModuleType]:
    yield target
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{target.__name__}.") and isinstance(module, ModuleType):
            yield module


def _source(module: ModuleType) -> str | None:
    path = getattr(module, "__file__", None)
    return path if isinstance(path, str) and path.endswith(".py") else None


class _Prepared:
    """A module's original and its instrumented code, made before anything is changed."""

    def __init__(self, module: ModuleType, path: str, options: Options, owner: Instrumentation) -> None:
        self.module = module
        try:
            with open(path, "rb") as file:
                source = file.read()
        except OSError as error:
            raise InstrumentError(f"the source of {module.__name__} cannot be read: {error}") from error
        self.marked: MarkedCode | None = None
        self.original = dict(codes(compile(source, path, "exec", dont_inherit=True)))
        if KNOWN and (options.logging or options.asserts):
            marked = compile_or_leave(source, path, options)
            self.marked = with_objects(marked, {FOLLOW: follow})
        self.record = Record(owner, module, path, self.marked, options)

    def replace(self, functions: list[FunctionType], done: Instrumentation) -> None:
        """Give the new code to the functions whose code is still what the source says.

        functions  those with the module's globals
        """
        name = self.module.__name__
        if self.marked:
            self.record.attach(self.module, self.marked)
        new = dict(self.marked.changed) if self.marked else {}
        ways = {_place(code): way for way, code in self.original.items()}
        for function in functions:
            way = ways.get(_place(function.__code__))
            if way is None or function.__code__ != self.original[way]:
                if not origin(function.__code__):
                    done.left.append((f"{name}.{function.__qualname__}", "its code is not what its source says"))
            elif way in new:
                set_code(function, new[way])
                _ = follow < function
        self.record.ready(functions)
        done.functions += sum(bool(origin(function.__code__)) for function in functions)


def _place(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno
