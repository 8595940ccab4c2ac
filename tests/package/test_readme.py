"""The README's first example prints what its comments say, as a program of its own."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent.parent / "README.md"


def test_the_first_example(tmp_path):
    (tmp_path / "example.py").write_text(re.search(r"^```python\n(.*?)^```$", README.read_text(), re.M | re.S)[1])
    done = subprocess.run([sys.executable, tmp_path / "example.py"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "7\ntrace: price 5\nnot a number: ' 7 '\n"
