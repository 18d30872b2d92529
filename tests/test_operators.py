"""Laws that every operator keeps, and what each one computes, against dense matrices and SciPy."""

import copy
import gc
import pickle

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import forward_ad

from course_lib.operators import (
    DCT,
    Adjoint,
    Blur,
    Compose,
    Counted,
    Downsample,
    Identity,
    Mask,
    Operator,
    Radon,
    RandomProjections,
    Scaled,
    Shift,
    SpectralResponse,
    Stack,
    Subsample,
    SubsampledTransform,
    Sum,
    Wavelet,
    gaussian_kernel,
    random_mask,
    square_mask,
    tight_frame,
    undecimated,
    uniform_kernel,
)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
F64 = torch.float64


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def kernel(h, w):
    """A kernel without any symmetry, so that a flip or a shift shows."""
    k = noise(h, w, seed=5).abs() + 0.1
    return k / k.sum()


# The operator for images [C, H, W], and the (C, H, W) on which the laws are checked. Listing one here is all it takes.
REGISTRY = {
    "identity": (lambda c, h, w: Identity(), (2, 3, 4)),
    "mask": (lambda c, h, w: Mask(random_mask(h, w, 0.6, 1)), (3, 4, 5)),
    "mask_weighted": (lambda c, h, w: Mask(noise(c, h, w, seed=2)), (2, 4, 3)),
    "mask_square": (lambda c, h, w: Mask(square_mask(h, w, 3)), (1, 4, 5)),
    "blur_circular": (lambda c, h, w: Blur(kernel(3, 5)), (2, 3, 5)),
    "blur_circular_even": (lambda c, h, w: Blur(kernel(5, 3)), (1, 6, 4)),
    "blur_circular_wrapped": (lambda c, h, w: Blur(kernel(9, 7)), (2, 4, 3)),
    "blur_zero": (lambda c, h, w: Blur(kernel(3, 5), "zero"), (2, 3, 4)),
    "blur_zero_large": (lambda c, h, w: Blur(kernel(7, 9), "zero"), (1, 4, 5)),
    "downsample2": (lambda c, h, w: Downsample(2), (2, 4, 2)),
    "downsample3": (lambda c, h, w: Downsample(3), (1, 3, 6)),
    "compose": (lambda c, h, w: Downsample(2) @ Blur(kernel(3, 3)), (2, 4, 2)),
    "compose_mask": (lambda c, h, w: Mask(random_mask(h, w, 0.3, 4)) @ Blur(kernel(3, 5), "zero"), (1, 5, 4)),
    "compose_three": (lambda c, h, w: (2 * Downsample(2)) @ Blur(kernel(3, 5)) @ Mask(noise(c, h, w)), (1, 4, 6)),
    "sum": (lambda c, h, w: Mask(random_mask(h, w, 0.5, 3)) + Blur(kernel(3, 3)), (2, 3, 4)),
    "scaled": (lambda c, h, w: -2.5 * Downsample(2), (1, 4, 6)),
    "scaled_sum": (lambda c, h, w: 0.5 * (Identity() + Blur(kernel(3, 3), "zero")), (1, 4, 5)),
    "counted": (lambda c, h, w: Counted(Downsample(2) @ Blur(kernel(3, 3), "zero")), (1, 4, 6)),
    "counted_closed": (lambda c, h, w: Counted(Blur(kernel(3, 5)), closed_form=True), (2, 3, 4)),
    "radon": (lambda c, h, w: Radon((h, w), [0, 17.5, 45, 90], dtype=F64), (2, 4, 3)),
    "radon_narrow": (lambda c, h, w: Radon((h, w), torch.linspace(-30, 200, 5), detectors=4, dtype=F64), (1, 3, 5)),
    "random_projections": (lambda c, h, w: RandomProjections((c, h, w), 5, seed=1, dtype=F64), (2, 2, 3)),
    "subsampled": (lambda c, h, w: SubsampledTransform((h, w), 0.4, seed=1), (2, 3, 5)),
    "subsampled_wavelet": (lambda c, h, w: SubsampledTransform((h, w), 0.3, Wavelet("db2", 2), False), (1, 4, 8)),
    "dct": (lambda c, h, w: DCT(), (2, 3, 4)),
    "wavelet_haar": (lambda c, h, w: Wavelet("haar", 2), (1, 4, 8)),
    "wavelet_db4": (lambda c, h, w: Wavelet("db4", 2), (1, 8, 4)),
    "wavelet_of_signals": (lambda c, h, w: Wavelet("db2", 2), (2, 1, 12)),
    "shift": (lambda c, h, w: Shift(1, -2), (2, 3, 4)),
    "compose_orthonormal": (lambda c, h, w: Mask(noise(c, h, w)) @ (-0.5 * DCT()) @ Shift(1, 1), (2, 3, 5)),
    "tight_frame": (lambda c, h, w: tight_frame(DCT(), Wavelet("haar", 1), Identity()), (1, 4, 6)),
    "undecimated": (lambda c, h, w: undecimated(Wavelet("db2", 1)), (1, 4, 6)),
    "adjoint_frame": (lambda c, h, w: Blur(kernel(3, 3)) @ Adjoint(tight_frame(DCT(), Identity())), (2, 3, 5)),
    "stack": (lambda c, h, w: Stack(Mask(random_mask(h, w, 0.5, 2)), 2 * Blur(kernel(3, 3)), Identity()), (1, 5, 4)),
    "stack_shapes": (
        lambda c, h, w: Stack(Downsample(2), SpectralResponse(noise(2, c)), shape=(c, h, w)),
        (2, 4, 2),
    ),
    "spectral": (lambda c, h, w: SpectralResponse(noise(2, c, seed=3)), (5, 3, 4)),
    "spectral_tall": (lambda c, h, w: SpectralResponse(noise(4, c, seed=3)), (3, 2, 5)),
    "subsample": (lambda c, h, w: Subsample(3), (2, 3, 6)),
    "camera": (lambda c, h, w: Subsample(2) @ Blur(kernel(3, 3)), (2, 2, 4)),
}


