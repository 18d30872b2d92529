"""The three rules against closed forms: Tikhonov and soft thresholding, diagonal operators, where all is a formula."""

import pytest
import torch

from course_lib import regularizers
from course_lib.operators import Blur, Identity, Mask, gaussian_kernel
from course_lib.solvers import selection

SIGMA = 0.1
LAMS = torch.logspace(-4, 1, 101, dtype=torch.float64)


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def column(lam):
    return lam.reshape(-1, 1, 1, 1)


def ridge(a):
    """argmin ½‖a ⊙ x − y‖² + λ ½‖x‖² = a y / (a² + λ)."""
    return lambda y, lam: a * y / (a**2 + column(lam))


@pytest.fixture
def problem():
    """Two images, y = a ⊙ x + n with decaying a, and x larger where a is."""
    a = torch.logspace(0, -3, 120, dtype=torch.float64).reshape(1, 10, 12)
    x = randn(2, 1, 10, 12) * a**0.5 * torch.tensor([1.0, 4.0]).double().reshape(2, 1, 1, 1)
    return a, x, a * x + SIGMA * randn(2, 1, 10, 12, seed=1)


def test_discrepancy_of_denoising_in_closed_form():
    """‖y/(1 + λ) − y‖ = λ/(1 + λ) ‖y‖, so λ = r/(1 − r) with r = σ√m/‖y‖."""
    y = randn(3, 2, 6, 7) * torch.tensor([0.5, 1.0, 3.0]).double().reshape(3, 1, 1, 1)
    chosen = selection.discrepancy(y, Identity(), ridge(1.0), SIGMA, tolerance=1e-9, steps=60)
    r = SIGMA * 84**0.5 / y.flatten(1).norm(dim=1)
    torch.testing.assert_close(chosen.lam, r / (1 - r), rtol=1e-8, atol=0)
    torch.testing.assert_close(chosen.x, y * (1 - r).reshape(3, 1, 1, 1), rtol=1e-8, atol=0)
    torch.testing.assert_close(chosen.values[-1], torch.full_like(r, 84 * SIGMA**2), rtol=1e-8, atol=0)


def test_discrepancy_counts_what_was_measured():
    mask = torch.arange(84).reshape(1, 12, 7) % 3 > 0
    A, y = Mask(mask), randn(1, 1, 12, 7) * mask
    chosen = selection.discrepancy(y, A, ridge(mask.double()), SIGMA, measurements=int(mask.sum()), tolerance=1e-9)
    assert abs(chosen.values[-1].item() - 56 * SIGMA**2) < 1e-8


def test_sure_is_the_formula_where_the_operator_is_diagonal(problem):
    """A x_λ = a²/(a² + λ) y, so div = Σ a²/(a² + λ); random signs make the Monte Carlo divergence exact."""
    a, _, y = problem
    chosen = selection.sure(y, Mask(a), ridge(a), SIGMA, LAMS)
    filters = (a**2).flatten() / ((a**2).flatten() + LAMS[:, None])  # [K, m]
    expected = torch.stack(
        [((f - 1) * y.flatten(1)).square().sum(1) - 120 * SIGMA**2 + 2 * SIGMA**2 * f.sum() for f in filters]
    )
    torch.testing.assert_close(chosen.values, expected, rtol=0, atol=1e-9)
    assert torch.equal(chosen.lam, LAMS[expected.argmin(0)])
    torch.testing.assert_close(chosen.x, ridge(a)(y, chosen.lam))
    assert expected.argmin(0).min() > 5 and expected.argmin(0).max() < 95 and chosen.lam[0] != chosen.lam[1]


def test_sure_of_soft_thresholding_is_donoho_and_johnstones():
    """Σ min(y², λ²) − m σ² + 2σ² #{|y| > λ} (1995)."""
    y, phi = randn(1, 3, 20, 20), regularizers.L1()
    lams = torch.linspace(0.01, 1, 30, dtype=torch.float64)
    chosen = selection.sure(y, Identity(), lambda y, lam: phi.prox(y, lam), SIGMA, lams, epsilon=1e-9)
    for lam, value in zip(lams, chosen.values[:, 0], strict=True):
        expected = y.square().clamp_max(lam**2).sum() + SIGMA**2 * (2 * (y.abs() > lam).sum() - y.numel())
        assert abs(value - expected) < 1e-5 * abs(expected) + 1e-5


def test_sure_is_unbiased_for_the_predicted_risk():
    """The mean over 4000 noises, all at once; a biased estimate, without the divergence, would miss by 20 errors."""
    a = torch.linspace(1, 0.05, 30, dtype=torch.float64).reshape(1, 5, 6)
    x = randn(1, 1, 5, 6).expand(4000, -1, -1, -1)
    y = a * x + SIGMA * randn(4000, 1, 5, 6, seed=2)
    for lam in (0.003, 0.1):
        chosen = selection.sure(y, Mask(a), ridge(a), SIGMA, [lam])
        gap = chosen.values[0] - (a * (chosen.x - x)).flatten(1).square().sum(1)
        assert abs(gap.mean()) < 4 * gap.std() / 4000**0.5


