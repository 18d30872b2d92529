"""The phantom against scikit-image's picture of it, and its exact projections against those of its pixels."""

import pytest
import skimage.data
import torch

from course_lib import operators
from course_lib.data import phantom
from course_lib.metrics import psnr

ANGLES = [0.0, 17.0, 45.0, 90.0, 133.0, 171.5]


def test_the_image_is_that_of_scikit_image():
    x = phantom.image(400, 2, dtype=torch.float64)
    other = torch.from_numpy(skimage.data.shepp_logan_phantom())[None, None]
    shifts = [psnr(x, other.roll((i, j), (2, 3))).item() for i in (-1, 0, 1) for j in (-1, 0, 1)]
    assert max(shifts) > 23 and shifts.index(max(shifts)) in (4, 5, 7, 8), shifts  # half a pixel apart
    assert psnr(x.flip(3), other) < psnr(x, other) - 1 and psnr(x.flip(2), other) < psnr(x, other) - 3


@pytest.mark.parametrize(("size", "detectors"), [(64, None), (65, 70), (128, None)])
def test_projections_are_those_of_the_pixels(size, detectors):
    A = operators.Radon(size, ANGLES, detectors, dtype=torch.float64)
    pixels, exact = (
        A(phantom.image(size, dtype=torch.float64)),
        phantom.sinogram(size, ANGLES, detectors, dtype=torch.float64),
    )
    assert exact.shape == pixels.shape
    assert (pixels - exact).norm() < 2.5 / size * exact.norm()


def test_each_view_holds_the_mass_of_the_head():
    exact = phantom.sinogram(64, ANGLES, samples=50, dtype=torch.float64)
    mass = phantom.image(64, 16, dtype=torch.float64).sum()
    area = sum(torch.pi * rho * a * b for rho, a, b, *_ in phantom.ELLIPSES) * 32**2
    assert (exact.sum((0, 1, 2)) / area - 1).abs().max() < 1e-3
    assert abs(mass / area - 1) < 1e-3


def test_dtype_and_range():
    x = phantom.image(33)
    assert x.dtype == torch.float32 and x.shape == (1, 1, 33, 33) and x.min() == 0 and x.max() <= 1
    assert phantom.sinogram(33, ANGLES).dtype == torch.float32
