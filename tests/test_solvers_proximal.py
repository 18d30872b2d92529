"""Proximal solvers against scikit-learn's Lasso, closed forms and one another; their rates, steps and errors."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso

from course_lib.regularizers import TV
from course_lib.solvers import admm, condat_vu, fista, gradient_descent, ista, primal_dual
from course_lib.solvers.admm import balanced


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def column(a, x):
    return torch.as_tensor(a).reshape(-1, *[1] * (x.dim() - 1))


def norm(x):
    return x.flatten(1).norm(dim=1)


class Matrix:
    """A matrix on flat images [B, n], or on images [B, 1, 1, n]."""

    def __init__(self, M):
        self.M = M

    def __call__(self, x):
        return x @ self.M.mT

    def T(self, y):
        return y @ self.M

    def norm(self, shape):
        return torch.linalg.matrix_norm(self.M, 2).item()

    def prox(self, v, y, rho):
        rho = torch.as_tensor(rho).expand(len(v))
        eye = torch.eye(self.M.shape[1], dtype=v.dtype)
        H = self.M.mT @ self.M + rho[:, None, None] * eye
        right = self.T(y) + column(rho, v) * v
        return torch.linalg.solve(H, right.reshape(len(v), -1, 1)).reshape(v.shape)


class L1:
    """‖x‖₁, also as a dual norm: K = I."""

    norm_squared = 1.0

    def __call__(self, x):
        return x.abs().flatten(1).sum(1)

    def prox(self, v, tau):
        return v.sign() * (v.abs() - column(tau, v)).clamp_min(0)

    def gradient(self, x):
        return x

    gradient_adjoint = gradient

    def project(self, p, radius):
        radius = column(radius, p)
        return p.clamp(-radius, radius)


class AnalysisL1(L1):
    """‖W x‖₁ with a redundant frame W, a tall matrix."""

    def __init__(self, W):
        self.W, self.norm_squared = W, torch.linalg.matrix_norm(W, 2).item() ** 2

    def __call__(self, x):
        return super().__call__(self.gradient(x))

    def gradient(self, x):
        return x @ self.W.mT

    def gradient_adjoint(self, p):
        return p @ self.W


class Ridge:
    """½‖x‖², with gradient x."""

    lipschitz = 1.0

    def __call__(self, x):
        return x.square().flatten(1).sum(1) / 2

    def prox(self, v, tau):
        return v / (1 + column(tau, v))


def lasso_problem(batch=3, m=30, n=50):
    A = Matrix(randn(m, n) / m**0.5)
    x = randn(batch, n, seed=1) * (randn(batch, n, seed=2) > 1)
    return A, A(x) + 0.02 * randn(batch, m, seed=3), torch.tensor([0.02, 0.1, 0.3], dtype=torch.float64)[:batch]


def theirs(A, y, lam):
    """scikit-learn's objective is ours divided by the number of measurements."""
    rows = []
    for b in range(len(y)):
        model = Lasso(alpha=lam[b].item() / y.shape[1], fit_intercept=False, tol=1e-12, max_iter=200_000)
        rows.append(model.fit(A.M.numpy(), y[b].numpy()).coef_)
    return torch.from_numpy(np.array(rows))


def on_lasso(solver, A, y, lam, **options):
    if solver in (primal_dual, condat_vu):
        y = y[:, None, None]
    result = solver(y, A, L1(), lam, **options)
    result.x = result.x.reshape(len(y), -1)
    return result


LASSO = {
    "ista": (ista, dict(steps=20_000, tolerance=1e-12)),
    "fista": (fista, dict(steps=4000, tolerance=1e-12)),
    "fista without restart": (fista, dict(steps=20_000, tolerance=1e-11, restart=False)),
    "admm": (admm, dict(steps=3000, tolerance=1e-9)),
    "admm, split": (admm, dict(steps=2000, tolerance=1e-8, split=True)),
    "primal-dual": (primal_dual, dict(steps=20_000, tolerance=1e-11)),
    "Condat-Vu": (condat_vu, dict(steps=20_000, tolerance=1e-11)),
}


@pytest.mark.parametrize("name", LASSO)
def test_lasso_is_that_of_scikit_learn(name):
    solver, options = LASSO[name]
    A, y, lam = lasso_problem()
    right, result = theirs(A, y, lam), on_lasso(solver, A, y, lam, **options)
    assert result.converged.all()
    assert (norm(result.x - right) <= 1e-5 * norm(right)).all()
    least = norm(A(right) - y).square() / 2 + lam * L1()(right)
    assert torch.allclose(result.history["objective"][-1], least, rtol=1e-8)
    assert len(result.history["objective"]) == result.iterations.max() + 1


