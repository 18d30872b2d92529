"""The checks of notebook 14: right, blank, and typical wrong answers."""

import torch

from course_lib.lab.exercises.analysis import biharmonic
from course_lib.reconstruction import analysis, warm_start


def penalty(E, x, weight=-2.0, volume=lambda J: torch.linalg.slogdet(J).logabsdet):
    J = torch.stack([torch.autograd.functional.jacobian(E, point) for point in x])
    return E(x).square().sum(1) + weight * volume(J)


def step(D, z, g, tau, kind="right"):
    J = torch.autograd.functional.jacobian(D, z)
    return {
        "right": -tau * J @ (J.T @ g),
        "sign": tau * J @ (J.T @ g),
        "in z": -tau * J.T @ g,
        "order": -tau * J.T @ (J @ g),
        "no tau": -(J @ (J.T @ g)),
    }[kind]


def weights(square=lambda s, T: s**2 / (2 * T**2), logdet=lambda s, T: -(s**2)):
    return lambda sigma, T: (square(sigma, T), logdet(sigma, T))


def descent(y, A, flow, sigma):
    return analysis(y, A, flow, sigma**2 / 2, biharmonic(y, A), optimizer="lbfgs", steps=20).x


def many_calls(y, A, flow, sigma):
    for _ in range(30):
        x = flow.decode(flow.encode(y))
    return x


CASES = {
    "check_same_minimizers": ("same", [("analysis", "bijection"), ("synthesis", "range"), ("both", "choose one of")]),
    "check_step_in_z": (
        step,
        [
            (lambda *a, kind=kind: step(*a, kind=kind), word)
            for kind, word in [("sign", "sign"), ("in z", "J_D"), ("order", "order"), ("no tau", "τ")]
        ],
    ),
    "check_map_penalty": (
        penalty,
        [
            (lambda E, x: penalty(E, x, 2.0), "sign"),
            (lambda E, x: penalty(E, x, -1.0), "twice"),
            (lambda E, x: penalty(E, x, 0.0), "log-determinant"),
            (lambda E, x: penalty(E, x, volume=lambda J: J.diagonal(dim1=1, dim2=2).abs().log().sum(1)), "diagonal"),
            (lambda E, x: penalty(E, x, volume=lambda J: J.sum(1).abs().log().sum(1)), "one dimension only"),
            (lambda E, x: penalty(E, x).sum(), "each point"),
            (lambda E, x: penalty(E, x, volume=lambda J: torch.linalg.det(J)), "less twice"),
            (lambda E, x: torch.full((len(x),), torch.nan), "NaN"),
        ],
    ),
    "check_posterior_weights": (
        weights(),
        [
            (weights(logdet=lambda s, T: s**2), "sign"),
            (weights(square=lambda s, T: s**2 / T**2), "exp(−‖z‖²/(2T²))"),
            (weights(logdet=lambda s, T: -(s**2) / 2), "factor 1"),
            (weights(square=lambda s, T: s**2 / 2), "temperature is missing"),
            (weights(square=lambda s, T: s**2 / (2 * T)), "in the denominator"),
            (weights(square=lambda s, T: s**2 * T**2 / 2), "in the denominator"),
            (weights(logdet=lambda s, T: -((s / T) ** 2)), "latent alone"),
            (weights(lambda s, T: s / (2 * T**2), lambda s, T: -s), "not by σ"),
            (weights(lambda s, T: 0.5 / T**2, lambda s, T: -1.0), "the rest carries σ²"),
            (lambda sigma, T: sigma**2 / (2 * T**2), "two numbers"),
            (weights(lambda s, T: 3.0), "term by term"),
        ],
    ),
    "check_forty_calls": (
        descent,
        [
            (lambda y, A, flow, sigma: warm_start(y, A, sigma), "the first point is at 0.3 dB"),
            (lambda y, A, flow, sigma: biharmonic(y, A), "the first point is at 0.3 dB"),
            (lambda y, A, flow, sigma: y[:, :1], "should have shape"),
            (lambda y, A, flow, sigma: torch.full_like(y, torch.nan), "NaN"),
            (many_calls, "40 calls of the flow are spent"),
        ],
    ),
}
