"""IHT and OMP against scikit-learn, dense least squares and exact recovery."""

import pytest
import torch
from sklearn.linear_model import orthogonal_mp

from course_lib.solvers import iht, keep_largest, omp


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Matrix:
    def __init__(self, M):
        self.M = M

    def __call__(self, x):
        return x @ self.M.mT

    def T(self, y):
        return y @ self.M

    def norm(self, shape):
        return torch.linalg.matrix_norm(self.M, 2).item()


class OnImages(Matrix):
    """The matrix on images [B, 1, 5, n/5], to measurements [B, 1, 1, m]."""

    def __call__(self, x):
        return super().__call__(x.flatten(1))[:, None, None]

    def T(self, y):
        return super().T(y.flatten(1)).reshape(len(y), 1, 5, -1)


def unit_columns(m=40, n=60, seed=0):
    M = randn(m, n, seed=seed)
    return M / M.norm(dim=0)


def sparse(batch, n, k, seed=1):
    return keep_largest(randn(batch, n, seed=seed), k)


def test_keep_largest_keeps_k_values_of_each_image():
    v = torch.tensor([[[[3.0, -4.0], [1.0, 2.0]]], [[[0.0, 0.5], [-0.1, 0.2]]]])
    right = torch.tensor([[[[3.0, -4.0], [0.0, 0.0]]], [[[0.0, 0.5], [0.0, 0.2]]]])
    assert torch.equal(keep_largest(v, 2), right)


@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("kind", ["dictionary", "operator", "images"])
def test_omp_is_that_of_scikit_learn(k, kind):
    D, y = unit_columns(), randn(4, 40, seed=3)
    A = {"dictionary": D, "operator": Matrix(D), "images": OnImages(D)}[kind]
    result = omp(y if kind != "images" else y[:, None, None], A, k, tolerance=0)
    theirs = torch.from_numpy(orthogonal_mp(D.numpy(), y.T.numpy(), n_nonzero_coefs=k)).T.reshape(4, -1)
    ours = result.x.flatten(1)
    assert ((ours != 0).sum(1) == k).all() and (result.iterations == k).all()
    assert (ours - theirs).norm() <= 1e-9 * theirs.norm()
    residual = (ours @ D.mT - y).norm(dim=1) / y.norm(dim=1)
    assert torch.allclose(result.history["residual"][-1], residual) and len(result.history["residual"]) == k + 1
    assert result.x.shape == ((4, 1, 5, 12) if kind == "images" else (4, 60))


def test_omp_normalizes_the_atoms_of_a_dictionary():
    D, y = unit_columns(), randn(3, 40, seed=3)
    scale = randn(60, seed=8).abs() + 0.01
    assert torch.allclose(omp(y, D * scale, 7, tolerance=0).x * scale, omp(y, D, 7, tolerance=0).x)


def test_omp_recovers_each_support_and_stops_there():
    D = unit_columns(60, 100)
    x = torch.cat([sparse(2, 100, 3), sparse(2, 100, 8, seed=2)])
    result = omp(x @ D.mT, D, 20)
    assert (result.x - x).norm() <= 1e-10 * x.norm() and result.converged.all()
    assert result.iterations.tolist() == [3, 3, 8, 8]
    for b in range(4):
        alone = omp(x[b : b + 1] @ D.mT, D, 20)
        assert torch.allclose(alone.x[0], result.x[b], rtol=1e-12) and alone.iterations == result.iterations[b]


def test_omp_ends_where_the_data_or_the_atoms_end():
    D = torch.cat([unit_columns(4, 3), unit_columns(4, 3)], 1)  # each atom twice, of rank 3
    y = torch.cat([randn(1, 4), torch.zeros(1, 4, dtype=torch.float64)])
    result = omp(y, D, 4)
    assert result.iterations.tolist() == [3, 0] and result.converged.tolist() == [False, True]
    assert result.x.isfinite().all() and not result.x[1].any()
    best = torch.linalg.lstsq(D[:, :3], y[0, :, None]).solution
    assert torch.allclose(D @ result.x[0], (D[:, :3] @ best)[:, 0])


