"""Show sites as they are now: a trampoline's bytes and instructions, and the bytecode of a function with branches.

csrc/arch/x86_64/trampoline_templates.S defines a trampoline's layout: the site, the off path, the on path, and the
words that they read. The site of a static call, a tracepoint or a snapshot jumps to its target's slot instead.
capstone, if installed, decodes the instructions.
"""

import dis
import inspect
import io
from collections.abc import Iterator
from importlib import import_module
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

from jumplabel._engine import ffi
from jumplabel._keys.jump_entries import JumpEntry, jump_table
from jumplabel._program.site_types import CallSite, ObjectSite, StaticCallable
from jumplabel._sites.native_branches import NativeBranch

SLOT_SIZE = 64
SITE_SIZE = 6
NOP5 = bytes.fromhex("0f1f440000")
PREFIX, INT3, JMP = 0x2E, 0xCC, 0xE9
WORDS = {32: "off_entry", 40: "on_entry", 48: "on_argument", 56: "off_argument"}
TARGET_WORDS = {40: "entry", 48: "argument"}

NATIVE = (StaticCallable, NativeBranch, CallSite, ObjectSite)


class MachineInstruction(NamedTuple):
    offset: int
    code: bytes
    text: str
    word: int | None
    """The offset of the slot's word that the instruction reads. None: it reads none."""


def find(module: Any, qualified_name: str) -> Any:
    """Return the object with a trampoline, or the function with branches, of this name.

    Raises LookupError if nothing has the name, and TypeError if the object of this name has no site.
    """
    where = f"{module.__name__}:{qualified_name}"
    found = module
    for name in qualified_name.split("."):
        try:
            found = inspect.getattr_static(found, name)
        except AttributeError:
            raise LookupError(f"{where}: there is no {name!r} in {found!r}") from None
    while not isinstance(found, NATIVE):
        if isinstance(found, FunctionType) and branches(found.__code__):
            return found
        if not isinstance(found, classmethod | staticmethod | MethodType):
            raise TypeError(
                f"{where} has no site of static_gate, static_switch, static_branches, StaticCall, Tracepoint or "
                f"native_branch; it is {found!r}"
            )
        found = found.__func__
    return found


def branches(code: CodeType) -> dict[int, JumpEntry]:
    """Return the sites in a code object, by their offsets in bytes."""
    first = id(code) + type(code).__basicsize__
    table = [entry for entry in jump_table() if entry.kind == "branch"]
    return {entry.address - first: entry for entry in table if 0 <= entry.address - first < len(code.co_code)}


def entries(site: Any) -> list[JumpEntry]:
    """Return a native site's entries in the jump table, one for each of its keys."""
    address = site.__site__()
    return [entry for entry in jump_table() if entry.address == address]


def read(address: int, size: int = SLOT_SIZE) -> bytes:
    """Return the bytes of a native site's slot, as threads run them."""
    return bytes(ffi.buffer(ffi.cast("unsigned char *", address), size)[:])


def name_site(code: bytes) -> str:
    """Name a site's bytes as the protocol that writes them does: csrc/arch/x86_64/int3_poke.c."""
    first, tail = code[0], code[1:SITE_SIZE]
    if tail == NOP5:
        name = "nop5"
    elif tail[0] == JMP:
        name = f"jmp {SITE_SIZE + int.from_bytes(tail[1:], 'little', signed=True)}"
    else:
        return "unknown"
    return {PREFIX: name, INT3: f"int3, tail of {name}"}.get(first, "unknown")


