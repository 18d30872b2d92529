"""Orthonormal transforms against SciPy and PyWavelets; stacks, frames, and operators on spectral cubes."""

import pytest
import pywt
import scipy.fft
import torch

from course_lib.operators import (
    DCT,
    Adjoint,
    Blur,
    Downsample,
    Mask,
    Radon,
    Shift,
    SpectralResponse,
    Stack,
    Subsample,
    Wavelet,
    gaussian_kernel,
    random_mask,
    tight_frame,
    undecimated,
)
from course_lib.operators.transforms import daubechies

F64 = torch.float64


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def close(a, b, tol=1e-12):
    assert a.shape == b.shape
    assert (a - b).norm() <= tol * b.norm()


@pytest.mark.parametrize("shape", [(8, 8), (7, 10), (1, 9)])
def test_dct_is_that_of_scipy(shape):
    x = noise(2, 3, *shape)
    close(DCT()(x), torch.from_numpy(scipy.fft.dctn(x.numpy(), axes=(2, 3), norm="ortho")))
    close(DCT().T(DCT()(x)), x)


@pytest.mark.parametrize("name", ["haar", "db2", "db3", "db4", "db8", "db10"])
def test_filters_are_those_of_pywavelets(name):
    h = daubechies(name)
    close(h, torch.tensor(pywt.Wavelet(name).rec_lo, dtype=F64), 1e-10)
    for shift in range(0, len(h), 2):
        assert (h[shift:] * h[: len(h) - shift]).sum() == pytest.approx(float(shift == 0), abs=1e-11)


@pytest.mark.filterwarnings("ignore:Level value")
@pytest.mark.parametrize("name", ["haar", "db2", "db4"])
@pytest.mark.parametrize("shape, levels", [((16, 24), 3), ((6, 10), 1), ((4, 8), 2)])
def test_wavelet_is_that_of_pywavelets(name, shape, levels):
    x = noise(2, 3, *shape)
    coefficients = pywt.wavedec2(x.numpy(), name, mode="periodization", level=levels)
    expected = torch.from_numpy(pywt.coeffs_to_array(coefficients, axes=(2, 3))[0])
    W = Wavelet(name, levels)
    close(W(x), expected, 1e-11)
    close(W.T(expected), x, 1e-11)


@pytest.mark.parametrize("name", ["haar", "db2", "db4", "db10"])
def test_wavelet_keeps_lengths_and_inverts(name):
    x = noise(2, 3, 8, 40)
    for levels in range(4):
        W = Wavelet(name, levels)
        assert W(x).norm() == pytest.approx(x.norm().item(), rel=1e-11)
        close(W.T(W(x)), x, 1e-11)
        close(W(W.T(x)), x, 1e-11)
    assert torch.equal(Wavelet(name, 0)(x), x)


@pytest.mark.filterwarnings("ignore:Level value")
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_wavelet_of_a_signal_is_that_of_pywavelets(levels):
    """Every level works on the means of the one before, also where the image has one row or one column."""
    x = noise(1, 1, 1, 24)
    expected = pywt.wavedec(x[0, 0, 0].numpy(), "db2", mode="periodization", level=levels)
    expected = torch.cat([torch.from_numpy(band) for band in expected])[None, None, None]
    close(Wavelet("db2", levels)(x), expected, 1e-10)
    close(Wavelet("db2", levels)(x.mT), expected.mT, 1e-10)


def test_wavelet_of_a_signal_and_vanishing_moments():
    t = torch.linspace(0, 1, 64, dtype=F64)
    c = Wavelet("db4", 1)((t**3 - t)[None, None, None])
    assert c[..., 36:-4].abs().max() < 1e-12  # cubics have no details, away from the jump at the border
    assert Wavelet("db2", 1)((t**3)[None, None, None])[..., 36:-4].abs().min() > 1e-9
    haar = Wavelet("haar", 1)(torch.tensor([[[[1.0, 3.0, 2.0, 8.0]]]], dtype=F64))
    close(haar * 2**0.5, torch.tensor([[[[4.0, 10.0, -2.0, -6.0]]]], dtype=F64))