@pytest.mark.parametrize("name", LASSO)
def test_an_image_alone_is_as_in_a_batch(name):
    solver, _ = LASSO[name]
    A, y, lam = lasso_problem()
    # The third problem is a thousand times larger: it ends at another step.
    y = y * torch.tensor([1, 1e-3, 1e3], dtype=torch.float64)[:, None]
    batch = on_lasso(solver, A, y, lam, steps=800, tolerance=1e-4)
    assert len(batch.iterations.unique()) > 1
    for b in range(3):
        alone = on_lasso(solver, A, y[b : b + 1], lam[b : b + 1], steps=800, tolerance=1e-4)
        assert alone.iterations == batch.iterations[b] and alone.converged == batch.converged[b]
        assert alone.evaluations == batch.evaluations[b] and batch.evaluations.dtype == torch.long
        assert torch.allclose(alone.x[0], batch.x[b], rtol=1e-9, atol=1e-12 * y[b].abs().max())


@pytest.mark.parametrize("step", [None, 0.5])
def test_gradient_descent_is_ridge_regression(step):
    A, y, lam = lasso_problem()
    step = step and step * 2 / (A.norm(None) ** 2 + lam.max().item())
    result = gradient_descent(y, A, Ridge(), lam, step=step, steps=5000, tolerance=1e-13)
    n = A.M.shape[1]
    for b in range(3):
        right = torch.linalg.solve(A.M.mT @ A.M + lam[b] * torch.eye(n, dtype=y.dtype), A.T(y[b]))
        assert (result.x[b] - right).norm() <= 1e-9 * right.norm()
    falls = result.history["objective"].diff(dim=0)
    assert (falls <= 1e-12).all() and result.converged.all()
    start = gradient_descent(y, A, Ridge(), lam, x0=result.x, steps=0)
    assert torch.equal(start.x, result.x) and not start.iterations.any()


@pytest.mark.parametrize("solver", [admm, fista])
def test_a_smooth_phi_needs_only_its_prox(solver):
    A, y, lam = lasso_problem()
    a, b = (s(y, A, Ridge(), lam, steps=5000, tolerance=1e-11).x for s in (solver, gradient_descent))
    assert (norm(a - b) <= 1e-6 * norm(b)).all()


def flat_problem(lam=1e-4, n=400):
    """A Lasso whose curvatures d fill nine decades evenly, and its minimum: no k is large enough for the slowest ones.
    x̂ falls as d^0.02, so that ‖x̂‖ stays finite, as the theorems want, however many decades there are.
    """
    d = torch.logspace(-9, 0, n, dtype=torch.float64)
    A = Matrix(d.sqrt().diag())
    x = d[None] ** 0.02
    y = A(x) + lam / d.sqrt()  # so that the gradient of the data term at x is −λ: x is the minimizer
    return A, y, lam, x.square().sum(), (A(x) - y).square().sum() / 2 + lam * x.sum()


def slope(result, least, low=100, high=1000):
    k = np.arange(low, high + 1)
    gap = (result.history["objective"][low : high + 1, 0] - least).numpy()
    assert (gap > 0).all()
    return np.polyfit(np.log(k), np.log(gap), 1)[0]


def test_rates_on_a_flat_problem():
    A, y, lam, size, least = flat_problem()
    runs = {name: f(y, A, L1(), lam, steps=1000, tolerance=0) for name, f in (("ista", ista), ("fista", fista))}
    plain = fista(y, A, L1(), lam, steps=1000, tolerance=0, restart=False)
    assert -1.1 < slope(runs["ista"], least) < -0.9
    assert -2.2 < slope(plain, least) <= -2
    assert slope(runs["fista"], least) <= -2
    # The theorems' bounds, with ‖x_0 − x̂‖² = ‖x̂‖² and τ = 1.
    k = torch.arange(1, 1001, dtype=torch.float64)
    assert (runs["ista"].history["objective"][1:, 0] - least <= size / (2 * k)).all()
    assert (plain.history["objective"][1:, 0] - least <= 2 * size / (k + 1) ** 2).all()


