"""Sites as they are now: a trampoline's bytes, and the bytecode of a function with branches.

A trampoline's layout is csrc/trampoline_x86_64.S: the site, the off path, the on path, and the words that they read.
Its instructions are shown where capstone is there to read them.
"""

import dis
import inspect
import io
from collections.abc import Iterator
from importlib import import_module
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

from jumplabel._engine import ffi
from jumplabel.decorators import StaticCallable
from jumplabel.native import NativeBranch
from jumplabel.table import JumpEntry, jump_table

SLOT_SIZE = 64
SITE_SIZE = 6
NOP5 = bytes.fromhex("0f1f440000")
PREFIX, INT3, JMP = 0x2E, 0xCC, 0xE9
WORDS = {32: "off_entry", 40: "on_entry", 48: "on_argument", 56: "off_argument"}
USED = {"switch": list(WORDS), "native_branch": [32, 40]}


class Instruction(NamedTuple):
    offset: int
    code: bytes
    text: str
    word: int | None
    """The offset of the slot's word that it reads."""


def find(module: Any, qualified_name: str) -> Any:
    """The static callable or native branch of this name, or the function with branches.

    LookupError: nothing has the name; TypeError: something else has.
    """
    where = f"{module.__name__}:{qualified_name}"
    found = module
    for name in qualified_name.split("."):
        try:
            found = inspect.getattr_static(found, name)
        except AttributeError:
            raise LookupError(f"{where}: there is no {name!r} in {found!r}") from None
    while not isinstance(found, StaticCallable | NativeBranch):
        if isinstance(found, FunctionType) and branches(found.__code__):
            return found
        if not isinstance(found, classmethod | staticmethod | MethodType):
            sorts = "static_gate, static_switch, static_branches or native_branch"
            raise TypeError(f"{where} has no site of {sorts}; it is {found!r}")
        found = found.__func__
    return found


def branches(code: CodeType) -> dict[int, JumpEntry]:
    """The sites in a code object, by their offsets in it."""
    first = id(code) + type(code).__basicsize__
    table = [entry for entry in jump_table() if entry.kind == "branch"]
    return {entry.address - first: entry for entry in table if 0 <= entry.address - first < len(code.co_code)}


def entry(site: Any) -> JumpEntry:
    """The row of a static callable or native branch in the jump table."""
    address = site.__site__()
    key = site.key if isinstance(site, NativeBranch) else site.__static_key__
    entries: tuple[JumpEntry, ...] = key.entries
    return next(entry for entry in entries if entry.address == address)


def read(address: int, size: int = SLOT_SIZE) -> bytes:
    """Bytes of a native site's slot, as threads run them."""
    return bytes(ffi.buffer(ffi.cast("unsigned char *", address), size)[:])


def name_site(code: bytes) -> str:
    """What the bytes of a site are, by the protocol that writes them: see csrc/text_poke.c."""
    first, tail = code[0], code[1:SITE_SIZE]
    if tail == NOP5:
        name = "nop5"
    elif tail[0] == JMP:
        name = f"jmp {SITE_SIZE + int.from_bytes(tail[1:], 'little', signed=True)}"
    else:
        return "unknown"
    return {PREFIX: name, INT3: f"int3, tail of {name}"}.get(first, "unknown")


def report(site: Any) -> Iterator[str]:
    """The lines that ``python -m jumplabel dis`` prints."""
    return _branches(site) if isinstance(site, FunctionType) else _trampoline(site)


def _branches(function: FunctionType) -> Iterator[str]:
    code = function.__code__
    sites = branches(code)
    yield f"{function.__qualname__}, {code.co_filename}:{code.co_firstlineno}"
    for offset, row in sites.items():
        target = offset + 2 + 2 * code.co_code[offset + 1]
        yield f"{offset:6}  JUMP_FORWARD to {target:<6}  {'on' if row.state else 'off':<3}  {row.key}, {row.owner}"
    yield ""
    text = io.StringIO()
    dis.dis(function, file=text, depth=0)
    yield from text.getvalue().splitlines()


def _trampoline(site: Any) -> Iterator[str]:
    row = entry(site)
    yield f"{row.owner}: {row.kind} of {row.key}, {'on' if row.state else 'off'}, at {row.address:#018x}"
    if not row.native:
        yield "a plain branch in C, so there is no trampoline to show; 'python -m jumplabel info' says why"
        return
    slot = read(row.address)
    yield ""
    yield _line(0, slot[:SITE_SIZE], name_site(slot), "the site")
    try:
        capstone = import_module("capstone")
    except ImportError:
        words = list(WORDS) if getattr(site, "__calls_off__", False) else USED.get(row.kind, [40, 48, 56])
        for offset in range(SITE_SIZE, min(words), 16):
            yield _line(offset, slot[offset : min(offset + 16, *words)])
        yield "      (for instructions: pip install 'jumplabel[dis]')"
    else:
        instructions = list(_instructions(capstone, slot))
        on_path = next((each.offset for each in instructions if each.word in (40, 48)), None)
        for each in instructions:
            notes = [WORDS[each.word]] if each.word in WORDS else []
            if each.offset == on_path:
                notes.append("the on path")
            yield _line(each.offset, each.code, each.text, ", ".join(notes))
        words = sorted({each.word for each in instructions if each.word in WORDS})
    yield ""
    if isinstance(site, NativeBranch):
        known = dict(zip(site._targets, map(repr, (site.off, site.on)), strict=True))
    else:
        known = {id(site.__wrapped__): repr(site.__wrapped__), id(None): "None"}
    for offset in words:
        value = int.from_bytes(slot[offset : offset + 8], "little")
        yield f"{offset:4}  {WORDS[offset]:<12}  {value:#018x}  {known.get(value, '')}".rstrip()


def _instructions(capstone: Any, slot: bytes) -> Iterator[Instruction]:
    """From the end of the site to the end of the on path, which is the jump through on_entry."""
    for each in capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64).disasm(slot[SITE_SIZE:], SITE_SIZE):
        # A ModRM byte of mod 00, r/m 101 is relative to rip. In these templates the displacement ends the instruction.
        relative = "rip" in each.op_str
        word = each.address + each.size + int.from_bytes(each.bytes[-4:], "little", signed=True) if relative else None
        operands = str(int(each.op_str, 16)) if each.op_str.startswith("0x") else each.op_str  # a jump, to an offset
        yield Instruction(each.address, bytes(each.bytes), f"{each.mnemonic} {operands}".strip(), word)
        if word == 40:
            return


def _line(offset: int, code: bytes, text: str = "", note: str = "") -> str:
    line = f"{offset:4}  {code.hex(' '):<20}  {text:<38}  {'; ' + note if note else ''}"
    return line.rstrip()