@pytest.fixture(params=REGISTRY)
def case(request):
    """(A, shape [C, H, W])."""
    build, shape = REGISTRY[request.param]
    return build(*shape), shape


def dense(A, shape):
    """The matrix of A, column by column: [size of A x, size of x]."""
    n = int(np.prod(shape))
    return A(torch.eye(n, dtype=F64).reshape(n, *shape)).flatten(1).T


def close(a, b, tol=1e-10):
    assert a.shape == b.shape
    assert (a - b).norm() <= tol * max(b.norm().item(), 1e-300)


def assert_adjoint(A, x, y):
    left, right = (A(x) * y).sum(), (x * A.T(y)).sum()
    assert abs(left - right) <= 1e-10 * A(x).norm() * y.norm() + 1e-300


DIAGONAL = ["identity", "mask", "mask_weighted", "mask_square", "downsample2", "downsample3", "scaled", "dct"]
DIAGONAL += ["subsample", "subsampled", "subsampled_wavelet", "wavelet_haar", "wavelet_db4"]
DIAGONAL += ["wavelet_of_signals", "shift", "compose_orthonormal"]
"""Operators that know A Aᵀ to be diagonal, which gives norm and prox in closed form."""


@pytest.mark.parametrize("name", REGISTRY)
def test_what_an_operator_knows_of_its_gram_matrix(name):
    make, shape = REGISTRY[name]
    A = make(*shape)
    assert (A.gram_diagonal is not None) == (name in DIAGONAL)
    if name in DIAGONAL:
        y = noise(*A(noise(2, *shape)).shape)
        close(A(A.T(y)), A.gram_diagonal * y)


def test_a_network_that_holds_a_scanner_is_saved_without_its_matrix():
    assert not Radon(6, [10, 70]).state_dict()


@pytest.mark.parametrize("kind", [Downsample, Subsample])
def test_a_factor_of_one_is_the_identity(kind):
    x = noise(1, 2, 3, 5)
    assert torch.equal(kind(1)(x), x)


@pytest.mark.parametrize("device", DEVICES)
def test_adjoint(case, device):
    A, shape = case
    A, x = A.to(device), noise(2, *shape, seed=1).to(device)
    Ax = A(x)
    assert Ax.device.type == device and Ax.norm() > 0
    assert_adjoint(A, x, noise(*Ax.shape, seed=2).to(device))


def test_adjoint_is_the_transposed_matrix(case):
    A, shape = case
    matrix = dense(A, shape)
    y = noise(3, *A(noise(1, *shape)).shape[1:], seed=3)
    close(A.T(y).flatten(1), y.flatten(1) @ matrix)


def test_norm_is_the_largest_singular_value(case):
    A, shape = case
    expected = torch.linalg.matrix_norm(dense(A, shape), 2).item()
    assert A.norm(shape, iterations=60) == pytest.approx(expected, rel=1e-6)
    assert A.norm((4, *shape), iterations=5) == A.norm(shape, iterations=5) <= expected * (1 + 1e-12)
    assert A.norm(shape) >= 0.999 * expected


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rho", [0.3, torch.tensor([0.05, 0.4, 3.0], dtype=F64)], ids=["number", "tensor"])
def test_prox_against_a_dense_solve(case, rho, device):
    A, shape = case
    matrix, v = dense(A, shape), noise(3, *shape, seed=4)
    y = noise(3, *A(v).shape[1:], seed=5)
    x = A.to(device).prox(v.to(device), y.to(device), rho, iterations=60, tol=1e-14).cpu()
    for b in range(3):
        r = rho if isinstance(rho, float) else rho[b]
        system = matrix.T @ matrix + r * torch.eye(len(matrix.T), dtype=F64)
        close(x[b].flatten(), torch.linalg.solve(system, matrix.T @ y[b].flatten() + r * v[b].flatten()), 1e-9)


