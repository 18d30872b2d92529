"""The checks of notebook 08 tell right from blank from typical wrong answers, and name the mistake."""

import torch

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


def by_prox(z, u, y, A, denoise, rho, eta):
    x = A.prox(z - u, y, rho)
    z = denoise(x + u)
    return z, u + eta * (x - z)


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
    "check_other_matrix": ("useless", [("same", "one A"), ("slower", "W A′"), ("none", "choose one")]),
    "check_admm_layer": (
        layer(),
        [
            (layer(start=lambda z, u: z + u), "z + u"),
            (layer(start=lambda z, u: z), "not near z."),
            (layer(weight=lambda rho: 1), "free of noise"),
            (layer(weight=lambda rho: 1 / rho), "gradient"),
            (layer(weight=lambda rho: 1 / (2 + rho)), "then z"),
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
        "same",
        [("collapses", "LISTA"), ("better", "nothing favours"), ("none", "choose one")],
    ),
}


def test_the_layer_may_use_the_prox_of_the_library(capsys):
    assert exercises.check_admm_layer(by_prox) and "✓" in capsys.readouterr().out
