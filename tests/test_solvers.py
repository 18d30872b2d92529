"""The solvers against dense solves, SciPy, long runs, and the law that no image of a batch influences another."""

import inspect

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from course_lib import solvers
from course_lib.regularizers import L1, TV
from course_lib.solvers import adam, conjugate_gradient, lbfgs, primal_dual
from course_lib.solvers.base import iterate
from course_lib.solvers.smooth import LBFGS

DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rosenbrock(x):
    x = x.flatten(1)
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)


def quadratic(condition=1e3, size=40):
    """½ xᵀ diag(d) x − 1ᵀx, whose minimizer is 1/d."""
    d = torch.logspace(0, np.log10(condition), size, dtype=torch.float64)
    return d, lambda x: (0.5 * d.to(x) * x * x - x).sum(1)


def positive_definite(batch, size, seed=0):
    Q = randn(batch, size, size, seed=seed)
    return Q @ Q.mT + torch.eye(size, dtype=torch.float64)


class Stand:
    """An operator from its formulas: A(x), A.T(y), A.prox(v, y, rho), A.norm(shape)."""

    def __init__(self, forward, adjoint, prox, norm):
        self.forward, self.T, self.prox, self.largest = forward, adjoint, prox, norm

    def __call__(self, x):
        return self.forward(x)

    def norm(self, shape):
        return self.largest


def mask(height, width):
    m = (randn(height, width, seed=5) > 0).double()
    return Stand(lambda x: m * x, lambda y: m * y, lambda v, y, rho: (m * y + col(rho) * v) / (m + col(rho)), 1.0)


def blur(height, width):
    k = torch.zeros(height, width, dtype=torch.float64)
    k[:3, :3] = 1 / 9
    K = torch.fft.fft2(k)
    apply = lambda x, H: torch.fft.ifft2(torch.fft.fft2(x) * H).real  # noqa: E731
    prox = lambda v, y, rho: apply(apply(y, K.conj()) + col(rho) * v, 1 / (K.abs() ** 2 + col(rho)))  # noqa: E731
    return Stand(lambda x: apply(x, K), lambda y: apply(y, K.conj()), prox, 1.0)


def downsample(height, width):
    """Means of 2×2 blocks: AAᵀ = I/4."""
    A = lambda x: torch.nn.functional.avg_pool2d(x, 2)  # noqa: E731
    T = lambda y: y.repeat_interleave(2, -1).repeat_interleave(2, -2) / 4  # noqa: E731
    return Stand(A, T, lambda v, y, rho: v + T((y - A(v)) / (0.25 + col(rho))), 0.5)


def col(rho):
    return torch.as_tensor(rho).reshape(-1, 1, 1, 1)


OPERATORS = {"mask": mask, "blur": blur, "downsample": downsample}


