"""Seconds and peak memory of every notebook, each in a fresh kernel, one after the other: `figures/notebooks.csv`.

    python tests/benchmarks/notebooks.py [NN …]

Seconds are wall-clock on this machine, with as many threads as each notebook asks for; memory is the kernel's largest
resident set. Rows of notebooks that are not named stay as they are. A notebook that fails stops the run. Linux and
macOS only (the memory comes from getrusage).
"""

import argparse
import csv
import platform
from pathlib import Path

from one_notebook import measure_apart

from course_lib.common import check, progress
from course_lib.studies import FIGURES
from course_lib.studies.store import write_table

NOTEBOOKS = FIGURES.with_name("notebooks")
COLUMNS = ("notebook", "seconds", "slowest_cell", "peak_mb", "machine")


def paths_of(numbers):
    """The notebooks of the course with these numbers, NN, in this order."""
    found = {path.stem[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}
    missing = [number for number in numbers if number not in found]
    check(not missing, "notebooks", f"numbers of {sorted(found)}", missing)
    return [found[number] for number in numbers or found]


def measured(path):
    """{notebook: its row} of the table that is there, if there is one."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["notebook"]: row for row in csv.DictReader(file)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("numbers", nargs="*", metavar="NN", help="these notebooks only (default: all)")
    parser.add_argument("--out", default=FIGURES / "notebooks.csv", type=Path)
    args = parser.parse_args()
    rows, order = measured(args.out), [path.stem for path in paths_of([])]
    bar = progress(paths_of(args.numbers))
    for path in bar:
        bar.set_description(path.stem)
        values = path.stem, *measure_apart(path), platform.processor() or platform.machine()
        rows[path.stem] = dict(zip(COLUMNS, values, strict=True))
        write_table(args.out, [rows[name] for name in order if name in rows], COLUMNS)
    print(args.out.read_text())


if __name__ == "__main__":
    main()
