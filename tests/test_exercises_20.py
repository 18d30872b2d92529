"""The checks of notebook 20 tell right from blank from typical wrong answers, and name the mistake."""

import math

import torch

from course_lib.lab.exercises import known_posterior
from course_lib.reconstruction import guided


def weights(variance=lambda v, sigma: v + sigma**2, prior=lambda w: w, power=0.5, total=True, root=0.5):
    def answer(y, w, m, v, sigma):
        spread = variance(v, sigma)
        density = prior(w) * torch.exp(-power * (y - m) ** 2 / spread) / (2 * math.pi) ** 0.5 / spread**root
        return density / density.sum() if total else density

    return answer


def red(variance=lambda c, s: c**2 + s**2):
    def answer(y, m, c, s, sigma):
        return m + variance(c, s) / (variance(c, s) + sigma**2) * (y - m)

    return answer


def langevin():
    return lambda h, tau: (h * (1 - tau * h / 2)) ** -0.5


def factor(rank=lambda n, level: math.ceil((n + 1) * level)):
    return lambda scores, level: scores.sort().values[rank(len(scores), level) - 1]


def resampled(y, A, model, sigma, count, generator, copies=25, steps=38):
    """Samples of the prior, by Euler's steps of the flow, drawn again with the weights N(y; A x, σ²)."""
    x = torch.randn(copies * count, 1, 1, 2, generator=generator, dtype=y.dtype)
    for k in range(steps):
        x = x + model.velocity(x, k / steps) / steps
    misfit = (A(x) - y).flatten(1).square().sum(1) / (2 * sigma**2)
    return x[torch.multinomial((-misfit).softmax(0), count, replacement=True, generator=generator)]


def prior_alone(y, A, model, sigma, count, generator):
    return resampled(0 * y, lambda x: 0 * x, model, sigma, count, generator, copies=1)


def guided_by(method, **options):
    def answer(y, A, model, sigma, count, generator):
        return method(y.expand(count, -1, -1, -1), A, model, sigma, seed=generator, **options).x

    return answer


CASES = {
    "check_weights": (
        weights(),
        [
            (weights(lambda v, sigma: v), "y is noisy"),
            (weights(lambda v, sigma: sigma**2 + 0 * v), "σ² alone"),
            (weights(prior=lambda w: 0 * w + 1), "of the prior count"),
            (weights(total=False), "sum to one"),
            (weights(root=0), "1/√variance"),
            (weights(lambda v, sigma: v + sigma), "a standard deviation"),
            (lambda y, w, *rest: w, "has its say"),
            (weights(power=1.0), "½ is missing"),
            (weights(lambda v, sigma: 1 + v), "divided by the sum"),
            (lambda y, w, *rest: w.sum(), "shape [4]"),
        ],
    ),
    "check_red_prior": (
        red(),
        [
            (red(lambda c, s: c**2), "true posterior mean"),
            (lambda y, m, c, s, sigma: m + c**2 / (c**2 + s**2) * (red()(y, m, c, s, sigma) - m), "f of the answer"),
            (lambda y, m, c, s, sigma: m + c**2 / (c**2 + s**2) * (y - m), "denoiser alone"),
            (red(lambda c, s: c**2 - s**2), "whose variances add"),
            (lambda y, m, c, s, sigma: red()(y, m, c, s, sigma / s), "cancel"),
            (red(lambda c, s: (c + s) ** 2), "variances add"),
            (red(lambda c, s: 1.0), "Put it into"),
        ],
    ),
    "check_langevin": (
        langevin(),
        [
            (lambda h, tau: h**-0.5, "own width"),
            (lambda h, tau: langevin()(h, tau) ** 2, "its root"),
            (lambda h, tau: (2 * tau / (1 - (1 - tau * h))) ** 0.5, "square of the factor"),
            (lambda h, tau: (tau / (1 - (1 - tau * h) ** 2)) ** 0.5, "the variance 2τ"),
            (lambda h, tau: ((2 * tau) ** 0.5 / (1 - (1 - tau * h) ** 2)) ** 0.5, "the variance 2τ"),
            (lambda h, tau: langevin()(h, -tau), "the square of τh"),
            (lambda h, tau: langevin()(h, tau) * (1 - tau * h / 2), "wider than the posterior"),
            (lambda h, tau: 1.0, "put v' = v"),
        ],
    ),
    "check_basins": ("basins", [("mass", "never enters"), ("highest", "never seen"), ("both", "choose one of")]),
    "check_factor": (
        factor(),
        [
            (factor(lambda n, level: math.ceil(n * level)), "count the new image"),
            (factor(lambda n, level: math.ceil((n + 1) * level) + 1), "from 0"),
            (lambda scores, level: scores.quantile(level), "interpolated"),
            (lambda scores, level: scores.max(), "the largest"),
            (factor(lambda n, level: math.ceil((n + 1) * (1 - level))), "1 − level"),
            (lambda scores, level: math.ceil((len(scores) + 1) * level), "the rank"),
            (lambda scores, level: 1.0, "k-th smallest"),
        ],
    ),
    "check_sampler": (
        resampled,
        [
            (prior_alone, "the first point is at 0.4"),
            (guided_by(guided.dps, zeta=3.0), "the first point is at 0.4"),
            (lambda y, A, model, sigma, count, generator: y.expand(count, -1, -1, -1), "the first point is at 0.4"),
            (lambda *given: resampled(*given, copies=40), "budget"),
            (lambda *given: resampled(*given)[0], "shape [500, 1, 1, 2]"),
        ],
    ),
}


def test_the_solution_earns_all_points():
    assert known_posterior.check_sampler(resampled) == 3
