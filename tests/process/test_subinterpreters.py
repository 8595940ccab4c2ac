"""Sub-interpreters of a process with our variables: they begin without a message, and the main interpreter serves."""

import os
import subprocess
import sys

import pytest

VARIABLES = {
    "none": {},
    "JUMPLABEL_INSTRUMENT": {"JUMPLABEL_INSTRUMENT": "shop,shop.*"},
    "JUMPLABEL_SERVE": {"JUMPLABEL_SERVE": "1"},
    "JUMPLABEL_ENABLE": {"JUMPLABEL_ENABLE": "shop.*"},
    "all": {
        "JUMPLABEL_INSTRUMENT": "shop",
        "JUMPLABEL_SERVE": "1",
        "JUMPLABEL_ENABLE": "shop.*",
        "JUMPLABEL_SYNCS": "3",
    },
}

CREATE = """
try:
    import _interpreters as interpreters
    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    run = interpreters.run_string

def create(isolated):
    try:
        return interpreters.create("isolated" if isolated else "legacy")
    except (TypeError, ValueError):
        return interpreters.create(isolated=isolated)

def inside(script, isolated=True):
    interpreter = create(isolated)
    failed = run(interpreter, script)
    interpreters.destroy(interpreter)
    assert failed is None, failed
"""
POOL = """
from concurrent.futures import InterpreterPoolExecutor
with InterpreterPoolExecutor(1) as pool:
    print(pool.submit(len, [1, 2]).result())
"""
MODULE = """
from concurrent import interpreters
interpreter = interpreters.create()
interpreter.exec("print('hello', flush=True)")
interpreter.close()
"""


@pytest.fixture
def python(tmp_path):
    """python(script, NAME=value) returns the output. The process must write nothing to stderr."""

    def python(script, **environment):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("JUMPLABEL_", "XDG_"))}
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", CREATE + script],
            env=inherited | {"TMPDIR": str(tmp_path)} | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return python


@pytest.mark.parametrize("variables", VARIABLES)
@pytest.mark.parametrize("isolated", [True, False])
def test_a_subinterpreter_begins_without_a_word(python, variables, isolated):
    script = f"""inside("print('hello', flush=True)", {isolated})"""
    assert python(script, **VARIABLES[variables]) == "hello\n"


@pytest.mark.skipif(sys.version_info < (3, 14), reason="PEP 734")
@pytest.mark.parametrize("variables", VARIABLES)
def test_subinterpreters_of_the_standard_library_begin_without_a_word(python, variables):
    assert python(MODULE + POOL, **VARIABLES[variables]) == "hello\n2\n"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="before 3.12 cffi can be imported in each")
def test_an_import_in_an_isolated_subinterpreter_says_why_it_fails(python):
    script = """
inside('''
try:
    import jumplabel
except ImportError as error:
    print(error, flush=True)
''')
"""
    for variables in VARIABLES.values():
        said = python(script, **variables)
        assert said.startswith("jumplabel cannot be imported in an isolated sub-interpreter: cffi")


def test_a_subinterpreter_that_can_import_us_shares_the_engine_and_serves_no_operator(python):
    script = """
import jumplabel
inside('''
import jumplabel
from jumplabel._remote import serving
print(len(serving._servers), jumplabel.info().syncs_per_batch, flush=True)
''', False)
from jumplabel._remote import serving
print(len(serving._servers), jumplabel.info().syncs_per_batch)
"""
    assert python(script, JUMPLABEL_SERVE="1", JUMPLABEL_SYNCS="3") == "0 3\n1 3\n"


def test_only_the_main_interpreter_reports_wrong_variables(tmp_path):
    values = {"JUMPLABEL_SERVE": "yes", "JUMPLABEL_INSTRUMENT": "foo:bar", "JUMPLABEL_SYNC": "hope"}
    script = CREATE + "inside('import jumplabel', False)"
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    done = subprocess.run(command, env={**os.environ, **values}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr.count("SettingWarning: JUMPLABEL_") == 3, done.stderr


def test_an_error_of_another_kind_is_shown_by_site(tmp_path):
    """Only the expected error is ignored."""
    (tmp_path / "jumplabel.py").write_text("raise ImportError('another one')\n")
    environment = {**os.environ, "JUMPLABEL_INSTRUMENT": "shop", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", "print(1)"], env=environment, capture_output=True, text=True)
    assert done.stdout == "1\n" and "ImportError: another one" in done.stderr and "jumplabel.pth" in done.stderr
