"""python -m jumplabel run: programs run as with python, instrumented."""

import os
import py_compile
import re
import signal
import subprocess
import sys
import zipfile

import pytest

from jumplabel import PatternError
from jumplabel._instrument import run as jumplabel_run
from jumplabel._instrument.startup import ModuleGroup

FACTS = """
import sys
print(__name__, sys.argv, sys.path[:2], sys.modules["__main__"].__dict__ is globals())
for name, value in sorted(globals().items()):
    print(name, getattr(value, "origin", value) if name != "__loader__" else "")
"""

PROGRAMS = {
    "facts.py": FACTS,
    "package/__init__.py": "",
    "package/__main__.py": FACTS,
    "package/facts.py": FACTS,
    "broken/__init__.py": "1 / 0",
    "broken/__main__.py": "",
    "syntax.py": "def f(:\n",
    "raises.py": "def f():\n    1 / 0\n\ndef g():\n    f()\n\ng()\n",
    "interrupted.py": "import atexit\natexit.register(print, 'at exit')\nraise KeyboardInterrupt\n",
    "exits.py": """
import atexit, sys
atexit.register(lambda: print(sys.excepthook is sys.__excepthook__))
sys.exit(int(sys.argv[1]) if sys.argv[1].isdigit() else sys.argv[1])
""",
    "latin.py": "# -*- coding: latin-1 -*-\nprint(ascii('\u00e9'))\n",
    "ends.py": """
import atexit, sys, threading, time
atexit.register(lambda: print("at exit", sys.excepthook is sys.__excepthook__))
threading.Thread(target=lambda: (time.sleep(0.1), print("a thread"))).start()
1 / 0
""",
    "hook.py": """
import sys, traceback

def hook(kind, value, tb):
    lines = [frame.lineno for frame in traceback.extract_tb(tb)]
    print(kind, lines, value.__traceback__ is tb, sys.last_traceback is tb, sys.excepthook is hook)

sys.excepthook = hook
1 / 0
""",
    "shop.py": "def sell(n):\n    assert n > 0\n    return n\n",
    "keyed.py": "from jumplabel import StaticKey\ntracing = StaticKey('shop.tracing')\nprint(tracing.count)\n",
    "children.py": """
import multiprocessing, os, subprocess, sys
import shop

def sell(n):
    return shop.sell(n), shop.sell.__module__, __name__, "jumplabel" in sys.modules

if __name__ == "__main__":
    print(sell(0))
    for method in ("spawn", "forkserver", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(pool.apply(sell, (0,)))
    print(subprocess.check_output([sys.executable, "-c", "import shop; print(shop.sell(0))"], text=True))
""",
    "asserts.py": "class C:\n    def f(self):\n        assert False\n\nC().f()\nassert False\nprint('off')\n",
    "uninstalls.py": """
import jumplabel

def f():
    assert False

f()
jumplabel.uninstall()
f()
""",
    "logs.py": """
import logging
log = logging.getLogger()

def evaluated():
    print("evaluated")

def f():
    log.debug("text", stack_info=evaluated())

if __name__ == "__main__":
    f()
    log.setLevel(logging.DEBUG)
    logging.basicConfig(format="%(name)s %(filename)s:%(lineno)d %(funcName)s %(message)s")
    f()
""",
    # what pre-fork servers do: the application is loaded, and forked
    "server.py": """
import os
import shop

def worker(n):
    os.write(1, f"{shop.sell(-n)}\\n".encode())
    os._exit(0)

for n in range(3):
    pid = os.fork()
    if pid == 0:
        worker(n)
    os.waitpid(pid, 0)
""",
    "forks.py": """
import os, sys
if os.fork():
    print(os.waitstatus_to_exitcode(os.wait()[1]))
else:
    sys.exit(3)
""",
    # in short steps: a signal that arrives just before a sleep is handled only after it
    "waits.py": "import time\nprint('ready', flush=True)\nfor _ in range(6000):\n    time.sleep(0.01)\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    for name, text in PROGRAMS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="latin-1")
    (folder / "link").mkdir()
    (folder / "link" / "link.py").symlink_to("../package/facts.py")
    py_compile.compile(folder / "facts.py", folder / "compiled.pyc")
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.write(folder / "package" / "__main__.py", "__main__.py")
    return folder


ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("JUMPLABEL_")}


