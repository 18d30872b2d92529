"""The phase transition against linear programming, the theory's other formula, and its stored table."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from scipy.stats import norm

from course_lib.data import sparse_signals
from course_lib.studies import phase_transition as cs


def test_rows_are_orthonormal_and_seeded():
    A = cs.RandomRows(7, 20, seed=3, dtype=torch.float64)
    assert torch.allclose(A.matrix @ A.matrix.mT, torch.eye(7, dtype=torch.float64), atol=1e-12)
    assert torch.equal(A.matrix, cs.RandomRows(7, 20, seed=3, dtype=torch.float64).matrix)
    x, y = torch.randn(2, 1, 1, 20, dtype=torch.float64), torch.randn(2, 1, 1, 7, dtype=torch.float64)
    assert torch.allclose((A(x) * y).sum(), (x * A.T(y)).sum(), rtol=1e-12)


def test_signals_have_the_values_asked_for():
    x = sparse_signals(30, [0, 1, 7, 30], "signs", seed=2)
    assert (x != 0).flatten(1).sum(1).tolist() == [0, 1, 7, 30] and set(x.unique().tolist()) == {-1, 0, 1}
    normal = sparse_signals(30, [7], seed=2)
    assert len(normal.unique()) == 8 and torch.equal(normal, sparse_signals(30, [7], seed=2))
    assert not torch.equal(normal, sparse_signals(30, [7], seed=3))


def test_basis_pursuit_finds_what_linear_programming_finds():
    n, m = 40, 20
    A = cs.RandomRows(m, n, seed=1, dtype=torch.float64)
    x = sparse_signals(n, [2, 4, 6, 8, 10, 12], seed=1, dtype=torch.float64)
    ours = cs.basis_pursuit(A(x), A, steps=5000, tolerance=1e-8)
    M = A.matrix.numpy()
    for b in range(len(x)):
        program = linprog(np.ones(2 * n), A_eq=np.hstack([M, -M]), b_eq=A(x)[b, 0, 0].numpy(), bounds=(0, None))
        right = program.x[:n] - program.x[n:]
        assert np.linalg.norm(ours[b, 0, 0].numpy() - right) <= 1e-4 * np.linalg.norm(right)


def test_weak_threshold_is_the_maximum_of_its_other_form():
    """ρ(δ) = max_z (1 − (2/δ)c(z)) / (1 + z² − 2c(z)), c = (1 + z²)Φ(−z) − zφ(z) (Donoho, Maleki & Montanari 2009)."""
    z = np.linspace(1e-3, 8, 100_001)
    c = (1 + z**2) * norm.cdf(-z) - z * norm.pdf(z)
    for delta in (0.05, 0.1, 0.5, 0.9, 0.99):
        assert abs(cs.weak_threshold(delta) - ((1 - 2 * c / delta) / (1 + z**2 - 2 * c)).max()) < 1e-6
    assert (np.diff(cs.weak_threshold(np.linspace(0.01, 0.99, 50))) > 0).all()


@pytest.mark.parametrize("recover", [cs.basis_pursuit, cs.pursuit])
def test_recovery_below_and_failure_above(recover):
    found = cs.phase_transition(60, [0.5], [0.1, 0.9], matrices=2, signals=4, recover=recover)
    assert found.shape == (1, 2) and found[0, 0] == 1 and found[0, 1] == 0
    again = cs.phase_transition(60, [0.5], [0.1, 0.9], matrices=2, signals=4, recover=recover)
    assert np.array_equal(found, again)


def test_stored_experiment_follows_the_theory():
    stored = cs.stored_phase_transition()
    for found in stored.values():
        assert found.shape == (len(cs.GRID), len(cs.GRID)) and found.min() == 0 and found.max() == 1
    rho = cs.weak_threshold(cs.GRID)[:, None]
    assert stored["l1"][rho - 0.15 > cs.GRID].mean() > 0.98 and stored["l1"][rho + 0.15 < cs.GRID].mean() < 0.02


def test_the_file_is_written_and_read(tmp_path, monkeypatch):
    monkeypatch.setattr(cs, "GRID", np.array([0.3, 0.6]))
    path = tmp_path / "phase_transition.csv"
    cs.save_phase_transition(path, n=20, matrices=1, signals=2)
    stored = cs.stored_phase_transition(tmp_path)
    assert path.read_text().startswith("delta,rho,l1,omp,omp_signs") and stored["l1"].shape == (2, 2)


@pytest.mark.parametrize("call", [lambda A, v: A(v), lambda A, v: A.T(v), lambda A, v: cs.RandomRows(5, 4)])
def test_signals_of_another_length_and_more_rows_than_columns_are_refused(call):
    with pytest.raises(ValueError, match=r"^[mxy]: expected"):
        call(cs.RandomRows(2, 4), torch.zeros(1, 1, 1, 5))
