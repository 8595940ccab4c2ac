"""Fixtures of the tests of the command line: it runs in a folder with two small programs."""

import os
import subprocess

import pytest
from command_line import COMMAND, SHOP

import jumplabel._diagnostics.process_info


@pytest.fixture
def run(tmp_path):
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "broken.py").write_text("import a_module_that_is_not_there\n")

    def run(*arguments, status=0, **environment):
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr if status == 2 else done.stdout

    return run


@pytest.fixture(scope="module")
def native():
    jumplabel._diagnostics.process_info.start()
    if not jumplabel.info().native:
        pytest.skip(f"no trampolines here: {jumplabel.info().refusal}")
