"""Variables with a wrong or impossible value: each is reported once and left out, and the program goes on."""

import os
import subprocess
import sys
import warnings

import pytest

from jumplabel import RemoteError, SettingError, SettingWarning, serve
from jumplabel._process import settings
from jumplabel._process.settings import left_out
from jumplabel._remote import serving

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")
NOBODY = 65534

FACTS = """
import sys
import jumplabel
from jumplabel._remote import serving
hooks = [finder for finder in sys.meta_path if isinstance(finder, jumplabel.Hook)]
key = jumplabel.StaticKey("shop.tracing")
print(jumplabel.info().syncs_per_batch, len(hooks), key.enabled, len(serving._servers))
"""


@pytest.fixture
def python(tmp_path):
    """python(script, *options, NAME=value) returns the lines on stdout, and stderr. The process must end with 0."""
    (tmp_path / "tmp").mkdir()

    def python(script, *options, **environment):
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("JUMPLABEL_", "XDG_", "PYTEST"))
        }
        done = subprocess.run(
            [sys.executable, *options, "-c", script],
            env=inherited | {"TMPDIR": str(tmp_path / "tmp")} | environment,
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
        )
        errors = done.stderr.decode(errors="surrogateescape")
        assert done.returncode == 0, errors
        assert os.listdir(tmp_path / "tmp") == []
        return done.stdout.decode().splitlines(), errors

    return python


GOOD = {
    "JUMPLABEL_SYNCS": "3",
    "JUMPLABEL_INSTRUMENT": "shop",
    "JUMPLABEL_ENABLE": "shop.*",
    "JUMPLABEL_SERVE": "1",
}
WRONG = {
    "JUMPLABEL_NATIVE": "yes",
    "JUMPLABEL_SYNC": "hope",
    "JUMPLABEL_SYNCS": "4",
    "JUMPLABEL_POKE": "\udcff",
    "JUMPLABEL_INSTRUMENT": "foo:bar",
    "JUMPLABEL_ENABLE": "!shop",
    "JUMPLABEL_SERVE": "yes",
}


def test_all_variables_are_good(python):
    assert python(FACTS, **GOOD) == (["3 1 True 1"], "")


@pytest.mark.parametrize("options", [[], ["-W", "error"], ["-W", "ignore"]], ids=" ".join)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_variable_is_reported_once_and_the_others_count(python, wrong, options):
    expected = {"JUMPLABEL_SYNCS": "3", "JUMPLABEL_INSTRUMENT": "1", "JUMPLABEL_ENABLE": "True", "JUMPLABEL_SERVE": "1"}
    without = {"JUMPLABEL_SYNCS": "2", "JUMPLABEL_INSTRUMENT": "0", "JUMPLABEL_ENABLE": "False", "JUMPLABEL_SERVE": "0"}
    out, errors = python(FACTS, *options, **{**GOOD, wrong: WRONG[wrong]})
    assert out == [" ".join(({**expected, wrong: without[wrong]} if wrong in without else expected).values())]
    if options == ["-W", "ignore"]:
        assert errors == ""
        return
    assert errors.count(f"SettingWarning: {wrong}={WRONG[wrong]!r} is left out: set it to ") == 1
    assert errors.count("SettingWarning: JUMPLABEL_") == 1
    assert ("Exception ignored" in errors) is bool(options)  # through sys.unraisablehook


def test_all_variables_are_wrong(python):
    out, errors = python(FACTS, **WRONG)
    assert out == ["2 0 False 0"]
    for name in WRONG:
        assert errors.count(f"SettingWarning: {name}=") == 1


def missing(path):
    return path / "a" / "b"


def a_file(path):
    path.joinpath("a").write_text("")
    return path / "a"


def a_link(path):
    path.joinpath("a").symlink_to("tmp")
    return path / "a"


def open_to_others(path):
    path.joinpath("a").mkdir()
    path.joinpath("a").chmod(0o755)
    return path / "a"


def of_another_user(path):
    path.joinpath("a").mkdir(0o700)
    os.chown(path / "a", NOBODY, -1)
    return path / "a"


def too_long(path):
    return path / ("x" * 300)


def in_proc(path):
    return "/proc/jumplabel"


@pytest.mark.parametrize(
    "folder",
    [missing, a_file, a_link, open_to_others, too_long, in_proc, pytest.param(of_another_user, marks=root_only)],
)
def test_an_impossible_folder_is_reported_and_stops_nothing(python, tmp_path, folder):
    path = str(folder(tmp_path))
    out, errors = python(FACTS, **{**GOOD, "JUMPLABEL_SERVE": path})
    assert out == ["3 1 True 0"]
    assert errors.count(f"SettingWarning: JUMPLABEL_SERVE={path!r} is left out: the folder {path!r}") == 1
    assert errors.count("SettingWarning: ") == 1


