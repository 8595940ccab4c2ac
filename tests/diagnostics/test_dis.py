"""``python -m jumplabel dis``: trampolines, native branches, targets and branches as they are now."""

import re
from itertools import pairwise

import pytest

from jumplabel._diagnostics import disassemble


def offsets_and_bytes(lines):
    found = [re.match(r" +(\d+)  ((?:[0-9a-f]{2} ?)+)(?:  |$)", line) for line in lines]
    return [(int(match[1]), bytes.fromhex(match[2])) for match in found if match]


@pytest.mark.parametrize("name", ["trace", "parse", "Cart.made", "Cart.total", "Cart.add"])
@pytest.mark.parametrize("extra", [True, False], ids=["capstone", "plain"])
def test_dis_shows_every_byte_of_the_code_once(run, native, tmp_path, name, extra):
    if extra:
        pytest.importorskip("capstone")
    else:
        (tmp_path / "capstone.py").write_text("raise ImportError\n")
    output = run("dis", f"shop:{name}")
    assert f"shop.{name}:" in output
    code = offsets_and_bytes(output.splitlines())
    for (offset, part), (following, _) in pairwise(code):
        assert offset + len(part) == following
    on = name in ("parse", "Cart.total", "Cart.add")
    assert code[0] == (0, code[0][1])
    assert (code[0][1][1:] == disassemble.NOP5) == (not on)
    assert ("jmp " in output.split("; the site")[0]) == on
    assert ("jumplabel[dis]" in output) == (not extra)
    words = re.findall(r"^ +(\d+)  (\w+) +(0x[0-9a-f]{16})", output, re.MULTILINE)
    switch_only = [("32", "off_entry")] if name == "parse" else []
    expected = [*switch_only, ("40", "on_entry"), ("48", "on_argument"), ("56", "off_argument")]
    assert [(offset, word) for offset, word, _ in words] == expected
    assert all(int(value, 16) for _, _, value in words)


def test_dis_names_instructions_and_what_they_read(run, native):
    pytest.importorskip("capstone")
    lines = run("dis", "shop:parse").splitlines()
    site = next(line for line in lines if "; the site" in line)
    on_path = next(line for line in lines if "the on path" in line)
    target = int(re.search(r"jmp (\d+)", site)[1])
    assert int(on_path.split()[0]) == target
    assert "mov rdi" in on_path and "on_argument" in on_path
    for word in ("off_argument", "off_entry", "on_entry"):
        assert any(line.endswith(f"; {word}") for line in lines)


def test_dis_of_a_function_with_branches(run, tmp_path):
    (tmp_path / "counter.py").write_text(COUNTER)
    lines = run("dis", "counter:Counter.add").splitlines()
    assert lines[0].endswith("counter.py:8") and "Counter.add" in lines[0]
    sites = [line for line in lines if "JUMP_FORWARD to" in line and "counter." in line]
    assert [line.split()[4:6] for line in sites] == [["on", "counter.strict,"], ["off", "counter.tracing,"]]
    assert [line.rpartition(":")[2] for line in sites] == ["9", "10"]
    assert any("RETURN_VALUE" in line for line in lines)
    assert "no site of" in run("dis", "counter:Counter.plain", status=2)


COUNTER = """from jumplabel import StaticKey, static_branches

tracing = StaticKey("counter.tracing")
strict = StaticKey("counter.strict", default=True)

@static_branches
class Counter:
    def add(self, n):
        if strict: assert n
        if tracing: print(n)
        return n

    def plain(self): ...
"""


@pytest.mark.parametrize("extra", [True, False], ids=["capstone", "plain"])
def test_dis_of_a_native_branch(run, native, tmp_path, extra):
    if extra:
        pytest.importorskip("capstone")
    else:
        (tmp_path / "capstone.py").write_text("raise ImportError\n")
    (tmp_path / "letters.py").write_text(LETTERS)
    lines = run("dis", "letters:branch").splitlines()
    assert re.fullmatch("letters:8: native_branch of letters.upper, on, at 0x[0-9a-f]{16}", lines[0])
    code = offsets_and_bytes(lines)
    assert code[0] == (0, bytes.fromhex("2ee906000000"))  # the site: a jump to 12
    assert b"".join(part for _, part in code)[6:18:6] == b"\xff\xff"  # jmp *off_entry; jmp *on_entry
    words = [line.split(maxsplit=3) for line in lines if "_entry  " in line]
    assert [(word[:2], re.search("calling <.*?(lambda|ord)>", word[3])[1]) for word in words] == [
        (["32", "off_entry"], "lambda"),
        (["40", "on_entry"], "ord"),
    ]
    if extra:
        assert [line.rpartition("; ")[2] for line in lines[2:5]] == ["the site", "off_entry", "on_entry, the on path"]
    assert "plain branch in C" in run("dis", "letters:branch", JUMPLABEL_NATIVE="0")
    assert "  plain branch      on     letters.upper, letters:8\n" in run("info", "letters", JUMPLABEL_NATIVE="0")


LETTERS = """import cffi
from jumplabel import StaticKey, native_branch

ffi = cffi.FFI()
upper = StaticKey("letters.upper", default=True)
callback = ffi.callback("int(int)")

branch = native_branch(upper, off=callback(lambda n: n), on=callback(ord))
"""


PROBED = """from jumplabel import StaticCall, Tracepoint

none, one, two = Tracepoint("probed.none"), Tracepoint("probed.one"), Tracepoint("probed.two")

@one.register
@two.register
def probe(x): ...

two.register(print)

class Holder:
    @StaticCall
    def call(self): ...

def target(self): ...

Holder.call.update(target)
off = StaticCall(probe)
off.update(None)
"""

LEADS_TO = {"none": None, "one": "<function probe ", "two": "(<function probe ", "Holder.call": "<function target "}


@pytest.mark.parametrize(("name", "target"), [*LEADS_TO.items(), ("off", None)])
@pytest.mark.parametrize("extra", [True, False], ids=["capstone", "plain"])
def test_dis_says_where_a_site_leads(run, native, tmp_path, name, target, extra):
    if extra:
        pytest.importorskip("capstone")
    else:
        (tmp_path / "capstone.py").write_text("raise ImportError\n")
    (tmp_path / "probed.py").write_text(PROBED)
    first, _, site, *output = run("dis", f"probed:{name}").splitlines()
    kind = "call" if name in ("Holder.call", "off") else "tracepoint"
    assert f": {kind} of probed." in first and f", {'on' if target else 'off'}, at 0x" in first
    at = [line for line in output if line.startswith("the target's, at ")]
    if not target:
        assert "nop5" in site and at == []
        return
    address, leads_to = (int(re.search("0x[0-9a-f]{16}", line)[0], 16) for line in (first, at[0]))
    assert f"the site, to {leads_to:#018x}" in site
    assert int(re.search(r"jmp (-?\d+)", site)[1]) == leads_to - address
    words = [line.split(maxsplit=3) for line in output[output.index(at[0]) :] if re.match(" +4[08]  [a-z_]+ +0x", line)]
    assert [word[:2] for word in words] == [["40", "entry"], ["48", "argument"]]
    assert words[1][3].startswith(target)


def test_dis_of_a_plain_branch(run):
    assert "plain branch" in run("dis", "shop:parse", JUMPLABEL_NATIVE="0")
