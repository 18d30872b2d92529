"""Do the intervals of a posterior cover? On faces that the VAE has drawn itself, and on faces that a camera has seen.

A square of each face is hidden, and p(z | y) sampled by HMC for x ~ N(D(z), ηI). The central interval of level q of
each hidden value covers the truth in the share q of the cases if the posterior is right (Cook, Gelman & Rubin 2006,
doi:10.1198/106186006X136976).

`TEMPER` multiplies σ² + η: as many values count as one witness, as the residual of a real face is not white.
"""

import math

import torch

from course_lib.common import check, check_count, check_number, progress
from course_lib.data import load_folder, observe, to_float
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

HMC = {"method": "hmc", "chains": 4, "burn": 60, "steps": 500, "thin": 2}


def coverage(samples, truth, level):
    """The share of the values `truth` [N] inside the central intervals of `level` of their `samples` [S, N]."""
    check_number("level", level, positive=True)
    check(level < 1, "level", "a share below 1", level)
    low, high = samples.quantile((1 - level) / 2, 0), samples.quantile((1 + level) / 2, 0)
    return ((truth >= low) & (truth <= high)).double().mean().item()


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
