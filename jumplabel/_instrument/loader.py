"""The loader of a module that a hook instruments.

It behaves as the interpreter's own loader for source files, except that the code that it runs has sites. The hook puts
it into the module's spec. Before the module's code runs, it puts the found loader back into the spec and the module. So
a spec compares, pickles and prints as without a hook.
"""

from importlib._bootstrap import _call_with_frames_removed  # type: ignore[attr-defined]
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any

from jumplabel._bytecode.plan_sites import KNOWN
from jumplabel._instrument import code_cache
from jumplabel._instrument.closures import follow
from jumplabel._instrument.compile_marked import MarkedCode, with_objects
from jumplabel._instrument.definitions import FOLLOW
from jumplabel._instrument.instrumented_modules import functions_of, hold


class Loader(SourceFileLoader):
    """Runs a module's code with sites.

    It equals the found loader that it replaces, and is pickled as that loader. ``get_code()`` returns the code without
    sites, for tools.
    """

    __slots__ = ("_found", "_hook", "_spec")

    def __init__(self, found: SourceFileLoader, spec: ModuleSpec, hook: Any) -> None:
        vars(self).update(vars(found))
        self._found = found
        self._spec = spec
        self._hook = hook

    __class__ = property(lambda self: SourceFileLoader)  # loaders compare their classes

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._found.__reduce_ex__(protocol)

    def exec_module(self, module: ModuleType) -> None:
        as_found(self._spec)
        if vars(module).get("__loader__") is self:
            module.__loader__ = self._found
        of_module = vars(module).get("__spec__")
        if of_module is not self._spec:  # the module has a copy of the spec
            as_found(of_module)
        hook = self._hook
        marked = self._marked() if hook.is_installed else None
        marked = with_objects(marked, {FOLLOW: follow}) if marked else None
        record = hook.begin(module, self.path, marked)
        code = marked.code if marked else self.get_code(self.name)
        _call_with_frames_removed(exec, code, module.__dict__)
        if hook.is_installed:
            hold(record, module)
            record.ready(functions_of(module))
        else:  # the hook was uninstalled during this import: restore the functions that have been made since
            hook.uninstall()

    def _marked(self) -> MarkedCode | None:
        """Return the module's marked code.

        None: nothing is to be marked, or this interpreter's bytecode is unknown. Its own cache serves then.
        """
        options = self._hook.options
        if not (KNOWN and (options.logging or options.asserts)):
            return None
        return code_cache.load(self.path, options, lambda: self.get_data(self.path))


# The repr() of a spec shows its loader's class.
Loader.__name__ = Loader.__qualname__ = SourceFileLoader.__name__
Loader.__module__ = SourceFileLoader.__module__

# The interpreter removes the frames of its own loaders from the tracebacks of a module's exceptions. It recognizes them
# by the name of their file (CPython's Python/import.c, remove_importlib_frames()). This gives ours the same name.
Loader.exec_module.__code__ = Loader.exec_module.__code__.replace(co_filename="<frozen importlib._bootstrap_external>")


def as_found(spec: Any) -> None:
    """Give a spec back the loader that was found."""
    loader = getattr(spec, "loader", None)
    if type(loader) is Loader:
        spec.loader = loader._found
