"""PSNR and SSIM against scikit-image, image by image; GMSD against piq; the spectral angle against NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from course_lib.metrics import gmsd, gradient_length, psnr, sam, ssim

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
OPTIONS = {"uniform": {}, "gaussian": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}}


def images(*shape, sigma=0.1, seed=0):
    """(x, reference): smooth images in [0, 1], one half nearly flat (variances are tiny there); noise grows with b."""
    g = torch.Generator().manual_seed(seed)
    b, c, h, w = shape
    rows, columns = torch.linspace(0, 6, h, dtype=torch.float64)[:, None], torch.linspace(0, 5, w, dtype=torch.float64)
    phase = torch.rand(b, c, 1, 1, generator=g, dtype=torch.float64) * 6
    reference = 0.5 + 0.4 * torch.sin(rows + phase) * torch.cos(columns)
    reference[..., w // 2 :] = 0.9 + 1e-4 * reference[..., w // 2 :]
    strength = sigma * torch.linspace(0.01, 1, b, dtype=torch.float64)[:, None, None, None]
    return reference + strength * torch.randn(shape, generator=g, dtype=torch.float64), reference


def skimage_ssim(x, reference, data_range=1.0, **options):
    pairs = zip(x.numpy(), reference.numpy(), strict=True)
    return torch.tensor(
        [structural_similarity(a, b, channel_axis=0, data_range=data_range, **options) for a, b in pairs],
        dtype=torch.float64,
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("data_range", [1.0, 2.5])
@pytest.mark.parametrize("shape", [(3, 3, 31, 24), (2, 1, 11, 40), (4, 5, 16, 13)], ids=str)
@pytest.mark.parametrize("window", OPTIONS)
def test_ssim_is_that_of_scikit_image(window, shape, data_range, device):
    x, reference = images(*shape)
    expected = skimage_ssim(x, reference, data_range, **OPTIONS[window])
    assert expected.min() < 0.9 < expected.max()
    score = ssim(x.to(device), reference.to(device), data_range, window)
    assert score.device.type == device and score.shape == shape[:1]
    torch.testing.assert_close(score.cpu(), expected, rtol=0, atol=1e-12)
    single = ssim(x.float().to(device), reference.float().to(device), data_range, window)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.cpu().double(), expected, rtol=0, atol=1e-6)
    # scikit-image works in float32 here, and is the one that rounds.
    in_single = skimage_ssim(x.float(), reference.float(), data_range, **OPTIONS[window])
    torch.testing.assert_close(single.cpu().double(), in_single, rtol=0, atol=1e-5)


@pytest.mark.parametrize("window, side", [("uniform", 7), ("gaussian", 11)])
def test_ssim_of_the_smallest_image(window, side):
    x, reference = images(2, 3, side, side)
    torch.testing.assert_close(
        ssim(x, reference, window=window), skimage_ssim(x, reference, **OPTIONS[window]), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_psnr_is_that_of_scikit_image(data_range, device):
    x, reference = images(4, 3, 9, 14)
    pairs = zip(reference.numpy(), x.numpy(), strict=True)
    expected = torch.tensor([peak_signal_noise_ratio(a, b, data_range=data_range) for a, b in pairs])
    score = psnr(x.to(device), reference.to(device), data_range)
    assert score.device.type == device and expected.max() - expected.min() > 20
    torch.testing.assert_close(score.cpu(), expected, rtol=1e-13, atol=0)


def test_psnr_by_hand_and_of_identical_images():
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    y = x.clone()
    y[1] += 0.1
    score = psnr(y, x)
    assert score.dtype == torch.float32 and torch.equal(score.isinf(), torch.tensor([True, False, True]))
    assert score[0] > 0 and score[1].item() == pytest.approx(20, abs=1e-4)
    assert torch.equal(ssim(y, x)[[0, 2]], torch.ones(2))


PIQ = {
    (4, 3, 32, 24): [0.000027525345, 0.037973925057, 0.083163972513, 0.157591488579],
    (4, 1, 16, 40): [0.000102806215, 0.095825708132, 0.193149790189, 0.220285252831],
}
"""`piq.gmsd` 0.8.0 (arXiv 2208.14818) of `images`, clipped to [0, 1], in float64."""


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", PIQ, ids=str)
def test_gmsd_is_that_of_piq(shape, device):
    x, reference = (image.clamp(0, 1).to(device) for image in images(*shape))
    expected = torch.tensor(PIQ[shape], dtype=torch.float64, device=device)
    torch.testing.assert_close(gmsd(x, reference), expected, rtol=0, atol=1e-10)


def test_gmsd_by_hand():
    """It sees edges alone: of a step that is half as high, the pixels beside it differ and all others agree."""
    step = torch.zeros(1, 1, 20, 20, dtype=torch.float64)
    step[..., 10:] = 1  # pixels of 2×2: columns 4 and 5 have m = 1, and the border on the right
    assert gmsd(step, step).item() == 0
    m, half = gradient_length(step), gradient_length(0.5 * step)
    assert m[0, 5, 4] == m[0, 5, 5] == 1 and (m[0, 1:-1, 1:4] == 0).all() and torch.equal(half, 0.5 * m)
    c = 170 / 255**2
    expected = torch.where(m > 0, (m**2 + c) / (1.25 * m**2 + c), 1).std(correction=0)
    torch.testing.assert_close(gmsd(0.5 * step, step)[0], expected)
    u = (0.5 * step).requires_grad_()
    (slope,) = torch.autograd.grad(gmsd(u, step).sum(), u)
    assert slope.isfinite().all()


def test_sam_against_numpy():
    x, reference = images(3, 4, 6, 9, sigma=0.5)
    a, b = x.numpy(), reference.numpy()
    cosine = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
    expected = torch.tensor(np.degrees(np.arccos(cosine)).mean((1, 2)))
    torch.testing.assert_close(sam(x, reference), expected, rtol=1e-7, atol=0)


def test_sam_by_hand():
    e1, e2 = torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])
    pairs = [(e1, e1), (e1, e2), (e1, -e1), (e1, e1 + e2), (3 * e1, 0.2 * e1), (e1, 0 * e1), (0 * e1, 0 * e1)]
    x, reference = (torch.stack([pair[i] for pair in pairs])[:, :, None, None].expand(-1, -1, 2, 3) for i in (0, 1))
    torch.testing.assert_close(sam(x, reference), torch.tensor([0, 90.0, 180, 45, 0, 90, 0]))
    tilted = torch.tensor([1, 1e-9, 0], dtype=torch.float64)[None, :, None, None]
    small = sam(e1.double()[None, :, None, None], tilted).item()
    assert small == pytest.approx(np.degrees(1e-9), rel=1e-12)  # arccos of a rounded cosine gives 0 here


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(11, 16), st.integers(11, 16), st.integers(2, 4), st.floats(0.01, 3), st.integers(0, 99))
def test_laws(height, width, channels, scale, seed):
    x, reference = images(3, channels, height, width, seed=seed)
    for metric in (psnr, ssim, lambda a, b, r=1.0: ssim(a, b, r, "gaussian")):
        score = metric(x, reference)
        torch.testing.assert_close(metric(reference, x), score)  # symmetric
        torch.testing.assert_close(metric(scale * x, scale * reference, scale), score)  # units do not matter
        torch.testing.assert_close(metric(x.transpose(2, 3), reference.transpose(2, 3)), score)
        torch.testing.assert_close(metric(x[1:2], reference[1:2]), score[1:2], rtol=1e-12, atol=0)  # image by image
    grey, other = x[:, :1], reference[:, :1]
    deviation = gmsd(grey, other)
    torch.testing.assert_close(gmsd(other, grey), deviation)
    torch.testing.assert_close(gmsd(scale * grey, scale * other, scale), deviation)
    torch.testing.assert_close(gmsd(grey.transpose(2, 3), other.transpose(2, 3)), deviation)
    torch.testing.assert_close(gmsd(grey[1:2], other[1:2]), deviation[1:2], rtol=1e-12, atol=0)
    angle = sam(x, reference)
    torch.testing.assert_close(sam(scale * x, reference), angle)
    torch.testing.assert_close(sam(reference, x), angle)
    torch.testing.assert_close(sam(x[1:2], reference[1:2]), angle[1:2], rtol=1e-12, atol=0)
    for metric in (psnr, ssim, sam):
        single, double = metric(x.float(), reference.float()), metric(x, reference)
        torch.testing.assert_close(single, double.float(), rtol=1e-5, atol=1e-5)
    assert (ssim(x, reference) <= 1).all()


def test_half_precision_keeps_the_digits_of_the_score():
    x, reference = (image.bfloat16() for image in images(2, 3, 16, 16))
    for metric in (psnr, ssim, gmsd, sam):
        score = metric(x, reference)
        assert score.dtype == torch.float32
        torch.testing.assert_close(score, metric(x.float(), reference.float()), rtol=0, atol=0)


@pytest.mark.parametrize("window", OPTIONS)
def test_ssim_has_a_gradient(window):
    x, reference = images(1, 2, 11, 12)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda u: ssim(u, reference, window=window), x)