def test_ista_falls_in_every_step_and_restart_is_linear_on_a_strongly_convex_problem():
    d = torch.logspace(-4, 0, 50, dtype=torch.float64)
    A, y = Matrix(d.sqrt().diag()), randn(1, 50)
    options = dict(steps=2000, tolerance=0)
    history = {r: fista(y, A, L1(), 1e-3, restart=r, **options).history["objective"][:, 0] for r in (True, False)}
    least = history[True][-1]
    assert history[True][1500] - least < 1e-3 * (history[False][1500] - least)
    for step in (None, 1.95):
        falls = ista(y, A, L1(), 1e-3, step=step, steps=200).history["objective"].diff(dim=0)
        assert (falls <= 1e-13).all() and falls[0] < 0


def image_problem():
    """A random matrix on the pixels of 2 images of 6×7, as an operator on images."""
    M = randn(30, 42) / 30**0.5

    class OnImages(Matrix):
        def __call__(self, x):
            return (x.flatten(1) @ M.mT)[:, None, None]

        def T(self, y):
            return (y[:, 0, 0] @ M).reshape(-1, 1, 6, 7)

    A, x = OnImages(M), randn(2, 1, 6, 7, seed=4).cumsum(-1) / 3
    return A, A(x) + 0.01 * randn(2, 1, 1, 30, seed=5)


def test_tv_is_the_same_by_four_solvers():
    A, y = image_problem()
    lam, phi = torch.tensor([0.02, 0.2], dtype=torch.float64), TV(tolerance=1e-6)
    runs = {
        "primal_dual": primal_dual(y, A, phi, lam, steps=8000, tolerance=1e-8),
        "condat_vu": condat_vu(y, A, phi, lam, steps=8000, tolerance=1e-8),
        "admm, split": admm(y, A, phi, lam, split=True, steps=2000, tolerance=1e-6),
        "admm": admm(y, A, phi, lam, steps=300, tolerance=1e-5),
    }
    first = runs["primal_dual"]
    for name, run in runs.items():
        assert torch.allclose(run.history["objective"][-1], first.history["objective"][-1], rtol=1e-5), name
        assert (norm(run.x - first.x) <= 1e-3 * norm(first.x)).all(), name
    box = [f(y, A, phi, lam, box=(0, 1), steps=8000, tolerance=1e-9) for f in (primal_dual, condat_vu)]
    assert (norm(box[0].x - box[1].x) <= 1e-3 * norm(box[0].x)).all()
    assert box[1].x.min() >= 0 and box[1].x.max() <= 1


def test_analysis_in_a_redundant_frame():
    A, y, lam = lasso_problem(2, m=20, n=15)
    phi = AnalysisL1(randn(30, 15, seed=9) / 5)
    a = condat_vu(y, A, phi, lam, steps=5000, tolerance=1e-7)
    b = admm(y, A, phi, lam, split=True, steps=2000, tolerance=1e-6)
    assert a.converged.all() and b.converged.all()
    assert (norm(a.x - b.x) <= 1e-4 * norm(a.x).clamp_min(0.01)).all()
    # Optimality: no direction has a lower objective.
    x, least = a.x, a.history["objective"][-1]
    for seed in range(5):
        other = x + 1e-3 * randn(*x.shape, seed=seed)
        assert (norm(A(other) - y).square() / 2 + lam * phi(other) >= least).all()


def test_admm_reports_residuals_that_vanish_and_copes_with_any_rho():
    A, y, lam = lasso_problem()
    right = theirs(A, y, lam)
    for rho in (1e-3, 1.0, 1e3):
        result = admm(y, A, L1(), lam, rho=rho, steps=5000, tolerance=1e-7)
        assert (norm(result.x - right) <= 1e-4 * norm(right)).all() and result.converged.all()
        assert (result.history["primal"][-1] < 1e-4).all() and (result.history["dual"][-1] < 1e-4).all()
    zero = admm(y, A, L1(), 100.0, steps=500)
    assert not zero.x.any() and zero.converged.all()


@pytest.mark.parametrize(
    ("primal", "dual", "factor"), [(10.5, 1, 2), (9.5, 1, 1), (1, 1, 1), (1, 9.5, 1), (1, 10.5, 0.5)]
)
def test_admm_balances_residuals_that_differ_tenfold(primal, dual, factor):
    rho, u = torch.tensor([3.0, 3.0]).double(), randn(2, 4)
    ours, scaled = balanced(rho, u, torch.tensor([primal, 1.0]), torch.tensor([dual, 1.0]))
    assert ours.tolist() == [3 * factor, 3] and torch.equal(column(ours, scaled) * scaled, column(rho, u) * u)