def lines_of(site: Any) -> Iterator[str]:
    """Return the lines that ``python -m jumplabel dis`` prints."""
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
    rows = entries(site)
    row = rows[0]
    keys = "; ".join(f"{row.key}, {'on' if row.state else 'off'}" for row in rows)
    yield f"{row.owner}: {row.kind} of {keys}, at {row.address:#018x}"
    known = _known(site)
    if not row.native:
        yield "a plain branch in C, so there is no trampoline to show; 'python -m jumplabel info' says why"
        return
    slot = read(row.address)
    words = {word: WORDS[word] for word in _words_of(site)}
    leads = isinstance(site, CallSite | ObjectSite)
    target = _where_it_leads(row.address, slot) if leads else None
    yield ""
    yield _line(0, slot[:SITE_SIZE], name_site(slot), f"the site, to {target:#018x}" if target else "the site")
    yield from _code(slot, SITE_SIZE, words, known, "never run" if leads else "the on path")
    if target:
        yield ""
        yield f"the target's, at {target:#018x}"
        yield ""
        yield from _code(read(target), 0, TARGET_WORDS, known, "")


def _words_of(site: Any) -> list[int]:
    """Return the offsets of the words that a site's trampoline reads."""
    if isinstance(site, NativeBranch):
        return [32, 40]
    calls_off = site.__calls_off__ if isinstance(site, StaticCallable) else site.__kind__ == "snapshot"
    return list(WORDS) if calls_off else [40, 48, 56]


def _known(site: Any) -> dict[int, str]:
    """Return texts of the objects that the words may point to, by the objects' addresses."""
    if isinstance(site, NativeBranch):
        return dict(zip(site._targets, map(repr, (site.off, site.on)), strict=True))
    objects = [None, site.__wrapped__] if isinstance(site, StaticCallable) else [None, site]
    if isinstance(site, ObjectSite):
        probes = site.__target__(site.__state__) or ()
        objects += [probes, *probes]
    elif isinstance(site, CallSite):
        objects += [site.__wrapped__, site.__target__(site.__state__)]
    return {id(each): repr(each) for each in objects}


def _where_it_leads(address: int, slot: bytes) -> int | None:
    is_jump = name_site(slot).startswith("jmp")
    return address + SITE_SIZE + int.from_bytes(slot[2:SITE_SIZE], "little", signed=True) if is_jump else None


def _code(slot: bytes, begin: int, words: dict[int, str], known: dict[int, str], on_path: str) -> Iterator[str]:
    """Yield a slot's instructions from ``begin`` on, then its words. The note ``on_path`` marks the on path's begin."""
    try:
        capstone = import_module("capstone")
    except ImportError:
        for offset in range(begin, min(words), 16):
            yield _line(offset, slot[offset : min(offset + 16, *words)])
        yield "      (for instructions: pip install 'jumplabel[dis]')"
    else:
        instructions = list(_instructions(capstone, slot, begin))
        turn = next((each.offset for each in instructions if each.word in (40, 48)), None)
        for each in instructions:
            notes = [words[each.word]] if each.word in words else []
            if each.offset == turn and on_path:
                notes.append(on_path)
            yield _line(each.offset, each.code, each.text, ", ".join(notes))
    yield ""
    for offset, word in words.items():
        value = int.from_bytes(slot[offset : offset + 8], "little")
        yield f"{offset:4}  {word:<12}  {value:#018x}  {known.get(value, '')}".rstrip()


def _instructions(capstone: Any, slot: bytes, begin: int) -> Iterator[MachineInstruction]:
    """Decode up to the end of the on path, which is the jump through on_entry."""
    for each in capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64).disasm(slot[begin:], begin):
        # A ModRM byte with mod 00, r/m 101 addresses relative to rip. In these templates the displacement comes last.
        relative = "rip" in each.op_str
        word = each.address + each.size + int.from_bytes(each.bytes[-4:], "little", signed=True) if relative else None
        operands = (
            str(int(each.op_str, 16)) if each.op_str.startswith("0x") else each.op_str
        )  # the offset that a jump leads to
        yield MachineInstruction(each.address, bytes(each.bytes), f"{each.mnemonic} {operands}".strip(), word)
        if word == 40:
            return


def _line(offset: int, code: bytes, text: str = "", note: str = "") -> str:
    line = f"{offset:4}  {code.hex(' '):<20}  {text:<38}  {'; ' + note if note else ''}"
    return line.rstrip()
