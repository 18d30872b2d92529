"""The head of Shepp and Logan (1974), ten ellipses, with the contrast of Toft (1996): its image, and its projections in
closed form. Data that come from no pixel grid are the honest test of a reconstruction that lives on one.

An ellipse of density ρ, half axes a and b, turned by φ, centred at c, seen at angle θ and distance t from the centre:

    ρ · 2ab √(r² − s²) / r²,    r² = a² cos²(θ − φ) + b² sin²(θ − φ),    s = t − ⟨c, (cos θ, sin θ)⟩,    0 for |s| > r.

The frame is the square [−1, 1]²; an image of N×N pixels has its centre at pixel (N//2, N//2), as `operators.Radon`.
"""

import math

import torch

from course_lib.common import check, check_count

ELLIPSES = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)
"""ρ, a, b, the centre (right, up), φ in degrees, anticlockwise."""


def ellipses():
    """The columns of `ELLIPSES`, each a tensor [10, 1, 1]: ρ, a, b, right, up, and φ in radians."""
    columns = torch.tensor(ELLIPSES, dtype=torch.float64).T[..., None, None]
    return (*columns[:5], columns[5].deg2rad())


def offsets(samples):
    """The centres of `samples` equal parts of a pixel, relative to its centre."""
    return (torch.arange(samples, dtype=torch.float64) + 0.5) / samples - 0.5


def image(size=128, samples=8, dtype=None):
    """The head, [1, 1, size, size] in [0, 1]: means of samples×samples points in each pixel."""
    check_count("size", size, low=1)
    rho, a, b, right, up, phi = ellipses()
    points = ((torch.arange(size)[:, None] - size // 2 + offsets(samples)) * 2 / size).flatten()
    x, y = points - right, -points[:, None] - up
    u, v = x * phi.cos() + y * phi.sin(), y * phi.cos() - x * phi.sin()
    inside = (u / a).square() + (v / b).square() <= 1
    fine = (rho * inside).sum(0, keepdim=True)[None].clamp(0, 1)
    return torch.nn.functional.avg_pool2d(fine, samples).to(dtype or torch.get_default_dtype())


def sinogram(size, angles, detectors=None, samples=5, dtype=None):
    """The exact projections of the head, [1, 1, detectors, angles], in pixels of an image of this size: what
    `Radon(size, angles, detectors)` of its image only approximates. A detector counts the mean of `samples` lines.

    Args:
        size, detectors: positive integers. angles: a sequence of degrees.
    """
    check_count("size", size, low=1)
    detectors = math.ceil(math.sqrt(2) * size) if detectors is None else detectors
    check_count("detectors", detectors, low=1)
    theta = torch.as_tensor(angles, dtype=torch.float64).deg2rad()
    check(theta.dim() == 1 and len(theta) > 0, "angles", "a sequence of degrees", theta.shape)
    rho, a, b, right, up, phi = ellipses()
    t = ((torch.arange(detectors)[:, None] - detectors // 2 + offsets(samples)) * 2 / size).reshape(-1, 1)
    r = (a * (theta - phi).cos()).square() + (b * (theta - phi).sin()).square()
    s = t - right * theta.cos() - up * theta.sin()
    chords = rho * 2 * a * b * (r - s.square()).clamp_min(0).sqrt() / r  # [10, detectors · samples, angles]
    lines = chords.sum(0).reshape(detectors, samples, -1).mean(1) * size / 2
    return lines[None, None].to(dtype or torch.get_default_dtype())
