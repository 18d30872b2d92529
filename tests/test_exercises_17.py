"""The checks of notebook 17 tell right from blank from typical wrong answers, and name the mistake."""

import pytest
import torch

from course_lib.lab.exercises import map_and_posterior


def image(weight=lambda sigma, eta: eta / (eta + sigma**2), everywhere=False):
    def answer(v, y, mask, sigma, eta):
        return v + (1 if everywhere else mask) * weight(sigma, eta) * (y - v)

    return answer


def pcn(drift=lambda beta: (1 - beta**2) ** 0.5, sign=1, price=0.0, always=False, log=torch.log):
    def answer(z, phi, beta, xi, u):
        proposal = drift(beta) * z + beta * xi
        change = sign * (phi(z) - phi(proposal)) + price * (z.square().sum(1) - proposal.square().sum(1))
        return torch.where((log(u) < change)[:, None] | always, proposal, z)

    return answer


def coverage(low=lambda level: (1 - level) / 2, high=lambda level: (1 + level) / 2, dim=(0,)):
    def answer(samples, truth, level):
        a, b = (samples.quantile(q(level), *dim) for q in (low, high))
        return ((truth >= a) & (truth <= b)).double().mean()

    return answer


def gaussian(samples, truth, level):
    return ((truth - samples.mean(0)).abs() <= 1.2816 * samples.std(0)).double().mean()


def calibrated(model, sample, blind=False):
    """Whether the ranks of the truth are uniform, for each coordinate and, unless `blind`, for two functions more."""
    x, y = model.simulate(2000)
    drawn = sample(y, 99)
    tests = [lambda u, y, i=i: u[..., i] for i in range(6)]
    tests += [] if blind else [model.misfit, lambda u, y: u.square().sum(-1)]
    ranks = [(f(drawn, y[:, None]) < f(x, y)[:, None]).sum(1) // 10 for f in tests]
    return max(((torch.bincount(rank, minlength=10) - 200) ** 2 / 200).sum() for rank in ranks) < 27


CASES = {
    "check_coordinates": (
        "mean",
        [("mode", "det J_D"), ("latent mean", "not linear"), ("all", "choose one of")],
    ),
    "check_best_image": (
        image(),
        [
            (image(everywhere=True), "there is no y"),
            (image(lambda sigma, eta: sigma**2 / (eta + sigma**2)), "swapped"),
            (image(lambda sigma, eta: eta / (eta + sigma)), "η is a variance"),
            (image(lambda sigma, eta: 1), "no noise"),
            (image(lambda sigma, eta: 0), "that is D(z)"),
            (image(lambda sigma, eta: 0.5), "not the same"),
            (image(lambda sigma, eta: -1), "derivative"),
            (lambda v, y, *rest: y, "that is y"),
            (lambda v, y, *rest: y[0], "shape [2, 3, 4, 4]"),
        ],
    ),
    "check_pcn": (
        pcn(),
        [
            (pcn(lambda beta: 1 - beta), "stay 1"),
            (pcn(lambda beta: 1 - beta**2), "square root"),
            (pcn(lambda beta: 1), "random walk"),
            (pcn(sign=-1), "smaller Ψ"),
            (pcn(price=0.5), "twice"),
            (pcn(always=True), "every proposal"),
            (pcn(log=lambda u: u), "log u, not u"),
            (pcn(lambda beta: -1), "accepted where"),
            (lambda z, *rest: z, "nothing moves"),
            (lambda z, *rest: z[:, 0], "shape [200, 3]"),
        ],
    ),
    "check_sample_gain": ("twice", [("same", "squared error"), ("four times", "how large"), ("half", "choose one")]),
    "check_coverage": (
        coverage(),
        [
            (coverage(lambda level: 0.0, lambda level: level), "on each side, not all"),
            (coverage(lambda level: 1 - level, lambda level: level), "leaves out 1"),
            (lambda *a: 1 - coverage()(*a), "outside"),
            (lambda *a: 100 * coverage()(*a), "percentage"),
            (coverage(dim=()), "dimension 0"),
            (gaussian, "Gaussians only"),
            (lambda samples, truth, level: level, "the level itself"),
            (lambda samples, truth, level: 0.123, "then count"),
            (lambda samples, truth, level: truth > samples.mean(0), "one number"),
        ],
    ),
    "check_verdict": (
        calibrated,
        [
            (lambda model, sample: True, "first point is at 0.55"),
            (lambda model, sample: False, "first point is at 0.55"),
            (lambda model, sample: sample(model.simulate(9)[1], 5).shape == (9, 5, 6), "0.5"),
            (lambda model, sample: model.simulate(3)[0] @ sample, "stopped with"),
        ],
    ),
}


def test_a_verdict_is_worth_what_it_finds():
    """Ranks of the coordinates alone find some of the wrong samplers, those of the misfit the others."""
    assert map_and_posterior.check_verdict(lambda *given: calibrated(*given, blind=True)) in (1, 2)
    assert map_and_posterior.check_verdict(calibrated) == 3


@pytest.mark.parametrize("kind", ["exact", *map_and_posterior.WRONG])
def test_a_suspect_is_what_it_is_called(kind):
    model, sample = map_and_posterior.suspect(kind)
    y = model.simulate(1)[1]
    drawn = sample(y, 40_000)[0]
    C = torch.linalg.inv(torch.eye(6, dtype=torch.float64) + model.A.T @ model.A / model.sigma**2)
    mean = C @ model.A.T @ y[0] / model.sigma**2
    right = torch.allclose(drawn.mean(0), mean, atol=0.03) and torch.allclose(drawn.T.cov(), C, atol=0.03)
    assert right == (kind == "exact")
