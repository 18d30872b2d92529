"""A class on one machine: eight kernels run a notebook each, at once. `figures/classroom.csv`, a row a notebook.

    python tests/benchmarks/classroom.py [--notebooks NN …] [--out FILE]

First each notebook runs alone, then all together: by default those of the plans for two hours and for half a day
(notebooks/TEACHING.md), about ten minutes on two free cores. A number may come twice, as in a class that does the same:
`--notebooks 12 12 12 12`. Every kernel has the threads that its notebook sets, and OMP_WAIT_POLICY=PASSIVE, so that
threads that wait leave the cores to others. Needs psutil, which ipykernel installs; Linux and macOS only.
"""

import argparse
import re
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import psutil
from one_notebook import measure_apart
from timing import machine

from course_lib.common import progress
from course_lib.studies import FIGURES
from course_lib.studies.store import write_table
from notebooks import paths_of

NOTEBOOKS = ("00", "02", "04", "09", "12", "14", "15", "16")
COLUMNS = ("notebook", "seconds_alone", "seconds_together", "slowdown", "wait_alone", "wait_together", "peak_mb_alone")
COLUMNS += ("peak_mb_together", "finished", "machine")
"""`slowdown` is seconds together / alone, `wait` the seconds of the slowest cell, `peak_mb` the largest memory of a
kernel, `finished` yes or the error. The last row, `all`: seconds of all one after the other and of all together, the
longest waits, and the most memory that the kernels took at one time, in which what they share counts once."""
FAILED = ("", "", "")


def run(path):
    """((seconds, those of the slowest cell, peak memory in MB) of a notebook, "yes"); where it fails (FAILED, the last
    line of its trace)."""
    try:
        return tuple(measure_apart(path, OMP_WAIT_POLICY="PASSIVE")), "yes"
    except RuntimeError as error:
        return FAILED, re.sub(r"\x1b\[[\d;]*m", "", str(error).splitlines()[-1]).replace(",", ";")


def kernels_memory():
    """MB that all kernels take now: they are the children of this process's children. Shared pages count once on Linux;
    elsewhere, once a kernel."""
    ours, total = psutil.Process(), 0
    kernels = set(ours.children(recursive=True)) - set(ours.children())
    for kernel in kernels:
        try:
            memory = kernel.memory_full_info()
        except psutil.Error:  # it has ended meanwhile
            continue
        total += getattr(memory, "pss", memory.rss)
    return total / 2**20


def run_together(paths, pause=0.5):
    """(what `run` gives of each notebook, seconds until the last one ended, most MB of all kernels at one time)."""
    started, peak = time.perf_counter(), 0.0
    with ThreadPoolExecutor(len(paths)) as pool:
        runs = [pool.submit(run, path) for path in paths]
        while wait(runs, timeout=pause).not_done:
            peak = max(peak, kernels_memory())
    return [each.result() for each in runs], round(time.perf_counter() - started, 1), round(peak)


def table(paths, alone, together, seconds, peak):
    """The rows of `classroom.csv`; alone: {path: what `run` gave}, together: the same, one a path."""
    name, rows = machine(), []
    for path, (measured, state) in zip(paths, together, strict=True):
        single, single_state = alone[path]
        ended = state if single_state == "yes" else single_state
        slowdown = measured[0] / single[0] if ended == "yes" else ""
        pair, waits, memory = zip(single, measured, strict=True)  # alone, together
        rows.append((path.stem, *pair, slowdown, *waits, *memory, ended, name))
    failed = sum(row[-2] != "yes" for row in rows)
    total = sum(row[1] for row in rows if row[1])
    waits = [max((row[column] for row in rows if row[column]), default="") for column in (4, 5)]
    ended = f"{failed} failed" if failed else "yes"
    return [*rows, ("all", total, seconds, seconds / total if total else "", *waits, "", peak, ended, name)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--notebooks", nargs="+", metavar="NN", default=NOTEBOOKS, help=f"default: {NOTEBOOKS}")
    parser.add_argument("--out", type=Path, default=FIGURES / "classroom.csv")
    args = parser.parse_args()
    paths = paths_of(args.notebooks)
    alone = {path: run(path) for path in progress(sorted(set(paths)), desc="alone")}
    write_table(args.out, table(paths, alone, *run_together(paths)), COLUMNS)
    print(args.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