@pytest.fixture
def started(folder):
    """started(*arguments) starts Python and returns the process."""

    def started(*arguments, **environment):
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=ENVIRONMENT | {"PYTHONDONTWRITEBYTECODE": "1"} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return started


RUN = ["-m", "jumplabel", "run"]


@pytest.fixture
def run(started):
    """run(*arguments) returns the exit status, the lines on stdout, and stderr."""

    def run(*arguments, **environment):
        process = started(*RUN, *arguments, **environment)
        out, errors = process.communicate(timeout=60)
        return process.returncode, out.splitlines(), errors

    return run


# ---- as python does it ----

SAME = [
    ["facts.py", "a", "--enable", "b", "--", "-m"],
    ["./facts.py"],
    ["package/../facts.py"],
    ["link/link.py"],
    ["package", "x"],
    ["archive.zip", "-m"],
    ["compiled.pyc"],
    ["-m", "package", "--", "x"],
    ["-m", "package.facts", "-c"],
    ["-mpackage.facts"],
    ["-c", FACTS, "x", "--modules"],
    ["raises.py"],
    ["syntax.py"],
    ["interrupted.py"],
    ["exits.py", "7"],
    ["exits.py", "text"],
    ["latin.py"],
    ["ends.py"],
    ["hook.py"],
    ["-c", "import shop; shop.sell(1); exit(3)"],
    ["-c", "x ="],
]


@pytest.mark.parametrize("arguments", SAME, ids=lambda arguments: " ".join(arguments).replace(FACTS, "FACTS"))
def test_a_program_runs_as_with_python(arguments, started):
    processes = [started(*arguments), started(*RUN, *arguments)]
    plain, ours = [(*process.communicate(timeout=60), process.returncode) for process in processes]
    assert ours == plain


def test_a_safe_path_stays_safe(started):
    processes = [started("-P", *how, "facts.py") for how in ([], RUN)]
    plain, ours = [process.communicate(timeout=60) for process in processes]
    assert ours == plain and "facts.py" in ours[0]


@pytest.mark.parametrize("arguments", [["-m", "raises"], ["-m", "syntax"], ["-m", "broken"]], ids=" ".join)
def test_a_traceback_begins_in_the_program(arguments, run, folder):
    status, out, errors = run(*arguments)
    assert (status, out) == (1, [])
    files = re.findall(r'File "(.*?)"', errors)
    assert files and {os.path.dirname(file).removesuffix("/broken") for file in files} == {str(folder)}
    assert errors.splitlines()[-1].startswith(("ZeroDivisionError: ", "SyntaxError: "))


def test_an_error_of_our_own_is_shown_whole(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    hook = sys.excepthook
    with pytest.raises(PatternError) as caught:
        ModuleGroup(frozenset(), ("",))
    jumplabel_run._report_as_theirs(caught.value.with_traceback(caught.tb.tb_next))
    assert sys.excepthook is hook


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["nope.py"], 2, r"can't open file '.*/nope.py': \[Errno 2\] No such file"),
        (["-m", "nope"], 1, "No module named nope"),
        (["link"], 1, "can't find '__main__' module in '.*/link'"),
        ([], 2, "run needs a program"),
        (["--logging"], 2, "run needs a program"),
        (["-m"], 2, "-m needs a program"),
        (["--modules", "a b", "facts.py"], 2, "'a b' is no pattern of names"),
        (["--enable", "!a", "facts.py"], 2, "takes nothing in"),
        (["--enable", "all", "facts.py"], 2, r"'all' is no pattern, .*write '\*'"),
        (["--modules", "1", "facts.py"], 2, r"'1' is no pattern, .*write '\*'"),
        (["--asserts", "--asserts-off", "facts.py"], 2, "not both"),
        (["--log", "facts.py"], 2, "unrecognized arguments: --log"),
    ],
)
def test_a_program_that_cannot_be_run_is_reported(arguments, status, message, run):
    ended, out, errors = run(*arguments)
    assert (ended, out) == (status, [])
    assert re.search(message, errors) and "Traceback" not in errors


def test_ctrl_c_ends_the_program_as_a_signal(started):
    process = started(*RUN, "waits.py")
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert errors.count("File ") == 1 and errors.endswith("KeyboardInterrupt\n")