def test_prox_default_precision(case):
    A, shape = case
    v = noise(2, *shape, seed=4)
    y = A(noise(2, *shape, seed=6))
    x = A.prox(v, y, 0.1)
    close(A.T(A(x)) + 0.1 * x, A.T(y) + 0.1 * v, 1e-6)


def test_prox_of_an_image_does_not_depend_on_the_batch(case):
    A, shape = case
    v = noise(3, *shape, seed=4)
    v[1] *= 1e6
    y = noise(3, *A(v).shape[1:], seed=5)
    y[2] = A(v[2:])[0]  # this one is solved before the first step
    rho = torch.tensor([0.01, 1.0, 2.0], dtype=F64)
    # An FFT rounds a batch otherwise than an image, which conjugate gradients carry as far as they stop from the end.
    converged = {"iterations": 60, "tol": 1e-13}
    x = A.prox(v, y, rho, **converged)
    close(x[2], v[2], 1e-12)
    for b in range(3):
        close(A.prox(v[b : b + 1], y[b : b + 1], rho[b : b + 1], **converged)[0], x[b], 1e-12)


EXACT = {"iterations": 30, "tol": 1e-14}
"""Conjugate gradients as far as they get."""


def applications(A, shape):
    """What one does with an operator, all of them affine maps: (f, a point u, a direction)."""
    x, y = noise(1, *shape, seed=1), noise(*A(noise(1, *shape)).shape, seed=2)
    yield A, x, noise(*x.shape, seed=3)
    yield A.T, y, noise(*y.shape, seed=4)

    def prox(u):
        """In v and y at once: u is [B, 1, 1, both]."""
        v, y_ = (part.reshape(-1, *like.shape[1:]) for part, like in zip(u.split(sizes, 3), (x, y), strict=True))
        return A.prox(v, y_, 0.5, **EXACT)

    sizes = x.numel(), y.numel()
    yield prox, noise(1, 1, 1, sum(sizes), seed=5), noise(1, 1, 1, sum(sizes), seed=6)


def test_all_transforms_of_torch_func(case):
    """f(u) = J u + c has the derivative J, whoever asks for it, and takes more than one batch at a time."""
    for f, u, t in applications(*case):
        start, size = f(u).detach(), u[0].numel()
        basis = torch.eye(size, dtype=F64).reshape(size, *u.shape[1:])
        J = (f(basis) - f(0 * u)).flatten(1).T  # [size of f, size of u]
        Jt = (J @ t.flatten()).reshape(start.shape)
        value, tangent = torch.func.jvp(f, (u,), (t,))
        close(value, start, 1e-9)
        close(tangent, Jt, 1e-8)
        with forward_ad.dual_level():
            close(forward_ad.unpack_dual(f(forward_ad.make_dual(u, t))).tangent, Jt, 1e-8)
        for jacobian in (
            torch.func.jacrev(f)(u),
            torch.func.jacfwd(f)(u),
            torch.autograd.functional.jacobian(f, u, vectorize=True),
            torch.autograd.functional.jacobian(f, u, vectorize=True, strategy="forward-mode"),
        ):
            close(jacobian.reshape(J.shape), J, 1e-8)
        copies = torch.stack([u, t, 0 * u])
        expected = torch.stack([f(copy) for copy in copies])
        close(torch.func.vmap(f)(copies), expected, 1e-9)
        close(torch.func.vmap(f, in_dims=2, out_dims=1)(copies.movedim(0, 2)), expected.movedim(0, 1), 1e-9)
        # A quadratic of f: its second derivative is Jᵀ J, forward over reverse and twice in reverse.
        q = lambda u: 0.5 * f(u).square().sum()  # noqa: B023, E731
        close(torch.func.jvp(torch.func.grad(q), (u,), (t,))[1].flatten(), J.T @ Jt.flatten(), 1e-8)
        slope = lambda u: (torch.func.grad(q)(u) * t).sum()  # noqa: B023, E731
        close(torch.func.grad(slope)(u).flatten(), J.T @ Jt.flatten(), 1e-8)


