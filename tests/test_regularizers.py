"""The regularizers against dense references, scikit-image, and the laws that hold for every prox."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from skimage.restoration import denoise_tv_chambolle

from course_lib.common import per_image
from course_lib.regularizers import TV, Box, gradient, gradient_adjoint

EXACT = dict(iterations=5000, tolerance=1e-6)
TVS = {
    "isotropic": TV(**EXACT),
    "anisotropic": TV(isotropic=False, **EXACT),
    "uncoupled": TV(coupled=False, **EXACT),
    "anisotropic uncoupled": TV(isotropic=False, coupled=False, **EXACT),
}
REGULARIZERS = {**TVS, "box": Box()}
DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense_gradient(channels, height, width):
    """The matrix of ∇, built entry by entry, in the order [2, C, H, W] × [C, H, W]."""
    D = np.zeros((2, channels, height, width, channels, height, width))
    for c, i, j in np.ndindex(channels, height, width):
        for axis, (k, m) in enumerate(((i + 1, j), (i, j + 1))):
            if k < height and m < width:
                D[axis, c, i, j, c, k, m], D[axis, c, i, j, c, i, j] = 1, -1
    return D.reshape(2 * channels * height * width, -1)


def dense_groups(name, p):
    """p [2, C, H, W] as rows, one for each norm that the TV of that name adds up."""
    if name == "isotropic":
        return p.reshape(-1, p.shape[2] * p.shape[3]).T
    if name == "anisotropic":
        return p.transpose(0, 2, 3, 1).reshape(-1, p.shape[1])
    return p.transpose(1, 2, 3, 0).reshape(-1, 2) if name == "uncoupled" else p.reshape(-1, 1)


@pytest.mark.parametrize("shape", [(2, 3, 5, 8), (1, 1, 1, 4), (1, 2, 7, 1)])
def test_gradient_is_dense_matrix_and_adjoint_its_transpose(shape):
    x, p = images(*shape), images(shape[0], 2, *shape[1:], seed=1)
    D = torch.from_numpy(dense_gradient(*shape[1:]))
    torch.testing.assert_close(gradient(x).flatten(1), x.flatten(1) @ D.T, rtol=0, atol=1e-14)
    left, right = (gradient(x) * p).sum(), (x * gradient_adjoint(p)).sum()
    assert abs(left - right) <= 1e-12 * gradient(x).norm() * p.norm() + 1e-14
    assert torch.linalg.matrix_norm(D, 2) ** 2 <= TV.norm_squared


@pytest.mark.parametrize("name", TVS)
def test_tv_value_and_support_function(name):
    x = images(2, 3, 5, 4)
    p = gradient(x)
    expected = [np.linalg.norm(dense_groups(name, q.numpy()), axis=1).sum() for q in p]
    np.testing.assert_allclose(TVS[name](x), expected, rtol=1e-13)
    ball = TVS[name].project(1e6 * p, torch.tensor([1.0, 2.0], dtype=x.dtype))
    inner = (ball * p).flatten(1).sum(1)
    np.testing.assert_allclose(inner, np.array([1, 2]) * expected, rtol=1e-12)


@pytest.mark.parametrize("name", TVS)
def test_tv_prox_is_the_minimizer_of_a_smoothed_dense_problem(name):
    """Independent of the dual method: L-BFGS-B of SciPy on the primal problem with √(|d|² + ε²) in place of |d|."""
    v, tau, eps = images(1, 2, 4, 5), 0.15, 1e-6
    D, b = dense_gradient(2, 4, 5), v.flatten().numpy()

    def smoothed(x, eps):
        p = (D @ x).reshape(2, 2, 4, 5)
        p = torch.from_numpy(p).requires_grad_()
        groups = {"isotropic": (0, 1), "anisotropic": (1,), "uncoupled": (0,), "anisotropic uncoupled": ()}[name]
        squares = p.square().sum(groups) if groups else p.square()
        total = (squares + eps**2).sqrt().sum()
        total.backward()
        return 0.5 * ((x - b) ** 2).sum() + tau * total.item(), x - b + tau * D.T @ p.grad.numpy().ravel()

    x, options = b, dict(maxiter=5000, maxfun=10000, ftol=0, gtol=1e-9)
    for e in (1e-2, 1e-3, 1e-4, 1e-5, eps):
        x = minimize(smoothed, x, args=(e,), jac=True, method="L-BFGS-B", options=options).x
    result = TVS[name].prox(v, tau).flatten().numpy()
    assert np.linalg.norm(result - x) <= 2e-3 * np.linalg.norm(x)
    assert smoothed(result, 0 + 1e-12)[0] <= smoothed(x, 1e-12)[0] + 1e-9
    assert np.linalg.norm(result - b) > 0.1 * np.linalg.norm(b)


@pytest.mark.parametrize("name", TVS)
def test_tv_prox_is_the_projected_gradient_dual_in_numpy(name):
    v, tau = images(1, 2, 4, 5), 0.15
    D, b = dense_gradient(2, 4, 5), v.flatten().numpy()
    p = np.zeros(len(D))
    index = dense_groups(name, np.arange(len(D)).reshape(2, 2, 4, 5))
    for _ in range(6000):
        p = p + D @ (b - D.T @ p) / 8
        norms = np.linalg.norm(p[index], axis=1, keepdims=True)
        p[index] = p[index] * np.minimum(1, tau / np.maximum(norms, 1e-30))
    np.testing.assert_allclose(TVS[name].prox(v, tau).flatten(), b - D.T @ p, atol=1e-5)


def test_tv_prox_agrees_with_scikit_image():
    v = images(1, 1, 24, 17)
    # scikit-image minimizes the same objective, weight · TV(x) + ½‖x − v‖².
    expected = denoise_tv_chambolle(v[0, 0].numpy(), weight=0.2, eps=1e-12, max_num_iter=1500)
    result = TVS["isotropic"].prox(v, 0.2)[0, 0].numpy()
    assert np.linalg.norm(result - expected) <= 1e-3 * np.linalg.norm(expected)


def test_tv_prox_of_a_step_in_closed_form():
    """A step of height h between halves of n columns: each level moves by τ/n towards the other."""
    v = torch.zeros(1, 1, 3, 8, dtype=torch.float64)
    v[..., 4:] = 1
    expected = 0.4 / 4 + (1 - 0.8 / 4) * v
    torch.testing.assert_close(TVS["isotropic"].prox(v, 0.4), expected, rtol=0, atol=1e-6)
    flat = TVS["isotropic"].prox(v, 10.0)
    torch.testing.assert_close(flat, torch.full_like(v, 0.5), rtol=0, atol=1e-6)


def test_default_tolerance_bounds_the_error():
    v = images(2, 3, 16, 16)
    for tau in (0.05, 0.3):
        error = (TV().prox(v, tau) - TVS["isotropic"].prox(v, tau)).flatten(1).norm(dim=1)
        assert (error <= 1e-3 * v.flatten(1).norm(dim=1)).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("phi", REGULARIZERS.values(), ids=list(REGULARIZERS))
def test_an_image_alone_is_as_in_a_batch(phi, device):
    v = 2 * images(3, 2, 6, 5).to(device) - 0.5
    tau = torch.tensor([0.0, 0.05, 0.3], dtype=v.dtype, device=device)
    batch = phi.prox(v, tau)
    assert batch.device == v.device and batch.dtype == v.dtype and phi.prox(v.float(), 0.1).dtype == torch.float32
    for b in range(3):
        torch.testing.assert_close(phi.prox(v[b : b + 1], tau[b].item()), batch[b : b + 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("phi", REGULARIZERS.values(), ids=list(REGULARIZERS))
@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), tau=st.floats(0.0, 0.5), height=st.integers(1, 6), width=st.integers(1, 6))
def test_prox_laws(phi, seed, tau, height, width):
    """Firmly non-expansive, ‖Pu − Pv‖² <= ⟨Pu − Pv, u − v⟩, and never worse than its input or a neighbour."""
    u, v, other = (4 * images(1, 2, height, width, seed=seed + i) - 1.5 for i in range(3))
    Pu, Pv = phi.prox(u, tau), phi.prox(v, tau)
    assert (Pu - Pv).square().sum() <= ((Pu - Pv) * (u - v)).sum() + 1e-5
    for x in (v, other.clamp(0, 1), Pv + 0.01 * (other - Pv)) if tau else ():
        worse = tau * (phi(x) - phi(Pv)) + 0.5 * ((x - v).square().sum() - (Pv - v).square().sum())
        assert worse >= -1e-9


@pytest.mark.parametrize("name", TVS)
def test_moreau_identity(name):
    """v = prox_{τφ}(v) + projection of v on {∇ᵀp: |p| <= τ}: the rest is a subgradient, ⟨v − x, x⟩ = τ TV(x)."""
    v, tau = images(2, 2, 6, 5), 0.1
    x = TVS[name].prox(v, tau)
    torch.testing.assert_close(((v - x) * x).flatten(1).sum(1), tau * TVS[name](x), rtol=1e-5, atol=1e-6)
    for seed in range(5):
        w = images(2, 2, 6, 5, seed=10 + seed) - 0.5
        assert (((v - x) * w).flatten(1).sum(1) <= tau * TVS[name](w) + 1e-9).all()
    torch.testing.assert_close(x.mean((2, 3)), v.mean((2, 3)))


def test_box():
    v = torch.tensor([[-1.0, 0.5], [0.2, 3.0]], dtype=torch.float64)[:, None, None]
    assert Box()(v).tolist() == [float("inf"), float("inf")] and Box(-1, 3)(v).tolist() == [0, 0]
    assert Box().prox(v, 7.0).flatten().tolist() == [0, 0.5, 0.2, 1]


def test_per_image():
    x = torch.zeros(3, 1, 2, 2)
    assert per_image("tau", 2, x).tolist() == [2, 2, 2] and per_image("tau", [1, 2, 3], x).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v: TV().prox(v, -1.0), "tau: .*>= 0"),
        (lambda v: TV().prox(v, float("nan")), "tau: .*finite"),
        (lambda v: TV().prox(v, torch.ones(3)), r"tau: .*\[2\].*\[3\]"),
        (lambda v: TV().prox(v[0], 1.0), r"v: .*\[B, C, H, W\].*\[1, 4, 4\]"),
        (lambda v: TV()(v * float("nan")), "x: .*finite"),
        (lambda v: TV()(v.long()), "x: .*float"),
        (lambda v: Box().prox(v.numpy(), 1.0), "v: .*ndarray"),
        (lambda v: Box(1, 0), "low"),
        (lambda v: TV(iterations=0), "iterations"),
        (lambda v: TV(tolerance=-1), "tolerance"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.zeros(2, 1, 4, 4))
