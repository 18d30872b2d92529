"""How close x is to a reference: PSNR, SSIM (Wang et al. 2004, doi:10.1109/TIP.2003.819861), GMSD (Xue et al. 2014,
doi:10.1109/TIP.2013.2293423) and the spectral angle SAM (Kruse et al. 1993, doi:10.1016/0034-4257(93)90013-N).

Each takes two float tensors [B, C, H, W] and returns one number an image, [B]. Inside, all is float64: a variance is
a small difference of large means, and float32 would lose what SSIM measures in flat regions.
"""

import math

import torch
import torch.nn.functional as F

from course_lib.common import check, check_images, root


def check_pair(x, reference, data_range=1.0):
    """(x, reference) in float64; ValueError unless they are float tensors of one shape [B, C, H, W] on one device."""
    check_images("x", x)
    check_images("reference", reference)
    check(reference.shape == x.shape, "reference", f"the shape of x, {list(x.shape)}", reference.shape)
    check(reference.device == x.device, "reference", f"a tensor on {x.device}, where x is", reference.device)
    check(0 < data_range < math.inf, "data_range", "a positive number", data_range)
    return x.double(), reference.double()


def result_dtype(x):
    """The dtype of x, or float32 if that is a half precision: a score keeps its digits."""
    return torch.promote_types(x.dtype, torch.float32)


def norm(x):
    """The norm over the channels, as of a pixel's spectrum, [B, H, W], with derivative 0 where it is 0."""
    return root(x.square().sum(1))


def unit(x):
    """Each pixel's spectrum, divided by its norm; 0 stays 0."""
    size = norm(x)[:, None]
    return x / torch.where(size > 0, size, 1)


def psnr(x, reference, data_range=1.0):
    """10 log₁₀(R² / MSE) in dB, [B], with the mean square error over C, H and W; inf where x is the reference.

    Args:
        x, reference: images [B, C, H, W]. data_range: R > 0, the distance from black to white.
    """
    a, b = check_pair(x, reference, data_range)
    return (10 * torch.log10(data_range**2 / (a - b).square().mean((1, 2, 3)))).to(result_dtype(x))


def ssim(x, reference, data_range=1.0, window="uniform"):
    """Structural similarity, [B]: the mean over windows and channels of

        (2 μ_a μ_b + C₁)(2 σ_ab + C₂) / ((μ_a² + μ_b² + C₁)(σ_a² + σ_b² + C₂)),  C₁ = (0.01 R)², C₂ = (0.03 R)².

    Args:
        x, reference: images [B, C, H, W]. data_range: R > 0.
        window: `uniform` (7×7, sample covariances with N/(N − 1): the default of scikit-image) or `gaussian` (11×11,
            σ = 1.5, as Wang et al.; scikit-image with gaussian_weights=True and use_sample_covariance=False). Only
            windows that lie inside the image count.
    """
    a, b = check_pair(x, reference, data_range)
    check(window in ("uniform", "gaussian"), "window", "'uniform' or 'gaussian'", repr(window))
    if window == "uniform":
        weights, unbias = a.new_full((7,), 1 / 7), 49 / 48
    else:
        weights = torch.exp(-0.5 * (torch.arange(-5, 6, device=a.device, dtype=a.dtype) / 1.5).square())
        weights, unbias = weights / weights.sum(), 1.0
    side = len(weights)
    check(min(x.shape[2:]) >= side, "x", f"images of at least {side}×{side}", x.shape)
    # [5, B, C, H, W] → five maps at once, [5BC, 1, H, W]
    maps = torch.stack([a, b, a * a, b * b, a * b]).flatten(0, 2)[:, None]
    maps = F.conv2d(F.conv2d(maps, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    mu_a, mu_b, aa, bb, ab = maps.reshape(5, *x.shape[:2], *maps.shape[2:])
    var_a, var_b, cov = unbias * (aa - mu_a**2), unbias * (bb - mu_b**2), unbias * (ab - mu_a * mu_b)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    similarity = (2 * mu_a * mu_b + c1) * (2 * cov + c2) / ((mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2))
    return similarity.mean((1, 2, 3)).to(result_dtype(x))


def gmsd(x, reference, data_range=1.0):
    """Gradient magnitude similarity deviation (Xue et al. 2014, arXiv 1308.3052), [B]: the standard deviation, over the
    pixels, of

        (2 m_a m_b + C) / (m_a² + m_b² + C),  C = 170 (R / 255)²,

    with m the length of the gradient (Prewitt's differences) of the brightness, averaged over 2×2 pixels. It is 0 where
    x is the reference, and grows where x keeps the edges of one place and loses or invents those of another.

    Args:
        x, reference: images [B, C, H, W], grey (C = 1) or RGB (C = 3), of at least 2×2 pixels. data_range: R > 0.
    """
    a, b = check_pair(x, reference, data_range)
    check(x.shape[1] in (1, 3) and min(x.shape[2:]) > 1, "x", "grey or RGB images of at least 2×2 pixels", x.shape)
    m_a, m_b = gradient_length(a), gradient_length(b)
    c = 170 * (data_range / 255) ** 2
    similarity = (2 * m_a * m_b + c) / (m_a.square() + m_b.square() + c)
    return root(similarity.var((1, 2), correction=0)).to(result_dtype(x))


def gradient_length(x):
    """m of `gmsd`, [B, H/2, W/2], of grey or RGB images; beyond the border all is black."""
    weights = x.new_tensor([0.299, 0.587, 0.114]) if x.shape[1] == 3 else x.new_ones(1)
    brightness = F.avg_pool2d((weights[:, None, None] * x).sum(1, keepdim=True), 2)
    across = x.new_tensor([[-1, 0, 1]] * 3) / 3
    return norm(F.conv2d(brightness, torch.stack([across, across.T])[:, None], padding=1))


def sam(x, reference):
    """Spectral angle mapper, [B]: arccos(⟨a, b⟩ / ‖a‖‖b‖) of the spectra (over C) of a pixel, in degrees, averaged.

    It is blind to brightness. A spectrum that is zero makes 90° with one that is not, and 0° with another zero.

    Args:
        x, reference: images [B, C, H, W] with at least two channels.
    """
    a, b = (unit(image) for image in check_pair(x, reference))
    check(x.shape[1] > 1, "x", "at least two channels", x.shape)
    # Kahan: 2 atan2(‖a − b‖, ‖a + b‖) keeps the small angles, which arccos rounds away.
    angle = 2 * torch.atan2(norm(a - b), norm(a + b))
    return torch.rad2deg(angle).mean((1, 2)).to(result_dtype(x))
