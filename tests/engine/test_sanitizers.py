"""The engine in C programs that a sanitizer watches: no access out of place, no leak, nothing undefined, no race.

By clang where there is one, else by the compiler at hand. Nothing is suppressed; what is left out says why.
"""

import os
import shutil
import subprocess

import c_programs
import pytest

pytestmark = pytest.mark.slow

SANITIZERS = {"address,undefined": ["-fno-sanitize-recover=all"], "thread": [c_programs.C / "alone.c"]}
ENVIRONMENT = os.environ | {"ASAN_OPTIONS": "detect_leaks=1", "TSAN_OPTIONS": ""}

NOT_HERE = {
    # The search for leaks stops the process from another one, which cannot be made from a namespace just left.
    ("address,undefined", "chained_as_init"),
    # It has addresses that it alone may map.
    ("thread", "a_target_out_of_reach"),
}


@pytest.fixture(scope="module", params=SANITIZERS)
def watched(request, build_c, tmp_path_factory):
    """watched(program): built with one sanitizer, once; and the sanitizer's name."""
    compiler = shutil.which("clang") or shutil.which(os.environ.get("CC", "cc"))
    flags = [f"-fsanitize={request.param}", *SANITIZERS[request.param]]
    empty = tmp_path_factory.mktemp("empty")
    (empty / "empty.c").write_text("int main(void) { return 0; }\n")
    command = [compiler or "cc", *flags[:1], empty / "empty.c", "-o", empty / "empty"]
    if compiler is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip(f"{compiler} has no library for -fsanitize={request.param}")
    if subprocess.run([empty / "empty"], capture_output=True).returncode:
        pytest.skip(f"-fsanitize={request.param} does not run on this kernel")
    built = {}

    def program(name):
        if name not in built:
            options = [*flags, "-O1", "-U_FORTIFY_SOURCE", *c_programs.options(name)]
            built[name] = build_c(name, *options, compiler=compiler)
        return built[name]

    return program, request.param


ABOUT_SIGNALS = ["asked_again", "blocked", "chained", "holding", "synchronization", "words"]


@pytest.mark.parametrize(
    "name", ["bytecode", "calls", "calls_under_fire", "interleavings", "native_branches", *ABOUT_SIGNALS]
)
def test_cases(watched, name):
    program, sanitizer = watched
    if sanitizer == "thread" and name in ABOUT_SIGNALS:
        pytest.skip("ThreadSanitizer delivers signals when, and with the mask, it sees fit; these cases are about both")
    for case in c_programs.cases(name):
        if (sanitizer, case) not in NOT_HERE:
            c_programs.run_case(program(name), case, environment=ENVIRONMENT)


@pytest.mark.parametrize("case", c_programs.cases("faults"))
def test_refused_calls(watched, case):
    """Every thirtieth of them: a process for each is slow here."""
    program, _ = watched
    c_programs.run_case(program("faults"), case, "30", environment=ENVIRONMENT)


@pytest.mark.stress
@pytest.mark.parametrize("method", ["membarrier", "signal"])
def test_under_fire(watched, method, stress_seconds):
    program, _ = watched
    c_programs.run_case(
        program("stress"), str(min(stress_seconds, 5) / 2), "4", method, "2", "int3", environment=ENVIRONMENT
    )
