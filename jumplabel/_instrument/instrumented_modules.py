"""The instrumented modules: the keys of their sites, their original code, and how functions get it back."""

import gc
import itertools
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.util import source_hash
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple, Self
from weakref import WeakSet, ref

from jumplabel._bytecode.code_objects import enter, make_branches_of_module, set_code
from jumplabel._bytecode.scope import Scope
from jumplabel._engine import ffi, lib
from jumplabel._instrument import asserts_off, closures
from jumplabel._instrument.compile_marked import MarkedCode, Site, Way, codes
from jumplabel._instrument.marks import ASSERTS, Statement, is_of_a_closure
from jumplabel._instrument.options import Options
from jumplabel._instrument.original_code import origin, remember_copy
from jumplabel._instrument.untaken_asserts import UntakenAsserts
from jumplabel._keys import registry
from jumplabel._keys.key_names import addressable
from jumplabel._keys.registry import living, n_living
from jumplabel._keys.static_key import StaticKey, address
from jumplabel._keys.transactions import apply
from jumplabel._loggers.log_keys import LogKey, bind, unbind
from jumplabel._process import forks
from jumplabel._process.unpatched import ProcessLock, allocate_lock, start_own_thread
from jumplabel._program import looks
from jumplabel._program.printing import printable
from jumplabel._program.unseen import Unseen
from jumplabel._sites.branches import static_branches
from jumplabel._sites.function_search import functions_in
from jumplabel.errors import DecorationError


class Instrumented(NamedTuple):
    """An instrumented module, as ``instrumented()`` returns it.

    name   of the module
    file   its source
    sites  the number of logging statements and assertions that are sites. Each copy that the compiler makes counts
    left   (line, why) of each statement of these kinds that has no site and stays as it is
    """

    name: str
    file: str
    sites: int
    left: tuple[tuple[int, str], ...]


class Owner:
    """The owner of instrumented modules. ``uninstall()`` or the end of ``with`` undoes the instrumentation."""

    def uninstall(self) -> None:
        """Give the functions their original code."""
        restore([record for record in records() if record.owner is self])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.uninstall()


_numbers = itertools.count()