def test_derivatives_of_prox(case):
    """In v, y and ρ, one for each image, as those of a dense solve: first and second order, forward and reverse."""
    A, shape = case
    M = dense(A, shape)

    def solve(v, y, rho):
        system = M.T @ M + rho[:, None, None] * torch.eye(len(M.T), dtype=F64)
        return torch.linalg.solve(system, y.flatten(1) @ M + rho[:, None] * v.flatten(1)).reshape(v.shape)

    prox = lambda v, y, rho: A.prox(v, y, rho, **EXACT)  # noqa: E731
    v, rho = noise(2, *shape, seed=1), torch.tensor([0.4, 0.9], dtype=F64)
    y = noise(*A(v).shape, seed=2)
    y[1] = A(v[1:])[0]  # this image is solved before the first step
    inputs, w = (v, y, rho), noise(*v.shape, seed=3)
    tangents = tuple(noise(*u.shape, seed=4) for u in inputs)

    def derivatives(f):
        gradient = torch.func.grad(lambda *inputs: (w * f(*inputs)).sum(), (0, 1, 2))
        slope = lambda *inputs: sum((g * t).sum() for g, t in zip(gradient(*inputs), tangents, strict=True))  # noqa: E731
        yield from torch.func.jvp(f, inputs, tangents)
        yield from gradient(*inputs)
        yield from torch.func.jvp(gradient, inputs, tangents)[1]
        yield from torch.func.grad(slope, (0, 1, 2))(*inputs)

    for found, expected in zip(derivatives(prox), derivatives(solve), strict=True):
        close(found, expected, 1e-7)
    rhos = torch.tensor([0.4, 0.9, 2.0], dtype=F64)
    expected = torch.stack([prox(v, y, rho) for rho in rhos])
    close(torch.func.vmap(prox, (None, None, 0))(v, y, rhos), expected, 1e-9)


@pytest.mark.parametrize("y", [torch.ones(1, 1, 7, 5, dtype=F64), torch.zeros(1, 1, 7, 5, dtype=F64)])
def test_gradients_of_prox_where_conjugate_gradients_end_early(y):
    """A flat field, and a black image that is solved before the first step: ρ (AᵀA + ρI)⁻¹ w all the same."""
    A, rho, w = Blur(uniform_kernel(3, F64), "zero"), 0.1, noise(1, 1, 7, 5)
    M = dense(A, (1, 7, 5))
    expected = rho * torch.linalg.solve(M.T @ M + rho * torch.eye(35, dtype=F64), w.flatten())
    v = torch.zeros_like(y).requires_grad_()
    (gradient,) = torch.autograd.grad(A.prox(v, y, rho), v, w)
    close(gradient.flatten(), expected, 1e-6)
    close(torch.func.jvp(lambda v: A.prox(v, y, rho), (v.detach(),), (w,))[1].flatten(), expected, 1e-6)


def float_buffers(A):
    return {name: buffer for name, buffer in A.named_buffers() if buffer.is_floating_point()}


def test_derivatives_in_the_buffers_are_right_or_refused(case):
    """A(x) and Aᵀ y are linear in each buffer, and their derivatives are known or refused; that of prox is refused."""
    A, shape = case
    x = noise(1, *shape, seed=1)
    y = A(x)
    for name, buffer in float_buffers(A).items():
        buffer, t = buffer.to(F64), noise(*buffer.shape, seed=7)
        for method, u in (("forward", x), ("T", y)):
            call = torch.nn.Module()  # `functional_call` calls forward
            call.A, call.forward = A, getattr(A, method)
            f = lambda value: torch.func.functional_call(call, {f"A.{name}": value}, (u,))  # noqa: B023, E731
            difference = (f(buffer + 1e-3 * t) - f(buffer - 1e-3 * t)) / 2e-3
            w = noise(*difference.shape, seed=8)
            try:
                value = buffer.clone().requires_grad_()
                (gradient,) = torch.autograd.grad((f(value) * w).sum(), value)
                tangent = torch.func.jvp(f, (buffer,), (t,))[1]
                many = torch.func.vmap(f)(torch.stack([buffer, t]))
            except ValueError as error:
                assert str(error).startswith("A: expected a Radon transform whose weights need no gradient")
                continue
            assert (gradient * t).sum() == pytest.approx((difference * w).sum().item(), rel=1e-6, abs=1e-8)
            close(tangent, difference, 1e-6)
            close(many, torch.stack([f(buffer), f(t)]), 1e-9)
        call.forward = lambda v: A.prox(v, y, 0.3)
        f = lambda value: torch.func.functional_call(call, {f"A.{name}": value}, (x,))  # noqa: B023, E731
        message = f"prox: expected an operator whose buffers and parameters need no gradient.*{name}"
        for ask in (
            lambda: f(buffer.clone().requires_grad_()),  # noqa: B023
            lambda: torch.func.jvp(f, (buffer,), (t,)),  # noqa: B023
            lambda: torch.func.grad(lambda value: f(value).sum())(buffer),  # noqa: B023
        ):
            with pytest.raises(ValueError, match=message):
                ask()


