"""``bytecode`` and what else code is read by come late, but never in what a program's own statement runs."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import jumplabel
from jumplabel._instrument.import_hook import OF_MARKING

SHOP = """
import logging

logger = logging.getLogger("shop")

def sell(n):
    logger.debug("sell %s", n)
    return n

def shelf(own):
    def put(n):
        own.debug("put %s", n)
        return n
    return put
"""
PREAMBLE = """
import sys

def is_there():
    return "bytecode" in sys.modules
"""


@pytest.fixture
def run(tmp_path):
    """run(script, *options, **environment): run it in a new process, beside a module ``shop_late``."""
    (tmp_path / "shop_late.py").write_text(SHOP)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUMPLABEL_", "PYTHON"))}

    def run(script, *options, **environment):
        # ``site`` brings some of it along where packages are installed editable. With -S they are found by these paths.
        paths = [str(Path(jumplabel.__file__).parents[1]), *filter(None, sys.path)]
        done = subprocess.run(
            [sys.executable, *options, "-c", PREAMBLE + dedent(script)],
            cwd=tmp_path,
            env=kept | {"PYTHONPATH": os.pathsep.join(paths)} | environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    return run


def test_it_comes_when_the_decorator_is_taken_from_the_package(run):
    """Files may have run out when the decorator is used. The import of the package alone does without."""
    run(
        """
        import resource
        import jumplabel
        from jumplabel import StaticKey, install, instrument, static_gate, static_switch
        assert not is_there()
        from jumplabel import static_branches
        assert is_there()
        key = StaticKey("key")
        assert not key.entries
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        function = static_branches(lambda: 1 if key else 0)
        assert len(key.entries) == 1 and function() == 0
        key.enable()
        assert function() == 1
        """
    )


def test_it_comes_with_the_first_function_that_names_a_key(run):
    run(
        """
        import jumplabel
        from jumplabel._sites.branches import static_branches
        static_branches(lambda: sys)
        assert not is_there()
        key = jumplabel.StaticKey("key")
        kept = static_branches(lambda: key or sys)
        assert is_there() and key.entries
        """
    )


FROM_THE_CACHE = """
    import logging
    import jumplabel
    jumplabel.install("shop_late")
    import shop_late
    assert [(one.name, one.sites) for one in jumplabel.instrumented()] == [("shop_late", 2)]
    """


def test_what_a_kept_module_does_reads_no_code(run):
    """Its import, its closures, changes of levels, toggles, a request."""
    run(FROM_THE_CACHE)
    run(
        FROM_THE_CACHE
        + """
    put = shop_late.shelf(logging.getLogger("shelf"))
    assert put(1) == shop_late.sell(1) == 1
    sites = {key.name: len(key.entries) for key in jumplabel.keys()}
    assert sites == {"logging.shop_late.logger.debug": 1, "logging.(shelf).debug": 1}, sites
    logging.disable(logging.CRITICAL)
    assert put(2) == shop_late.sell(2) == 2
    assert not is_there()
    """,
    )


def test_a_program_has_it_before_its_first_line(run, tmp_path):
    """Its sites are made in the middle of it, in a comparison."""
    (tmp_path / "program.py").write_text(
        dedent(
            """
            import sys
            from jumplabel import StaticKey
            assert "bytecode" in sys.modules
            del sys.modules["bytecode"]
            key = StaticKey("key")

            def function():
                return 1 if key else 0

            if __name__ == "__main__":
                assert "bytecode" not in sys.modules and len(key.entries) == 1
            """
        )
    )
    run("from jumplabel.__main__ import main\nsys.argv = ['', 'run', 'program.py']\nmain()")


def test_where_it_cannot_be_imported_modules_stay_as_they_are_and_that_is_not_kept(run):
    run(
        """
        sys.modules["bytecode"] = None
        import jumplabel
        key = jumplabel.StaticKey("key")
        with jumplabel.install("shop_late"):
            import shop_late
            assert shop_late.sell(1) == 1
            (one,) = jumplabel.instrumented()
            assert one.sites == 0 and one.left[0][1].startswith("the module as a whole: code cannot be read, as the")
        try:
            jumplabel.static_branches
        except jumplabel.DecorationError as error:
            assert "package bytecode cannot be imported" in str(error)
        else:
            raise AssertionError
        del sys.modules["bytecode"], sys.modules["shop_late"]
        with jumplabel.install("shop_late"):
            import shop_late
            assert jumplabel.instrumented()[0].sites == 2
        kept = jumplabel.static_branches(lambda: key or 1)
        assert key.entries
        """
    )


def test_the_hook_leaves_alone_what_is_imported_to_mark_a_module(run):
    """Marking `ast` would wait for marking, which waits for `ast`."""
    found = run(
        """
        import jumplabel
        before = set(sys.modules)
        import bytecode, jumplabel._instrument.mark_statements
        print(*sys.modules.keys() - before)
        """,
        "-S",
    )
    tops = {name.partition(".")[0] for name in found}
    assert "bytecode" in tops
    assert tops - {"jumplabel"} - set(sys.builtin_module_names) <= OF_MARKING


@pytest.mark.parametrize("name", sorted({"bytecode.instr", *OF_MARKING} - {"annotationlib"}))
def test_each_of_it_is_imported_first_under_a_hook_for_everything(run, name):
    run(
        f"""
        import jumplabel
        jumplabel.install("*", asserts=True)
        import {name}, shop_late
        assert [one.sites for one in jumplabel.instrumented() if one.name == "shop_late"] == [2]
        assert not [one for one in jumplabel.instrumented() if one.name.split(".")[0] == "bytecode"]
        """,
        "-S",
        PYTHONDONTWRITEBYTECODE="1",
    )


def test_syntax_trees_and_symbol_tables_are_gone_when_a_module_is_marked(run):
    run(
        """
        import gc
        import jumplabel
        jumplabel.install("shop_late", asserts=True)
        import shop_late
        import ast, symtable
        gc.collect()
        left = [one for one in gc.get_objects() if issubclass(type(one), (ast.stmt, ast.mod, symtable.SymbolTable))]
        assert jumplabel.instrumented()[0].sites == 2 and not left, left
        """
    )