class Record:
    """One run of a module's code, and its hook. Lives as long as that code, or as ``hold()`` says."""

    def __init__(
        self, owner: Owner, module: ModuleType, path: str, marked: MarkedCode | None, options: Options
    ) -> None:
        self.owner = owner
        self.number = next(_numbers)
        self.name = looks.name_of(module)
        number = id(module)
        self.module = ref(module, Unseen(lambda _: _forget_module(number)))
        self.path = path
        self.digest = marked.digest if marked else b""
        self.options = options
        self.left = list(marked.left) if marked else []
        self.sites = sum(map(len, marked.sites.values())) if marked else 0
        self._log_keys: list[ref[LogKey]] = []
        self.assertions: ref[StaticKey] | None = None

    def originals(self) -> dict[Way, CodeType]:
        """Return the original code objects by their ways. Empty if the source is gone or has changed."""
        try:
            with open(self.path, "rb") as file:
                source = file.read()
        except OSError:
            return {}
        if source_hash(source) != self.digest:
            return {}
        return dict(codes(compile(source, self.path, "exec", dont_inherit=True)))

    def report(self) -> Instrumented:
        return Instrumented(self.name, self.path, self.sites, tuple(sorted(self.left)))

    # ---- before and after the module's code runs ----

    def attach(self, module: ModuleType, marked: MarkedCode) -> None:
        """Attach keys to the code's sites. If that is impossible, the code stays as in the on state."""
        keys: dict[str, StaticKey] = {
            mark: self._assertions() if mark == ASSERTS else self._log_key(module, Statement.of(mark))
            for mark in marked.marks
            if not is_of_a_closure(mark)
        }
        sites = marked.sites
        if len(keys) < len(marked.marks):
            sites = {way: own for way, some in sites.items() if (own := [site for site in some if site[4] in keys])}
        with_sites = [(code, sites[way]) for way, code in marked.changed if way in sites]
        addresses = {mark: address(key) for mark, key in keys.items()}
        if len(keys) == 1:
            kept = dict.fromkeys(sites, tuple(keys.values()))
        else:
            kept = {way: _keys_of(some, keys) for way, some in sites.items()}
        try:
            make_branches_of_module(printable(self.name), addresses, with_sites)
        except RuntimeError as error:
            kept = {}
            self.left += [(code.co_firstlineno, str(error)) for code, _ in with_sites]
        enter(self, marked.changed, kept)
        if sites is not marked.sites:
            for way, code in marked.changed:
                free = [site for site in marked.sites.get(way, ()) if site[4] not in keys]
                if free:
                    closures.register(code, free, self.name)

    def _log_key(self, module: ModuleType, statement: Statement) -> LogKey:
        level = statement.level
        shown = "" if level is None else f":{level if isinstance(level, int) else '.'.join(level)}"
        name = printable(f"logging.{self.name}.{'.'.join(statement.logger)}.{statement.method}{shown}")
        made = LogKey(name, module, statement.logger, statement.method, level)
        self._log_keys.append(ref(made))
        _made.add(made)
        return made

    def _assertions(self) -> StaticKey:
        """Return the key of the module's assertions. If it exists already, it keeps its state."""
        name = _of_assertions(self.name)
        with registry.lock:
            found = registry.by_name.get(name)
            is_new = found is None
            if found is None:
                found = StaticKey(name, default=self.options.asserts_start_on)
            elif isinstance(found, UntakenAsserts):
                found.take()
        if is_new:
            _made.add(found)
            if not self.options.asserts_start_on:
                asserts_off.has_started_off(found)
        self.assertions = ref(found)
        return found

    def runs(self) -> None:
        """Unbind the module's logging keys before its code runs again: it binds their names anew."""
        keys = self._log_keys_of_module()
        if keys:
            unbind(keys)

    def _log_keys_of_module(self) -> list[LogKey]:
        module = self.module()
        with _records_lock:
            found = [one for reference in _by_module.get(id(module), ()) if (one := reference()) is not None]
        return [key for one in found if one.module() is module for key in one.log_keys()]

    def log_keys(self) -> list[LogKey]:
        """Return the logging keys that still live."""
        return [key for reference in self._log_keys if (key := reference()) is not None]

    def ready(self, functions: Iterable[FunctionType]) -> None:
        """Bind the logging keys, and make sites of tests of keys. The module's names are bound by now."""
        _bind_soon(self._log_keys_of_module())
        for function in _that_may_test_keys(functions) if self.options.keys else ():
            old = function.__code__
            try:
                static_branches(function)
            except DecorationError as error:
                self.left.append((old.co_firstlineno, str(error)))
            if function.__code__ is not old:
                remember_copy(function.__code__, old, self)
                for (_, copy), (_, was) in zip(codes(function.__code__), codes(old), strict=True):
                    if copy is not was:
                        closures.register_copy(copy, was)


def _keys_of(sites: list[Site], keys: dict[str, StaticKey]) -> tuple[StaticKey, ...]:
    """Return the keys of these sites, each once."""
    return tuple({id(key): key for key in [keys[site[4]] for site in sites]}.values())


_made: WeakSet[StaticKey] = WeakSet()
"""The keys of logging statements and assertions."""


def _that_may_test_keys(functions: Iterable[FunctionType]) -> list[FunctionType]:
    """Return the functions of one module that may test keys. A quick look leaves most modules' functions out."""
    if n_living() == len(_made) or all(type(key) is LogKey or key in _made for key in living()):
        return []  # all living keys are made here, and no source names those
    functions = list(functions)
    names = {name for function in functions for _, code in codes(function.__code__) for name in code.co_names}
    if functions and Scope.of(functions[0]).has_a_key(names):
        return functions
    return [function for function in functions if function.__closure__]


_MANAGED_DICT = 1 << 4  # Py_TPFLAGS_MANAGED_DICT, Include/object.h


def functions_of(module: ModuleType) -> Iterator[FunctionType]:
    """Yield the functions of the module's own code that its names lead to."""
    variables, name = looks.variables(module), looks.name_of(module)
    for value in list(variables.values()):
        if issubclass(type(value), type):
            has_some = looks.module_of(value) == name
        else:  # do not look into instances of Python classes: that gives them a dict, and makes them slower
            has_some = not looks.flags(type(value)) & _MANAGED_DICT
        if has_some:
            yield from (one for one in functions_in(value) if one.__globals__ is variables)


_PAUSE_MILLISECONDS = 5


