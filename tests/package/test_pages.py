"""Pages for contributors name files and tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.skipif(not (ROOT / "jumplabel").exists(), reason="needs the whole checkout")
RACES = (ROOT / "tests" / "RACES.md").read_text()
FILES = re.compile(r"`((?:jumplabel|csrc|benchmarks|tests|docs)/[\w/.]+)`")


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "tests/RACES.md"])
def test_files_that_a_page_names_exist(page):
    named = FILES.findall((ROOT / page).read_text())
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_each_room_has_a_row():
    rows = re.findall(r"^\| `(.+?)/`", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    rooms = [path.parent for path in (ROOT / "jumplabel").glob("_*/__init__.py")] + [
        path for path in (ROOT / "csrc").iterdir() if path.name in ("engine", "cpython", "testing")
    ]
    assert {str(path.relative_to(ROOT)) for path in rooms} <= set(rows)


@pytest.mark.parametrize("row", re.findall(r"^\| .+? \| (`.+`) \|$", RACES, re.MULTILINE))
def test_the_tests_of_a_race_exist(row):
    file, *tests = re.findall(r"`(.+?)`", row)
    text = (ROOT / file).read_text()
    assert tests
    for test in tests:
        assert re.search(rf"\b(def {test}\(|TEST\({test}\))", text), test
        assert not re.search(rf"^@pytest\.mark\.stress\n(@.+\n)*def {test}\(", text, re.MULTILINE), test