@pytest.mark.parametrize("step", [None, "largest"])
def test_iht_recovers_sparse_signals(step):
    D = unit_columns(80, 120)
    # The fixed step is short, and falls into local minima where the normalized one does not.
    k = 6 if step is None else 2
    A, x = Matrix(D), sparse(5, 120, k)
    step = step and 1 / A.norm(None) ** 2
    result = iht(A(x), A, k, step=step, steps=2000, tolerance=1e-12)
    assert (result.x - x).norm() <= 1e-8 * x.norm() and result.converged.all()
    assert ((result.x != 0).sum(1) <= k).all() and (result.evaluations >= result.iterations).all()


def test_normalized_iht_falls_needs_no_scale_and_is_faster():
    D, y = unit_columns(), randn(3, 40, seed=3)
    result = iht(y, Matrix(D), 8, steps=500)
    history = result.history["objective"]
    assert (history.diff(dim=0) <= 1e-12).all() and result.converged.all()
    scaled = iht(y, Matrix(30 * D), 8, steps=500)
    assert torch.allclose(30 * scaled.x, result.x, atol=1e-9)
    fixed = iht(y, Matrix(D), 8, step=1 / Matrix(D).norm(None) ** 2, steps=500)
    assert (result.iterations < fixed.iterations).all()
    # On the support that it found, x is the least-squares solution.
    for b in range(3):
        on = result.x[b] != 0
        right = torch.linalg.lstsq(D[:, on], y[b, :, None]).solution[:, 0]
        assert torch.allclose(result.x[b, on], right, atol=1e-4)


def test_iht_alone_is_as_in_a_batch():
    A, y = OnImages(unit_columns()), randn(4, 1, 1, 40, seed=3) * torch.tensor([1, 1e-3, 1e3, 0.0]).reshape(4, 1, 1, 1)
    batch = iht(y, A, 8)
    assert batch.x.shape == (4, 1, 5, 12) and not batch.x[3].any() and len(batch.iterations.unique()) > 1
    for b in range(4):
        alone = iht(y[b : b + 1], A, 8)
        assert alone.iterations == batch.iterations[b] and torch.allclose(alone.x[0], batch.x[b], rtol=1e-9)


def test_the_history_is_that_of_the_iterates_and_ends_with_the_last_image():
    A, y, seen = Matrix(unit_columns()), randn(3, 40, seed=3), []
    result = iht(y, A, 8, tolerance=1e-3, callback=lambda k, x: seen.append(x))
    objective = torch.stack([(A(x) - y).square().sum(1) / 2 for x in seen])
    torch.testing.assert_close(result.history["objective"], objective)
    assert len(seen) == result.iterations.max() + 1 and len(result.iterations.unique()) > 1
    found = omp(A(sparse(2, 60, 3)), A, 10)
    assert len(found.history["residual"]) == found.iterations.max() + 1 == 4


def test_a_step_too_large_is_an_error_that_says_how_large_it_may_be():
    A, y = Matrix(unit_columns()), randn(2, 40)
    bound = A.norm(None) ** 2
    with pytest.raises(ValueError, match="step: expected at most 1/‖A‖² = ") as error:
        iht(y, A, 3, step=1.1 / bound)
    assert f"{1 / bound:.6g}" in str(error.value) and f"{1.1 / bound:.6g}" in str(error.value)


def test_float32_and_callbacks():
    D, y, seen = unit_columns().float(), randn(2, 40).float(), []
    result = omp(y, D, 4, callback=lambda k, x: seen.append((x != 0).sum(1).tolist()))
    assert result.x.dtype == torch.float32 and seen == [[k, k] for k in range(5)]
    result = iht(y, Matrix(D), 4, steps=3, tolerance=0, callback=lambda k, x: seen.append(x))
    assert result.x.dtype == torch.float32 and torch.equal(seen[-1], result.x) and len(seen) == 9
    assert result.history["objective"].isfinite().all()
