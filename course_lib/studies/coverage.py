"""Do the intervals of a posterior cover? On faces that the VAE has drawn itself, and on faces that a camera has seen.

A square of each face is hidden, and p(z | y) sampled by HMC for x ~ N(D(z), ηI). The central interval of level q of
each hidden value covers the truth in the share q of the cases if the posterior is right (Cook, Gelman & Rubin 2006,
doi:10.1198/106186006X136976).

`TEMPER` multiplies σ² + η: as many values count as one witness, as the residual of a real face is not white.

A conformal calibration repairs the intervals without mending the model (Vovk et al. 2005; Angelopoulos & Bates 2021,
arXiv 2107.07511): all of them are stretched about their medians by one factor, which held-out faces decide.
"""

import math

import torch

from course_lib.common import check, check_count, check_number, progress
from course_lib.data import face, load_folder, observe, to_float
from course_lib.models.weights import describe, load_model
from course_lib.operators import Mask, square_mask
from course_lib.reconstruction import laplace, sample_posterior, synthesis
from course_lib.studies.store import Store, write_table

COVERAGE_COLUMNS = (
    "faces",
    "images",
    "level",
    "coverage_mean",
    "coverage_std",
    "claimed",
    "rms_error",
    "latent",
    "rhat",
)
"""`claimed` is the standard deviation of the hidden values, `rms_error` that of their mean from the truth, `latent` is
‖z‖²/D of the samples; all three are means over the images. `rhat` is the largest of all latents of all images."""

LEVELS, SIGMA, TEMPER = (0.5, 0.8, 0.9), 0.02, 32.0

CONFORMAL_COLUMNS = (
    "faces",
    "level",
    "calibration",
    "calibration_std",
    "images",
    "factor",
    "coverage_before",
    "coverage_before_std",
    "coverage",
    "coverage_std",
    "width_before",
    "width",
    "rhat",
)
"""Of the intervals as they are, and stretched by `factor`: coverage and width are means over the `images`, `_std` the
standard deviation of the coverage from image to image. `calibration`: how many validation faces decided the factor; the
coverage of their own stretched intervals differs by `calibration_std` from one to the next."""

TUNED = 8
"""How many validation faces, the first ones, other studies have tuned on: they calibrate nothing."""

CELL = 10
"""Faces of one cell of the conformal study."""

HMC = {"method": "hmc", "chains": 4, "burn": 60, "steps": 500, "thin": 2}

SHORT = {"method": "hmc", "chains": 2, "burn": 40, "steps": 120, "thin": 1}
"""The chains of the conformal study. A calibration needs no perfect sampler: it repairs that error with the others."""


def central_interval(samples, level):
    """(low, median, high), [N] each: the interval that holds the share `level` of the samples [S, N], with equal tails
    on both sides."""
    check_number("level", level, positive=True)
    check(level < 1, "level", "a share below 1", level)
    return samples.quantile(samples.new_tensor([(1 - level) / 2, 0.5, (1 + level) / 2]), 0)


def coverage(samples, truth, level):
    """The share of the values `truth` [N] inside the central intervals of `level` of their `samples` [S, N]."""
    low, _, high = central_interval(samples, level)
    return ((truth >= low) & (truth <= high)).double().mean().item()


def stretch(samples, truth, level):
    """(s, width), [N] both, of values `truth` [N] with the samples [S, N]: by which factor s their central interval of
    `level` must be stretched about its median to reach them, and how wide it is. The truth is inside where s <= 1."""
    low, middle, high = central_interval(samples, level)
    return torch.maximum((truth - middle) / (high - middle), (middle - truth) / (middle - low)), high - low


