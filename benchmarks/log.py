"""Measure what a disabled ``logger.debug("%s", x)`` costs under the import hook, beside what people write today.

Each row is a module that is written to a file and imported. Only the statement differs. The figure is the function's
time as a share of the same function's without the statement: 1 means no cost. Another question is what a record costs
that is logged to /dev/null. Other libraries' loggers (log_libraries.py) are measured in one loop only.

``decoder`` is what Python readers of Parquet files do for each value of a column: varints, runs of equal values,
bit-packed values, plain values, levels. It has a statement in every function and in the inner loops.
"""

import functools
import importlib
import io
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from log_libraries import GUARDED, LOGGING, LOGURU, LOGURU_OF_A_LIBRARY, STRUCTLOG, UNCACHED_STRUCTLOG
from rows import Rows

import jumplabel

LOOPS = """
def add_up(data):
    total = 0
    for x in data:
        LOG("%s", x)
        total += x
    return total

def empty(data):
    for x in data:
        LOG("%s", x)  # or pass

def parse(data):
    total = 0
    for line in data:
        LOG("%s", line)
        fields = {}
        for field in line.split("&"):
            name, _, value = field.partition("=")
            fields[name] = value
        total += int(fields["count"]) * float(fields["each"])
    return total
"""

DECODER = """
import struct

def read_varint(data, position):
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            LOG("varint %s, up to byte %s", result, position)
            return result, position
        shift += 7

def bit_width(highest):
    LOG("bits for %s", highest)
    return highest.bit_length()

def read_run(data, position, header, width):
    count = header >> 1
    size = (width + 7) // 8
    value = int.from_bytes(data[position:position + size], "little")
    LOG("run of %s times %s, %s bytes", count, value, size)
    return [value] * count, position + size

def read_packed(data, position, header, width):
    groups = header >> 1
    LOG("%s groups of 8, each of %s bits", groups, width)
    values = []
    window = bits = 0
    mask = (1 << width) - 1
    for byte in data[position:position + groups * width]:
        window |= byte << bits
        bits += 8
        while bits >= width:
            LOG("width %s, window %s of %s bits", width, window, bits)
            values.append(window & mask)
            window >>= width
            bits -= width
    return values, position + groups * width

def read_hybrid(data, position, width, count):
    values = []
    while len(values) < count:
        header, position = read_varint(data, position)
        LOG("header %s at %s", header, position)
        read = read_packed if header & 1 else read_run
        more, position = read(data, position, header, width)
        values += more
    return values[:count], position

def read_levels(data, position, highest, count):
    length, = struct.unpack_from("<i", data, position)
    LOG("levels: %s bytes", length)
    levels, _ = read_hybrid(data, position + 4, bit_width(highest), count)
    return levels, position + 4 + length

def read_int(data, position):
    value, = struct.unpack_from("<i", data, position)
    LOG("int %s", value)
    return value, position + 4

def read_text(data, position):
    length, position = read_int(data, position)
    LOG("text of %s bytes", length)
    return data[position:position + length].decode(), position + length

def read_dictionary(data, position, count):
    words = []
    for _ in range(count):
        word, position = read_text(data, position)
        LOG("word %s", word)
        words.append(word)
    return words, position

def assemble(levels, indices, words):
    result = []
    position = 0
    for level in levels:
        LOG("level %s, position %s", level, position)
        if level:
            result.append(words[indices[position]])
            position += 1
        else:
            result.append(None)
    return result

def decode(data):
    n_words, position = read_int(data, 0)
    words, position = read_dictionary(data, position, n_words)
    count, position = read_int(data, position)
    levels, position = read_levels(data, position, 1, count)
    LOG("%s values, %s of them there", count, sum(levels))
    indices, position = read_hybrid(data, position, bit_width(n_words - 1), sum(levels))
    return assemble(levels, indices, words)
"""

