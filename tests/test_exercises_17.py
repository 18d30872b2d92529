"""The checks of notebook 17 tell right from blank from typical wrong answers, and name the mistake."""

import torch


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
}
