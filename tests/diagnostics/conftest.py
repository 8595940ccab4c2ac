"""A user's modules, and ``python -m jumplabel`` run beside them."""

import os
import subprocess
import sys

import pytest

import jumplabel
import jumplabel._diagnostics.process_info

COMMAND = [sys.executable, "-m", "jumplabel"]

SHOP = """
from jumplabel import StaticKey, static_gate, static_switch

tracing = StaticKey("shop.tracing")
strict = StaticKey("shop.strict", default=True)

@static_gate(tracing)
def trace(event): ...

def checked(data): return data

@static_switch(strict, to=checked)
def parse(data): return data

class Cart:
    @classmethod
    @static_gate(tracing)
    def made(cls): ...

    @staticmethod
    @static_gate(strict)
    def total(): ...

    @static_gate(strict)
    def add(self, item): ...

    @property
    def owner(self): ...

plain = [parse]
"""


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