DELETED = "deleted"
LOGGERS = {
    "hook": LOGGING,
    "isEnabledFor guard": GUARDED,
    "plain logging": LOGGING,
    "structlog": STRUCTLOG,
    "structlog uncached": UNCACHED_STRUCTLOG,
    "loguru": LOGURU,
    "loguru.disable": LOGURU_OF_A_LIBRARY,
    "structlog, hook": STRUCTLOG,
    "loguru, hook": LOGURU,
}
ROWS = [
    *("empty loop, hook", "summing, hook", "summing, isEnabledFor guard", "summing, plain logging"),
    *("parsing, hook", "parsing, plain logging"),
    *("decoder, hook", "decoder, isEnabledFor guard", "decoder, plain logging"),
    *("summing, structlog", "summing, structlog uncached", "summing, loguru", "summing, loguru.disable"),
    *("summing, structlog, hook", "summing, loguru, hook"),
]
RECORDS = [
    *("record logged, hook", "record logged, isEnabledFor guard", "record logged, plain logging"),
    *("record logged, structlog", "record logged, structlog uncached", "record logged, loguru"),
]
FUNCTIONS = {
    "empty loop": "empty",
    "summing": "add_up",
    "parsing": "parse",
    "decoder": "decode",
    "record logged": "add_up",
}
TURN_SECONDS, VALUE_SECONDS = 200e-6, 0.15


# ---- data ----


def varint(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80]) + varint(number >> 7) if number > 0x7F else bytes([number])


