"""What ``import jumplabel`` brings along: only what its decorators, keys and hooks need; and names that come later."""

import subprocess
import sys
from pathlib import Path

import pytest

import jumplabel

LEFT_OUT = """
    _socket ast asyncio bytecode dataclasses dis inspect json
    jumplabel._instrument.mark_statements jumplabel._diagnostics.process_info jumplabel._remote.serving
    jumplabel._process.unpatched_sockets multiprocessing pathlib pickle selectors shutil socket ssl struct subprocess
    symtable tempfile urllib zipfile
    """.split()
if sys.version_info >= (3, 15):
    LEFT_OUT.remove("ast")  # typing.NamedTuple imports it


def loaded(script: str, *options: str, **environment: str) -> set[str]:
    """The modules that a new process has when the script is through, which neither it nor ``logging`` had before.

    ``site`` brings some along where packages are installed editable, so those are thrown out first.
    """
    script = f"""
import logging, sys
for name in {LEFT_OUT!r}:
    sys.modules.pop(name, None)
before = set(sys.modules)
{script}
print(*sorted(set(sys.modules) - before))
"""
    path = str(Path(jumplabel.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, *options, "-c", script],
        env={"PYTHONPATH": path, **environment},
        capture_output=True,
        check=True,
    )
    return set(done.stdout.decode().split())


def test_import_brings_only_what_decorating_and_hooks_need() -> None:
    found = loaded("import jumplabel")
    assert "jumplabel._sites.branches" in found
    assert found.isdisjoint(LEFT_OUT)


@pytest.mark.parametrize(
    ("script", "needed"),
    [
        ("jumplabel.serve", "_socket"),
        ("jumplabel.Server", "jumplabel._remote.serving"),
        ("jumplabel.info()", "jumplabel._diagnostics.process_info"),
        ("from jumplabel import *", "jumplabel._remote.serving"),
        ("jumplabel.serve", "jumplabel._process.unpatched_sockets"),
        ("jumplabel.instrument(__import__('colorsys'))", "ast"),
        ("jumplabel.static_branches", "bytecode"),
    ],
)
def test_the_rest_comes_when_it_is_used(script: str, needed: str) -> None:
    assert needed in loaded(f"import jumplabel\n{script}")


def test_an_instrumented_module_from_the_cache_needs_no_syntax_tree(tmp_path: Path) -> None:
    source = "import logging\nlogger = logging.getLogger('shop')\ndef f():\n    logger.debug('f')\n"
    (tmp_path / "shop_lazy.py").write_text(source)
    script = f"""
sys.path.insert(0, {str(tmp_path)!r})
import jumplabel
jumplabel.install('*')
import shop_lazy
assert jumplabel.instrumented()[-1].sites == 1, jumplabel.instrumented()
"""
    assert "symtable" in loaded(script)
    assert loaded(script).isdisjoint({"symtable", "jumplabel._instrument.mark_statements", "bytecode"})


def test_every_public_name_is_there_and_shown() -> None:
    assert set(jumplabel.__all__) <= set(dir(jumplabel))
    for name in jumplabel.__all__:
        assert getattr(jumplabel, name).__module__ == "jumplabel"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        jumplabel.nothing  # type: ignore[attr-defined]  # noqa: B018
