"""The checks of notebook 14: right, blank, and typical wrong answers."""

import torch

from course_lib.reconstruction import warm_start
from course_lib.studies.methods import METHODS


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


def weights(square=lambda s: s**2 / 2, logdet=lambda s: -(s**2)):
    return lambda sigma: (square(sigma), logdet(sigma))


def biharmonic(y, A, flow, sigma):
    return METHODS["biharmonic"].run(y, A, None, None, sigma)[0]


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
            (weights(logdet=lambda s: s**2), "sign"),
            (weights(square=lambda s: s**2), "exp(−½‖z‖²)"),
            (weights(logdet=lambda s: -(s**2) / 2), "factor 1"),
            (weights(lambda s: s / 2, lambda s: -s), "not by σ"),
            (weights(lambda s: 0.5, lambda s: -1.0), "the rest carries σ²"),
            (lambda sigma: sigma**2 / 2, "two numbers"),
            (weights(lambda s: 3.0), "term by term"),
        ],
    ),
    "check_forty_calls": (
        biharmonic,
        [
            (lambda y, A, flow, sigma: warm_start(y, A, sigma), "the next point is at 0.3 dB"),
            (lambda y, A, flow, sigma: y[:, :1], "should have shape"),
            (lambda y, A, flow, sigma: torch.full_like(y, torch.nan), "NaN"),
            (many_calls, "40 calls of the flow are spent"),
        ],
    ),
}
