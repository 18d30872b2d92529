"""The checks of notebook 14: right, blank, and typical wrong answers."""

import torch

from course_lib.lab.exercises.analysis import biharmonic
from course_lib.reconstruction import analysis, warm_start


def in_x(E, x, sign=-2.0):
    x = x.clone().requires_grad_()
    z = E(x)
    (slope,) = torch.autograd.grad(z.sum(), x)
    return (z**2 + sign * slope.abs().log()).detach()


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
        in_x,
        [
            (lambda E, x: in_x(E, x, 2.0), "sign"),
            (lambda E, x: in_x(E, x, -1.0), "twice"),
            (lambda E, x: E(x) ** 2, "log-determinant"),
            (lambda E, x: float("nan"), "tensor"),
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
            (lambda y, A, flow, sigma: warm_start(y, A, sigma), "the next point is at 0.3 dB"),
            (lambda y, A, flow, sigma: biharmonic(y, A), "the next point is at 0.3 dB"),
            (lambda y, A, flow, sigma: y[:, :1], "should have shape"),
            (lambda y, A, flow, sigma: torch.full_like(y, torch.nan), "NaN"),
            (many_calls, "40 calls of the flow are spent"),
        ],
    ),
}