def test_autocast_changes_nothing(case):
    A, shape = case
    A, x = A.float(), noise(2, *shape, seed=1).float()
    y = A(x)
    back, solved = A.T(y), A.prox(x, 2 * y, 0.3, 5)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype):
            found = A(x), A.T(y), A.prox(x, 2 * y, 0.3, 5)
        for result, expected in zip(found, (y, back, solved), strict=True):
            assert result.dtype == torch.float32
            close(result, expected, 1e-6)


def fresh(A, shape):
    """An operator of the same values that has computed nothing yet, by a way that all operators share."""
    B = pickle.loads(pickle.dumps(A))
    close(B(noise(1, *shape)), copy.deepcopy(A)(noise(1, *shape)), 1e-14)
    return B


def test_what_is_kept_never_outlives_the_buffers(case):
    """Loaded, cast, overwritten, replaced, copied, and first used where tensors are special: A is as its buffers."""
    A, shape = case
    x = noise(2, *shape, seed=1)

    def is_right(A):
        B = fresh(A, shape)
        for u in (x, x.float()):
            y = B(u)
            close(A(u), y, 1e-14)
            close(A.T(y), B.T(y), 1e-14)
            close(A.prox(u, 2 * y, 0.3, 3), B.prox(u, 2 * y, 0.3, 3), 1e-12 if u.dtype == F64 else 1e-5)

    B = fresh(A, shape)
    with torch.inference_mode():
        B(x), B.T(B(x)), B.prox(x, B(x), 0.3, 3)
    u = x.clone().requires_grad_()
    B.prox(u, B(u), 0.3, 3).sum().backward()  # what was kept in inference mode serves under autograd
    C = fresh(A, shape)
    torch.func.jvp(C, (x,), (x,)), torch.func.vmap(C.T)(torch.stack([C(x), C(x)]))
    for operator in (A, B, C):
        is_right(operator)
        for value in operator.buffers():
            value.copy_(value.flip(-1))
        is_right(operator)
        state = {name: value.flip(-1) for name, value in operator.state_dict().items()}
        operator.load_state_dict(state)
        operator.float()
        is_right(operator)
        operator.double()
        for name, value in list(operator.named_buffers()):
            owner, _, last = name.rpartition(".")
            setattr(operator.get_submodule(owner), last, value.flip(0))
        is_right(operator)
    with torch.inference_mode():
        D = copy.deepcopy(A)
        for name, value in list(D.named_buffers()):
            owner, _, last = name.rpartition(".")
            setattr(D.get_submodule(owner), last, value.clone())  # a buffer made in inference mode counts no changes
        before = D(x)
        for value in float_buffers(D).values():
            value.mul_(2)
        if float_buffers(D):
            close(D(x), fresh(D, shape)(x), 1e-14)
            assert (D(x) - before).norm() > 0.1 * before.norm()


def living():
    gc.collect()
    return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())


def test_what_is_kept_is_bounded():
    """Buffers that change, dtypes that alternate, and images of many sizes leave no more and more tensors behind."""
    cases = [(build(*shape), noise(1, *shape)) for build, shape in REGISTRY.values()]
    many = [Blur(kernel(3, 3)), Blur(kernel(3, 3), "zero"), DCT(), undecimated(Wavelet("haar", 1))]
    counts = []
    for k in range(1, 16):
        for A, x in cases:
            for value in A.buffers():
                value.copy_(value.clone())
            for u in (x, x.float()):
                A.prox(u, A(u), 0.3, iterations=1)
        for A in many:
            A(noise(1, 1, 2 * k, 2 * k + 2))
        if k % 5 == 0:
            counts.append(living())
    assert counts[-1] <= counts[0]


NUMPY = {
    "downsample": (lambda n: Downsample(n(2)), (1, 4, 6)),
    "subsample": (lambda n: Subsample(n(2)), (1, 4, 6)),
    "shift": (lambda n: Shift(n(1), n(2)), (1, 4, 6)),
    "wavelet": (lambda n: Wavelet("haar", n(1)), (1, 4, 6)),
    "undecimated": (lambda n: undecimated(Wavelet("haar", 1), n(2)), (1, 4, 6)),
    "radon": (lambda n: Radon((n(4), n(6)), [n(0), n(30)], n(5), dtype=F64), (1, 4, 6)),
    "radon square": (lambda n: Radon(n(4), [n(30)], dtype=F64), (1, 4, 4)),
    "projections": (lambda n: RandomProjections((n(1), n(4), n(6)), n(5), seed=n(3), dtype=F64), (1, 4, 6)),
    "subsampled": (lambda n: SubsampledTransform((n(4), n(6)), 0.5, seed=n(3)), (1, 4, 6)),
    "random mask": (lambda n: Mask(random_mask(n(4), n(6), generator=n(3))), (1, 4, 6)),
    "square mask": (lambda n: Mask(square_mask(n(4), n(6), n(2), (n(1), n(2)))), (1, 4, 6)),
    "kernels": (lambda n: Blur(uniform_kernel(n(3), F64)) @ Blur(gaussian_kernel(n(1), n(2), F64)), (1, 4, 6)),
    "stack": (lambda n: Stack(Downsample(2), Identity(), shape=(n(1), n(4), n(6))), (1, 4, 6)),
}


