"""``info()``: what this process runs on, and what has happened in it."""

import os
from dataclasses import dataclass

from jumplabel._engine import ffi, lib
from jumplabel._program.exported import exported
from jumplabel._sites.native_branches import refusal


@exported
@dataclass(frozen=True, slots=True)
class Info:
    """What this process runs on, and what has happened in it. Counters start anew in the child of a fork."""

    architecture: str
    """As the kernel names it, such as ``x86_64``."""
    native: bool | None
    """Whether sites are native trampolines; None before the first of them (or ``start()``)."""
    refusal: str | None
    """What was refused, and why, when a native site was last asked for in vain; None: nothing was."""
    sync_method: str | None
    """``membarrier`` or ``signal``; None before the first native site."""
    syncs_per_batch: int
    """2, or 3 by ``JUMPLABEL_SYNCS``."""
    poke: str
    """``int3``, ``word``, or ``auto``: by int3, and by words while a thread blocks SIGTRAP. By ``JUMPLABEL_POKE``."""
    keys: int
    native_sites: int
    plain_sites: int
    bytecode_sites: int
    arena_bytes: int
    """Executable memory mapped."""
    batches: int
    """Patch transactions that rewrote at least one native site."""
    word_batches: int
    """Those of them that showed nobody an int3: a thread blocked SIGTRAP, or ``JUMPLABEL_POKE=word``."""
    sites_patched: int
    """Native sites that they rewrote."""
    sync_calls: int
    int3_current: int
    """Traps answered with the new instruction while its batch was being patched."""
    int3_previous: int
    """Traps from the batch before, sent back to the site."""
    int3_stale: int
    """Traps from any older batch, sent back to the site."""
    int3_chained: int
    """SIGTRAPs that were not ours, handed to whoever held the signal before."""


def start() -> None:
    """Ready the process for native sites now, as the first one would; ``info()`` says whether it worked."""
    lib.jump_label_start()


_METHODS = {lib.SYNC_NONE: None, lib.SYNC_MEMBARRIER: "membarrier", lib.SYNC_SIGNAL: "signal"}

_WAYS = {lib.POKE_AUTO: "auto", lib.POKE_INT3: "int3", lib.POKE_WORD: "word"}


@exported
def info() -> Info:
    """What this process runs on. Changes nothing in it."""
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
