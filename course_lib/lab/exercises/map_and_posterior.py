"""Checks of notebook 17, the MAP and the posterior."""

import torch

from course_lib.lab.exercises import normal, uniform
from course_lib.lab.exercises.checking import call, chosen, compare, exercise, expect, number, open_exercise


@exercise
def check_coordinates(answer):
    """Right: an average over samples is an average in any coordinates; the modes of z and of x differ by log|det J|."""
    hints = {
        "mode": "p(z|y) = p(x|y) |det J_D(z)|: where D stretches, the density of z gains. Which term moves the mode?",
        "latent mean": "D is not linear: D(average of z) is not the average of D(z). Think of D(z) = z².",
    }
    chosen(answer, "mean", hints)


def masked():
    """(v, y, mask): D(z) [2, 3, 4, 4], its observation, and a mask [1, 4, 4], in float64."""
    v, x = uniform(2, 2, 3, 4, 4)
    mask = (uniform(1, 4, 4, seed=1) > 0.5).double()
    return v, mask * x, mask


@exercise
def check_best_image(answer):
    """Right: a weighted mean of y and D(z) where there is data, the weights being inverse variances; else D(z)."""
    (v, y, mask), sigma, eta = masked(), 0.1, 0.3
    weight = mask * eta / (eta + sigma**2)
    right, value = v + weight * (y - v), call(answer, v, y, mask, sigma, eta)
    plain, swapped = eta / (eta + sigma), sigma**2 / (eta + sigma**2)
    wrong = {
        "where nothing is observed there is no y: x is D(z) there.": v + eta / (eta + sigma**2) * (y - v),
        "the weights are swapped: the smaller the noise σ², the more y counts.": v + mask * swapped * (y - v),
        "η is a variance, σ is not: the weights are those of η and σ².": v + mask * plain * (y - v),
        "that trusts y as if it had no noise.": v + mask * (y - v),
        "that is D(z): y says more where something is observed.": v,
        "the two terms weigh 1/σ² and 1/η, not the same.": v + mask * 0.5 * (y - v),
        "that is y: D(z) has its say, too, and where nothing is observed it alone.": y,
    }
    compare(value, right, wrong, "set the derivative to zero, pixel by pixel: M(x − y)/σ² + (x − D(z))/η = 0.")


def ring(z):
    """Ψ(z) = (‖z‖² − 3)²/5, [B]: a misfit that is least on a sphere."""
    return (z.square().sum(1) - 3).square() / 5


@exercise
def check_pcn(answer):
    """Right: the proposal leaves N(0, I) as it is, so that the misfit Ψ alone decides; each chain for itself."""
    z, xi = normal(2, 200, 3, seed=1)
    u, beta = uniform(200, seed=2), 0.5

    def step(drift=(1 - beta**2) ** 0.5, sign=1, price=0.0, scale=beta):
        proposal = drift * z + scale * xi
        change = sign * (ring(z) - ring(proposal)) + price * (z.square().sum(1) - proposal.square().sum(1))
        return torch.where((u.log() < change)[:, None], proposal, z)

    right, value = step(), call(answer, z, ring, beta, xi, u)
    proposal = (1 - beta**2) ** 0.5 * z + beta * xi
    raw = torch.where((u < ring(z) - ring(proposal))[:, None], proposal, z)
    wrong = {
        "the factor of z is √(1 − β²): only then does the variance of z' stay 1.": step(drift=1 - beta),
        "the square root of 1 − β² is missing.": step(drift=1 - beta**2),
        "the old z is not shrunk: that is a random walk, which does not leave N(0, I) as it is.": step(drift=1),
        "the sign: a proposal with a smaller Ψ is always accepted.": step(sign=-1),
        "the prior is counted twice: the proposal leaves N(0, I) as it is, Ψ alone decides.": step(price=0.5),
        "every proposal is accepted: where u is too large, the chain stays at z.": proposal,
        "log u, not u: the ratio is a difference of logarithms here.": raw,
        "nothing moves: take the proposal where it is accepted.": z,
    }
    compare(value, right, wrong, "z' = √(1 − β²) z + β ξ, accepted where log u < Ψ(z) − Ψ(z').")


@exercise
def check_sample_gain(answer):
    """Right: given y, truth and sample are two draws of one distribution: twice the variance, 3 dB."""
    hints = {
        "same": "the mean minimizes the mean squared error over all estimates. Can a random draw do as well?",
        "four times": "given y, truth and sample are independent with the same variance v: how large is E(x − x')²?",
    }
    chosen(answer, "twice", hints)