@pytest.mark.parametrize("build, shape", NUMPY.values(), ids=NUMPY)
@pytest.mark.parametrize("integer", [np.int64, np.uint8], ids=lambda kind: kind.__name__)
def test_integers_may_be_those_of_numpy(build, shape, integer):
    A, B, x = build(integer), build(int), noise(2, *shape)
    close(A(x), B(x), 1e-14)
    close(A.T(B(x)), B.T(B(x)), 1e-14)
    assert A.norm(shape, integer(5), integer(1)) == B.norm(shape, 5, 1)
    close(A.prox(x, A(x) + 1, integer(2), iterations=integer(3)), B.prox(x, A(x) + 1, 2, iterations=3), 1e-14)


def test_float32_follows_the_input(case):
    A, shape = case
    x = noise(2, *shape, seed=1)
    expected = A(x)
    for buffers in (F64, torch.float32):  # bool ones stay bool
        A.to(buffers)
        y = A(x.float())
        assert y.dtype == A.T(y).dtype == A.prox(x.float(), y, 0.1).dtype == torch.float32
        close(y.double(), expected, 1e-5)
    assert A(x).dtype == A.T(expected).dtype == A.prox(x, expected, 0.1).dtype == F64


def test_state_round_trip(case):
    A, shape = case
    x = noise(1, *shape, seed=1)
    expected = A(x)
    B = copy.deepcopy(A)
    for value in B.state_dict().values():
        value.copy_(~value if value.dtype == torch.bool else 2 * value + 1)
    if A.state_dict():
        assert (B(x) - expected).norm() > 0.1 * expected.norm()
    B.load_state_dict(A.state_dict())
    close(B(x), expected, 1e-14)
    close(A(x), expected, 1e-14)


sizes = st.integers(1, 12)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(sizes, sizes, st.integers(0, 4), st.integers(0, 4), st.sampled_from(["circular", "zero"]), st.integers(0, 99))
def test_blur_adjoint_for_all_sizes(height, width, i, j, boundary, seed):
    A = Blur(noise(2 * i + 1, 2 * j + 1, seed=seed), boundary)
    x, y = noise(2, 1, height, width, seed=seed + 1), noise(2, 1, height, width, seed=seed + 2)
    assert abs((A(x) * y).sum() - (x * A.T(y)).sum()) <= 1e-10 * A.kernel.abs().sum() * x.norm() * y.norm()


MULTIPLES = {
    **dict.fromkeys(["downsample2", "compose", "compose_three", "scaled", "counted", "tight_frame", "undecimated"], 2),
    **dict.fromkeys(["stack_shapes", "camera"], 2),
    **dict.fromkeys(["downsample3", "subsample"], 3),
    **dict.fromkeys(["subsampled_wavelet", "wavelet_haar", "wavelet_db4", "wavelet_of_signals"], 4),
}
"""What must divide height and width; the other operators take any from 3."""