@pytest.mark.parametrize("name", ["caf\udce9", "\udcff\udcfe"])
def test_a_folder_with_a_name_that_is_not_utf_8_is_used(python, tmp_path, name):
    path = str(tmp_path / name)
    assert python(FACTS, **{**GOOD, "JUMPLABEL_SERVE": path}) == (["3 1 True 1"], "")
    assert os.listdir(path) == []
    out, errors = python(FACTS, **{**GOOD, "JUMPLABEL_SERVE": path + "/a/b"})
    assert out == ["3 1 True 0"] and errors.count("SettingWarning: ") == 1


DESCRIPTORS = """
import linecache, os, resource, sys, warnings
import jumplabel._remote.serving

def opened():
    return len(os.listdir("/proc/self/fd")) - 1

warnings.warn("what tells of warnings is loaded")
before, limits = opened(), resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (before + {more}, limits[1]))
os.environ["JUMPLABEL_SERVE"] = "1"
jumplabel._remote.serving.serve_if_asked()
try:
    jumplabel.serve()
except jumplabel.RemoteError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
print(opened() - before)
with jumplabel.serve() as server:
    print(os.path.exists(server.path))
"""


@pytest.mark.parametrize("more", range(5))
def test_without_descriptors_there_is_no_server(python, more):
    out, errors = python(DESCRIPTORS.format(more=more), "-W", "always")
    assert errors.count("SettingWarning: JUMPLABEL_SERVE='1' is left out: ") == 1 and "ResourceWarning" not in errors
    assert "Too many open files" in out[0] and out[1:] == ["0", "True"]


THREADS = """
import os, threading
threading.stack_size(1 << 46)  # more than there are addresses
os.environ["JUMPLABEL_SERVE"] = "1"
"""


def test_without_threads_there_is_no_server(python):
    out, errors = python(THREADS + FACTS, JUMPLABEL_SYNCS="3", JUMPLABEL_ENABLE="shop.*")
    assert out == ["3 0 True 0"]
    assert errors.count("SettingWarning: JUMPLABEL_SERVE='1' is left out: ") == 1 and "can't start new thread" in errors


def test_a_call_of_serve_raises_the_error(tmp_path):
    with pytest.raises(RemoteError, match=r"the folder .*: No such file or directory; name one"):
        serve(tmp_path / "a" / "b")
    with pytest.raises(SettingError):
        settings.folder_to_serve({"JUMPLABEL_SERVE": "yes"})


def test_an_error_of_another_kind_stops_nothing_either(monkeypatch, tmp_path):
    def fail(folder):
        raise MemoryError("just now")

    monkeypatch.setenv("JUMPLABEL_SERVE", str(tmp_path))
    monkeypatch.setattr(serving, "serve", fail)
    with pytest.warns(SettingWarning, match=r"is left out: MemoryError\('just now'\)"):
        serving.serve_if_asked()


def test_a_warning_that_a_filter_raises_is_reported(reported):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        left_out("JUMPLABEL_SYNC='hope' is left out")
    [(_, error)] = reported
    assert isinstance(error, SettingWarning) and "'hope'" in str(error)


def test_without_the_variables_the_engine_is_not_configured(python):
    """No variables give the same configuration as no call of configure()."""
    imports = "from jumplabel import info; from jumplabel._process import settings"
    script = f"{imports}; a = info(); settings.configure({{}}); print(a == info())"
    assert python(script) == (["True"], "")


# ---- children ----


def test_a_child_that_can_have_no_server_goes_on(python, tmp_path):
    """The folder may be gone when a server forks a worker."""
    script = """
import os, shutil, sys
import jumplabel
shutil.rmtree("sockets")
open("sockets", "w").close()
if os.fork() == 0:
    print("goes on", len(jumplabel._remote.serving._servers), flush=True)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    values = {"JUMPLABEL_SERVE": str(tmp_path / "sockets")}
    out, errors = python(script, "-W", "ignore::DeprecationWarning", **values)
    assert out == ["goes on 0", "0"] and errors.count("RemoteError: ") == 1


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_each_process_reports_its_own_variables(tmp_path, method):
    (tmp_path / "program.py").write_text(f"""
import multiprocessing
import jumplabel

def work():
    print("works", flush=True)

if __name__ == "__main__":
    process = multiprocessing.get_context("{method}").Process(target=work)
    process.start()
    process.join()
    print(process.exitcode)
""")
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "JUMPLABEL_SERVE": "yes"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and done.stdout.splitlines() == ["works", "0"], done.stderr
    assert "SettingWarning: JUMPLABEL_SERVE='yes'" in done.stderr and "Traceback" not in done.stderr