def _bind_soon(keys: list[LogKey]) -> None:
    """Bind the keys now if the lock of logging is free. Otherwise a thread of ours binds them later.

    The importing thread holds other locks, so it may not wait for that lock: dictConfig() imports while it holds it.
    The keys are on until they are bound.
    """
    lock = logging._lock  # type: ignore[attr-defined]
    if not keys:
        return
    if not lock.acquire(blocking=False):
        _unbound[id(keys)] = keys
        lib.fork_notice_urgent = 1  # a forked child must bind them itself
        begun = allocate_lock()
        begun.acquire()
        with suppress(RuntimeError):  # no thread can be started: the next import binds them
            start_own_thread(_bind_when_free, (keys, begun))
            begun.acquire(timeout=1)  # an interpreter that ends would crash on a thread that has not begun
        return
    try:
        bind([*keys, *itertools.chain.from_iterable(_unbound.values())])
    finally:
        lock.release()


_unbound: dict[int, list[LogKey]] = {}
"""The keys that threads of ours are to bind, by the ids of the lists."""


def _bind_when_free(keys: list[LogKey], begun: Any) -> None:
    """Bind the keys once the lock is free, in a system thread. It polls: to wait for gevent's lock starts a hub."""
    lib.own_thread_enters()
    begun.release()
    lock = logging._lock  # type: ignore[attr-defined]
    while not lock.acquire(blocking=False):
        lib.own_thread_poll(ffi.NULL, 0, _PAUSE_MILLISECONDS)
    try:
        bind(keys)
    finally:
        lock.release()
        _unbound.pop(id(keys), None)


def _forked() -> None:
    """Bind the keys in the child, because the parent's threads that were to bind them are not there."""
    unbound = list(_unbound.values())
    _unbound.clear()
    for keys in unbound:
        _bind_soon(keys)


forks.in_child(_forked)


_records: WeakSet[Record] = WeakSet()
_by_module: dict[int, list[ref[Record]]] = {}
"""The records of each module, by the module's id. So an import need not look through all records."""
_held: dict[int, Record] = {}
"""The record of each module's last run, by the module's id. A record without sites is kept, too."""
_records_lock = ProcessLock()


def _forget_module(number: int) -> None:
    _by_module.pop(number, None)
    _held.pop(number, None)


def hold(record: Record, module: ModuleType) -> None:
    """Keep a record alive as long as its module, or until the module's code runs again."""
    _held[id(module)] = record


def add(record: Record) -> bool:
    """Add a record. Return whether the module had records already."""
    number = id(record.module())
    with _records_lock:
        _records.add(record)
        others = _by_module.get(number)
        if others is None:
            _by_module[number] = [ref(record)]
            return False
        others[:] = [*(other for other in others if other() is not None), ref(record)]
        return True


def records() -> list[Record]:
    """Return the records in the order of their runs."""
    with _records_lock:
        found = list(_records)
    return sorted(found, key=lambda record: record.number)


def _of_assertions(module: str) -> str:
    """Return the name of the key for a module's assertions."""
    return addressable(f"asserts.{module}")


def _untaken(name: str) -> StaticKey | None:
    """Return a stand-in for a key ``asserts.<module>`` if the module is instrumented without assertions, or None."""
    if name.startswith("asserts."):
        untaken = [_of_assertions(one.name) for one in records() if not one.options.asserts]
        return UntakenAsserts(name) if name in untaken else None
    return None


registry.missing = _untaken


def instrumented() -> list[Instrumented]:
    """Return the instrumented modules in the order of their names, with their sites and what has none, and why."""
    last = {record.name: record for record in records() if record.module() is not None}
    return sorted(record.report() for record in last.values())


def restore(gone: Iterable[Record]) -> None:
    """Give functions their original code.

    Some code cannot be replaced, such as that of a suspended generator. Its sites are on from now on.
    """
    gone = list(gone)
    with _records_lock:
        _records.difference_update(gone)
    still = [one.assertions() for one in records() if one.assertions is not None]
    for record in gone:
        module = record.module()
        if _held.get(id(module)) is record:
            del _held[id(module)]
        log_keys = record.log_keys()
        if log_keys:
            unbind(log_keys)
        assertions = record.assertions() if record.assertions is not None else None
        if assertions is not None and not any(assertions is one for one in still):
            apply([(assertions, lib.KEY_ENABLE)])
    originals: dict[Record, dict[Way, CodeType]] = {}
    for function in all_functions():
        found = origin(function.__code__)
        if found is None or found[0] not in gone:
            continue
        record, original = found
        if isinstance(original, tuple):
            if record not in originals:
                originals[record] = record.originals()
            original = originals[record].get(original, function.__code__)
        if function.__code__ is not original:
            set_code(function, original)


def all_functions() -> list[FunctionType]:
    """Return the functions that the garbage collector knows. It does not know those from before ``gc.freeze()``."""
    return [one for one in gc.get_objects() if type(one) is FunctionType]
