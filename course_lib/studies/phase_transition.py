"""Compressed sensing: how many random measurements recover a sparse signal? The experiment, and the theory beside it.

A signal x of n values, k of them not 0, is measured m times, y = A x. Two ratios decide: δ = m/n, how much is measured,
and ρ = k/m, how much is asked of a measurement. Recovery succeeds below a curve ρ(δ), and fails above it.
"""

import numpy as np
import torch
from scipy.stats import norm

from course_lib import regularizers, solvers
from course_lib.common import check, check_count, check_images, progress
from course_lib.data import sparse_signals
from course_lib.operators import Operator
from course_lib.studies import FIGURES
from course_lib.studies.store import read_table, write_table

GRID = np.linspace(0.04, 0.96, 24)
"""Values of δ, and of ρ, of the stored experiment."""


class RandomRows(Operator):
    """A x = M x with m orthonormal rows M [m, n], a uniformly random subspace: AAᵀ = I. Signals are [B, 1, 1, n].

    Which signals ℓ1 recovers depends on the null space of A alone, and that is the one of a Gaussian matrix.
    """

    gram_diagonal = 1.0

    def __init__(self, m, n, seed=0, dtype=None):
        super().__init__()
        check_count("m", m, low=1)
        check_count("n", n, low=1)
        check(m <= n, "m", f"at most n = {n}", m)
        generator = torch.Generator().manual_seed(seed)
        Q, _ = torch.linalg.qr(torch.randn(n, m, generator=generator, dtype=torch.float64))
        self.register_buffer("matrix", Q.mT.to(dtype or torch.get_default_dtype()).contiguous())

    def forward(self, x):
        check_images("x", x, self.matrix.device)
        check(x.shape[1:] == (1, 1, self.matrix.shape[1]), "x", f"shape [B, 1, 1, {self.matrix.shape[1]}]", x.shape)
        return x @ self.matrix.mT

    def T(self, y):
        check_images("y", y, self.matrix.device)
        check(y.shape[1:] == (1, 1, len(self.matrix)), "y", f"shape [B, 1, 1, {len(self.matrix)}]", y.shape)
        return y @ self.matrix


def basis_pursuit(y, A, k=None, steps=500, tolerance=1e-5):
    """x̂ = argmin ‖x‖₁ subject to A x = y (Chen, Donoho & Saunders 1998), [B, C, H, W], for an A with a known
    `gram_diagonal`: ADMM on ½‖A x − y‖² + λ‖x‖₁ with λ → 0 and λ/ρ = 0.2, where the data step is the projection
    on {A x = y}. The k of the signals is not used.
    """
    lam = 1e-7
    return solvers.admm(y, A, regularizers.L1(), lam, lam / 0.2, steps=steps, tolerance=tolerance, balance=0).x


def pursuit(y, A, k):
    """Orthogonal matching pursuit of as many steps as each signal has values, k [B], for A with a `matrix`."""
    x = torch.zeros_like(A.T(y))
    for count in k.unique().tolist():
        found = solvers.omp(y[k == count].flatten(1), A.matrix, count, tolerance=1e-5).x
        x[k == count] = found[:, None, None]
    return x


def recovered(x, truth, error=1e-2):
    """Whether ‖x − truth‖ <= error · ‖truth‖, [B]."""
    return (x - truth).flatten(1).norm(dim=1) <= error * truth.flatten(1).norm(dim=1)


def phase_transition(
    n, deltas=GRID, rhos=GRID, matrices=2, signals=5, amplitudes="normal", recover=basis_pursuit, seed=0, disable=True
):
    """The fraction of signals that `recover(y, A, k)` finds, array [len(deltas), len(rhos)]: for each δ so many random
    `matrices` of m = round(δ n) rows, for each of them and each ρ so many `signals` with k = round(ρ m) values that are
    not 0, at least 1.

    The problems of a matrix are one batch, and each matrix has a seed of its own.
    """
    for name, value in (("n", n), ("matrices", matrices), ("signals", signals)):
        check_count(name, value, low=1)
    for name, ratios in (("deltas", deltas), ("rhos", rhos)):
        check(all(0 < ratio <= 1 for ratio in ratios), name, "numbers in (0, 1]", list(ratios))
    found = np.zeros((len(deltas), len(rhos)))
    for i, delta in enumerate(progress(deltas, disable=disable)):
        m = max(round(float(delta) * n), 1)
        k = torch.tensor([max(round(float(rho) * m), 1) for rho in rhos]).repeat_interleave(signals)
        for j in range(matrices):
            own = seed + 1000 * i + j
            A, x = RandomRows(m, n, own), sparse_signals(n, k, amplitudes, own)
            success = recovered(recover(A(x), A, k), x)
            found[i] += success.reshape(len(rhos), signals).sum(1).numpy() / (matrices * signals)
    return found


def weak_threshold(delta):
    """ρ(δ) of Donoho & Tanner (2009): below it ℓ1 recovers nearly all k-sparse signals as n → ∞, above it nearly none.
    In parametric form (Donoho, Maleki & Montanari 2009), with the density φ and the distribution Φ of N(0, 1), z > 0:

        δ(z) = 2φ(z) / (z + 2(φ(z) − zΦ(−z))),    ρ(z) = 1 − zΦ(−z)/φ(z).

    `delta` is an array of numbers in (0, 1), ρ one of its shape.
    """
    delta = np.asarray(delta, dtype=float)
    check(bool(((delta > 0) & (delta < 1)).all()), "delta", "numbers in (0, 1)", delta.tolist())
    z = np.linspace(12, 1e-6, 200_001)
    density, tail = norm.pdf(z), norm.cdf(-z)
    return np.interp(delta, 2 * density / (z + 2 * (density - z * tail)), 1 - z * tail / density)


def save_phase_transition(path=FIGURES / "phase_transition.csv", n=200, matrices=4, signals=5):
    """Make the stored experiment, by three columns: ℓ1, pursuit, and pursuit of signals ±1. A few minutes:

    python -c "from course_lib.studies import phase_transition; phase_transition.save_phase_transition()"
    """
    options = dict(n=n, deltas=GRID, rhos=GRID, matrices=matrices, signals=signals, disable=False)
    columns = {
        "l1": phase_transition(**options),
        "omp": phase_transition(recover=pursuit, **options),
        "omp_signs": phase_transition(recover=pursuit, amplitudes="signs", **options),
    }
    delta, rho = (a.ravel() for a in np.meshgrid(GRID, GRID, indexing="ij"))
    rows = {"delta": delta, "rho": rho} | {name: found.ravel() for name, found in columns.items()}
    write_table(path, rows, rows)


def stored_phase_transition(folder=FIGURES):
    """The experiment of `save_phase_transition`: {name: fraction [δ, ρ] on `GRID`}, n = 200, 20 signals a point."""
    table = read_table("phase_transition", folder)
    return {name: table[name].to_numpy().reshape(len(GRID), -1) for name in ("l1", "omp", "omp_signs")}