def test_transforms_made_in_inference_mode_serve_under_autograd():
    x = noise(1, 1, 22, 26)
    with torch.inference_mode():
        DCT()(x), Wavelet("db3", 1)(x)
    x.requires_grad_()
    (DCT()(x).sum() + Wavelet("db3", 1)(x).sum()).backward()
    assert x.grad.isfinite().all()


def test_shift():
    x = noise(1, 2, 4, 5)
    assert torch.equal(Shift(1, -2)(x)[0, 0, 0, 3], x[0, 0, 1, 1])
    assert torch.equal(Shift(1, -2).T(Shift(1, -2)(x)), x)


@pytest.mark.parametrize("W", [tight_frame(DCT(), Wavelet("db2", 1)), undecimated(Wavelet("haar", 2), 4)])
def test_a_tight_frame_keeps_lengths(W):
    x = noise(2, 3, 8, 12)
    assert W(x).shape == (2, 3 * len(W.operators), 8, 12)
    close(W.T(W(x)), x)
    assert W.norm((3, 8, 12)) == pytest.approx(1)
    c = noise(*W(x).shape)
    assert (W(W.T(c)) - c).norm() > 0.5 * c.norm()  # redundant: not every c is that of an image


def test_the_undecimated_transform_does_not_depend_on_the_grid():
    x, W = noise(1, 1, 8, 8), Wavelet("haar", 1)
    moved = {
        name: (A(x).abs().sum() - A(x.roll(1, 3)).abs().sum()).abs() for name, A in (("U", undecimated(W)), ("W", W))
    }
    assert moved["U"] < 1e-12 and moved["W"] > 0.1


def test_stack_takes_and_gives_parts():
    x, A, B = noise(2, 3, 6, 8), Blur(gaussian_kernel(1.0, dtype=F64)), Mask(random_mask(6, 8))
    S = Stack(A, B)
    assert torch.equal(S(x), torch.cat([A(x), B(x)], 1))
    for part, expected in zip(S.parts(S(x)), (A(x), B(x)), strict=True):
        assert torch.equal(part, expected)
    parts = Downsample(2), Radon((6, 8), [0, 50], dtype=F64), SpectralResponse(noise(2, 3))
    F = Stack(*parts, shape=x.shape[1:])
    y = F(x)
    assert y.shape == (2, 1, 1, sum(P(x)[0].numel() for P in parts))
    for part, P in zip(F.parts(y), parts, strict=True):
        assert torch.equal(part, P(x))
    close(F.T(y), sum(P.T(P(x)) for P in parts))


def test_adjoint_swaps():
    A, x = Downsample(2), noise(1, 2, 4, 6)
    assert torch.equal(Adjoint(A)(A(x)), A.T(A(x))) and torch.equal(Adjoint(A).T(x), A(x))


def test_spectral_response_integrates_each_pixel():
    R, x = noise(2, 5), noise(3, 5, 4, 6)
    y = SpectralResponse(R)(x)
    for i in range(4):
        for j in range(6):
            close(y[:, :, i, j], x[:, :, i, j] @ R.T)
    twins = SpectralResponse(torch.ones(2, 5, dtype=F64))  # RRᵀ is singular
    close(twins.prox(x, twins(x) + 1, 1e-3).sum(1), x.sum(1) + 1, 1e-3)


def test_subsample_keeps_every_kth_pixel():
    x = noise(2, 3, 6, 9)
    y = Subsample(3)(x)
    assert torch.equal(y, x[:, :, ::3, ::3])
    back = Subsample(3).T(y)
    assert torch.equal(back[:, :, ::3, ::3], y) and back.count_nonzero() == y.count_nonzero()
