"""What λ does to one face: the astronaut restored by every method, with λ below and above the one that tuning chose.

The tuned λ is that of the face table, `figures/scores.csv`; a sweep multiplies it by `FACTORS`. A cell is one (task,
method): its numbers and its reconstructions are kept in files of their own, so that a run that is stopped goes on with
the next cell, and notebook 15 turns λ without computing anything.
"""

import csv
import json
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from course_lib.common import check, check_images, progress, replacing, write_text
from course_lib.data import TASKS
from course_lib.metrics import psnr, ssim
from course_lib.plots import COLORS, as_array
from course_lib.studies import domains
from course_lib.studies.domains import SIGMA, face_lams, save_strip
from course_lib.studies.experiments import check_names, experiment_on_the_astronaut
from course_lib.studies.methods import METHODS as ALL_METHODS
from course_lib.studies.scores import FIGURES, lines

FACTORS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""λ over the tuned λ. A method without λ has one reconstruction, with factor 1."""

METHODS = (
    "bicubic",
    "biharmonic",
    "srcnn",
    "vdsr",
    "tv",
    "pnp",
    "vae_synthesis",
    "joint_map",
    "synthesis_lbfgs",
    "analysis_lbfgs",
    "flow_denoiser_pnp",
    "map",
    "recommended",
)
"""Names of `methods.METHODS`."""

COLUMNS = ("task", "method", "factor", "lam", "psnr", "ssim")

CELLS = FIGURES / "lambda_cells"

QUALITY = 93
"""Of the JPEG files: their own error, about 40 dB, hardly shows in the map of errors × 5."""


def factors(method):
    """The factors of λ that a method is measured with."""
    check(method in METHODS, "method", f"one of {list(METHODS)}", repr(method))
    return FACTORS if ALL_METHODS[method].start else (1.0,)


def measure_cell(experiment, task, method, lam):
    """(rows, images [N, 3, H, W]): a row and a reconstruction for each factor of the tuned λ, by increasing λ."""
    rows, images, truth = [], [], experiment.test
    for factor in factors(method):
        value = None if lam is None else factor * lam
        found, _, _ = experiment.estimate(task, method, SIGMA, value, truth, 0)
        row = {"task": task, "method": method, "factor": factor, "lam": value}
        rows.append(row | {"psnr": psnr(found, truth).item(), "ssim": ssim(found, truth).item()})
        images.append(found)
    return rows, torch.cat(images)


def cell(experiment, task, method, lam):
    """The rows of a cell, read from its file or measured; then they are kept, with the pictures."""
    path = Path(experiment.out) / f"{task}-{method}.json"
    setup = {"weights": experiment.setup(method)["weights"], "lam": lam, "factors": list(factors(method))}
    if path.exists() and (kept := json.loads(path.read_text(encoding="utf-8")))["setup"] == setup:
        return kept["rows"]
    rows, images = measure_cell(experiment, task, method, lam)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Strip and rows belong together: neither is renamed before both are written.
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"setup": setup, "rows": rows}, indent=1), encoding="utf-8", newline="\n")
        save_strip(images, path.with_suffix(".jpg"), QUALITY)
    return rows


def measure(path, cells=CELLS, tasks=TASKS, methods=METHODS, weights="glow", device="cpu"):
    """Measure cells, and after each one write `lambda_sweep.csv` to `path`: a row a (task, method, λ), `COLUMNS`.

    Args:
        cells: folder of finished cells. weights: name of a flow's file.
    """
    check_names(tasks, methods, METHODS)
    experiment, lams, rows = experiment_on_the_astronaut(cells, weights, device), face_lams(), []
    bar = progress([(t, m) for m in methods for t in tasks if t in ALL_METHODS[m].tasks])
    for task, method in bar:
        bar.set_description(f"{task} {method}")
        rows.extend(cell(experiment, task, method, lams[task, method]))
        order = sorted(rows, key=lambda row: (TASKS.index(row["task"]), METHODS.index(row["method"])))
        write_text(path, lines(COLUMNS, *([row[name] for name in COLUMNS] for row in order)))
    return rows


def read_sweeps(path=FIGURES / "lambda_sweep.csv"):
    """{(task, method): rows by increasing λ} of `lambda_sweep.csv`, numbers as numbers, no λ as None."""
    path, sweeps = Path(path), {}
    if not path.exists():
        raise FileNotFoundError(f"path: {path} does not exist; `python -m course_lib sweeps` writes it")
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            numbers = {name: float(row[name]) if row[name] else None for name in COLUMNS[2:]}
            sweeps.setdefault((row["task"], row["method"]), []).append(row | numbers)
    return sweeps


def pictures(task, method, folder=CELLS):
    """The reconstructions of a cell, [N, 3, H, W] in [0, 1] by increasing λ, as JPEG has kept them: to look at, not to
    measure."""
    path = Path(folder) / f"{task}-{method}.jpg"
    if not path.exists():
        raise FileNotFoundError(f"task, method: {path.name} was not measured; `python -m course_lib sweeps` does")
    return domains.pictures(task, method, folder)


def draw_sweep(x, y, task, method, factor, sweeps, folder=CELLS):
    """A figure: the truth, the observation, the reconstruction with `factor` times the tuned λ, its error, and PSNR
    against λ. A method without λ is shown whatever the factor; a method that does not apply to the task, in words.

    Args:
        x, y: the face and its observation, [1, 3, H, W]. sweeps: of `read_sweeps`.
    """
    check_images("x", x)
    check_images("y", y)
    check(factor in FACTORS, "factor", f"one of {list(FACTORS)}", factor)
    # Fixed margins: a constrained layout draws twice, and a slider should not wait for that.
    margins = {"left": 0.005, "right": 0.99, "bottom": 0.19, "top": 0.88, "wspace": 0.05}
    ratios = (1, 1, 1, 1, 0.3, 1.3)
    figure, axes = plt.subplots(1, 6, figsize=(11, 2.4), width_ratios=ratios, gridspec_kw=margins)
    figure.delaxes(axes[4])
    axes = [*axes[:4], axes[5]]
    for axis in axes[:4]:
        axis.set_axis_off()
    images, titles = [x, y], ["truth", f"observed, {task}"]
    if (task, method) in sweeps:
        k = factors(method).index(factor if len(factors(method)) > 1 else 1.0)
        image, row = pictures(task, method, folder)[k][None], sweeps[task, method][k]
        images += [image, (image - x).abs().mean(1, keepdim=True) * 5]
        titles += [f"{method}: {row['psnr']:.1f} dB", "error × 5"]
        draw_curve(axes[4], [r for (t, _), rows in sweeps.items() if t == task for r in rows], sweeps[task, method], k)
    else:
        axes[2].text(0.5, 0.5, f"{method} does not\napply to this task", ha="center", va="center")
        axes[4].set_axis_off()
    for axis, image, title in zip(axes, images, titles, strict=False):
        axis.imshow(as_array(image), vmin=0, vmax=1)
        axis.set_title(title, fontsize=9)
    plt.close(figure)
    return figure


def draw_curve(axis, task_rows, rows, k):
    """PSNR against λ on an axis, with the chosen point k marked. The limits of PSNR are those of all methods, so that
    heights can be compared from one method to the next."""
    lams, values = [row["lam"] for row in rows], [row["psnr"] for row in rows]
    color = COLORS[rows[k]["method"].removesuffix("_lbfgs")]
    if lams[k] is None:
        axis.axhline(values[k], color=color)
        axis.set(title="no λ", xticks=[])
    else:
        axis.semilogx(lams, values, "o-", color=color, markersize=4)
        axis.semilogx(lams[k], values[k], "o", color="black", fillstyle="none", markersize=11, markeredgewidth=2)
        axis.axvline(lams[FACTORS.index(1.0)], color="#777777", linestyle="--", linewidth=1)
        axis.set_title(f"λ = {lams[k]:.2g}; dashed: tuned on faces", fontsize=9)
        axis.set_xlabel("λ", fontsize=8)
    everything = [row["psnr"] for row in task_rows]
    axis.set_ylim(min(everything) - 1, max(everything) + 1)
    axis.set_ylabel("PSNR (dB)", fontsize=8)
    axis.tick_params(labelsize=8)
