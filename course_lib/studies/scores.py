"""The score table of the course: as it is written, beside the published one, and the λ that it has found."""

from math import isnan

import numpy as np

from course_lib.common import write_text
from course_lib.data import TASKS
from course_lib.studies.methods import METHODS
from course_lib.studies.store import FACE_CELLS, in_order, read_table, write_table

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

SCORE_COLUMNS = ("task", "method", "sigma", "images", "lam", "psnr_mean", "psnr_std", "ssim_mean", "ssim_std")
SCORE_COLUMNS += ("objective_mean", "seconds_per_image", "device")

FACE_COLUMNS = (*SCORE_COLUMNS, "gmsd_mean")

TUNING_COLUMNS = ("task", "method", "sigma", "lam", "psnr")


def sorted_scores(rows):
    """Rows in the order of the source's tasks, then by σ, then in that of `METHODS`."""
    return in_order(rows, task=TASKS, sigma=sorted(set(rows["sigma"])), method=METHODS)


def write_scores(rows, path):
    """`scores.csv`: a row for each (task, method, σ) of a DataFrame, with `FACE_COLUMNS`. Returns these rows."""
    return write_table(path, sorted_scores(rows), FACE_COLUMNS)


def write_tuning(rows, path):
    """`tuning.csv`: the validation PSNR of each λ that tuning tried, {λ: PSNR} in the column `tuning` of `rows`."""
    tried = [
        (row.task, row.method, row.sigma, float(lam), score)
        for row in sorted_scores(rows).itertuples()
        for lam, score in row.tuning.items()
    ]
    write_table(path, tried, TUNING_COLUMNS)


def write_beside_published(rows, path):
    """`scores.md`: `beside_published` for each noise level."""
    parts = [f"## σ = {sigma:g}\n\n{beside_published(rows, sigma)}" for sigma in sorted(set(rows["sigma"]))]
    write_text(path, "\n".join([f"# The score table\n\n{LEGEND}\n", *parts]))


def beside_published(scores, sigma, methods=None):
    """A table in Markdown: PSNR (dB) and SSIM, mean ± standard deviation, a column a method, beside slide 25's.

    Args:
        scores: `read_table("scores")`. methods: the columns (default: all that have a row at σ).
    """
    here = {(row.task, row.method): row for row in scores[scores["sigma"] == sigma].itertuples()}
    methods = methods or [method for method in METHODS if any(method == other for _, other in here)]
    head = ["task", *methods, "published synthesis", "published analysis"]
    text = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for task in TASKS:
        cells = [mean_and_spread(here[task, m]) if (task, m) in here else "–" for m in methods]
        cells += ["{:.2f} ± {:.2f}, {:.2f}".format(*PUBLISHED[task][m]) for m in ("synthesis", "analysis")]
        text.append("| " + " | ".join([task, *cells]) + " |")
    return "\n".join([*text, ""])


def mean_and_spread(row):
    """PSNR mean ± standard deviation, SSIM mean (images, where they are not 50)."""
    count = "" if row.images == 50 else f" ({row.images})"
    return f"{row.psnr_mean:.2f} ± {row.psnr_std:.2f}, {row.ssim_mean:.2f}{count}"


def tuned_lams(sigma):
    """{(task, method): λ} of the score table at a noise level; None for a method without λ.

    λ belongs to the setup of a cell, to the last bit; not every version of pandas reads decimals so exactly.
    """
    scores = read_table("scores")
    here = scores[scores["sigma"] == sigma].itertuples()
    return {(row.task, row.method): None if isnan(row.lam) else float(f"{row.lam:.4g}") for row in here}


def common_faces(task, method, reference, sigma):
    """The PSNRs of two methods on the faces that both have seen, two arrays: the first ones of the longer list."""
    a, b = (np.array(FACE_CELLS.read(task, name, sigma)["psnr"]) for name in (method, reference))
    n = min(len(a), len(b))
    return a[:n], b[:n]


def gain(task, method, reference, sigma=0.01):
    """(mean, standard error) of what a method gains over another, in dB, on the faces that both have seen."""
    a, b = common_faces(task, method, reference, sigma)
    return mean_and_error(a - b)


def mean_and_error(gains):
    """(mean, standard error of the mean) of an array of paired gains, one a face."""
    return gains.mean(), gains.std(ddof=1) / len(gains) ** 0.5
