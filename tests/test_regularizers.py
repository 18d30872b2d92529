"""The regularizers against dense references, scikit-image, and the laws that hold for every prox."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.restoration import denoise_tv_chambolle

from course_lib.operators import DCT
from course_lib.regularizers import (
    L0,
    L1,
    L12,
    TV,
    Box,
    Nuclear,
    Regularizer,
    SquaredL2,
    Transformed,
    block_groups,
    channel_groups,
    gradient,
    gradient_adjoint,
)

TV_OPTIONS = {
    "isotropic": (True, True),
    "anisotropic": (False, True),
    "uncoupled": (True, False),
    "anisotropic uncoupled": (False, False),
}
TVS = {name: TV(*options, 5000, 1e-6) for name, options in TV_OPTIONS.items()}
"""As exact as can be."""

DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Orthonormal:
    """W as a random orthogonal matrix on the C·H·W values of an image."""

    def __init__(self, *shape, seed=3):
        n = int(np.prod(shape))
        self.matrix = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(seed)).double())[0]

    def __call__(self, x):
        return (x.flatten(1) @ self.matrix.T.to(x)).reshape(x.shape)

    def T(self, c):
        return (c.flatten(1) @ self.matrix.to(c)).reshape(c.shape)


def random_groups(*shape):
    """Labels with gaps, groups of unequal sizes, spread over the image; one value has a group of its own."""
    labels = 7 * torch.randint(0, 4, shape, generator=torch.Generator().manual_seed(5))
    labels.view(-1)[0] = 1000
    return labels


# A new regularizer earns all laws by a line here: a function of the image's [C, H, W].
REGULARIZERS = {
    **{f"tv {name}": lambda *_, options=options: TV(*options, 500, 1e-5) for name, options in TV_OPTIONS.items()},
    "box": lambda *_: Box(),
    "l0": lambda *_: L0(),
    "l1": lambda *_: L1(),
    "squared l2": lambda *_: SquaredL2(),
    "l12 channels": lambda c, h, w: L12(channel_groups(h, w)),
    "l12 blocks": lambda c, h, w: L12(block_groups(h, w, 2)),
    "l12 random": lambda *shape: L12(random_groups(*shape)),
    "nuclear": lambda *_: Nuclear(),
    "l1 transformed": lambda *shape: Transformed(L1(), Orthonormal(*shape)),
    "l12 transformed": lambda c, h, w: Transformed(L12(channel_groups(h, w)), Orthonormal(c, h, w)),
}


def unrolled(name, shape):
    """The regularizer; TV with few iterations, all of them done: derivatives are those of the iterations."""
    return TV(*TV_OPTIONS[name[3:]], 10, 0) if name.startswith("tv") else REGULARIZERS[name](*shape)


CONVEX = [name for name in REGULARIZERS if name != "l0"]


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


def test_a_ball_of_radius_0_is_a_point():
    p = gradient(images(1, 2, 4, 5))
    for phi in TVS.values():
        assert not phi.project(p, torch.zeros(1, dtype=p.dtype)).any()


def flat_images(shape):
    """Images where norms are 0: nothing, one value, one value in each half and channel."""
    halves = torch.zeros(1, *shape, dtype=torch.float64)
    halves[..., shape[-1] // 2 :] = torch.tensor([0.9, 0.4], dtype=torch.float64)[:, None, None]
    return {"zeros": 0 * halves, "flat": 0 * halves + 0.6, "halves": halves}


def derivatives(f, x, t, w):
    """Of ⟨w, f(x)⟩ along t: forward, in reverse; then the second ones, forward over reverse and twice in reverse."""
    scalar = lambda x: (w * f(x)).sum()  # noqa: E731
    slope = lambda x: (torch.func.grad(scalar)(x) * t).sum()  # noqa: E731
    first = torch.func.jvp(scalar, (x,), (t,))[1], slope(x)
    return first, (torch.func.jvp(slope, (x,), (t,))[1], (torch.func.grad(slope)(x) * t).sum())


@pytest.mark.parametrize("where", ["zeros", "flat", "halves"])
@pytest.mark.parametrize("name", REGULARIZERS)
def test_derivatives_at_flat_images(name, where):
    """Finite and right: those of the prox are limits of differences (at τ = 0 it is the identity), and φ, at a corner,
    goes with the mean of the slopes on both sides.
    """
    shape, h = (2, 3, 4), 1e-5
    phi = unrolled(name, shape)
    x, t = flat_images(shape)[where], images(1, *shape, seed=1) - 0.3
    w = images(1, *shape, seed=2)

    def check(f, w, corner=False):
        first, second = derivatives(f, x, t, w)
        below, at, above = ((w * f(x + step * t)).sum() for step in (-h, 0, h))
        for slope in first:
            torch.testing.assert_close(slope, (above - below) / (2 * h), rtol=1e-3, atol=1e-5)
        for curvature in second:
            assert curvature.isfinite()
            if not corner:
                torch.testing.assert_close(curvature, (above - 2 * at + below) / h**2, rtol=1e-2, atol=1e-3)

    tau = torch.tensor([0.25], dtype=torch.float64)
    f = lambda tau: phi.prox(x + 0.1 * t, tau)  # noqa: E731
    for slope in derivatives(f, tau, torch.ones_like(tau), w)[0]:
        expected = (w * (f(tau + h) - f(tau - h))).sum() / (2 * h)
        torch.testing.assert_close(slope, expected, rtol=1e-3, atol=1e-5)
    if name == "box":  # which is infinite beside its border
        for f, weight in ((phi, 1), (lambda v: phi.prox(v, 0.25), w)):
            assert all(value.isfinite() for pair in derivatives(f, x, t, weight) for value in pair)
        return
    check(phi, torch.ones(1, dtype=torch.float64), corner=True)
    check(lambda v: phi.prox(v, 0.25), w)
    first, second = derivatives(lambda v: phi.prox(v, 0.0), x, t, w)
    torch.testing.assert_close(torch.stack(first), (w * t).sum().expand(2))
    assert max(map(abs, second)) < 1e-9


@pytest.mark.parametrize("name", REGULARIZERS)
def test_derivatives_of_the_prox_at_any_image(name):
    """Against differences, entry by entry, with no two values alike: first and second order, for v and τ."""
    shape = (2, 2, 3)
    phi = unrolled(name, shape)
    v = (3 * images(2, *shape, seed=4) - 1).requires_grad_()
    inputs = v, torch.tensor([0.2, 0.3], dtype=torch.float64, requires_grad=True)
    options = {"fast_mode": True, "rtol": 1e-3, "atol": 1e-6}
    assert torch.autograd.gradcheck(phi.prox, inputs, check_forward_ad=True, **options)
    assert torch.autograd.gradgradcheck(phi.prox, inputs, check_fwd_over_rev=True, **options)
    if name not in ("box", "l0"):
        assert torch.autograd.gradcheck(phi, v, check_forward_ad=True, **options)
        assert torch.autograd.gradgradcheck(phi, v, check_fwd_over_rev=True, **options)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_autocast_changes_nothing(name):
    phi, v = REGULARIZERS[name](2, 4, 5), images(2, 2, 4, 5).float()
    phi = Transformed(phi.phi, DCT()) if isinstance(phi, Transformed) else phi  # with an operator of the library
    expected = phi(v), phi.prox(v, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        found = phi(v), phi.prox(v, 0.1)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", TVS)
def test_tv_prox_is_the_projected_gradient_dual_in_numpy(name):
    v, tau = images(1, 2, 4, 5), 0.15
    D, b = dense_gradient(2, 4, 5), v.flatten().numpy()
    p = np.zeros(len(D))
    index = dense_groups(name, np.arange(len(D)).reshape(2, 2, 4, 5))
    for _ in range(3000):
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
@pytest.mark.parametrize("name", REGULARIZERS)
def test_an_image_alone_is_as_in_a_batch(name, device):
    phi, v = REGULARIZERS[name](2, 6, 5), 2 * images(3, 2, 6, 5).to(device) - 0.5
    tau = torch.tensor([0.0, 0.05, 0.3], dtype=v.dtype, device=device)
    batch, values = phi.prox(v, tau), phi(v)
    assert batch.device == v.device and batch.dtype == v.dtype and phi.prox(v.float(), 0.1).dtype == torch.float32
    assert values.shape == (3,) and values.device == v.device and values.dtype == v.dtype
    assert phi(v.float()).dtype == torch.float32
    for b in range(3):
        torch.testing.assert_close(phi.prox(v[b : b + 1], tau[b].item()), batch[b : b + 1], rtol=0, atol=1e-12)
        torch.testing.assert_close(phi(v[b : b + 1]), values[b : b + 1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", REGULARIZERS)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), tau=st.floats(0.0, 0.5), height=st.integers(1, 5), width=st.integers(1, 5))
def test_prox_laws(name, seed, tau, height, width):
    """F(x) = τ φ(x) + ½‖x − v‖² is least at x = Pv; if φ is convex, F(x) >= F(Pv) + ½‖x − Pv‖², and P is firmly
    non-expansive, ‖Pu − Pv‖² <= ⟨Pu − Pv, u − v⟩."""
    phi = REGULARIZERS[name](2, height, width)
    u, v, other = (4 * images(1, 2, height, width, seed=seed + i) - 1.5 for i in range(3))
    Pu, Pv = phi.prox(u, tau), phi.prox(v, tau)
    if name in CONVEX:
        slack = 1e-3 if name[:2] == "tv" else 1e-9
        assert (Pu - Pv).square().sum() <= ((Pu - Pv) * (u - v)).sum() + slack
    for x in (v, 0 * v, other.clamp(0, 1), Pv + 0.01 * (other - Pv), (1 + 1e-3) * Pv) if tau else ():
        worse = tau * (phi(x) - phi(Pv)) + 0.5 * ((x - v).square().sum() - (Pv - v).square().sum())
        assert worse >= (0.5 * (x - Pv).square().sum() if name in CONVEX else 0) - 1e-5 * (name[:2] == "tv") - 1e-9


NORMS = [name for name in CONVEX if name not in ("box", "squared l2")]


@pytest.mark.parametrize("name", NORMS)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    taus=st.lists(st.floats(0.0, 0.5), min_size=1, max_size=3),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 10**6),
)
def test_moreau_identity_for_all_shapes(name, shape, taus, dtype, seed):
    """A norm φ: v = Pv + (v − Pv) with ⟨v − Pv, Pv⟩ = τ φ(Pv) and ⟨v − Pv, u⟩ <= τ φ(u) for all u; each image with a τ
    of its own, and as if it were alone."""
    phi = REGULARIZERS[name](*shape)
    v, u = (4 * images(len(taus), *shape, seed=seed + i).to(dtype) - 1.5 for i in range(2))
    tau, slack = torch.tensor(taus, dtype=dtype), 1e-3 * v.flatten(1).norm(dim=1).square() + 1e-6
    x = phi.prox(v, tau)
    assert x.dtype == dtype
    inner = [((v - x) * w).flatten(1).sum(1) for w in (x, u)]
    assert ((inner[0] - tau * phi(x)).abs() <= slack).all() and (inner[1] <= tau * phi(u) + slack).all()
    torch.testing.assert_close(phi.prox(v[-1:], taus[-1]), x[-1:], rtol=0, atol=1e-3)


def test_l0_prox_is_the_best_of_all_supports():
    v, tau = torch.tensor([0.2, -0.9, 0.71, -0.69, 1.5, 0.0], dtype=torch.float64), 0.245  # √(2τ) = 0.7
    supports = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 6)
    best = supports[(tau * supports.sum(1) + 0.5 * ((supports - 1) * v).square().sum(1)).argmin()] * v
    assert L0().prox(v.reshape(1, 1, 2, 3), tau).flatten().tolist() == best.tolist() == [0, -0.9, 0.71, 0, 1.5, 0]
    assert L0()(v.reshape(2, 1, 1, 3)).tolist() == [3, 2]


def project_group_ball(v, radius, labels):
    out = v.clone()
    for label in labels.unique():
        norm = v[:, labels == label].norm(dim=1, keepdim=True)
        out[:, labels == label] *= (radius / norm).clamp_max(1)
    return out


def clip_spectrum(v, radius):
    U, S, Vh = np.linalg.svd(v.flatten(2).numpy(), full_matrices=False)
    return torch.from_numpy(U * S.clip(max=radius)[:, None] @ Vh).reshape(v.shape)


SHAPE = (2, 4, 3)
CONJUGATES = {
    "box": lambda v, tau: (v - 1).clamp_min(0) + v.clamp_max(0),
    "l1": lambda v, tau: v.clamp(-tau, tau),
    "squared l2": lambda v, tau: v / (1 + 1 / tau),
    "l12 channels": lambda v, tau: v * (tau / v.norm(dim=1, keepdim=True)).clamp_max(1),
    "l12 random": lambda v, tau: project_group_ball(v, tau, random_groups(*SHAPE)),
    "nuclear": clip_spectrum,
    "l1 transformed": lambda v, tau: Orthonormal(*SHAPE).T(Orthonormal(*SHAPE)(v).clamp(-tau, tau)),
}


@pytest.mark.parametrize("name", CONJUGATES)
def test_moreau_identity_of_formulas(name):
    """v = prox_{τφ}(v) + prox_{(τφ)*}(v); for a norm the conjugate is the indicator of the dual ball of radius τ."""
    v, tau = 3 * images(2, *SHAPE, seed=4) - 1, 0.4
    x = REGULARIZERS[name](*SHAPE).prox(v, tau)
    rest = CONJUGATES[name](v, tau)
    torch.testing.assert_close(x + rest, v, rtol=0, atol=1e-12)
    assert rest.norm() > 0.1 * v.norm() and x.norm() > 0.1 * v.norm()


def test_values_in_closed_form():
    x = torch.tensor([[3.0, 0.0], [-4.0, 1.0]], dtype=torch.float64).reshape(1, 2, 1, 2)  # channels × pixels
    assert L1()(x).item() == 8 and L0()(x).item() == 3 and SquaredL2()(x).item() == 13
    torch.testing.assert_close(L12(channel_groups(1, 2))(x), torch.tensor([6.0], dtype=x.dtype))
    torch.testing.assert_close(L12(torch.tensor([[[0, 0]], [[1, 1]]]))(x), torch.tensor([3 + 17**0.5], dtype=x.dtype))
    rank_one = torch.outer(torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0, 2.0])).reshape(1, 2, 1, 3).double()
    torch.testing.assert_close(Nuclear()(rank_one), torch.tensor([15.0], dtype=x.dtype))
    torch.testing.assert_close(Nuclear().prox(rank_one, 5.0), rank_one * (10 / 15))


def test_nuclear_prox_lowers_the_rank_of_cubes():
    cube = images(2, 6, 5, 4) - 0.5
    s = torch.linalg.svdvals(cube.flatten(2))
    out = torch.linalg.svdvals(Nuclear().prox(cube, s[:, 2]).flatten(2))
    torch.testing.assert_close(out, (s - s[:, 2:3]).clamp_min(0), rtol=0, atol=1e-12)


def test_groups():
    assert channel_groups(2, 3).tolist() == [[[0, 1, 2], [3, 4, 5]]]
    assert block_groups(3, 5, 2).tolist() == [[[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]]]
    # Groups for each image, and labels that are far apart cost nothing.
    v = images(2, 1, 1, 4)
    labels = torch.tensor([[0, 0, 10**12, 10**12], [5, 5, 5, 9]]).reshape(2, 1, 1, 4)
    both = L12(labels).prox(v, 0.3)
    for b in range(2):
        torch.testing.assert_close(both[b : b + 1], L12(labels[b]).prox(v[b : b + 1], 0.3), rtol=0, atol=1e-15)
    assert L12(labels).count == 4 and L12(block_groups(5, 7, 2)).count == 12  # memory follows the number of groups


def test_box():
    v = torch.tensor([[-1.0, 0.5], [0.2, 3.0]], dtype=torch.float64)[:, None, None]
    assert Box()(v).tolist() == [float("inf"), float("inf")] and Box(-1, 3)(v).tolist() == [0, 0]
    assert Box().prox(v, 7.0).flatten().tolist() == [0, 0.5, 0.2, 1]
    assert Box(0.5, 0.5).prox(v, 1.0).unique().tolist() == [0.5]  # it may be a point


class Scaled:
    """c x, or x twice: a tight frame, ‖W x‖ = ‖x‖ with twice as many values."""

    def __init__(self, c, copies=1):
        self.c, self.copies = c, copies

    def __call__(self, x):
        return self.c * torch.cat([x] * self.copies, 1)

    def T(self, c):
        return self.c * sum(c.chunk(self.copies, 1))


@pytest.mark.parametrize(
    ("W", "message"),
    [
        (Scaled(1 + 2 * Transformed.tolerance), "‖W x‖"),
        (Scaled(0.0), "‖W x‖"),
        (Scaled(0.5**0.5, 2), "32"),
    ],
)
def test_transformed_refuses_what_is_not_orthonormal(W, message):
    """By a tolerance that is relative."""
    phi, v = Transformed(L1(), W), images(2, 1, 4, 4)
    for size in (1e-3, 1.0, 1e3):
        Transformed(L1(), Scaled(1 + 0.5 * Transformed.tolerance))(size * v)
        for call in (phi, lambda v: phi.prox(v, 0.1)):
            with pytest.raises(ValueError, match=f"W: expected an orthonormal W.*{message}"):
                call(size * v)


def test_the_bound_of_the_gradient_is_tight():
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    x = (1.0 - 2 * ((rows + columns) % 2))[None, None]
    assert 0.98 * TV.norm_squared < gradient(x).square().sum() / x.square().sum() <= TV.norm_squared


@pytest.mark.parametrize("scale", [2.0**-9, 2.0**9])
def test_the_prox_of_tv_does_not_depend_on_the_unit(scale):
    """prox_{cτ}(c v) = c prox_τ(v), to the last bit for a power of two: it stops at the same iteration."""
    phi, v = TV(tolerance=1e-2), torch.rand(2, 3, 12, 10, dtype=torch.float64)
    assert torch.equal(phi.prox(scale * v, scale * 0.1), scale * phi.prox(v, 0.1))


def test_a_regularizer_without_formulas_says_so():
    x = images(1, 1, 2, 2)
    for call in (lambda: Regularizer()(x), lambda: Regularizer().prox(x, 0.1)):
        with pytest.raises(NotImplementedError):
            call()


def fast_gradient_projection(v, phi, tau, steps):
    """(x, how often the momentum restarted) of the method of `TV.prox_step`, for one image."""
    p = q = torch.zeros_like(gradient(v))
    t, restarts = 1.0, 0
    for _ in range(steps):
        new = phi.project(q + gradient(v - gradient_adjoint(q)) / 8, torch.tensor([tau], dtype=v.dtype))
        if ((q - new) * (new - p)).sum() > 0:
            q, t, restarts = new, 1.0, restarts + 1
        else:
            following = (1 + (1 + 4 * t**2) ** 0.5) / 2
            q, t = new + (t - 1) / following * (new - p), following
        p = new
    return v - gradient_adjoint(p), restarts


@pytest.mark.parametrize("steps", [1, 2, 3, 60])
def test_tv_prox_is_fast_gradient_projection_with_restarts(steps):
    v, tau = images(1, 1, 6, 7), 0.3
    expected, restarts = fast_gradient_projection(v, TV(), tau, steps)
    torch.testing.assert_close(TV(iterations=steps, tolerance=0).prox(v, tau), expected, rtol=0, atol=1e-12)
    assert steps < 60 or restarts > 0


def test_tv_prox_looks_at_the_gap_every_tenth_iteration():
    """A generous tolerance ends it at the first look."""
    v = images(1, 1, 6, 7)
    expected, _ = fast_gradient_projection(v, TV(), 0.3, 10)
    torch.testing.assert_close(TV(tolerance=0.9).prox(v, 0.3), expected, rtol=0, atol=1e-12)