@pytest.mark.parametrize("name", REGISTRY)
@settings(max_examples=5, deadline=None, derandomize=True)
@given(
    channels=st.integers(1, 3),
    frame=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    batch=st.integers(1, 3),
    dtype=st.sampled_from([torch.float32, F64]),
    seed=st.integers(0, 99),
)
def test_laws_for_all_shapes(name, channels, frame, batch, dtype, seed):
    """Adjoint, linear, of the dtype of the images, and the same for an image alone."""
    k = MULTIPLES.get(name)
    height, width = (k * (1 + n // 2) if k else 3 + n for n in frame)
    channels = 2 * channels if name == "adjoint_frame" else channels
    A = REGISTRY[name][0](channels, height, width)
    x, other = (noise(batch, channels, height, width, seed=seed + i).to(dtype) for i in range(2))
    Ax = A(x)
    y = noise(*Ax.shape, seed=seed + 2).to(dtype)
    back, tol = A.T(y), 1e-10 if dtype == F64 else 1e-4
    assert Ax.dtype == back.dtype == dtype and back.shape == x.shape
    scale = Ax.norm() * y.norm() + x.norm() * back.norm()
    assert abs((Ax * y).sum() - (x * back).sum()) <= tol * scale
    close(A(2 * x - 3 * other), 2 * Ax - 3 * A(other), tol)
    close(A(x[-1:]), Ax[-1:], tol)
    close(A.T(y[:1]), back[:1], tol)


def test_composition_laws():
    A, B, C = Downsample(2), Blur(kernel(3, 5)), Mask(random_mask(6, 10, 0.4, 2))
    x, y = noise(2, 3, 6, 10), noise(2, 3, 3, 5, seed=1)
    assert isinstance(A @ B, Compose) and isinstance(B + C, Sum) and isinstance(2 * A, Scaled)
    close((A @ B)(x), A(B(x)), 1e-14)
    close((A @ B).T(y), B.T(A.T(y)), 1e-14)
    close(((A @ B) @ C)(x), (A @ (B @ C))(x), 1e-14)
    close((A @ (B + C)).T(y), (A @ B + A @ C).T(y))
    close((3 * (B + C))(x), 3 * B(x) + 3 * C(x), 1e-14)
    close((0 * A).prox(x, y, 0.5), x, 1e-14)
    assert (np.float64(-2) * A).norm((3, 6, 10)) == 1
    assert set((A @ (B + 2 * C)).state_dict()) == {"B.A.kernel", "B.B.A.mask"}
    for wrong in (lambda: A @ x, lambda: A + 1, lambda: "2" * A, lambda: A * B):
        with pytest.raises(TypeError):
            wrong()


@pytest.mark.parametrize("shape", [(7, 9), (8, 6), (12, 5), (17, 40), (30, 16)])
def test_blur_against_scipy(shape):
    x, k = noise(2, 3, *shape), kernel(5, 3)
    for b in range(2):
        for c in range(3):
            image = x[b, c].numpy()
            close(Blur(k)(x)[b, c], torch.tensor(scipy.ndimage.convolve(image, k.numpy(), mode="wrap")), 1e-12)
            zero = scipy.signal.convolve2d(image, k.numpy(), mode="same")
            close(Blur(k, "zero")(x)[b, c], torch.tensor(zero), 1e-12)


def test_kernels():
    for k in (
        uniform_kernel(7, F64),
        gaussian_kernel(1.3, dtype=F64),
        gaussian_kernel(2, 3, F64),
        gaussian_kernel(0.1),
    ):
        assert k.sum().item() == pytest.approx(1, abs=1e-14)
        assert torch.equal(k, k.flip(0)) and torch.equal(k, k.T)
    assert uniform_kernel().shape == (7, 7) and uniform_kernel().dtype == torch.get_default_dtype()
    assert gaussian_kernel(2, 3).shape == (7, 7)
    image = noise(13, 10)
    expected = scipy.ndimage.gaussian_filter(image.numpy(), 1.3, mode="wrap")
    close(Blur(gaussian_kernel(1.3, dtype=F64))(image[None, None])[0, 0], torch.tensor(expected), 1e-12)


@pytest.mark.parametrize("boundary", ["circular", "zero"])
def test_a_symmetric_kernel_does_not_shift_the_image(boundary):
    x = torch.zeros(1, 1, 11, 14, dtype=F64)
    x[..., 5, 7] = 1
    y = Blur(gaussian_kernel(0.8, dtype=F64), boundary)(x)[0, 0]
    assert y.argmax().item() == 5 * 14 + 7
    close(
        torch.stack([(y.sum(1) * torch.arange(11)).sum(), (y.sum(0) * torch.arange(14)).sum()]),
        torch.tensor([5.0, 7.0]),
    )


def test_downsample_is_the_mean_of_blocks():
    x = noise(2, 3, 8, 12)
    close(Downsample(4)(x), x.reshape(2, 3, 2, 4, 3, 4).mean((3, 5)), 1e-14)
    y = noise(2, 3, 2, 3)
    close(Downsample(4)(Downsample(4).T(y)), y / 16, 1e-14)


def test_mask_keeps_the_size_and_zeroes_the_missing_pixels():
    mask = random_mask(5, 8, 0.6, 3)
    x = noise(2, 3, 5, 8)
    y = Mask(mask)(x)
    assert torch.equal(y, torch.where(mask, x, 0))
    for other in (mask[None], mask.double(), mask.expand(3, 5, 8), mask.numpy()):
        assert torch.equal(Mask(other)(x), y)
    A = Mask(mask)
    mask.fill_(True)
    assert torch.equal(A(x), y)  # the operator has a copy of its own


@pytest.mark.parametrize("missing", [0, 0.125, 0.6, 1])
def test_random_mask_counts(missing):
    mask = random_mask(13, 9, missing, 7)
    assert mask.shape == (1, 13, 9) and mask.dtype == torch.bool
    assert (~mask).sum() == round(missing * 13 * 9)


def test_random_mask_is_seeded_and_leaves_the_global_state():
    state = torch.get_rng_state()
    masks = [random_mask(16, 12, generator=s) for s in (1, torch.Generator().manual_seed(1), 2)]
    assert torch.equal(random_mask(16, 12), random_mask(16, 12))
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])
    assert torch.equal(torch.get_rng_state(), state)
    Blur(kernel(3, 3), "zero").norm((1, 5, 5))
    RandomProjections((1, 2, 3), 4), SubsampledTransform(4, 0.5)
    assert torch.equal(torch.get_rng_state(), state)
    frequency = torch.stack([random_mask(4, 4, 0.5, s) for s in range(400)]).double().mean(0)
    assert (frequency - 0.5).abs().max() < 0.1  # every pixel is as likely to be missing


