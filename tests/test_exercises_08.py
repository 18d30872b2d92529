"""The checks of notebook 08 tell right from blank from typical wrong answers, and name the mistake."""

import pytest
import torch

from course_lib import models
from course_lib.lab.exercises import unrolling as exercises


def matrices(W=lambda A, t: t * A.T, V=lambda A, t: torch.eye(8) - t * A.T @ A, theta=lambda t, lam: t * lam):
    def answer(A, lam):
        tau = 1 / torch.linalg.matrix_norm(A, 2) ** 2
        return W(A, tau), V(A, tau).to(A), theta(tau, lam)

    return answer


def layer(
    start=lambda z, u: z - u,
    weight=lambda rho: 1 / (1 + rho),
    shift=1.0,
    update=lambda u, x, z, old, eta: u + eta * (x - z),
):
    def answer(z, u, y, A, denoise, rho, eta):
        v = start(z, u)
        x = v + weight(rho) * A.T(y - A(v))
        new = denoise(x + shift * u)
        return new, update(u, x, new, z, eta)

    return answer


def without_the_null_space(z, u, y, A, denoise, rho, eta):
    x = (A.T(y) + rho * (z - u)) / (1 + rho)
    new = denoise(x + u)
    return new, u + eta * (x - new)


def by_prox(z, u, y, A, denoise, rho, eta):
    x = A.prox(z - u, y, rho)
    z = denoise(x + u)
    return z, u + eta * (x - z)


def schedule(matrix, theta, fall, select=0.0):
    """Layers with one W, thresholds that fall by a factor, and a share of values that pass which grows to `select`."""

    def answer(A):
        W = matrix(A)
        return [(W, theta * fall**k, select * (k + 1) / 16) for k in range(16)]

    return answer


def least_leaks(A):
    W = torch.linalg.pinv(A)
    return W / (W @ A).diag()[:, None]


CASES = {
    "check_ista_layer": (
        matrices(),
        [
            (matrices(W=lambda A, t: A.T), "τ is missing"),
            (matrices(W=lambda A, t: t**0.5 * A.T), "with the square"),
            (matrices(W=lambda A, t: A.T / A.norm() ** 2), "singular value"),
            (matrices(W=lambda A, t: -t * A.T), "+τAᵀy"),
            (matrices(W=lambda A, t: t * A), "shape"),
            (matrices(V=lambda A, t: torch.eye(8)), "twice"),
            (matrices(V=lambda A, t: t * A.T @ A), "starts from"),
            (matrices(V=lambda A, t: torch.eye(8) + t * A.T @ A), "downhill"),
            (matrices(V=lambda A, t: torch.eye(8) - A.T @ A), "collect"),
            (matrices(theta=lambda t, lam: lam), "of length τ"),
            (matrices(theta=lambda t, lam: 2 * t * lam), "θ = τλ"),
            (matrices(theta=lambda t, lam: torch.ones(8)), "one number"),
            (lambda A, lam: A.T, "three things"),
        ],
    ),
    "check_drifted_matrix": ("told", [("untold", "residual"), ("useless", "W A′"), ("none", "choose one")]),
    "check_untrained_layers": (
        schedule(least_leaks, 0.5, 0.85, select=0.12),
        [
            (schedule(lambda A: A.T / torch.linalg.matrix_norm(A, 2) ** 2, 0.018, 1), "first point is at -9 dB"),
            (schedule(lambda A: A.T, 0.5, 0.85), "first point is at -9 dB"),
            (lambda A: [(A.T, 0.1, 0)] * 8, "16 layers"),
            (lambda A: [(A.T, 0.1)] * 16, "three things"),
            (lambda A: [(A, 0.1, 0)] * 16, "shape"),
            (lambda A: [(A.T, -0.1, 0)] * 16, ">= 0"),
            (lambda A: [(A.T, 0.1, 1)] * 16, "in [0, 1)"),
        ],
    ),
    "check_admm_layer": (
        layer(),
        [
            (layer(start=lambda z, u: z + u), "z + u"),
            (layer(start=lambda z, u: z), "not near z."),
            (layer(weight=lambda rho: 1), "free of noise"),
            (layer(weight=lambda rho: 1 / rho), "gradient"),
            (layer(weight=lambda rho: 1 / (2 + rho)), "then z"),
            (without_the_null_space, "not I"),
            (layer(shift=0), "not x."),
            (layer(shift=-1), "not x − u"),
            (layer(update=lambda u, x, z, old, eta: u + x - z), "η is missing"),
            (layer(update=lambda u, x, z, old, eta: u + eta * (z - x)), "not z − x"),
            (layer(update=lambda u, x, z, old, eta: eta * (x - z)), "running sum"),
            (layer(update=lambda u, x, z, old, eta: u + eta * (x - old)), "not the old"),
            (layer(update=lambda u, x, z, old, eta: u - eta * x), "u⁺"),
            (lambda z, *rest: z, "two things"),
            (lambda z, u, *rest: (z[:1], u), "shape"),
        ],
    ),
    "check_other_measurements": (
        "behind",
        [("ahead", "from data of 30 %"), ("little", "help both"), ("none", "choose one")],
    ),
}


def test_the_layer_may_use_the_prox_of_the_library(capsys):
    assert exercises.check_admm_layer(by_prox) and "✓" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        (schedule(lambda A: A.T / 2, 0.3, 0.85), 1),
        (schedule(least_leaks, 0.5, 0.85, select=0.12), 2),
        (schedule(least_leaks, 0.5, 0.85, select=0.17), 3),
    ],
    ids=["transposed", "least leaks", "more values pass"],
)
def test_better_layers_give_more_points(answer, points):
    assert exercises.check_untrained_layers(answer) == points


def test_the_layers_of_the_check_are_those_of_lista():
    net = models.load_model("lista")
    z = exercises.bernoulli_gaussian(20, 200, 0.1, torch.Generator().manual_seed(0))[:, 0, 0]
    y = z @ net.A.T
    layers = [(net.W[k], net.threshold[k].abs().item(), 0.12 * (k + 1) / 16) for k in range(16)]
    assert torch.allclose(exercises.run_layers(layers, net.A, y), net(y), atol=1e-5)
