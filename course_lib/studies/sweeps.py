"""What λ does to one face: the astronaut restored by every method, with λ below and above the one that tuning chose.

The tuned λ is that of the face table, `figures/scores.csv`; a sweep multiplies it by `FACTORS`. A cell is one (task,
method): its rows and, by increasing λ, its reconstructions, so that notebook 15 turns λ without computing anything.
"""

import matplotlib.pyplot as plt
import pandas as pd
import torch

from course_lib.data import TASKS, face
from course_lib.metrics import psnr, ssim
from course_lib.plots import as_array, color_of
from course_lib.studies.experiments import SIGMA, applicable, untuned_experiment
from course_lib.studies.methods import METHODS
from course_lib.studies.scores import tuned_lams
from course_lib.studies.store import SWEEP_CELLS, Store, in_order, write_table

FACTORS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""λ over the tuned λ. A method without λ has one reconstruction, with factor 1."""

SWEEP_METHODS = (
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
    "analysis_from_tv",
    "recommended",
    "flow_denoiser_pnp",
    "analysis_lbfgs_bounded",
    "map_bounded",
)
"""Names of `METHODS`."""

SWEEP_COLUMNS = ("task", "method", "factor", "lam", "psnr", "ssim")


def factors(method):
    """The factors of λ that a method is measured with."""
    return FACTORS if METHODS[method].start else (1.0,)


def measure_sweeps(path, cells=SWEEP_CELLS.folder, tasks=TASKS, methods=SWEEP_METHODS, device="cpu"):
    """Measure cells, and after each one write `lambda_sweep.csv` to `path`: a row a (task, method, λ), a DataFrame."""
    pairs, lams, experiment = applicable(tasks, methods), tuned_lams(SIGMA), untuned_experiment(face(), device=device)

    def setup(task, method):
        weights = experiment.weights_of(method)
        return {"weights": weights, "lam": lams[task, method], "factors": list(factors(method))}

    def measure(task, method):
        return measure_sweep(experiment, task, method, lams[task, method])

    def write(records):
        rows = pd.DataFrame(row for record in records for row in record["rows"])
        return write_table(path, in_order(rows, task=TASKS, method=SWEEP_METHODS, factor=FACTORS), SWEEP_COLUMNS)

    return Store(cells, "sweeps").fill(pairs, setup, measure, write, applicable(TASKS, SWEEP_METHODS))


def measure_sweep(experiment, task, method, lam):
    """The record of a cell, a row for each factor of the tuned λ, and the reconstructions [N, 3, H, W]."""
    rows, images, truth = [], [], experiment.test
    for factor in factors(method):
        value = None if lam is None else factor * lam
        found, _, _ = experiment.estimate(task, method, SIGMA, value, truth, 0)
        row = {"task": task, "method": method, "factor": factor, "lam": value}
        rows.append(row | {"psnr": psnr(found, truth).item(), "ssim": ssim(found, truth).item()})
        images.append(found)
    return {"rows": rows}, torch.cat(images)


def draw_sweep(x, y, task, method, factor, sweeps, store=SWEEP_CELLS):
    """A figure: the truth, the observation, the reconstruction with `factor` times the tuned λ, its error, and PSNR
    against λ. A method without λ is shown whatever the factor; a method that does not apply to the task, in words.

    Args:
        x, y: the face and its observation, [1, 3, H, W]. sweeps: `read_table("lambda_sweep")`.
    """
    # Fixed margins: a constrained layout draws twice, and a slider should not wait for that.
    margins = {"left": 0.005, "right": 0.99, "bottom": 0.19, "top": 0.88, "wspace": 0.05}
    ratios = (1, 1, 1, 1, 0.3, 1.3)
    figure, axes = plt.subplots(1, 6, figsize=(11, 2.4), width_ratios=ratios, gridspec_kw=margins)
    figure.delaxes(axes[4])
    axes = [*axes[:4], axes[5]]
    for axis in axes[:4]:
        axis.set_axis_off()
    images, titles = [x, y], ["truth", f"observed, {task}"]
    of_task = sweeps[sweeps["task"] == task]
    rows = of_task[of_task["method"] == method].reset_index(drop=True)
    if len(rows):
        k = factors(method).index(factor if len(rows) > 1 else 1.0)
        image = store.pictures(task, method)[k][None]
        images += [image, (image - x).abs().mean(1, keepdim=True) * 5]
        titles += [f"{method}: {rows['psnr'][k]:.1f} dB", "error × 5"]
        draw_curve(axes[4], rows, k, color_of(method))
        # The limits are those of all methods, so that heights can be compared from one method to the next.
        axes[4].set_ylim(of_task["psnr"].min() - 1, of_task["psnr"].max() + 1)
    else:
        axes[2].text(0.5, 0.5, f"{method} does not\napply to this task", ha="center", va="center")
        axes[4].set_axis_off()
    for axis, image, title in zip(axes, images, titles, strict=False):
        axis.imshow(as_array(image), vmin=0, vmax=1)
        axis.set_title(title, fontsize=9)
    plt.close(figure)
    return figure


def draw_curve(axis, rows, k, color):
    """PSNR against λ on an axis, for the rows of a (task, method), with the point of number k marked."""
    lams, values = rows["lam"], rows["psnr"]
    if lams.isna()[k]:
        axis.axhline(values[k], color=color)
        axis.set(title="no λ", xticks=[])
    else:
        axis.semilogx(lams, values, "o-", color=color, markersize=4)
        axis.semilogx(lams[k], values[k], "o", color="black", fillstyle="none", markersize=11, markeredgewidth=2)
        axis.axvline(lams[FACTORS.index(1.0)], color="#777777", linestyle="--", linewidth=1)
        axis.set_title(f"λ = {lams[k]:.2g}; dashed: tuned on faces", fontsize=9)
        axis.set_xlabel("λ", fontsize=8)
    axis.set_ylabel("PSNR (dB)", fontsize=8)
    axis.tick_params(labelsize=8)