@pytest.mark.parametrize("split", [False, True])
def test_admm_balances_in_its_first_steps_only(split):
    """ρ from 1e-4 or 1e4 reaches the same image, if it may change; after `balance` steps it stays as it is."""
    A, y, lam = lasso_problem()
    seen = {0: [], 3: [], 300: []}
    for balance in seen:
        run = admm(y, A, L1(), lam, rho=1e4, split=split, steps=300, tolerance=1e-6, balance=balance)
        seen[balance] = run.history["objective"][-1]
    assert (seen[300] < seen[3]).all() and (seen[3] < seen[0]).all()


@pytest.mark.parametrize("lam", [0.01, 0.3])
def test_condat_vu_starts_and_steps_by_default_as_documented(lam):
    """From Aᵀy/‖A‖² with τ = min(1/‖A‖², 0.04/λ): for one of the λ the first is less, for the other the second."""
    A, y, _ = lasso_problem()
    bound = A.norm(None) ** 2
    tau = min(1 / bound, 0.04 / lam)
    assert (tau == 1 / bound) == (lam == 0.01)
    default = condat_vu(y, A, L1(), lam, steps=20)
    given = condat_vu(y, A, L1(), lam, x0=A.T(y) / bound, step=tau, steps=20)
    torch.testing.assert_close(default.x, given.x, rtol=1e-9, atol=0)


@pytest.mark.parametrize("box", [None, (-0.2, 0.3)])
@pytest.mark.parametrize("tolerance", [1e-1, 1e-2, 1e-3])
def test_condat_vu_ends_where_its_docstring_says(tolerance, box):
    A, y, lam = lasso_problem(1)
    low, high = box or (-torch.inf, torch.inf)
    bound = A.norm(None) ** 2
    tau, x = 0.3 / bound, (A.T(y) / bound).clamp(low, high)
    sigma, p, size, k, change = 1 / tau - bound / 2, torch.zeros_like(x), norm(x), 0, torch.inf
    while change > tolerance**2 * max(norm(x), size) ** 2:
        new = (x - tau * (A.T(A(x) - y) + p)).clamp(low, high)
        dual = (p + sigma * (2 * new - x)).clamp(-lam, lam)
        change = norm(new - x) ** 2 + tau / sigma * norm(dual - p) ** 2
        x, p, k = new, dual, k + 1
    result = condat_vu(y, A, L1(), lam, step=tau, tolerance=tolerance, box=box)
    assert result.iterations.item() == k
    torch.testing.assert_close(result.x, x, rtol=1e-9, atol=1e-12)


SOLVERS = {"ista": ista, "fista": fista, "gradient_descent": gradient_descent, "condat_vu": condat_vu, "admm": admm}


def run(solver, A, y, lam, **options):
    return solver(y, A, Ridge() if solver is gradient_descent else L1(), lam, **options)


@pytest.mark.parametrize("name, factor", [("ista", 2), ("fista", 1.001), ("condat_vu", 2), ("gradient_descent", 2)])
def test_a_step_too_large_is_an_error_that_says_how_large_it_may_be(name, factor):
    A, y, _ = lasso_problem()
    bound = A.norm(None) ** 2 + 0.1 * (name == "gradient_descent")
    with pytest.raises(ValueError, match=r"step: expected .*/.*‖A‖².* = ") as error:
        run(SOLVERS[name], A, y, 0.1, step=factor / bound)
    limit, given = 1 if name == "fista" else 2, factor / bound
    assert f"{limit / bound:.6g}" in str(error.value) and f"{given:.6g}" in str(error.value)
    run(SOLVERS[name], A, y, 0.1, step=0.999 * limit / bound, steps=2)


@pytest.mark.parametrize("name", ["ista", "fista", "gradient_descent", "admm"])
def test_data_of_another_shape_than_those_of_the_start_are_named(name):
    A, y, _ = lasso_problem()
    with pytest.raises(ValueError, match=r"^y: expected the shape of A\(x0\)"):
        run(SOLVERS[name], A, y[:, :-1], 0.1, x0=torch.zeros(3, 50, dtype=y.dtype))


@pytest.mark.parametrize("name", SOLVERS)
def test_float32_stays_float32_and_the_callback_sees_each_iterate(name):
    A, y, _ = lasso_problem()
    A, seen = Matrix(A.M.float()), []
    result = run(SOLVERS[name], A, y.float(), 0.1, steps=5, tolerance=0.0, callback=lambda k, x: seen.append((k, x)))
    assert result.x.dtype == torch.float32 and all(v.dtype == torch.float32 for v in result.history.values())
    assert [k for k, _ in seen] == list(range(6)) and torch.equal(seen[-1][1], result.x)
    assert result.history["objective"].shape == (6, 3) and not result.converged.any()
