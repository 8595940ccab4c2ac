"""What the package exports names ``jumplabel`` as its module: in reprs, tracebacks, pickles and documentation."""

import inspect
import pickle
import pickletools
import pydoc
import subprocess
import sys
import traceback
import typing

import pytest

import jumplabel
from jumplabel import StaticKey, StaticKeyArray, Tracepoint, static_gate

CLASSES = [name for name in jumplabel.__all__ if isinstance(getattr(jumplabel, name), type)]
FUNCTIONS = [name for name in jumplabel.__all__ if name not in CLASSES]
NAMES_A_KEY = {"key", "keys"}
"""Functions in a module that imports StaticKey for type checkers only."""


def named_in(pickled):
    """The modules and names that a pickle of protocol 0 looks up."""
    return [argument for opcode, argument, _ in pickletools.genops(pickled) if opcode.name == "GLOBAL"]


def is_written_here(code, name):
    """Whether the code is that of a method in a file of the package, and not made by ``dataclass`` or the compiler."""
    return code.co_name == name and code.co_filename.startswith(jumplabel.__path__[0])


@pytest.mark.parametrize("name", jumplabel.__all__)
def test_an_exported_name_is_of_the_package(name):
    thing = getattr(jumplabel, name)
    assert (thing.__module__, thing.__qualname__) == ("jumplabel", name)
    assert named_in(pickle.dumps(thing, 0)) == [f"jumplabel {name}"]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(thing, protocol)) is thing
    assert inspect.getmodule(thing) is jumplabel


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_shown_by_its_public_name(name):
    kind = getattr(jumplabel, name)
    assert repr(kind) == f"<class 'jumplabel.{name}'>"
    assert f"class {name} in module jumplabel" in pydoc.plain(pydoc.render_doc(kind))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_source_of_a_function_is_found(name):
    source = inspect.getsource(getattr(jumplabel, name))
    assert f"def {name}(" in source


@pytest.mark.parametrize("name", CLASSES)
def test_no_other_source_is_shown_for_a_class(name):
    """``inspect`` looks for a class in the file of the module that it names. The methods know their own files."""
    kind = getattr(jumplabel, name)
    with pytest.raises(OSError):
        inspect.getsource(kind)
    for method_name, method in vars(kind).items():
        if inspect.isfunction(method) and is_written_here(method.__code__, method_name):
            assert f"def {method_name}(" in inspect.getsource(method)


@pytest.mark.parametrize("name", [name for name in jumplabel.__all__ if name not in NAMES_A_KEY])
def test_type_hints_are_found(name):
    typing.get_type_hints(getattr(jumplabel, name))


def test_the_documentation_of_the_package_has_all_names():
    text = pydoc.plain(pydoc.render_doc(jumplabel))
    assert [name for name in jumplabel.__all__ if f"class {name}" not in text and f"    {name}(" not in text] == []


def test_a_traceback_shows_the_public_name_of_an_error():
    with pytest.raises(jumplabel.StaticKeyError) as raised:
        StaticKey("")
    assert traceback.format_exception_only(raised.value)[0].startswith("jumplabel.StaticKeyError: ")


def test_the_pickle_of_an_object_names_nothing_private():
    key = StaticKey("exported.key")
    gate = static_gate(key)(abs)
    array = StaticKeyArray("exported", ["search"])
    point = Tracepoint("exported.point")
    toggle = jumplabel.Toggle(key, False, True, 1, 2)
    same = [key, array, point]
    equal = [*key.entries, jumplabel.info(), toggle, *jumplabel.instrumented()]
    assert gate(-1) is None and key.entries
    for each in [*same, *equal, jumplabel.PatchError(1, "text"), jumplabel.StaticKeyError("text")]:
        assert [name for name in named_in(pickle.dumps(each, 0)) if "jumplabel._" in name or ".errors" in name] == []
    assert all(pickle.loads(pickle.dumps(each)) is each for each in same)
    assert all(pickle.loads(pickle.dumps(each)) == each for each in equal)


@pytest.mark.parametrize(
    "use", ["type(key.entries[0])", "type(jumplabel.info())", "jumplabel.jump_table", "jumplabel.serve"]
)
def test_a_class_that_is_imported_late_names_the_package_from_the_start(use):
    script = f"""
import jumplabel
key = jumplabel.StaticKey("key")
gate = jumplabel.static_gate(key)(abs)
assert {use}.__module__ == "jumplabel", {use}
import sys
for name in "JumpEntry", "Info", "Server":
    for module in list(sys.modules.values()):
        assert vars(module).get(name, gate).__module__ in ("jumplabel", "builtins"), (module, name)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
