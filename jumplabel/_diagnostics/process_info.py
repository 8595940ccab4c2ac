"""``info()``: the machine and settings that this process runs with, and counters of what the engine did."""

import os
from dataclasses import dataclass

from jumplabel._engine import ffi, lib
from jumplabel._program.exported import exported
from jumplabel._sites.native_branches import refusal


@exported
@dataclass(frozen=True, slots=True)
class Info:
    """The machine and settings that this process runs with, and counters. A forked child's counters start at 0."""

    architecture: str
    """The kernel's name of the processor architecture, such as ``x86_64``."""
    native: bool | None
    """True: gates, switches and the like are native trampolines. False: plain branches. None: there was none yet."""
    refusal: str | None
    """What was refused, and why, when the last request for a native site failed. None: no request failed."""
    sync_method: str | None
    """``membarrier`` or ``signal``; None before the first native site."""
    syncs_per_batch: int
    """2, or 3 with ``JUMPLABEL_SYNCS=3``."""
    poke: str
    """``JUMPLABEL_POKE``: ``int3``, ``word``, or ``auto`` (int3, but words while a thread blocks SIGTRAP)."""
    keys: int
    native_sites: int
    plain_sites: int
    bytecode_sites: int
    arena_bytes: int
    """Bytes of executable memory that are mapped."""
    batches: int
    """Patch transactions that rewrote at least one native site."""
    word_batches: int
    """Those batches that wrote words without int3: a thread blocked SIGTRAP, or ``JUMPLABEL_POKE=word``."""
    sites_patched: int
    """Native sites that all batches rewrote."""
    sync_calls: int
    int3_current: int
    """Traps answered with the new instruction while its batch was being patched."""
    int3_previous: int
    """Traps of the previous batch, sent back to the site."""
    int3_stale: int
    """Traps of any older batch, sent back to the site."""
    int3_chained: int
    """Foreign traps, passed to the previous SIGTRAP handler."""


def start() -> None:
    """Ready the process for native sites now. The first native site would do the same. ``info()`` shows the result."""
    lib.jump_label_start()


_METHODS = {lib.SYNC_NONE: None, lib.SYNC_MEMBARRIER: "membarrier", lib.SYNC_SIGNAL: "signal"}

_WAYS = {lib.POKE_AUTO: "auto", lib.POKE_INT3: "int3", lib.POKE_WORD: "word"}


@exported
def info() -> Info:
    """Return what this process runs on, and its counters. Changes nothing. Any thread may call this at any time."""
    raw = ffi.new("struct jump_label_info *")
    lib.jump_label_info(raw)
    return Info(
        architecture=os.uname().machine,
        native=True if raw.native else False if raw.refused else None,
        refusal=refusal(),
        sync_method=_METHODS[raw.method],
        syncs_per_batch=raw.syncs,
        poke=_WAYS[raw.poke],
        keys=raw.keys,
        native_sites=raw.native_entries,
        plain_sites=raw.plain_entries,
        bytecode_sites=raw.bytecode_entries,
        arena_bytes=raw.arena_bytes,
        batches=raw.batches,
        word_batches=raw.word_batches,
        sites_patched=raw.sites_patched,
        sync_calls=raw.sync_calls,
        int3_current=raw.int3.current,
        int3_previous=raw.int3.previous,
        int3_stale=raw.int3.stale,
        int3_chained=raw.int3.chained,
    )
