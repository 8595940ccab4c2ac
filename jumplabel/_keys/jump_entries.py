"""The jump table, as Python sees it: every living site of every key."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from jumplabel._engine import ffi, lib
from jumplabel._keys import replaced_sites
from jumplabel._program.exported import exported


@exported
@dataclass(frozen=True, slots=True, order=True)
class JumpEntry:
    """One site of a key, as it was when the table was read."""

    key: str
    """The key's name."""
    address: int
    """Of the site's instruction, in a trampoline or in a code object; of the word that a plain branch in C reads."""
    kind: str
    """``gate``, ``switch``, ``call``, ``tracepoint``, ``snapshot``, ``native_branch``; or ``branch``: in bytecode."""
    native: bool
    """Whether the site is an instruction in a trampoline; otherwise all but a ``branch`` are plain branches in C."""
    state: bool
    """Whether the site shows the key as on."""
    owner: str
    """``module.qualname:line``; without a line for what has no Python code. A native branch's: where it was made."""
    replaced: bool = False
    """Whether a function runs a copy of this site's code instead, made by another tool: it does not follow the key."""

    @property
    def what(self) -> str:
        """The kind; ``plain gate``, ``plain branch`` and the like where it could not be a native site."""
        plain = not self.native and self.kind != "branch"
        return f"plain {self.kind.removeprefix('native_')}" if plain else self.kind

    def __str__(self) -> str:
        state = "on" if self.state else "off"
        note = "  (code replaced)" if self.replaced else ""
        return f"{self.address:#018x}  {self.what:<16}  {state:<3}  {self.key}  {self.owner}{note}"


def read_entries(key: Any) -> tuple[JumpEntry, ...]:
    """The entries of a key of the engine's, or of all keys for NULL, sorted by key and address."""
    table = lib.jump_table_read(key)
    if not table:
        raise MemoryError
    try:
        left = replaced_sites.addresses()
        return tuple(sorted(_entry(row, left) for row in (ffi.unpack(table.rows, table.n) if table.n else [])))
    finally:
        lib.free(table)


def _entry(row: Any, left: Collection[int]) -> JumpEntry:
    address = int(ffi.cast("uintptr_t", row.address))
    return JumpEntry(
        key=ffi.string(row.key).decode(),
        address=address,
        kind=ffi.string(row.kind).decode(),
        native=row.site == lib.SITE_NATIVE,
        state=bool(row.enabled),
        owner=ffi.string(row.owner).decode(),
        replaced=address in left,
    )


@exported
def jump_table() -> list[JumpEntry]:
    """Every living site of every key, as of one moment, sorted by key and address."""
    return list(read_entries(ffi.NULL))
