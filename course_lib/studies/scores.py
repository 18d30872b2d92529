"""Score tables on disk: `figures/scores.csv`, the λ sweeps behind it, and the table beside the published one."""

import csv
import json
from pathlib import Path

import course_lib
from course_lib.common import write_text
from course_lib.data.tasks import TASKS

PACKAGED = Path(course_lib.__file__).parent / "figures"
FIGURES = PACKAGED if PACKAGED.is_dir() else PACKAGED.parents[1] / "figures"
"""The tables: of the package where it was installed without the rest of the course, else of the checkout."""

PUBLISHED = {
    "deblurring": {"synthesis": (23.38, 2.04, 0.74, 0.09), "analysis": (32.16, 1.56, 0.94, 0.01)},
    "sr2": {"synthesis": (22.26, 4.21, 0.76, 0.12), "analysis": (31.19, 1.33, 0.93, 0.01)},
    "sr4": {"synthesis": (18.94, 2.81, 0.61, 0.11), "analysis": (24.12, 1.21, 0.76, 0.03)},
    "inpainting_random": {"synthesis": (21.84, 3.57, 0.71, 0.14), "analysis": (27.89, 2.24, 0.87, 0.05)},
    "inpainting_square": {"synthesis": (30.40, 2.53, 0.94, 0.02), "analysis": (27.50, 3.26, 0.91, 0.03)},
}
"""Slide 25 of the source: PSNR mean and standard deviation, SSIM mean and standard deviation, over 50 images."""

LEGEND = """PSNR in dB, mean ± standard deviation over the test faces, and SSIM; the number of faces in brackets where
it is not 50. Published: slide 25 of the source, whose σ is not stated. tuning.csv says how λ was chosen."""

COLUMNS = (
    "task",
    "method",
    "sigma",
    "images",
    "lam",
    "psnr_mean",
    "psnr_std",
    "ssim_mean",
    "ssim_std",
    "objective_mean",
    "seconds_per_image",
    "device",
)


def rounded(value):
    """A number as the table prints it: four significant digits; '' for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def ordered(rows):
    """Rows by task (in the source's order), σ and, last, as they were measured."""
    return sorted(rows, key=lambda row: (TASKS.index(row["task"]), row["sigma"]))


def lines(*rows):
    """Rows of cells as the text of a CSV file."""
    return "".join(",".join(rounded(cell) for cell in row) + "\n" for row in rows)


def write_scores(rows, path):
    """`scores.csv`: a row for each (task, method, σ), with `COLUMNS`."""
    write_text(path, lines(COLUMNS, *([row[name] for name in COLUMNS] for row in ordered(rows))))


def write_tuning(rows, path):
    """`tuning.csv`: the validation PSNR of each λ that tuning tried."""
    sweeps = [
        (row["task"], row["method"], row["sigma"], float(lam), score)
        for row in ordered(rows)
        for lam, score in row["tuning"].items()
    ]
    write_text(path, lines(("task", "method", "sigma", "lam", "psnr"), *sweeps))


def write_table(rows, path):
    """`scores.md`: `table` for each noise level."""
    sigmas = sorted({row["sigma"] for row in rows})
    parts = [f"## σ = {sigma:g}\n\n{table(rows, sigma)}" for sigma in sigmas]
    write_text(path, "\n".join([f"# The score table\n\n{LEGEND}\n", *parts]))


def table(rows, sigma, methods=None):
    """A table in Markdown: PSNR (dB) and SSIM, mean ± standard deviation, a column a method, beside slide 25's.

    Args:
        rows: of `read_scores` or `Experiment.rows`. methods: the columns (default: all that have a row at σ).
    """
    here = {(row["task"], row["method"]): row for row in rows if row["sigma"] == sigma}
    methods = list(methods or dict.fromkeys(method for _, method in here))
    head = ["task", *methods, "published synthesis", "published analysis"]
    text = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for task in TASKS:
        cells = [entry(here[task, m]) if (task, m) in here else "–" for m in methods]
        cells += ["{:.2f} ± {:.2f}, {:.2f}".format(*PUBLISHED[task][m]) for m in ("synthesis", "analysis")]
        text.append("| " + " | ".join([task, *cells]) + " |")
    return "\n".join([*text, ""])


def entry(row):
    """PSNR mean ± standard deviation, SSIM mean (images, where they are not 50)."""
    count = "" if row["images"] == 50 else f" ({row['images']})"
    return f"{row['psnr_mean']:.2f} ± {row['psnr_std']:.2f}, {row['ssim_mean']:.2f}{count}"


def read_scores(path):
    """The rows of a `scores.csv`, numbers as numbers, '' as None; FileNotFoundError where there is none."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"path: {path} does not exist; `python -m course_lib reproduce` writes it")
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: parsed(name, text) for name, text in row.items()} for row in csv.DictReader(file)]


def read_tuning(path=FIGURES / "tuning.csv"):
    """{(task, method, σ): ([λ, …], [PSNR, …])}: what tuning measured on validation images, by increasing λ."""
    sweeps = {}
    with Path(path).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            lams, values = sweeps.setdefault((row["task"], row["method"], float(row["sigma"])), ([], []))
            lams.append(float(row["lam"]))
            values.append(float(row["psnr"]))
    return sweeps


def per_image(task, method, sigma, folder=FIGURES / "cells"):
    """The PSNR of each test image in a cell of the table, a list; FileNotFoundError where it was not measured."""
    path = Path(folder) / f"{task}-{method}-{sigma:g}.json"
    if not path.exists():
        raise FileNotFoundError(
            f"task, method, sigma: {path.name} was not measured; `python -m course_lib reproduce` does"
        )
    return json.loads(path.read_text(encoding="utf-8"))["psnr"]


def parsed(name, text):
    """One cell of a table: text, a whole number, a number, or None."""
    if name in ("task", "method", "device"):
        return text
    return None if text == "" else int(text) if name == "images" else float(text)
