"""Seconds and peak memory of one notebook in a fresh kernel, as JSON: what `notebooks.py` and `classroom.py` share.

    python tests/benchmarks/one_notebook.py NOTEBOOK

It imports nothing large: the peak of a kernel is at least what its parent took when it started it.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient


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
    line = [sys.executable, __file__, str(path)]
    run = subprocess.run(line, capture_output=True, text=True, env=os.environ | environment)
    if run.returncode:
        raise RuntimeError(f"{path.name} failed\n{run.stderr.strip()}")
    return json.loads(run.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