def conformal_factor(stretches, level):
    """The factor by which intervals must be stretched to cover a share `level` of the values of one more image: the
    least c with

        1/(n + 1) Σ_i (share of the s in image i with s <= c) >= level,

    as if the new image, which counts too, were never covered. If the n images and the new one are exchangeable, a value
    of the latter is covered with a probability of at least `level`, whatever model the intervals come from: split
    conformal prediction, for images of many values each (Lee, Barber & Willett 2023, arXiv 2306.06342).

    Args:
        stretches: the s of n calibration images with N values each, [n, N]; N = 1 is the ordinary conformal quantile.

    Raises ValueError where n/(n + 1) < level: so few images can promise no such share.
    """
    check(stretches.dim() == 2 and 0 not in stretches.shape, "stretches", "a tensor [n, N]", stretches.shape)
    check_number("level", level, positive=True)
    n = len(stretches)
    check(level * (n + 1) <= n, "level", f"at most n/(n + 1) = {n / (n + 1):.3f} with {n} images", level)
    k = math.ceil(level * (n + 1) * stretches.shape[1] - 1e-6)
    return stretches.flatten().kthvalue(k).values.item()


def sample_hidden(x, model, temper, seed, options):
    """The `Posterior` of faces x [B, 3, 64, 64] with a hidden square, about 400 samples [S, N] of the N hidden values
    of each, and the truth [B, N]."""
    A, eta = Mask(square_mask(64, 64, side=24, corner=(22, 20))), model.eta.item()
    y, s = observe(x, A, SIGMA, range(seed, seed + len(x))), math.sqrt(temper * (SIGMA**2 + eta))
    mode = synthesis(y, A, model, s**2 / 2, optimizer="lbfgs", steps=80).z
    reference = mode, laplace(mode, y, A, model, s)
    found = sample_posterior(y, A, model, s, reference=reference, seeds=seed, **options)
    hidden, generator = (A.mask == 0).expand(1, 3, 64, 64)[0], torch.Generator().manual_seed(seed)
    values = []
    for z in found.samples.flatten(0, 1).unbind(1):
        v = model.decode(z[:: max(1, len(z) // 400)])[:, hidden]
        values.append(v + math.sqrt(eta) * torch.randn(v.shape, generator=generator))
    return found, values, x[:, hidden]


@torch.no_grad()
def measure_faces(x, model, temper=1.0, seed=0, batch=5, options=HMC):
    """What the posterior claims on faces x, and what is true: {name: [B]}, with `coverage` [B, levels], as lists."""
    columns = {name: [] for name in ("coverage", "claimed", "rms_error", "latent", "rhat")}
    for part in progress(range(0, len(x), batch), desc="coverage"):
        found, values, truth = sample_hidden(x[part : part + batch], model, temper, seed + part, options)
        columns["rhat"] += found.rhat.tolist()
        columns["latent"] += found.samples.square().mean((0, 1, 3)).tolist()
        for samples, x_hidden in zip(values, truth, strict=True):
            columns["coverage"].append([coverage(samples, x_hidden, level) for level in LEVELS])
            columns["claimed"].append(samples.var(0).mean().sqrt().item())
            columns["rms_error"].append((samples.mean(0) - x_hidden).square().mean().sqrt().item())
    return columns


def by_level(record):
    """The rows of the table that a cell gives, one a level."""
    found = {name: torch.tensor(record[name]) for name in ("coverage", "claimed", "rms_error", "latent", "rhat")}
    means = {name: found[name].mean().item() for name in ("claimed", "rms_error", "latent")}
    for level, covered in zip(LEVELS, found["coverage"].unbind(1), strict=True):
        row = {"faces": record["faces"], "images": len(covered), "level": level, "coverage_mean": covered.mean().item()}
        yield row | {"coverage_std": covered.std(correction=0).item(), **means, "rhat": found["rhat"].max().item()}


def own_faces(model, count, seed=0):
    """Faces that a VAE has drawn, x = D(z) + √η ε, [count, 3, 64, 64]."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        x = model.decode(torch.randn(count, model.dim, generator=generator))
    return x + model.eta.sqrt().item() * torch.randn(x.shape, generator=generator)


def measure_coverage(path, folder, cells="runs/coverage", count=20):
    """Measure a VAE's own faces, the first `count` test faces of CelebA in a folder, and these once more with `TEMPER`:
    a cell each. After each one, `coverage.csv` is written to `path`, a DataFrame.
    """
    check_count("count", count, low=1)
    model, sha = load_model("vae"), describe("vae")["sha256"]
    faces = to_float(load_folder(folder, "test", limit=count))
    groups = {"own": (own_faces(model, count), 1.0), "real": (faces, 1.0), "tempered": (faces, TEMPER)}

    def setup(name):
        return {"weights": sha, "images": len(groups[name][0]), "sigma": SIGMA, "temper": groups[name][1]} | HMC

    def measure(name):
        x, temper = groups[name]
        return {"faces": name} | measure_faces(x, model, temper), None

    def write(records):
        return write_table(path, [row for record in records for row in by_level(record)], COVERAGE_COLUMNS)

    return Store(cells, "coverage").fill([(name,) for name in groups], setup, measure, write)


def measure_stretches(x, model, seed=0, options=SHORT):
    """Of faces x: the `stretch` of each hidden value [B, levels, N], the mean width of the intervals [B, levels], and
    the R̂ of the chains [B], as lists; with four digits."""
    found, values, truth = sample_hidden(x, model, 1.0, seed, options)
    record = {"stretch": [], "width": [], "rhat": found.rhat.tolist()}
    for samples, x_hidden in zip(values, truth, strict=True):
        pairs = [stretch(samples, x_hidden, level) for level in LEVELS]
        record["stretch"].append([[float(f"{value:.4g}") for value in s.tolist()] for s, _ in pairs])
        record["width"].append([width.mean().item() for _, width in pairs])
    return record


def conformal_rows(records):
    """The rows of `conformal.csv` that cells give: validation faces calibrate, test faces and the astronaut report."""
    parts = {}
    for record in records:
        part = parts.setdefault(record["group"], {"stretch": [], "width": [], "rhat": []})
        for name, values in part.items():
            values += record[name]
    parts = {group: {name: torch.tensor(values) for name, values in part.items()} for group, part in parts.items()}
    held = parts.pop("validation", {"stretch": ()})["stretch"]
    for group, part in parts.items():
        for i, level in enumerate(LEVELS):
            if level * (len(held) + 1) > len(held):
                continue  # so few faces can promise no such share
            row = {"faces": group, "level": level, "calibration": len(held), "images": len(part["width"])}
            row["factor"] = conformal_factor(held[:, i], level)
            row["calibration_std"] = (held[:, i] <= row["factor"]).double().mean(1).std(correction=0).item()
            for name, factor in (("coverage_before", 1.0), ("coverage", row["factor"])):
                share = (part["stretch"][:, i] <= factor).double().mean(1)
                row |= {name: share.mean().item(), f"{name}_std": share.std(correction=0).item()}
            width = part["width"][:, i].mean().item()
            yield row | {"width_before": width, "width": row["factor"] * width, "rhat": part["rhat"].max().item()}


def measure_conformal(path, folder, cells="runs/conformal", calibration=50, count=50):
    """Stretch the intervals of the VAE's posterior on real faces, and report whether they cover: `calibration`
    validation faces of CelebA that no study has tuned on decide the factor; the first `count` test faces report, and
    the astronaut, who is not one of them. Cells of `CELL` faces; after each one `conformal.csv` is written to `path`,
    a DataFrame.
    """
    check_count("calibration", calibration, low=1)
    check_count("count", count, low=1)
    model, sha = load_model("vae"), describe("vae")["sha256"]
    held = load_folder(folder, "validation", limit=TUNED + calibration)[TUNED:]
    groups = {"validation": to_float(held), "test": to_float(load_folder(folder, "test", limit=count))}
    groups["astronaut"] = face()
    # By turns, so that a run that was stopped has some of each.
    keys = [
        (group, at) for at in range(0, max(calibration, count), CELL) for group in groups if at < len(groups[group])
    ]

    def setup(group, at):
        images = len(groups[group][at : at + CELL])
        return {"weights": sha, "images": images, "sigma": SIGMA, "tuned": TUNED} | SHORT

    def measure(group, at):
        seed = at + 1000 * list(groups).index(group)
        return {"group": group} | measure_stretches(groups[group][at : at + CELL], model, seed), None

    def write(records):
        return write_table(path, conformal_rows(records), CONFORMAL_COLUMNS)

    return Store(cells, "conformal").fill(keys, setup, measure, write)
