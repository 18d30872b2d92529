"""What the benchmarks share: interleaved timings, the rows of `figures/benchmarks.csv`, the name of the machine."""

import csv
import importlib
import importlib.metadata
import os
import platform
import statistics
import time
from contextlib import contextmanager
from pathlib import Path

import torch

COLUMNS = ("part", "measure", "setting", "threads", "ours", "other", "unit", "against", "ratio", "at_most")
COLUMNS += ("instructions", "machine")
"""`ratio` is ours / other, and `at_most` what it (where there is none: ours) should not exceed, if a goal was set.
`instructions` is what torch may use of the processor, AVX512 or AVX2: `instructions`."""


def seconds(function):
    """Seconds of one call: with one thread those of the processor, to which others on the machine add little; else
    those of the clock on the wall."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    started = clock()
    function()
    return clock() - started


def interleaved(functions, repeats=9, warmup=2):
    """Seconds of each function, in rounds A, B, A, B, … [repeats][functions]: what disturbs the machine hits all."""
    return [[seconds(f) for f in functions] for _ in range(repeats + warmup)][warmup:]


def versus(rounds, ours=0, other=1):
    """(median seconds of ours, of the other, median of their ratio a round)."""
    columns = [statistics.median(r[i] for r in rounds) for i in (ours, other)]
    return *columns, statistics.median(r[ours] / r[other] for r in rounds)


@contextmanager
def threads(count):
    """Run a block with `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def row(part, measure, setting, ours, other="", unit="", against="", ratio="", at_most=""):
    """One row of the table; `part` is the `__name__` of its file."""
    cells = (part.split(".")[-1], measure, setting, torch.get_num_threads(), ours, other, unit, against, ratio, at_most)
    return dict(zip(COLUMNS, (*cells, instructions(), machine()), strict=True))


def compared(part, measure, setting, rounds, against, at_most="", scale=1e3, unit="ms"):
    """The row of two functions that were timed together: ours first, then the other."""
    ours, other, ratio = versus(rounds)
    return row(part, measure, setting, scale * ours, scale * other, unit, against, ratio, at_most)


def instructions():
    """AVX512, AVX2, …: the widest instructions that torch uses here (environment: ATEN_CPU_CAPABILITY)."""
    return torch.backends.cpu.get_cpu_capability()


def machine():
    """The processor, its number of cores, and torch's version, without a comma."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = named[0] if named else platform.processor() or platform.machine()
    return f"{name}; {os.cpu_count()} cores; torch {torch.__version__}".replace(",", " ")


def kept(path, column=None, values=()):
    """The rows of a table, dictionaries: all, or those whose `column` has none of these values; [] without a table."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if column is None or row[column] not in values]


def optional(name):
    """(module, "name version") of a package, or (None, why not)."""
    try:
        return importlib.import_module(name), f"{name} {importlib.metadata.version(name)}"
    except Exception as error:  # a package built for another torch fails in its own ways
        installed = not (isinstance(error, ModuleNotFoundError) and error.name == name)
        text = f"{name} does not load: {error}" if installed else f"{name} is not installed: skipped"
        return None, " ".join(text.replace(",", ";").split())