# ---- instrumented ----

SELL = "import shop; print(shop.sell(0))"


@pytest.mark.parametrize(
    "options, asserts",
    [
        ([], True),
        (["--asserts"], True),
        (["--asserts-off"], False),
        (["--logging", "--keys"], True),
        (["--asserts-off", "--modules", "cart,shop"], False),
        (["--asserts-off", "--modules", "cart", "--modules", "sh*"], False),
        (["--asserts-off", "--modules", "cart"], True),
        (["--asserts-off", "--enable", "asserts.shop"], True),
        (["--enable=x", "--enable", "asserts.*", "--asserts-off"], True),
    ],
)
def test_the_options_say_what_is_instrumented(options, asserts, run):
    status, out, errors = run(*options, "-c", SELL)
    assert (status, out) == ((1, []) if asserts else (0, ["0"]))
    assert ("AssertionError" in errors) is asserts


@pytest.mark.parametrize(
    "arguments, asserts",
    [
        (["asserts.py"], True),
        (["--asserts", "asserts.py"], True),
        (["--asserts-off", "asserts.py"], False),
        (["--asserts-off", "-m", "asserts"], False),
        (["--asserts-off", "--modules", "asserts", "-m", "asserts"], False),
        (["--asserts-off", "--modules", "__main__", "asserts.py"], False),
        (["--asserts-off", "-c", PROGRAMS["asserts.py"]], False),
        (["--asserts-off", "--modules", "asserts", "asserts.py"], True),
        (["--logging", "asserts.py"], True),
        (["--asserts-off", "--enable", "asserts.__main__", "asserts.py"], True),
    ],
)
def test_the_program_itself_is_instrumented(arguments, asserts, run):
    status, out, errors = run(*arguments)
    assert (status, out) == ((1, []) if asserts else (0, ["off"]))
    assert ("AssertionError" in errors) is asserts


def test_uninstall_gives_a_program_its_original_code(run):
    status, _, errors = run("--asserts-off", "uninstalls.py")
    assert status == 1 and "line 9" in errors and errors.endswith("AssertionError\n")


def test_the_logging_of_the_program_itself_costs_nothing_while_it_is_off(run):
    assert run("--logging", "logs.py") == (0, ["evaluated"], "root logs.py:9 f text\n")


def test_keys_start_on(run):
    assert run("--enable", "shop.t*", "-m", "keyed") == (0, ["1"], "")
    assert run("--keys", "--enable", "shop.t*", "-m", "keyed", JUMPLABEL_ENABLE="shop.tracing") == (0, ["1"], "")


def test_children_are_instrumented_as_well(run):
    status, out, errors = run("--asserts-off", "--modules", "shop", "children.py")
    assert (status, errors) == (0, "")
    assert out[0] == "(0, 'shop', '__main__', True)"
    assert out[1:4] == ["(0, 'shop', '__mp_main__', True)"] * 2 + ["(0, 'shop', '__main__', True)"]
    assert out[4] == "0"


def test_forked_workers_are_instrumented_as_well(run):
    assert run("--asserts-off", "server.py") == (0, ["0", "-1", "-2"], "")


def test_the_variables_are_added_to(run):
    script = "import os; print(os.environ['JUMPLABEL_INSTRUMENT'], os.environ['JUMPLABEL_ENABLE'])"
    options = ["--logging", "--asserts-off", "--only-pure", "--modules", "shop,a", "--modules", "b"]
    options += ["--enable", "asserts.*"]
    assert run(*options, "-c", script, JUMPLABEL_INSTRUMENT="keys:cart", JUMPLABEL_ENABLE="c") == (
        0,
        ["keys:cart;logging,asserts-off,only-pure:shop,a,b c,asserts.*"],
        "jumplabel: --enable 'asserts.*': there was no such key to enable\n",
    )


def test_a_pattern_that_matched_no_key_is_reported_once_at_the_end(run):
    options = ["--enable", "typo.*,shop.*", "--enable", "!shop.a"]
    told = "jumplabel: --enable 'typo.*': there was no such key to enable\n"
    assert run(*options, "keyed.py") == (0, ["1"], told)
    assert run(*options, "--enable", "shop.*", "forks.py")[:2] == (0, ["3"])
    assert run("--enable", "typo.*", "forks.py") == (0, ["3"], told)
