"""The loader of a module that a hook instruments: there from when its spec is found until its code runs.

It is the interpreter's own loader for source files in all but one thing: the code that it runs has sites. What stays
with the module is the loader that was found, so a spec compares, pickles and looks as without a hook.
"""

from importlib._bootstrap import _call_with_frames_removed  # type: ignore[attr-defined]
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any

from jumplabel._bytecode.plan_sites import KNOWN
from jumplabel._instrument import code_cache
from jumplabel._instrument.closures import follow
from jumplabel._instrument.compile_marked import Marked, with_objects
from jumplabel._instrument.definitions import FOLLOW
from jumplabel._instrument.instrumented_modules import functions_of, hold


class Loader(SourceFileLoader):
    """For tools, ``get_code()`` is the original's. Equal to the loader that it stands for, and pickled as that."""

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
        if of_module is not self._spec:  # a copy
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
        else:  # since this import began
            hook.uninstall()

    def _marked(self) -> Marked | None:
        """None: there is nothing to mark, or it cannot be; the interpreter has its own cache for that."""
        options = self._hook.options
        if not (KNOWN and (options.logging or options.asserts)):
            return None
        return code_cache.load(self.path, options, lambda: self.get_data(self.path))


# Its name is in the repr() of specs.
Loader.__name__ = Loader.__qualname__ = SourceFileLoader.__name__
Loader.__module__ = SourceFileLoader.__module__

# As for the interpreter's own loaders: tracebacks of what a module raises are without the frames of whoever imports it.
# CPython's Python/import.c, remove_importlib_frames(), goes by the file's name.
Loader.exec_module.__code__ = Loader.exec_module.__code__.replace(co_filename="<frozen importlib._bootstrap_external>")


def as_found(spec: Any) -> None:
    """Give a spec the loader that it was found with."""
    loader = getattr(spec, "loader", None)
    if type(loader) is Loader:
        spec.loader = loader._found
