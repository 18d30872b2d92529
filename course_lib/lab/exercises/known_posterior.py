"""Checks of notebook 20, the known posterior."""

import math

import torch

from course_lib.common import check_count
from course_lib.lab.exercises import normal, uniform
from course_lib.lab.exercises.checking import (
    call,
    chosen,
    compare,
    exercise,
    expect,
    number,
    open_exercise,
    tensor_like,
)
from course_lib.lab.known_posterior import against, plane_prior
from course_lib.operators import Mask


@exercise
def check_weights(answer):
    """Right: a component gains what the data say for it, N(y; m_k, v_k + σ²), noise included; then they sum to one."""
    w, m, v = uniform(4, seed=1) + 0.2, normal(4, seed=2), uniform(4, seed=3) + 0.1
    w, y, sigma = w / w.sum(), 0.7, 0.5

    def weights(variance, prior=w, power=0.5, normalized=True):
        density = prior * torch.exp(-power * (y - m) ** 2 / variance) * variance**-0.5
        return density / density.sum() if normalized else density / math.sqrt(2 * math.pi)

    right, total = weights(v + sigma**2), v + sigma**2
    wrong = {
        "y is noisy: under component k its variance is v_k + σ², not v_k.": weights(v),
        "the variance of y under component k is v_k + σ²: σ² alone forgets that x varies.": weights(sigma**2 + 0 * v),
        "the weights w_k of the prior count, too.": weights(total, torch.ones(4).double()),
        "they must sum to one: divide by p(y).": weights(total, normalized=False),
        "the density of a Gaussian has a factor 1/√variance, which differs from component to component.": (
            w * torch.exp(-0.5 * (y - m) ** 2 / total) / (w * torch.exp(-0.5 * (y - m) ** 2 / total)).sum()
        ),
        "σ is a standard deviation: variances add, v_k + σ².": weights(v + sigma),
        "these are the weights of the prior: y has its say.": w,
        "the exponent is −(y − m_k)²/2 over the variance: the ½ is missing.": weights(total, power=1.0),
    }
    compare(
        call(answer, y, w, m, v, sigma), right, wrong, "w_k N(y; m_k, v_k + σ²), divided by the sum of these over k."
    )


@exercise
def check_red_prior(answer):
    """Right: RED with a denoiser for noise s has the mean of another posterior: that for the variance c² + s²."""
    y, m, c, s, sigma = 1.7, 0.4, 0.8, 0.5, 0.3

    def mean(variance):
        return m + variance / (variance + sigma**2) * (y - m)

    wrong = {
        "that is the true posterior mean, which RED finds for s → 0 only: what is x − f(x, s) for your f?": mean(c**2),
        "that is the denoised image, f of the answer.": m + c**2 / (c**2 + s**2) * (mean(c**2 + s**2) - m),
        "that is f(y, s): the denoiser alone.": m + c**2 / (c**2 + s**2) * (y - m),
        "the denoiser has seen images with noise, whose variances add: s² has the wrong sign.": mean(c**2 - s**2),
        "λ = σ²/s²: s² must cancel once.": [
            m + (c**2 + s**2) / (c**2 + s**2 + sigma**2 / s**2) * (y - m),
            m + (c**2 + s**2) / (c**2 + s**2 + sigma**2 * s**2) * (y - m),
        ],
        "variances add, not standard deviations.": mean((c + s) ** 2),
    }
    value = number(call(answer, y, m, c, s, sigma), "x")
    compare(value, mean(c**2 + s**2), wrong, "x − f(x, s) = s²/(c² + s²) (x − m). Put it into (x − y) + λ(x − f) = 0.")


@exercise
def check_langevin(answer):
    """Right: it settles where v = (1 − τh)² v + 2τ, at v = 1/(h(1 − τh/2)): too wide, and the more so the larger τh."""
    h, tau = 3.0, 0.2

    def width(variance):
        return variance**0.5

    wrong = {
        "that is the posterior's own width, which Euler's steps reach for τ → 0 only.": width(1 / h),
        "that is the variance: its root, please.": 1 / (h * (1 - tau * h / 2)),
        "v' = (1 − τh)² v + 2τ: variances scale with the square of the factor.": width(2 / h),
        "the noise √(2τ) ξ has the variance 2τ.": [
            width(tau / (1 - (1 - tau * h) ** 2)),
            width((2 * tau) ** 0.5 / (1 - (1 - tau * h) ** 2)),
        ],
        "(1 − τh)² = 1 − 2τh + τ²h²: the square of τh was lost, or has the wrong sign.": width(
            1 / (h * (1 + tau * h / 2))
        ),
        "it is wider than the posterior, by 1/√(1 − τh/2).": [width((1 - tau * h / 2) / h), width(1 / (h - tau / 2))],
    }
    value = number(call(answer, h, tau), "the width")
    compare(value, width(1 / (h * (1 - tau * h / 2))), wrong, "put v' = v into v' = (1 − τh)² v + 2τ; √v is the width.")