def packed(values: list[int], width: int) -> bytes:
    """Return bit-packed values of that many bits. Their number is a multiple of 8."""
    bits = sum(value << i * width for i, value in enumerate(values))
    return varint(len(values) // 8 << 1 | 1) + bits.to_bytes(len(values) * width // 8, "little")


def hybrid(values: list[int], width: int) -> bytes:
    """Return encoded values. About a third of them are in runs."""
    out, n = b"", 0
    while n < len(values):
        equal = next((i for i, value in enumerate(values[n:]) if value != values[n]), len(values) - n)
        if equal >= 8:
            out += varint(equal << 1) + values[n].to_bytes((width + 7) // 8, "little")
            n += equal
        else:
            group = values[n : n + 8]
            out += packed(group + [0] * (8 - len(group)), width)
            n += 8
    return out


def column() -> tuple[bytes, list[str | None]]:
    """Return a page of words and nulls, and its decoded values."""
    chance = random.Random(1)
    words = [f"word {i}" for i in range(40)]
    indices: list[int] = []
    while len(indices) < 200:
        indices += [chance.randrange(len(words))] * chance.choice([1] * 12 + [12])
    levels = [1] * len(indices) + [0] * 25
    chance.shuffle(levels)
    order = iter(indices)
    values = [words[next(order)] if level else None for level in levels]
    encoded = hybrid(levels, 1)
    texts = b"".join(len(word).to_bytes(4, "little") + word.encode() for word in words)
    page = len(words).to_bytes(4, "little") + texts + len(levels).to_bytes(4, "little")
    page += len(encoded).to_bytes(4, "little") + encoded + hybrid(indices, (len(words) - 1).bit_length())
    return page, values


LINES = ["user=Ada &count=3&each=1.5", "user=Bob&count=2&each=20", "user=Eve&count=1&each=0.25"] * 10
DATA: dict[str, tuple[Any, Any]] = {
    "empty loop": (list(range(1000)), None),
    "summing": (list(range(1000)), 499500),
    "record logged": (list(range(20)), 190),
    "parsing": (LINES, 447.5),
    "decoder": column(),
}


# ---- modules ----


def module_of(row: str, way: str) -> ModuleType:
    """Import the row's module with its statements from a file, under the hook or not."""
    text = DECODER if row == "decoder" else LOOPS
    library, hooked = LOGGERS.get(way, LOGGING), way.endswith("hook")
    body = without(text) if way == DELETED else text.replace(*library.statement)
    name = f"benchmarks_log_{row}_{way}".replace(" ", "_").replace(",", "").replace(".", "_")
    with tempfile.TemporaryDirectory(prefix="jumplabel-bench-") as folder:
        Path(folder, f"{name}.py").write_text(f"{library.header}\n{body}")
        if hooked:
            jumplabel.install(name)
        sys.path.insert(0, folder)
        try:
            module = importlib.import_module(name)
        finally:
            sys.path.remove(folder)
    sites = sum(one.sites for one in jumplabel.instrumented() if one.name == name)
    if sites != (text.count("LOG(") if hooked else 0):
        raise AssertionError(f"{name}: {sites} statements are sites")
    return module


def without(text: str) -> str:
    lines = [line if "or pass" not in line else line.replace('LOG("%s", x)', "pass") for line in text.splitlines()]
    return "\n".join(line for line in lines if "LOG(" not in line)


def check(row: str, way: str, module: Any) -> None:
    """Check that nothing is logged when off and every value when on, and that the results are right in both states."""
    data, expected = DATA[row]
    function = getattr(module, FUNCTIONS[row])
    configure = LOGGERS.get(way, LOGGING).configure
    logged = []
    for on in (False, True, False):
        stream = io.StringIO()
        configure(module, on, stream)
        for _ in range(2):  # some loggers replace themselves at their first use
            if function(data) != expected:
                raise AssertionError(f"{row}, {way}: {function(data)!r}, not {expected!r}")
        logged.append(stream.getvalue().splitlines())
    if logged[0] or logged[2] or bool(logged[1]) != (way != DELETED):
        raise AssertionError(f"{row}, {way}: logged {[len(lines) for lines in logged]} records, off, on, off")
    if way == "hook" and logged[1] != plain_lines(row) * 2:
        raise AssertionError(f"{row}, {way}: logged something else than plain logging")
    if FUNCTIONS[row] == "add_up" and way != DELETED:
        told = [match and match[1] for match in (re.search(LOGGERS[way].value, line) for line in logged[1])]
        if told != [str(value) for value in data] * 2:
            raise AssertionError(f"{row}, {way}: logged {logged[1]}, of which {told} was understood")


def plain_lines(row: str) -> list[str]:
    module: Any = module_of(row, "plain logging")
    stream = io.StringIO()
    LOGGING.configure(module, True, stream)
    getattr(module, FUNCTIONS[row])(DATA[row][0])
    return stream.getvalue().splitlines()


# ---- time ----


def share(row: str, way: str) -> Callable[[int], float]:
    """Return the function's time for each second that it takes without the statement.

    The two take turns of a fraction of a millisecond, so a slow spell of the machine slows both alike.
    """
    modules = [module_of(row, name) for name in (DELETED, way)]
    for name, module in zip((DELETED, way), modules, strict=True):
        check(row, name, module)
    deleted, function = (getattr(module, FUNCTIONS[row]) for module in modules)
    data = DATA[row][0]

    def time_calls(call: Callable[[Any], Any], calls: int) -> float:
        began = time.perf_counter()
        for _ in range(calls):
            call(data)
        return time.perf_counter() - began

    calls = max(1, round(TURN_SECONDS / min(time_calls(function, 1) for _ in range(20))))

    def time_share() -> float:
        shares, began = [], time.perf_counter()
        while time.perf_counter() < began + VALUE_SECONDS or len(shares) < 20:
            if len(shares) % 2:
                without, with_it = time_calls(deleted, calls), time_calls(function, calls)
            else:
                with_it, without = time_calls(function, calls), time_calls(deleted, calls)
            shares.append(with_it / without)
        return statistics.median(shares)

    return lambda values: sum(time_share() for _ in range(values))


def record(row: str, way: str) -> Callable[[int], float]:
    module: Any = module_of(row, way)
    check(row, way, module)
    LOGGERS[way].configure(module, True, open(os.devnull, "w"))
    function, data = getattr(module, FUNCTIONS[row]), DATA[row][0]

    def time_calls(calls: int) -> float:
        began = time.perf_counter()
        for _ in range(calls):
            function(data)
        return time.perf_counter() - began

    return time_calls


if __name__ == "__main__":
    rows = Rows()
    for name in filter(rows.wants, ROWS):
        rows.shares(name, functools.partial(share, *name.split(", ", 1)))
    for name in filter(rows.wants, RECORDS):
        timed = record(*name.split(", ", 1))
        rows.runner.bench_time_func(name, timed, inner_loops=len(DATA["record logged"][0]))
