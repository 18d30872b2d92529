"""Seconds and peak memory of every notebook, each in a fresh kernel, one after the other: `figures/notebooks.csv`.

    python tests/benchmarks/notebooks.py [NN …]

Seconds are wall-clock on this machine, with as many threads as each notebook asks for; memory is the kernel's largest
resident set. A notebook that fails stops the run. Linux and macOS only (the memory comes from getrusage).
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from course_lib.common import check, progress
from course_lib.scores import FIGURES, lines, write_text

NOTEBOOKS = FIGURES.with_name("notebooks")
COLUMNS = ("notebook", "seconds", "slowest_cell", "peak_mb", "machine")


def measure(path):
    """Execute a notebook; (seconds in all, seconds of its slowest cell, peak memory of its kernel in MB)."""
    client, started, cells = NotebookClient(nbformat.read(path, 4), timeout=600), time.perf_counter(), []

    def begin(cell, cell_index):
        cells.append(-time.perf_counter())

    def end(cell, cell_index, execute_reply):
        cells[-1] += time.perf_counter()

    client.on_cell_execute, client.on_cell_executed = begin, end
    client.execute(cwd=str(path.parent))
    seconds = time.perf_counter() - started
    # The kernel is a child of this process, which has waited for it. Linux counts in kB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    return round(seconds, 1), round(max(cells), 1), round(peak)


def measure_apart(path, **environment):
    """What `measure` gives, from a process of its own: the largest child of a process is kept over its whole life.

    The environment is that of this process with the changes given. RuntimeError, with the trace, for a notebook that
    fails.
    """
    line = [sys.executable, __file__, "--one", str(path)]
    run = subprocess.run(line, capture_output=True, text=True, env=os.environ | environment)
    if run.returncode:
        raise RuntimeError(f"{path.name} failed\n{run.stderr.strip()}")
    return json.loads(run.stdout.splitlines()[-1])


def paths_of(numbers):
    """The notebooks of the course with these numbers, NN, in this order."""
    found = {path.stem[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}
    missing = [number for number in numbers if number not in found]
    check(not missing, "notebooks", f"numbers of {sorted(found)}", missing)
    return [found[number] for number in numbers or found]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("numbers", nargs="*", metavar="NN", help="these notebooks only (default: all)")
    parser.add_argument("--out", default=FIGURES / "notebooks.csv", type=Path)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return print(json.dumps(measure(args.one)))
    rows, bar = [], progress(paths_of(args.numbers))
    for path in bar:
        bar.set_description(path.stem)
        rows.append([path.stem, *measure_apart(path), platform.processor() or platform.machine()])
        write_text(args.out, lines(COLUMNS, *rows))
    print(args.out.read_text())


if __name__ == "__main__":
    main()
