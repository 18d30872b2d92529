"""The benchmarks of the library, one command: `figures/benchmarks.csv`, a row a measurement, the machine named.

    python tests/benchmarks/run.py [--parts flow memory operators growth] [--repeats 9] [--threads 1 2]
    python tests/benchmarks/run.py --parts solvers --data FOLDER [--images 20] [--minutes 15]

Both sides of a ratio are timed in one run, by turns. The parts that are run replace their rows of the same instruction
set; the others stay. A processor with AVX-512 runs the code of one without it, in torch and in its libraries, under

    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2

normflows and deepinv (`pip install --no-deps normflows deepinv`, and what they import) are optional.
"""

import argparse
import importlib
from pathlib import Path

from timing import COLUMNS, instructions, kept

from course_lib.studies import FIGURES
from course_lib.studies.store import write_table

PARTS = ("flow", "memory", "operators", "growth", "solvers")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS[:-1]))
    parser.add_argument("--repeats", type=int, default=9, help="rounds A, B, A, B, … of a ratio (default: 9)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of the flow's timings (default: 1 2)")
    parser.add_argument("--data", metavar="FOLDER", help="solvers: CelebA's aligned images")
    parser.add_argument("--images", type=int, default=20, help="solvers: faces (default: 20)")
    parser.add_argument("--minutes", type=float, default=15, help="solvers: start no more faces after these")
    parser.add_argument("--out", type=Path, default=FIGURES / "benchmarks.csv")
    options = parser.parse_args()
    for part in options.parts:
        replaced = (part, instructions())
        rows = [row for row in kept(options.out) if (row["part"], row["instructions"]) != replaced]
        for row in importlib.import_module(part).run(options):
            rows.append(row)
            shown = [row[name] for name in COLUMNS[:-2]]
            print(*(f"{value:.4g}" if isinstance(value, float) else value for value in shown), flush=True)
        rows.sort(key=lambda row: (PARTS.index(row["part"]), row["instructions"]))
        write_table(options.out, rows, COLUMNS)


if __name__ == "__main__":
    main()
