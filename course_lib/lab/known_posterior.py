"""Problems whose posterior is known, what samples are worth beside it, and how both are drawn."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import wasserstein_distance

from course_lib.common import check, check_batch, check_count
from course_lib.data import photograph
from course_lib.data.patches import extract
from course_lib.models.gaussian_mixture import GaussianMixture

SOURCES = ("brick", "camera", "coffee", "gravel", "moon", "text")
"""The photographs that the prior of patches has seen."""

FLOOR = 0.01
"""The standard deviation that each direction of a patch has at least: two and a half grey levels."""


def plane_prior():
    """Three blobs in the plane, a `GaussianMixture` of points [B, 1, 1, 2] in float64. Two of them lie above each
    other: who has seen the first coordinate alone can't tell them apart."""
    means = torch.tensor([[0.1, 1.0], [-0.1, -1.0], [-1.6, 0.1]]).view(3, 1, 1, 2)
    covariances = torch.tensor([[[0.25, 0.1], [0.1, 0.08]], [[0.12, -0.05], [-0.05, 0.06]], [[0.06, 0.0], [0.0, 0.3]]])
    return GaussianMixture(means.double(), covariances.double(), torch.tensor([0.5, 0.3, 0.2]))


def patches(names=SOURCES, side=16, stride=8):
    """All grey patches of photographs, [N, 1, side, side] in [0, 1], float64, `stride` pixels from one to the next."""
    images = [photograph(name, None).double().mean(1, keepdim=True) for name in names]
    return torch.cat([extract(image, side, stride) for image in images]).unflatten(1, (1, side, side))


def patch_prior(side=16, groups=(SOURCES,)):
    """For each group of photographs a Gaussian with the mean and the covariance of their patches, and `FLOOR`² more in
    each direction, weighted by their number: a `GaussianMixture` of images [B, 1, side, side] in float64. By default it
    is one Gaussian of all `SOURCES`; with `groups=[[name] for name in SOURCES]` each photograph has its own."""
    check_count("side", side, low=2)
    sets = [patches(names, side) for names in groups]
    floor = FLOOR**2 * torch.eye(side**2, dtype=torch.float64)
    means, covariances = [x.mean(0) for x in sets], [x.flatten(1).T.cov() + floor for x in sets]
    counts = torch.tensor([float(len(x)) for x in sets])
    return GaussianMixture(torch.stack(means), torch.stack(covariances), counts)


def probability_inside(samples, exact, level):
    """The exact probability of the central interval of `level` that samples [S, C, H, W] give for each pixel,
    [C, H, W]: the coverage of the interval, if `exact` is the posterior. It should be `level` everywhere."""
    check_batch("samples", samples, 4)
    check(0 < level < 1, "level", "a share between 0 and 1", level)
    means, stds = exact.means, exact.covariances.diagonal(dim1=1, dim2=2).sqrt().view_as(exact.means)

    def below(t):
        return torch.einsum("k,kchw->chw", exact.weights, torch.special.ndtr((t - means) / stds))

    return below(samples.quantile((1 + level) / 2, 0)) - below(samples.quantile((1 - level) / 2, 0))


def against(samples, exact, directions=50, seed=0):
    """What samples [S, C, H, W] are worth beside the posterior `exact`, a `GaussianMixture` with the mean m and the
    covariance C, as numbers: {name: value}. Lengths are in units of √(tr C), which is the posterior's own width.

    - `mean`: ‖m̂ − m‖/√(tr C); exact samples have about 1/√S.
    - `spread`: √(tr Ĉ / tr C), 1 where the samples are as wide as they should be.
    - `distance`: sliced Wasserstein-1 distance to as many exact samples, drawn with `seed`, over random directions
      (Rabin et al. 2012; Bonneel et al. 2015), in units of √(tr C/D).
    - `50 %`, `90 %`: the mean over the pixels of `probability_inside`.
    """
    mean, covariance = exact.mean_and_covariance()
    flat, width = samples.flatten(1), covariance.trace().sqrt()
    generator = torch.Generator().manual_seed(seed)
    others = exact.sample(len(samples), generator).flatten(1)
    lines = torch.randn(directions, exact.dim, generator=generator, dtype=flat.dtype)
    lines = lines / lines.norm(dim=1, keepdim=True)
    pairs = zip(lines @ flat.T, lines @ others.T, strict=True)
    distance = np.mean([wasserstein_distance(a.numpy(), b.numpy()) for a, b in pairs])
    found = {
        "mean": ((flat.mean(0) - mean.flatten()).norm() / width).item(),
        "spread": (flat.var(0).sum().sqrt() / width).item(),
        "distance": distance / (width / exact.dim**0.5).item(),
    }
    return found | {f"{100 * q:.0f} %": probability_inside(samples, exact, q).mean().item() for q in (0.5, 0.9)}


def show_clouds(clouds, exact, box=(-2.4, 2.0, -2.2, 2.2), columns=4, count=400, size=2.1):
    """A figure with a panel for each cloud {title: points [S, 1, 1, 2]}, over lines of equal density of `exact`, a
    `GaussianMixture`, or one for each panel, {title: mixture}."""
    rows = -(-len(clouds) // columns)
    options = {"figsize": (size * columns, size * rows + 0.5), "layout": "constrained", "squeeze": False}
    figure, axes = plt.subplots(rows, columns, sharex=True, sharey=True, **options)
    first, second = (torch.linspace(*side, 161, dtype=torch.float64) for side in (box[:2], box[2:]))
    grid = torch.cartesian_prod(first, second).view(-1, 1, 1, 2)
    exact = exact if isinstance(exact, dict) else dict.fromkeys(clouds, exact)
    for axis in axes.flat[len(clouds) :]:
        axis.axis("off")
    for axis, (title, points) in zip(axes.flat, clouds.items(), strict=False):
        density = exact[title].log_prob(grid).view(161, 161).T
        # Where a Gaussian has them at 4, 3, 2 and 1 standard deviations.
        levels = density.max().item() - torch.tensor([8.0, 4.5, 2.0, 0.5])
        axis.contour(first, second, density, levels=levels, colors="#777777", linewidths=0.8, linestyles="solid")
        axis.plot(*points[:count].flatten(1).T, ".", color="#0072B2", markersize=2, alpha=0.6)
        axis.set_title(title, fontsize=9)
        axis.set(xlim=box[:2], ylim=box[2:], aspect="equal")
        axis.grid(False)
    figure.supxlabel("$x_1$", fontsize=10)
    figure.supylabel("$x_2$", fontsize=10)
    plt.close(figure)
    return figure