@pytest.mark.parametrize("shape", [(5, 12), (3, 2, 2, 3)])
@pytest.mark.parametrize("function", ["rosenbrock", "quadratic", "log"])
def test_lbfgs_finds_the_minimum_of_scipy(function, shape):
    size = int(np.prod(shape[1:]))
    objective = {
        "rosenbrock": rosenbrock,
        "quadratic": lambda x: quadratic(size=size)[1](x.flatten(1)),
        # NaN outside x > 0: long steps have to be shortened.
        "log": lambda x: (x - x.log()).flatten(1).sum(1),
    }[function]
    x0 = 0.3 * randn(*shape) + 0.5 if function != "log" else randn(*shape).abs() * 5 + 0.01
    result = lbfgs(objective, x0, steps=500, tolerance=1e-9)
    assert result.converged.all() and result.x.shape == x0.shape
    for b in range(len(x0)):

        def scipy_objective(v):
            t = torch.from_numpy(v).reshape(1, *shape[1:]).requires_grad_()
            f = objective(t)
            f.sum().backward()
            return f.item(), t.grad.numpy().ravel()

        bounds = [(1e-3, None)] * size if function == "log" else None
        options = dict(maxiter=5000, ftol=1e-16, gtol=1e-10)
        theirs = minimize(
            scipy_objective, x0[b].numpy().ravel(), jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        assert abs(result.history["objective"][-1, b].item() - theirs.fun) <= 1e-9 * max(1, abs(theirs.fun))
        np.testing.assert_allclose(result.x[b].numpy().ravel(), theirs.x, atol=1e-4)
        assert result.evaluations[b] <= 2 * theirs.nfev + 20


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("solver", [lbfgs, adam])
def test_an_image_alone_is_exactly_as_in_a_batch(solver, device):
    # Starts of very different scales: some images converge, backtrack or stop long before the others.
    x0 = (randn(6, 8) * torch.tensor([0.01, 0.1, 1, 3, 10, 1e-6], dtype=torch.float64)[:, None]).to(device)
    batch = solver(rosenbrock, x0, steps=60)
    assert batch.x.device == x0.device
    if solver is lbfgs:
        assert len(batch.evaluations.unique()) > 1
    for b in range(6):
        alone = solver(rosenbrock, x0[b : b + 1], steps=60)
        assert torch.equal(alone.x[0], batch.x[b])
        assert alone.evaluations == batch.evaluations[b] and alone.iterations == batch.iterations[b]
        rows = len(alone.history["objective"])
        assert torch.equal(alone.history["objective"][:, 0], batch.history["objective"][:rows, b])


def test_lbfgs_is_superlinear_where_gradient_descent_is_not():
    d, objective = quadratic(1e3, 20)
    x0 = torch.zeros(2, 20, dtype=torch.float64)
    result = lbfgs(objective, x0, steps=70, memory=40, tolerance=1e-6)
    x = x0
    for _ in range(70):
        x = x - (d * x - 1) / d.max()
    least = objective(1 / d[None])
    gap, theirs = objective(result.x) - least, objective(x) - least
    assert result.converged.all() and (gap <= 1e-9).all() and (theirs > 1e-2).all()


@pytest.mark.parametrize("memory", [5, 20])
def test_lbfgs_needs_as_many_evaluations_as_scipy(memory):
    d, objective = quadratic(1e2, 30)
    norms = []

    def scipy_objective(v):
        norms.append(np.linalg.norm(d.numpy() * v - 1))
        return objective(torch.from_numpy(v)[None]).item(), d.numpy() * v - 1

    options = dict(maxcor=memory, ftol=0, gtol=1e-14)
    minimize(scipy_objective, np.zeros(30), jac=True, method="L-BFGS-B", options=options)
    theirs = next(i for i, norm in enumerate(norms) if norm <= 1e-6 * norms[0])
    ours = lbfgs(objective, torch.zeros(1, 30, dtype=torch.float64), memory=memory, tolerance=1e-6).evaluations.item()
    assert abs(ours - theirs) <= 0.15 * theirs


def test_lbfgs_freezes_converged_images_and_counts():
    seen, calls = [], []

    def objective(x):
        calls.append(len(x))
        return rosenbrock(x)

    x0 = torch.cat([torch.ones(1, 6), torch.full((1, 6), 0.9), -torch.ones(1, 6)]).double()
    result = lbfgs(objective, x0, steps=300, tolerance=1e-6, callback=lambda k, x: seen.append((k, x)))
    assert result.iterations[0] == 0 and result.evaluations[0] == 1 and result.converged.all()
    assert result.evaluations[1] < result.evaluations[2] == len(calls) == len(seen)
    iterates = torch.stack([x for _, x in seen])
    assert torch.equal(result.iterations, (iterates.diff(dim=0) != 0).any(2).sum(0))
    assert (result.iterations < result.evaluations - 1).any()
    end = result.evaluations[1]
    assert all(torch.equal(x[1], result.x[1]) for _, x in seen[end - 1 :])
    assert not torch.equal(seen[end - 2][1][1], result.x[1])
    assert [k for k, _ in seen] == list(range(len(seen))) and torch.equal(seen[-1][1], result.x)
    for (_, x), row in zip(seen, result.history["objective"], strict=True):
        torch.testing.assert_close(rosenbrock(x), row)
    assert (result.history["objective"].diff(dim=0) <= 1e-12).all()


def test_lbfgs_in_float32_reaches_the_rounding_floor():
    d, objective = quadratic(1e2, 30)
    shifted = lambda x: objective(x) + 1000  # the decrease soon drowns in the offset  # noqa: E731
    result = lbfgs(shifted, torch.zeros(3, 30), steps=300, tolerance=1e-3)
    assert result.x.dtype == torch.float32 and result.converged.all()
    assert ((result.x - 1 / d).norm(dim=1) <= 1e-2 * (1 / d).norm()).all()
    endless = lbfgs(shifted, torch.zeros(3, 30), steps=400, tolerance=0.0)
    assert not endless.converged.any() and ((endless.x - 1 / d).norm(dim=1) <= 1e-4).all()


def test_lbfgs_gives_up_on_a_gradient_of_the_wrong_sign():
    wrong = lambda x: (2 * x.detach().square() - x.square()).sum(1)  # noqa: E731
    result = lbfgs(wrong, randn(2, 3), steps=100)
    assert not result.converged.any() and (result.evaluations < 40).all() and (result.iterations == 0).all()
    assert (result.evaluations == 1 + LBFGS.trials + 1).all()  # the start, the trials, the best of them once more


def on_a_line(f0, g0, f1, g1):
    """A function of one number with the value f0 and the slope g0 at 0, and f1 and g1 everywhere else."""

    def objective(x):
        at = (x.detach() != 0).long()
        return (x.new_tensor([f0, f1])[at] + x.new_tensor([g0, g1])[at] * (x - x.detach()))[:, 0]

    return objective


EPS = torch.finfo(torch.float64).eps


@pytest.mark.parametrize(
    ("f0", "t", "f1", "g1", "taken"),
    [
        (0.0, 2.0, -0.6e-4, 1.5, True),  # f falls by more than 1e-4 t |slope| = 0.5e-4 …
        (0.0, 2.0, -0.4e-4, 1.5, False),  # … or by less
        (0.0, 0.5, -0.2e-4, 1.5, True),
        (0.0, 1.0, 0.0, 1.5, False),
        (0.0, 1.0, -1.0, -0.44, True),  # the slope at the end is 0.9 of that at the start, or flatter …
        (0.0, 1.0, -1.0, -0.46, False),  # … or steeper: too short a step
        (1.0, 1.0, 1 + 2 * EPS, 0.0, True),  # f changes by its rounding error: the slope decides
        (1.0, 1.0, 1 + 8 * EPS, 0.0, False),
        (1.0, 1.0, 1.0, 0.499875, True),  # at most 1 − 2e-4 of that at the start
        (1.0, 1.0, 1.0, 0.499925, False),
        (1.0, 1.0, 1.0, 0.75, False),
        (1.0, 1.0, float("nan"), 0.0, False),
        (1.0, 1.0, -float("inf"), 0.0, False),
        (1.0, 1.0, 0.5, float("nan"), False),
    ],
)
def test_lbfgs_takes_a_step_under_the_weak_wolfe_conditions(f0, t, f1, g1, taken):
    """From x = 0 with ∇f = −1/2 along d = 1/2: the slope is −1/4 at the start, g₁/2 at the end."""
    objective, x0 = on_a_line(f0, -0.5, f1, g1), torch.zeros(1, 1, dtype=torch.float64)
    result = lbfgs(objective, x0, steps=1, initial_step=t, tolerance=0)
    assert result.iterations.item() == taken and result.x.item() == taken * t / 2


CUBIC = (25 + 925**0.5) / 150  # where 25 t³ − 12.5 t² − t is least
STEEP_THEN_FLAT = -torch.tensor([1.0, 100.0, 0.95], dtype=torch.float64)


@pytest.mark.parametrize(
    ("f", "trials"),
    [
        (lambda x: -x + x**2 + x**3, [1, 1 / 3]),  # too long: the minimum of the cubic through both ends …
        (lambda x: -x + 1.5 * x**2, [1, 1 / 3]),
        (lambda x: -x + 50 * x**2, [1, 0.1]),  # … but a tenth at least
        (lambda x: -x + 1.001 * x**9, [1, 0.5]),  # … and a half at most
        (lambda x: -x / (x < 0.9), [1, 0.5]),  # infinite: a half
        # Too short: where the slope, a straight line, would vanish; tenfold at most.
        (lambda x: -x + x**2 / 40, [1, 10]),
        (lambda x: -x, [1, 10, 100]),
        # Twofold at least: the secant through the slopes −100 and −0.95 wants 1.01 times as much.
        (
            lambda x: -100 * x + STEEP_THEN_FLAT[(x.detach() > 0).long() + (x.detach() > 5)] * (x - x.detach()),
            [1, 10, 20],
        ),
        # Too long, then too short: half the way between.
        (lambda x: -x + 50 * (x - 0.5).clamp_min(0) ** 2, [1, CUBIC, (1 + CUBIC) / 2]),
    ],
)
def test_lbfgs_changes_the_step_as_the_interpolation_says(f, trials):
    seen = []

    def objective(x):
        seen.append(x.item())
        return f(x)[:, 0]

    lbfgs(objective, torch.zeros(1, 1, dtype=torch.float64), steps=len(trials))
    assert seen == pytest.approx([0, *trials], rel=1e-12)


def test_lbfgs_survives_infinite_trials_and_kinks():
    walled = lambda x: torch.where(x.abs().amax(1) < 2, (x - 1.9).square().sum(1), float("inf"))  # noqa: E731
    result = lbfgs(walled, torch.full((2, 3), -1.9, dtype=torch.float64), steps=100, initial_step=1e6)
    assert (result.x - 1.9).abs().max() < 1e-4
    abyss = lambda x: torch.where(x.abs().amax(1) < 2, (x - 1.9).square().sum(1), -float("inf"))  # noqa: E731
    result = lbfgs(abyss, torch.full((2, 3), -1.9, dtype=torch.float64), steps=100, initial_step=1e6)
    assert (result.x - 1.9).abs().max() < 1e-4
    kinked = lbfgs(lambda x: (x - 0.3).abs().sum(1), randn(4, 5), steps=200)
    assert (kinked.history["objective"][-1] < 1e-6).all()


def test_lbfgs_rejects_a_start_without_value():
    x0 = torch.ones(3, 2)
    x0[1] = -1
    with pytest.raises(ValueError, match=r"x0: .*finite objective.*\[1\]"):
        lbfgs(lambda x: x.log().sum(1), x0)


def test_adam_is_that_of_torch():
    x0 = randn(3, 7)
    seen = []
    result = adam(rosenbrock, x0, steps=50, lr=0.05, callback=lambda k, x: seen.append(x))
    x = x0.clone().requires_grad_()
    optimizer = torch.optim.Adam([x], lr=0.05)
    for _ in range(50):
        optimizer.zero_grad()
        rosenbrock(x).sum().backward()
        optimizer.step()
    assert torch.equal(result.x, x.detach()) and len(seen) == 51 and torch.equal(seen[0], x0)
    values = result.history["objective"]
    torch.testing.assert_close(values[-1], rosenbrock(result.x))
    assert values.shape == (51, 3) and not result.converged.any() and result.evaluations.tolist() == [51] * 3


def test_adam_keeps_a_lost_image_to_itself():
    x0 = randn(3, 4).abs()
    x0[1, 2] = -1
    result = adam(lambda x: (x - x.log()).sum(1), x0, steps=20)
    assert result.history["objective"][-1].isfinite().tolist() == [True, False, True]


def dense_tv_minimum(A, y, phi, lam, shape, box=None):
    """The least objective, by SciPy on a smoothed TV, independent of any primal-dual method."""
    bounds = [box] * int(np.prod(shape)) if box else None

    def smoothed(v, eps):
        x = torch.from_numpy(v).reshape(shape).requires_grad_()
        tv = (phi.norms(phi.gradient(x)).square() + eps**2).sqrt().sum()
        f = 0.5 * (A(x) - y).square().sum() + lam * tv
        f.backward()
        return f.item(), x.grad.numpy().ravel()

    v = np.full(int(np.prod(shape)), 0.5)
    for eps in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5):
        options = dict(maxiter=3000, maxfun=6000, ftol=1e-15, gtol=1e-9)
        v = minimize(smoothed, v, args=(eps,), jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    x = torch.from_numpy(v).reshape(shape)
    return (0.5 * (A(x) - y).square().sum() + lam * phi(x)).item()


@pytest.mark.parametrize("box", [None, (0.0, 0.45)])
@pytest.mark.parametrize("name", OPERATORS)
def test_primal_dual_reaches_the_minimum_of_scipy(name, box):
    A, phi = OPERATORS[name](6, 8), TV(coupled=False)
    x = torch.rand(1, 1, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = A(x)
    result = primal_dual(y, A, phi, 0.05, box=box, steps=3000, tolerance=1e-9)
    value = (0.5 * (A(result.x) - y).square().sum() + 0.05 * phi(result.x)).item()
    least = dense_tv_minimum(A, y, phi, 0.05, x.shape, box)
    assert value == pytest.approx(result.history["objective"][-1].item())
    assert abs(value - least) <= 3e-4 * least and value <= least * (1 + 1e-5)
    if box:
        free = primal_dual(y, A, phi, 0.05).history["objective"][-1]
        assert result.x.min() >= box[0] and result.x.max() <= box[1] and value > 1.01 * free


def test_primal_dual_with_identity_is_the_prox_of_tv():
    A = Stand(lambda x: x, lambda y: y, lambda v, y, rho: (y + col(rho) * v) / (1 + col(rho)), 1.0)
    y = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    lam = torch.tensor([0.05, 0.2], dtype=torch.float64)
    result = primal_dual(y, A, TV(), lam, steps=5000, tolerance=1e-8)
    torch.testing.assert_close(result.x, TV(iterations=5000, tolerance=1e-7).prox(y, lam), rtol=0, atol=1e-5)
    unregularized = primal_dual(y, A, TV(), 0.0, x0=torch.zeros_like(y))
    torch.testing.assert_close(unregularized.x, y, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", OPERATORS)
def test_primal_dual_defaults_and_batches(name):
    """The defaults end within 1e-3 of the optimum, and an image alone is as in a batch."""
    A, phi = OPERATORS[name](20, 16), TV()
    grid = torch.linspace(0, 3, 16, dtype=torch.float64)
    x = ((grid.sin()[None] + torch.linspace(0, 4, 20, dtype=torch.float64).cos()[:, None]) > 0.7).double()
    y = A(torch.stack([x, 0.5 * x])[:, None].expand(2, 3, 20, 16))
    y = y + 0.02 * randn(*y.shape, seed=3)
    lam = torch.tensor([0.01, 0.1], dtype=torch.float64)
    seen = []
    result = primal_dual(y, A, phi, lam, callback=lambda k, x: seen.append(k))
    assert result.converged.all() and seen == list(range(int(result.iterations.max()) + 1))
    least = primal_dual(y, A, phi, lam, steps=1500, tolerance=0.0).history["objective"][-1]
    assert (result.history["objective"][-1] <= least * (1 + 1e-3)).all()
    for b in range(2):
        alone = primal_dual(y[b : b + 1], A, phi, lam[b].item())
        torch.testing.assert_close(alone.x[0], result.x[b], rtol=0, atol=1e-10)
        assert alone.iterations == result.iterations[b]


def test_primal_dual_does_not_stop_at_data_that_it_fits():
    """From x0 = Aᵀy/‖A‖² of a mask, the first step moves the dual variable alone."""
    A = mask(16, 16)
    y = A(torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    result = primal_dual(y, A, TV(), 0.02)
    assert result.iterations > 10 and result.history["objective"][-1] < 0.8 * result.history["objective"][0]


@pytest.mark.parametrize("device", DEVICES)
def test_conjugate_gradient_is_the_dense_solve(device):
    M = positive_definite(4, 10).to(device)
    b = randn(4, 2, 5, seed=1).to(device)
    b[2] = 0
    apply = lambda x: (M[: len(x)] @ x.flatten(1)[..., None]).reshape(x.shape)  # noqa: E731
    result = conjugate_gradient(apply, b, tolerance=1e-12)
    torch.testing.assert_close(result.x.flatten(1), torch.linalg.solve(M, b.flatten(1)), rtol=1e-8, atol=1e-9)
    assert result.converged.all() and result.iterations[2] == 0 and result.history["residual"][-1].max() <= 1e-12
    x0 = randn(4, 2, 5, seed=2).to(device)
    torch.testing.assert_close(conjugate_gradient(apply, b, x0, tolerance=1e-12).x, result.x)
    torch.testing.assert_close(conjugate_gradient(apply, b[:2], tolerance=1e-12).x, result.x[:2])


def test_conjugate_gradient_ends_after_as_many_steps_as_eigenvalues():
    d = torch.tensor([1.0, 1, 1, 5, 5, 30], dtype=torch.float64)
    result = conjugate_gradient(lambda x: d * x, randn(3, 6), tolerance=1e-10)
    assert result.iterations.tolist() == [3, 3, 3]
    assert not conjugate_gradient(lambda x: d * x, randn(3, 6), steps=2, tolerance=1e-10).converged.any()


def test_conjugate_gradient_counts_its_products_and_reports_relative_residuals():
    M, calls = positive_definite(1, 6)[0], []
    b, x0 = torch.stack([randn(6), torch.zeros(6).double()]), randn(2, 6, seed=1)

    def apply(x):
        calls.append(x.clone())
        return x @ M

    result = conjugate_gradient(apply, b, x0, steps=3, tolerance=0)
    assert len(calls) == 4 and (result.evaluations == 4).all() and (result.iterations == 3).all()
    size = torch.stack([b[0].norm(), torch.ones(()).double()])  # for b = 0 the residual itself
    for k, x in ((0, x0), (-1, result.x)):
        torch.testing.assert_close(result.history["residual"][k], (b - x @ M).norm(dim=1) / size)


def test_conjugate_gradient_wants_a_positive_definite_matrix():
    for apply in (lambda x: -x, lambda x: 0 * x):
        with pytest.raises(ValueError, match=r"apply: .*positive definite"):
            conjugate_gradient(apply, torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"apply\(x0\): .*\[2, 3\].*\[2, 1\]"):
        conjugate_gradient(lambda x: x[:, :1], torch.ones(2, 3))


def test_what_a_callback_returns_is_a_curve_beside_the_others():
    A, seen = mask(6, 6), []
    x = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def error(k, u):
        seen.append(u)
        return {"error": (u - x).square().sum((1, 2, 3))}

    runs = [
        solvers.fista(A(x), A, L1(), 0.01, steps=7, callback=error),
        primal_dual(A(x), A, TV(), 0.01, steps=7, tolerance=0, callback=error),
        solvers.iht(A(x), A, 5, steps=7, callback=error),
        adam(lambda u: (u - x).square().sum((1, 2, 3)), torch.zeros_like(x), steps=7, callback=error),
        lbfgs(lambda u: (u - x).pow(4).sum((1, 2, 3)), torch.zeros_like(x), steps=7, callback=error),
    ]
    for run in runs:
        rows = len(run.history["objective"])
        expected = torch.stack([(u - x).square().sum((1, 2, 3)) for u in seen[:rows]])
        assert torch.equal(run.history["error"], expected) and torch.equal(seen[rows - 1], run.x)
        del seen[:rows]
    assert not seen


class TestDriver:
    """`iterate` on steps that double x: what is done stays as it is, and the rows are those of the iterates."""

    x = torch.tensor([1.0, 3.0, 100.0])

    def test_images_that_are_done_are_frozen_and_counted(self):
        run = iterate(
            lambda k, x: {"x": 2 * x, "done": 2 * x > 10}, {"x": self.x}, lambda x, **_: {"size": x.abs()}, 10
        )
        assert run.x.tolist() == [16, 12, 200] and run.iterations.tolist() == [4, 2, 1] == run.evaluations.tolist()
        assert run.converged.all() and run.history["size"][:, 1].tolist() == [3, 6, 12, 12, 12]

    def test_it_stops_after_as_many_steps_as_it_may(self):
        seen = []
        run = iterate(
            lambda k, x, t: {"x": x + t, "t": t + k},
            {"x": self.x, "t": 0 * self.x},
            lambda t, **_: {"t": t},
            3,
            done=self.x > 10,
            callback=lambda k, x: seen.append((k, x.tolist())),
        )
        assert run.x.tolist() == [2, 4, 100] and run.converged.tolist() == [False, False, True]
        assert run.history["t"].tolist() == [[0, 0, 0], [0, 0, 0], [1, 1, 0], [3, 3, 0]]
        assert seen == [(0, [1, 3, 100]), (1, [1, 3, 100]), (2, [1, 3, 100]), (3, [2, 4, 100])]

    def test_a_state_may_count_for_itself_and_have_a_latent(self):
        state = {"x": self.x, "z": -self.x, "evaluations": torch.tensor([5, 6, 7]), "converged": self.x > 10}
        run = iterate(lambda k, x, z, **_: {"z": z - 1}, state, lambda **_: {}, 2, estimate="x", latent="z")
        assert torch.equal(run.z, -self.x - 2) and run.evaluations.tolist() == [5, 6, 7]
        assert run.converged.tolist() == [False, False, True] and run.iterations.tolist() == [2, 2, 2]


def with_counts(n):
    """What solvers make of n as a number of steps, of values kept, of curvature pairs."""
    A, x0 = mask(4, 4), randn(2, 3)
    y = A(randn(2, 1, 4, 4))
    yield solvers.ista(y, A, L1(), 0.01, steps=n).x
    yield solvers.admm(y, A, L1(), 0.01, steps=n, balance=n).x
    yield solvers.iht(y, A, n, steps=n).x
    yield solvers.omp(y, A, n).x
    yield solvers.keep_largest(y, n)
    yield adam(rosenbrock, x0, steps=n).x
    yield lbfgs(rosenbrock, x0, steps=n, memory=n).x


@pytest.mark.parametrize("integer", [np.int64, np.int32])
def test_numpy_integers_are_counts(integer):
    assert all(torch.equal(a, b) for a, b in zip(with_counts(3), with_counts(integer(3)), strict=True))


def test_zero_steps_return_the_start():
    x0 = randn(2, 3)
    assert torch.equal(adam(rosenbrock, x0, steps=0).x, x0) and torch.equal(lbfgs(rosenbrock, x0, steps=0).x, x0)
    assert lbfgs(rosenbrock, x0, steps=0).history["objective"].shape == (1, 2)
    assert not adam(rosenbrock, x0, steps=0).converged.any()


BUDGETS = {
    "adam": dict(steps=200, lr=0.01),
    "admm": dict(rho=1.0, split=False, steps=200, tolerance=1e-4, balance=50),
    "condat_vu": dict(step=None, steps=1000, tolerance=3e-5, box=None),
    "conjugate_gradient": dict(steps=100, tolerance=1e-6),
    "fista": dict(step=None, restart=True, steps=500, tolerance=1e-6),
    "gradient_descent": dict(lipschitz=None, step=None, steps=500, tolerance=1e-6),
    "iht": dict(step=None, steps=300, tolerance=1e-6),
    "ista": dict(step=None, steps=500, tolerance=1e-6),
    "lbfgs": dict(steps=200, memory=10, tolerance=1e-5, initial_step=None),
    "omp": dict(tolerance=1e-6),
    "primal_dual": dict(steps=500, tolerance=3e-5, box=None),
}
"""The defaults with which the figures and the stored outputs of the notebooks were made: others ask for new ones."""


@pytest.mark.parametrize(
    "name", [name for name, f in vars(solvers).items() if callable(f) and name not in ("Result", "keep_largest")]
)
def test_a_solver_is_silent_and_has_the_defaults_of_the_figures(name):
    parameters = inspect.signature(getattr(solvers, name)).parameters
    defaults = {key: p.default for key, p in parameters.items() if p.default is not p.empty}
    rest = {"disable": True, "callback": None} | ({"x0": None} if "x0" in defaults else {})
    assert defaults == BUDGETS[name] | rest