def test_sure_probes_the_trace_of_an_operator_that_is_not_diagonal():
    A = Blur(gaussian_kernel(1.0, dtype=torch.float64))
    y = randn(1, 1, 32, 32)
    k2 = torch.fft.fft2(A(torch.eye(1024, dtype=torch.float64)[:1].reshape(1, 1, 32, 32))).abs().square()

    def solve(y, lam):
        return A.T(torch.fft.ifft2(torch.fft.fft2(y) / (k2 + column(lam))).real)

    chosen = selection.sure(y, A, solve, SIGMA, [0.01], seed=3)
    residual = (A(solve(y, torch.tensor([0.01]))) - y).square().sum()
    divergence = (chosen.values[0, 0] - residual + 1024 * SIGMA**2) / (2 * SIGMA**2)
    filters = k2 / (k2 + 0.01)
    assert abs(divergence - filters.sum()) < 4 * (2 * filters.square().sum()).sqrt()


def test_l_curve_has_the_curvature_of_the_exact_derivatives(problem):
    a, _, y = problem
    phi = regularizers.SquaredL2()
    chosen = selection.l_curve(y, Mask(a), ridge(a), phi, LAMS)

    def points(t):
        filters = (a**2).flatten() / ((a**2).flatten() + t.exp()[:, None])
        Y = y[0].flatten()
        rho, eta = ((filters - 1) * Y).square().sum(1), 0.5 * (filters * Y / a.flatten()).square().sum(1)
        return rho.log(), eta.log()

    t = LAMS.log().requires_grad_()
    first = [torch.autograd.grad(c.sum(), t, create_graph=True)[0] for c in points(t)]
    (r1, e1), (r2, e2) = first, [torch.autograd.grad(d.sum(), t, retain_graph=True)[0] for d in first]
    exact = ((r1 * e2 - e1 * r2) / (r1**2 + e1**2) ** 1.5).detach()
    assert (chosen.values[2:-2, 0] - exact[2:-2]).abs().max() < 0.02 * exact.abs().max()
    corner = 2 + exact[2:-2].argmax()
    assert LAMS[corner - 1] <= chosen.lam[0] <= LAMS[corner + 1] and chosen.values.amax() > 0.1
    torch.testing.assert_close(chosen.residuals[:, 0].log(), points(t)[0].detach())
    torch.testing.assert_close(chosen.penalties[:, 0].log(), points(t)[1].detach())


def test_bend_of_a_circle():
    """A circle of radius r, run through counterclockwise, has curvature 1/r; clockwise, −1/r."""
    t = torch.linspace(0, 3, 400, dtype=torch.float64)
    x, y = 2 * torch.cos(t**1.5)[:, None], 2 * torch.sin(t**1.5)[:, None]
    assert ((selection.bend(t, x, y) - 0.5).abs()[20:-2] < 1e-3).all()
    assert ((selection.bend(t, x, -y) + 0.5).abs()[20:-2] < 1e-3).all()


RULES = {
    "discrepancy": lambda a, y: selection.discrepancy(y, Mask(a), ridge(a), SIGMA),
    "l_curve": lambda a, y: selection.l_curve(y, Mask(a), ridge(a), regularizers.SquaredL2(), LAMS),
    "sure": lambda a, y: selection.sure(y, Mask(a), ridge(a), SIGMA, LAMS),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_an_image_alone_is_as_in_a_batch(rule, problem, device):
    a, _, y = (t.to(device) for t in problem)
    both = rule(a, y)
    assert both.lam.shape == (2,) and both.lams.shape == both.values.shape and both.x.device == y.device
    for b in range(2):
        alone = rule(a, y[b : b + 1])
        torch.testing.assert_close(alone.lam, both.lam[b : b + 1], rtol=1e-12, atol=0)
        torch.testing.assert_close(alone.x, both.x[b : b + 1], rtol=1e-12, atol=1e-15)
    single = rule(a.float(), y.float())
    assert single.lam.dtype == single.x.dtype == torch.float32
    torch.testing.assert_close(single.lam.double(), both.lam, rtol=0.3, atol=0)


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_the_choice_is_useful(rule, problem):
    """Within a factor of 1.5 of the best error in the space of the data, as a rule should be."""
    a, x, y = problem
    errors = torch.stack([(a * (ridge(a)(y, lam.expand(2)) - x)).flatten(1).norm(dim=1) for lam in LAMS])
    error = (a * (rule(a, y).x - x)).flatten(1).norm(dim=1)
    assert (error <= 1.5 * errors.amin(0)).all() and (errors.amax(0) > 2 * errors.amin(0)).all()


def nothing(y, lam):
    return y * float("nan")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y, A, s: selection.discrepancy(y, A, s, 9.0), "bounds: .*residuals around"),
        (lambda y, A, s: selection.discrepancy(y, A, nothing, 0.1), r"solve\(y, lam\): .*finite"),
        (lambda y, A, s: selection.discrepancy(y, A, lambda y, lam: y[:1], 0.1), r"solve\(y, lam\): .*2 images"),
        (lambda y, A, s: selection.discrepancy(y, lambda x: x[:, :, :2], s, 0.1), "y: .*shape of A"),
        (lambda y, A, s: selection.l_curve(0 * y, A, s, regularizers.SquaredL2(), LAMS), "lams: .*is 0 at"),
    ],
)
def test_what_solve_returns_is_looked_at(call, message):
    with pytest.raises(ValueError, match=message):
        call(randn(2, 1, 4, 4), Identity(), ridge(1.0))