@exercise
def check_coverage(answer):
    """Right: the share of truths between the quantiles (1 − level)/2 and (1 + level)/2 of their samples."""
    samples = normal(400, 300, seed=2).exp()
    truth, level = 1.3 * normal(300, seed=3).exp(), 0.8

    def share(low, high):
        return ((truth >= samples.quantile(low, 0)) & (truth <= samples.quantile(high, 0))).double().mean().item()

    value = call(answer, samples, truth, level)
    expect(not (torch.is_tensor(value) and value.numel() > 1), "one number: the share of the truths that are inside.")
    value, right = number(value, "the coverage"), share(0.1, 0.9)
    spread = 1.2816 * samples.std(0)
    gaussian = ((truth - samples.mean(0)).abs() <= spread).double().mean().item()
    wrong = {
        "a central interval leaves (1 − level)/2 out on each side, not all of it on one side.": share(0.0, 0.8),
        "(1 − level)/2 on each side: yours leaves out 1 − level on each.": share(0.2, 0.8),
        "that is the share outside.": 1 - right,
        "that is a percentage: give a share between 0 and 1.": 100 * right,
        "mean ± a multiple of the standard deviation is right for Gaussians only: take quantiles.": gaussian,
        "that is the level itself; count how many truths are inside.": level,
        "quantiles over the samples, dimension 0: each truth has its own interval.": (
            ((truth >= samples.quantile(0.1)) & (truth <= samples.quantile(0.9))).double().mean().item()
        ),
    }
    compare(value, right, wrong, "`samples.quantile(q, 0)` for q = (1 − level)/2 and (1 + level)/2, then count.")


class Linear:
    """A model whose posterior is known: x ~ N(0, I) of six numbers, y = A x + n of three, n ~ N(0, σ²I)."""

    def __init__(self, seed, sigma=0.5):
        self.A, self.sigma = normal(3, 6, seed=seed), sigma
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape):
        """Standard normal numbers from the model's own generator."""
        return torch.randn(shape, generator=self.generator, dtype=torch.float64)

    def simulate(self, count):
        """`count` pairs (x [count, 6], y [count, 3])."""
        x = self.normal(count, 6)
        return x, x @ self.A.T + self.sigma * self.normal(count, 3)

    def misfit(self, x, y):
        """‖A x − y‖²/(2σ²), over the last dimension."""
        return (x @ self.A.T - y).square().sum(-1) / (2 * self.sigma**2)


WRONG = ("narrow", "wide", "prior", "shrunk", "diagonal", "noise", "lazy")
"""What may be wrong with a sampler: its width (two ways); it ignores y; its mean is drawn to 0; it knows no
correlations; it takes the noise for larger; one sample of five is of the prior."""


def suspect(kind, seed=0):
    """A model, and a sampler of its posterior: `sample(y [n, 3], count)` gives [n, count, 6]. `kind`: "exact", or one
    of `WRONG`."""
    expect(kind == "exact" or kind in WRONG, f"kind: one of {('exact', *WRONG)}, got {kind!r}.")
    model = Linear(seed)
    sigma = {"noise": 1.6}.get(kind, 1.0) * model.sigma
    C = torch.linalg.inv(torch.eye(6, dtype=torch.float64) + model.A.T @ model.A / sigma**2)
    mean_of_y, L = C @ model.A.T / sigma**2, torch.linalg.cholesky(C)
    if kind == "prior":
        mean_of_y, L = 0 * mean_of_y, torch.eye(6, dtype=torch.float64)
    if kind == "diagonal":
        L = C.diagonal().sqrt().diag()
    mean_of_y, L = {"shrunk": 0.8}.get(kind, 1.0) * mean_of_y, {"narrow": 0.85, "wide": 1.15}.get(kind, 1.0) * L

    def sample(y, count):
        x = (y @ mean_of_y.T)[:, None] + model.normal(len(y), count, 6) @ L.T
        if kind == "lazy":
            idle = torch.rand(len(y), count, 1, generator=model.generator) < 0.2
            x = torch.where(idle, model.normal(len(y), count, 6), x)
        return x

    return model, sample


@open_exercise(0.55, 0.8, 0.97)
def check_verdict(answer):
    """That is the mean of two shares: of the exact samplers that are trusted, and of the wrong ones that are found."""
    trusted = {}
    for k, kind in enumerate(["exact"] * 4 + list(WRONG)):
        trusted.setdefault(kind == "exact", []).append(bool(call(answer, *suspect(kind, seed=100 + k))))
    exact, wrong = trusted[True], trusted[False]
    return 0.5 * (sum(exact) / len(exact) + 1 - sum(wrong) / len(wrong))
