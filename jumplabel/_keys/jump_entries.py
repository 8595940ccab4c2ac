"""The jump table, as Python sees it: every living site of every key."""

from collections.abc import Collection
from typing import Any, NamedTuple

from jumplabel._engine import ffi, lib
from jumplabel._keys import replaced_sites


class JumpEntry(NamedTuple):
    """One site of a key, as it was when the table was read."""

    key: str
    """The key's name."""
    address: int
    """The address of the site's instruction, in a trampoline or a code object. A plain branch in C has no instruction
    of its own: there it is the address of the word that the branch reads.
    """
    kind: str
    """``gate``, ``switch``, ``call``, ``tracepoint``, ``snapshot``, ``native_branch``; in bytecode: ``branch``."""
    native: bool
    """Whether the site is an instruction in a trampoline. A site that is not, and is no ``branch``, is a plain branch
    in C.
    """
    state: bool
    """Whether the site shows the key as on."""
    owner: str
    """The function: ``module.qualname:line``, without a line where it has no Python code. For a native branch, the
    place that made it.
    """
    replaced: bool = False
    """Whether a function runs a copy of this site's code, made by another tool. The copy does not follow the key."""

    @property
    def what(self) -> str:
        """The kind, with ``plain`` before it where the site could not be a native one: ``plain gate``."""
        plain = not self.native and self.kind != "branch"
        return f"plain {self.kind.removeprefix('native_')}" if plain else self.kind

    def __str__(self) -> str:
        state = "on" if self.state else "off"
        note = "  (code replaced)" if self.replaced else ""
        return f"{self.address:#018x}  {self.what:<16}  {state:<3}  {self.key}  {self.owner}{note}"


def read_entries(key: Any) -> tuple[JumpEntry, ...]:
    """Return the entries of a key, sorted by key and address.

    key  the engine's key; NULL: all keys
    """
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


def jump_table() -> list[JumpEntry]:
    """Return every living site of every key, as of one moment, sorted by key and address.

    Any thread may call this. Raises MemoryError.
    """
    return list(read_entries(ffi.NULL))
