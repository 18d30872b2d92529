"""The Radon transform against scikit-image, and the statistics of random measurements."""

import math
import warnings

import numpy as np
import pytest
import skimage.data
import skimage.transform
import torch

from course_lib.operators import (
    DCT,
    Identity,
    Radon,
    RandomProjections,
    SubsampledTransform,
    filtered_back_projection,
)

F64 = torch.float64
ANGLES = np.linspace(-20, 200, 23)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def close(a, b, tol):
    assert a.shape == b.shape
    assert (a - b).norm() <= tol * b.norm()


@pytest.fixture(scope="module")
def phantom():
    image = skimage.transform.resize(skimage.data.shepp_logan_phantom(), (64, 64), anti_aliasing=True)
    return torch.from_numpy(image)[None, None]


@pytest.mark.parametrize("size", [(15, 15), (16, 16), (9, 14), (13, 8)])
def test_radon_is_that_of_scikit_image(size):
    inside = torch.nn.functional.pad(noise(1, 1, size[0] - 4, size[1] - 4), (2, 2, 2, 2))
    A = Radon(size, ANGLES, dtype=F64)
    expected = skimage.transform.radon(inside[0, 0].numpy(), ANGLES, circle=False)
    close(A(inside)[0, 0], torch.from_numpy(expected), 1e-12)
    full = noise(*size).abs()  # There the two differ in the outermost corner pixels, which scikit-image cuts off.
    expected = skimage.transform.radon(full.numpy(), ANGLES, circle=False)
    close(A(full[None, None])[0, 0], torch.from_numpy(expected), 1e-2)


def test_radon_of_a_disc_with_as_many_detectors_as_pixels():
    i = torch.arange(21, dtype=F64) - 10
    disc = (i[:, None].square() + i.square() < 64) * noise(21, 21)
    expected = skimage.transform.radon(disc.numpy(), ANGLES, circle=True)
    close(Radon(21, ANGLES, 21, dtype=F64)(disc[None, None])[0, 0], torch.from_numpy(expected), 1e-12)


def test_radon_of_a_centred_bump_is_the_same_from_all_sides():
    i = torch.arange(33, dtype=F64) - 16
    bump = torch.exp(-(i[:, None].square() + i.square()) / (2 * 9))
    y = Radon(33, [0, 30, 77, 90, 145], dtype=F64)(bump[None, None])[0, 0]
    t = torch.arange(len(y), dtype=F64) - len(y) // 2
    exact = 3 * math.sqrt(2 * math.pi) * torch.exp(-t.square() / 18)
    # Bilinear interpolation smooths: 1 % of error for this bump, and none along the grid.
    for k, tol in enumerate([1e-6, 0.02, 0.02, 1e-6, 0.02]):
        close(y[:, k], exact, tol)


def test_radon_keeps_the_mass_and_the_order_of_angles():
    x = noise(2, 3, 12, 9).abs()
    A = Radon((12, 9), [0.0, 90.0], dtype=F64)
    y = A(x)
    close(y.sum(2), x.sum((2, 3))[:, :, None].expand(2, 3, 2), 1e-12)
    start = A.detectors // 2 - 9 // 2
    close(y[..., start : start + 9, 0], x.sum(2), 1e-12)  # at 0° along the columns of x
    assert (y[..., 1].gt(1e-9).sum(2) == 12).all()


def test_radon_follows_autograd_twice_and_its_default_dtype():
    A = Radon(6, [10, 70])
    assert A.values.dtype == torch.get_default_dtype()
    x = noise(1, 1, 6, 6).requires_grad_()
    assert torch.autograd.gradcheck(A, x) and torch.autograd.gradgradcheck(A, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        A(x)


@pytest.mark.parametrize("views", [30, 90])
def test_filtered_back_projection_against_scikit_image(phantom, views):
    angles = np.arange(views) * 180 / views
    A = Radon(64, angles, dtype=F64)
    y = A(phantom)
    x = filtered_back_projection(y, A)
    expected = torch.from_numpy(skimage.transform.iradon(y[0, 0].numpy(), angles, output_size=64, circle=False))
    close(x[0, 0], expected, 0.06)
    error, reference = (image.sub(phantom[0, 0]).square().mean() for image in (x[0, 0], expected))
    assert error < 1.05 * reference
    assert x.mean() == pytest.approx(phantom.mean().item(), rel=0.01)


def test_filtered_back_projection_of_many_views_is_the_image():
    i = torch.arange(41, dtype=F64) - 20
    smooth = torch.exp(-(i[:, None].square() + (i - 4).square()) / (2 * 16))[None, None]
    A = Radon(41, np.arange(120) * 1.5, dtype=F64)
    close(filtered_back_projection(A(smooth), A), smooth, 0.03)
    y = torch.cat([A(smooth), 2 * A(smooth)]).float()
    x = filtered_back_projection(y, A)
    assert x.dtype == torch.float32
    close(x[1], 2 * x[0], 1e-6)


def test_random_projections_keep_lengths_on_average():
    A = RandomProjections((2, 4, 5), 300, dtype=F64)
    assert A.matrix.mean().abs() < 4 / math.sqrt(300 * 300 * 40)
    assert A.matrix.var() == pytest.approx(1 / 300, rel=0.03)
    x = noise(50, 2, 4, 5, seed=7)
    assert (A(x).square().sum((1, 2, 3)) / x.square().sum((1, 2, 3))).mean() == pytest.approx(1, abs=0.03)
    assert torch.equal(A.matrix, RandomProjections((2, 4, 5), 300, 0, F64).matrix)
    assert not torch.equal(A.matrix, RandomProjections((2, 4, 5), 300, 1, F64).matrix)


def test_subsampled_transform_measures_coefficients():
    x = noise(2, 3, 4, 6)
    A = SubsampledTransform((4, 6), 0.5, signs=False)
    y = A(x)
    assert y.shape == (2, 3, 1, 12)
    close(y, DCT()(x).flatten(2)[:, :, None, A.kept], 1e-14)
    close(A(A.T(y)), y, 1e-14)
    complete = SubsampledTransform((4, 6), 1, seed=3)
    assert complete.signs.unique().tolist() == [-1, 1]
    close(complete.T(complete(x)), x, 1e-14)
    picked = SubsampledTransform((4, 6), 0.25, Identity(), signs=False)
    assert picked(x).shape[-1] == 6 and torch.isin(picked(x), x).all()


def test_signs_spread_a_smooth_image_over_all_coefficients():
    i = torch.arange(16, dtype=F64) / 16
    smooth = (i[:, None] + i.square())[None, None]
    kept = {signs: [SubsampledTransform(16, 0.25, signs=signs, seed=s)(smooth).square().sum() for s in range(20)]
            for signs in (True, False)}  # fmt: skip
    share = {signs: torch.stack(values) / smooth.square().sum() for signs, values in kept.items()}
    assert (share[True] - 0.25).abs().max() < 0.1 < share[False].std()