@exercise
def check_basins(answer):
    """Right: a descent ends where its start leads it; how often, says the shape of the valleys, not their mass."""
    hints = {
        "mass": "the mass of a mode never enters a descent: it sees the slope at one point, and the next one.",
        "highest": "the descent has no way to compare two valleys: it has never seen the other one.",
    }
    chosen(answer, "basins", hints)


@exercise
def check_factor(answer):
    """Right: the k-th smallest score with k = ⌈(n + 1) level⌉; the one more counts the image that is to come."""
    scores, level = uniform(47, seed=4) ** 2, 0.9
    ordered = scores.sort().values
    right = ordered[43].item()  # ⌈48 · 0.9⌉ = 44
    wrong = {
        "count the new image, too: there are n + 1 scores.": ordered[42].item(),
        "Python counts from 0: the k-th smallest has the index k − 1.": ordered[44].item(),
        "an interpolated quantile promises nothing: take the k-th smallest score itself.": [
            scores.quantile(level).item(),
            scores.quantile(level * 48 / 47).item(),
        ],
        "that is the largest score: more than you need.": ordered[-1].item(),
        "that is the quantile of 1 − level: the scores above the factor are those that are missed.": ordered[4].item(),
        "a factor, please: that is the rank k.": 44.0,
    }
    value = number(call(answer, scores, level), "the factor")
    compare(
        value, right, wrong, "sort the n scores and take the k-th smallest: which k makes k/(n + 1) at least the level?"
    )


class Budgeted:
    """A prior that answers `denoise`, `score` and `velocity` for so many points, and no more."""

    def __init__(self, model, points):
        self.model, self.left = model, points

    def ask(self, name, x, level):
        """The answer of the model's method `name`; `Wrong` where more points were asked than there are."""
        self.left -= len(x)
        expect(self.left >= 0, "more evaluations than the budget allows.")
        return getattr(self.model, name)(x, level)

    def parameters(self):
        """Those of the model: by these a method knows its dtype."""
        return self.model.parameters()

    def denoise(self, y, sigma):
        """E[x | x + σ n = y]."""
        return self.ask("denoise", y, sigma)

    def score(self, y, sigma):
        """∇ log p_σ(y)."""
        return self.ask("score", y, sigma)

    def velocity(self, x, t):
        """E[x − ε | x_t = x]."""
        return self.ask("velocity", x, t)


PROBLEMS = (([1.0, 0.0], [0.15, 0.0], 0.3), ([0.0, 1.0], [0.0, 0.2], 0.4), ([1.0, 1.0], [-0.7, 0.0], 0.7))
"""(the mask, y, σ) of each."""


def problem(number):
    """(y, A, σ) of one of three problems for `plane_prior`: the first coordinate is seen, the second, or both."""
    check_count("number", number)
    seen, values, sigma = PROBLEMS[number]
    A = Mask(torch.tensor([[seen]], dtype=torch.float64))
    return torch.tensor(values, dtype=torch.float64).view(1, 1, 1, 2), A, sigma


COUNT, EVALUATIONS = 500, 1000
"""How many samples are asked for, and how many evaluations of the prior each may cost."""


@open_exercise(0.4, 0.2, 0.1)
def check_sampler(answer):
    """That is the largest sliced Wasserstein distance to the posteriors of three problems, in units of their width."""
    prior, distances = plane_prior(), []
    for k in range(3):
        (y, A, sigma), model = problem(k), Budgeted(prior, COUNT * EVALUATIONS)
        x = call(answer, y, A, model, sigma, COUNT, torch.Generator().manual_seed(k))
        tensor_like(x, torch.empty(COUNT, 1, 1, 2), "the sample")
        distances.append(against(x.double(), prior.posterior(y, A, sigma))["distance"])
    return max(distances)
