"""The checks of notebook 03 tell right from blank from typical wrong answers, and name the mistake."""

import pytest
import torch

from course_lib import regularizers, solvers
from course_lib.lab.exercises import sparsity, uniform


def rows(v):
    return v.norm(dim=1, keepdim=True)


class Weighted:
    """Σ_i w_i |x_i|."""

    def __init__(self, w):
        self.w = w

    def __call__(self, x):
        return (self.w * x.abs()).flatten(1).sum(1)

    def prox(self, v, tau):
        return v.sign() * (v.abs() - tau.reshape(-1, 1, 1, 1) * self.w).clamp_min(0)


def by_l1(y, A, k):
    return solvers.admm(y, A, regularizers.L1(), 1e-7, 5e-7, steps=500, tolerance=1e-5, balance=0).x


def by_omp(y, A, k):
    return solvers.omp(y.flatten(1), A.matrix, k).x[:, None, None]


def either(y, A, k):
    """What OMP finds, if it explains the data."""
    x = by_omp(y, A, k)
    return torch.where((A(x) - y).norm(dim=3, keepdim=True) < 1e-6, x, by_l1(y, A, k))


def by_weights(y, A, k):
    w = 1.0
    for _ in range(4):
        x = solvers.admm(y, A, Weighted(w * torch.ones(50)), 1e-7, 5e-7, steps=300, tolerance=1e-5, balance=0).x
        w = 0.1 / (x.abs() + 0.1)
    return x


CASES = {
    "check_soft_threshold": (
        lambda v, tau: v.sign() * (v.abs() - tau).clamp_min(0),
        [
            (lambda v, tau: torch.where(v.abs() > tau, v, 0), "hard threshold"),
            (lambda v, tau: torch.where(v.abs() > (2 * tau) ** 0.5, v, 0), "which counts"),
            (lambda v, tau: v - tau * v.sign(), "cross 0"),
            (lambda v, tau: (v - tau).clamp_min(0), "negative ones"),
            (lambda v, tau: (v.abs() - tau).clamp_min(0), "sign is lost"),
            (lambda v, tau: v / (1 + tau), "removes nothing"),
            (lambda v, tau: v.sign() * (v.abs() - 2 * tau).clamp_min(0), "derivative"),
            (lambda v, tau: v.sum(), "shape"),
            (lambda v: v, "TypeError"),
        ],
    ),
    "check_largest_lam": (
        lambda A, y: A.T(y).abs().max(),
        [
            (lambda A, y: A.T(y).max(), "negative value"),
            (lambda A, y: A.T(y).abs().min(), "first value"),
            (lambda A, y: A.T(y).norm(), "each value alone"),
            (lambda A, y: A.T(y).abs().sum(), "sum over all"),
            (lambda A, y: y.abs().max(), "not −y"),
            (lambda A, y: A.T(y).abs().max() / A.norm((1, 1, 1, 9)) ** 2, "both sides"),
            (lambda A, y: A.T(y), "one number"),
            (lambda A, y: 0.0, "insert x = 0"),
        ],
    ),
    "check_group_threshold": (
        lambda v, tau: v * (1 - tau / rows(v).clamp_min(1e-12)).clamp_min(0),
        [
            (lambda v, tau: v * (rows(v) - tau).clamp_min(0) / rows(v), "0/0"),
            (lambda v, tau: v.sign() * (v.abs() - tau).clamp_min(0), "each value alone"),
            (lambda v, tau: v * (1 - tau / v.norm(dim=0, keepdim=True)).clamp_min(0), "dim=1"),
            (lambda v, tau: v * (1 - tau / rows(v).clamp_min(1e-9)), "change sign"),
            (lambda v, tau: torch.where(rows(v) > tau, v, 0), "shrink by τ"),
            (lambda v, tau: v / (1 + tau), "max(1"),
            (lambda v, tau: v[0], "shape"),
        ],
    ),
    "check_frame": ("synthesis", [("same", "orthonormal"), ("analysis", "c = W x̂"), ("both", "choose one")]),
    "check_recovery": (
        either,
        [
            (lambda y, A, k: A.T(y), "0 %"),
            (by_l1, "57.5 %: the first point is at 60 %"),
            (by_omp, "the first point is at 60 %"),
            (lambda y, A, k: solvers.iht(y, A, k).x, "the first point is at 60 %"),
            (lambda y, A, k: A.T(y)[:, 0], "shape"),
            (lambda y, A, k: A.T(y) / 0, "NaN"),
        ],
    ),
}


def clever(y, A, k):
    """Weights from the last solution, from several starts; what has k values and explains the data stays."""
    x, left = A.T(y), torch.arange(len(y))
    for seed in range(10):
        w = 0.3 + 1.4 * uniform(*x[left].shape, seed=seed) if seed else torch.ones_like(x[left])
        for _ in range(3):
            c = solvers.admm(y[left], A, Weighted(w), 1e-7, 5e-7, steps=120, tolerance=1e-4, balance=0).x
            w = 0.1 / (c.abs() + 0.1)
        chosen = c.flatten(1).abs().topk(k, 1).indices
        values = torch.linalg.lstsq(A.matrix.T[chosen].mT, y[left].flatten(1)[:, :, None]).solution[:, :, 0]
        x[left] = torch.zeros_like(c.flatten(1)).scatter(1, chosen, values)[:, None, None]
        left = left[(A(x[left]) - y[left]).flatten(1).norm(dim=1) > 1e-6]
        if len(left) == 0:
            break
    return x


@pytest.mark.parametrize("answer, points", [(by_l1, 0), (by_weights, 2), (clever, 3)])
def test_what_recovers_more_signals_has_more_points(answer, points):
    assert sparsity.check_recovery(answer) == points