def test_square_mask():
    centred, cornered = square_mask(64, 64), square_mask(9, 7, 3, (6, 0))
    assert (~centred).sum() == 100 and not centred[0, 27:37, 27:37].any()
    assert (~cornered).sum() == 9 and not cornered[0, 6:9, 0:3].any()
    assert not square_mask(5, 5, 5).any()


def test_the_transfer_function_is_computed_once():
    A, B = Blur(kernel(3, 3)), Blur(kernel(3, 3))
    first = A.transfer(6, 7, F64)
    assert A.transfer(6, 7, F64) is first and A.transfer(7, 6, F64) is not first
    torch.func.jvp(B, (noise(1, 1, 6, 7),), (noise(1, 1, 6, 7),))
    assert torch.equal(torch.from_numpy(B.transfer(6, 7, F64).numpy()), first)  # a plain tensor, as outside
    for k in (1, 2, 3):
        A.kernel.mul_(2)
        for C in (copy.deepcopy(A), pickle.loads(pickle.dumps(A)), A):  # the changes of a copy are counted anew
            close(C.transfer(6, 7, F64), 2**k * first, 1e-14)


def test_norm_of_zero_and_of_a_module_on_its_own_dtype():
    assert Mask(torch.zeros(1, 3, 4)).norm((1, 3, 4)) == 0
    assert (Identity() @ Mask(torch.zeros(1, 3, 4))).norm((1, 3, 4)) == 0
    A = Blur(1e-9 * kernel(3, 3), "zero")
    assert A.norm((1, 4, 5), 300) == pytest.approx(1e-9 * Blur(kernel(3, 3), "zero").norm((1, 4, 5), 300), rel=1e-9)


def test_an_operator_of_your_own_needs_forward_and_adjoint_only():
    class Roll(Operator):
        def forward(self, x):
            return x.roll(1, 3)

        def T(self, y):
            return y.roll(-1, 3)

    A, x = 2 * Roll() @ Downsample(2), noise(2, 1, 4, 6)
    assert_adjoint(A, x, noise(2, 1, 2, 3, seed=1))
    assert Roll().norm((1, 4, 6)) == pytest.approx(1, rel=1e-5)
    close(Roll().prox(x, Roll()(x), 0.7), x, 1e-12)


class Weights(Operator):
    """x ↦ w ⊙ x, without a closed form."""

    def __init__(self, w):
        super().__init__()
        self.register_buffer("w", w)

    def forward(self, x):
        return self.w * x

    T = forward


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
def test_norm_is_the_largest_ritz_value_of_the_krylov_space(iterations, seed):
    """That of A² on the span of v, A²v, A⁴v, … for the random v of the seed."""
    w = torch.linspace(0.2, 2, 20, dtype=F64)
    v = torch.randn(20, generator=torch.Generator().manual_seed(seed), dtype=F64)
    Q = torch.linalg.qr(torch.stack([w ** (2 * k) * v for k in range(iterations)], 1))[0]
    expected = torch.linalg.eigvalsh(Q.T @ (w.square()[:, None] * Q))[-1].sqrt().item()
    A = Weights(w.reshape(1, 4, 5))
    assert A.norm((1, 4, 5), iterations, seed) == pytest.approx(expected, rel=1e-9)
    assert A.norm((7, 1, 4, 5), iterations, seed) == pytest.approx(expected, rel=1e-9)


def test_counted_counts_every_application():
    x, y = noise(2, 1, 6, 6, seed=1), noise(2, 1, 6, 6, seed=2)
    A = Counted(Blur(kernel(3, 3), "zero"))
    A.norm((1, 6, 6))
    assert A.count == 0
    A(x)
    A.T(y)
    assert A.count == 2
    A.prox(x, y, 0.1, iterations=3, tol=0)
    assert A.count == 2 + 1 + 1 + 2 * 3  # A v, Aᵀ of the residual, and AᵀA in each step
    closed = Counted(Blur(kernel(3, 3)), closed_form=True)
    close(closed.prox(x, y, 0.1), Blur(kernel(3, 3)).prox(x, y, 0.1))
    assert closed.count == 2
