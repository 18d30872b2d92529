"""The problems of the notebook on real data: objects, instruments, and what its pictures are drawn with."""

import math

import matplotlib.pyplot as plt
import skimage.data
import torch
import torch.nn.functional as F
from scipy import ndimage

from course_lib import data, operators
from course_lib.data import phantom, spectra
from course_lib.plots import COLORS, as_array

INKS = {"TV": "tv", "PnP": "pnp", "patch flow": "map"}
"""The colour of each method, by its name in `COLORS`."""


def grey(name, size):
    """A photograph of scikit-image in grey, [1, 1, size, size]."""
    return data.photograph(name, size).mean(1, keepdim=True)


def cell(size):
    """A cell floating in saline: its phase, from a hologram that scikit-image ships, [1, 1, size, size]."""
    image = torch.from_numpy(skimage.data.cell()[252:496, 306:550].copy())[None, None] / 255
    return F.interpolate(image, (size, size), mode="bicubic", antialias=True).clamp(0, 1)


def clock():
    """A wall clock that scikit-image ships, photographed while the camera moved, [1, 1, 300, 400]."""
    return torch.from_numpy(skimage.data.clock().copy())[None, None] / 255


def row_spectrum(rows):
    """The power of the rows of [H, W] by frequency, 0 to ½ a pixel, [W/2 + 1]: their mean, under a Hann window."""
    rows = (rows - rows.mean(1, keepdim=True)) * torch.hann_window(rows.shape[1])
    return torch.fft.rfft(rows).abs().square().mean(0)


def motion(length, drift, points=1000):
    """The kernel [h, w] of an even motion: so many pixels to the right, and `drift` down, each point of the way shared
    among the four pixels around it."""
    height, width = (2 * math.ceil(abs(way) / 2) + 3 for way in (drift, length))
    t = (torch.arange(points, dtype=torch.float64) + 0.5) / points - 0.5
    y, x, kernel = drift * t + height // 2, length * t + width // 2, torch.zeros(height, width, dtype=torch.float64)
    for i in (y.floor(), y.floor() + 1):
        for j in (x.floor(), x.floor() + 1):
            weights = (1 - (y - i).abs()) * (1 - (x - j).abs())
            kernel.index_put_((i.long(), j.long()), weights, accumulate=True)
    return (kernel / points).float()


def without_trend(u):
    """An image [1, 1, H, W] without the polynomial of degree 2 that is nearest to it."""
    i, j = torch.meshgrid(*(torch.linspace(-1, 1, n, dtype=torch.float64) for n in u.shape[2:]), indexing="ij")
    basis = torch.stack([i**p * j**q for p in range(3) for q in range(3 - p)], -1).flatten(0, 1)
    values = u.double().flatten()[:, None]
    return (values - basis @ torch.linalg.lstsq(basis, values).solution).reshape(u.shape).to(u)


def noise(like, sigma, seed):
    """White noise of standard deviation σ in the shape of a tensor."""
    return sigma * torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


def inpainting(x, missing=0.6, sigma=0.01, seed=0):
    """(y, A) for an image with missing pixels and noise in the others."""
    A = operators.Mask(operators.random_mask(*x.shape[2:], missing=missing, generator=seed))
    return A(x + noise(x, sigma, seed)), A


def scanner(size, views=30):
    """(R, A): the Radon transform of so many views, and R/size, the mean along a line."""
    R = operators.Radon(size, torch.arange(views) * 180 / views)
    return R, 1 / size * R


def scans(size, R, A, sigma, seed=1):
    """The cat, the cell and the head of Shepp and Logan, [3, 1, size, size], and their noisy sinograms; those of the
    head come from exact integrals of its ellipses."""
    x = torch.cat([grey("cat", size), cell(size), phantom.image(size)])
    exact = torch.cat([A(x[:2]), phantom.sinogram(size, R.angles) / size])
    return x, exact + noise(exact, sigma, seed)


def acquire(size, seed, dose=200, missing=0.8):
    """The spectrum-image of a microscope that visits some of the pixels and counts electrons.

    Returns (x, A, y, c, H, mean): the true cube, the mask, the counts; four maps c = Hᵀy and the response H of their
    orthonormal spectra, the singular vectors of what was seen; and the mean spectrum of the visited pixels.
    """
    scene = spectra.spectrum_image(size=size, bands=100, generator=seed, dtype=torch.float64)
    A = operators.Mask(operators.random_mask(size, size, missing=missing, generator=0))
    y = A(spectra.poisson_counts(scene.cube, dose, generator=0))
    seen = y[0][:, A.mask[0]]  # the visited spectra, [100, pixels]
    H = torch.linalg.svd(seen, full_matrices=False)[0][:, :4].float()
    y, mean = y.float(), seen.mean(1).float()
    return scene.cube.float(), A, y, operators.SpectralResponse(H.T)(y), operators.SpectralResponse(H), mean


def nearest(c, A):
    """Maps whose missing pixels are those of the nearest visited one."""
    i, j = ndimage.distance_transform_edt(~A.mask[0].numpy(), return_distances=False, return_indices=True)
    return c[:, :, i, j]


def as_images(c, A):
    """(to images, to maps, ranges): maps [1, K, H, W] become a batch of K grey images, from the smallest visited value
    of each map to its largest, and back."""
    seen = c[0][:, A.mask[0]]
    low, span = (v.reshape(-1, 1, 1, 1) for v in (seen.amin(1), seen.amax(1) - seen.amin(1)))
    return lambda c: (c[0, :, None] - low) / span, lambda u: (low + span * u)[None, :, 0], span.flatten()


def tiled(patches, columns=8, p=16):
    """Patches as one picture, [1, H, W], with white lines between them."""
    rows = patches.reshape(-1, columns, p, p)
    return F.pad(rows, (1, 1, 1, 1), value=1.0).permute(0, 2, 1, 3).reshape(1, -1, columns * (p + 2))


def seams(u, truth, p=16):
    """How much a grid of p pixels stands out in an image [1, 1, H, W]: over the p places where its lines may be, the
    largest mean step of the error from a pixel to the next, divided by the median; the mean of rows and columns."""
    ratios = []
    for dim in (2, 3):
        steps = (u - truth).diff(dim=dim).abs().mean((0, 1, 5 - dim))
        places = torch.stack([steps[k::p].mean() for k in range(p)])
        ratios.append(places.max() / places.median())
    return torch.stack(ratios).mean().item()


def draw_result(truth, found, scores, method):
    """The truth, the image of one method and its error, and the PSNR of all of them as bars."""
    figure, axes = plt.subplots(1, 4, figsize=(10.5, 2.9), layout="constrained", width_ratios=[1, 1, 1, 1.1])
    panels = {"truth": truth, method: found[method], "5 × error": 5 * (found[method] - truth).abs()}
    for axis, (title, image) in zip(axes, panels.items(), strict=False):
        axis.imshow(as_array(image), vmin=0, vmax=1)
        axis.set(title=title, xticks=[], yticks=[])
        axis.grid(False)
    names, values = list(scores), list(scores.values())
    axes[3].barh(names, values, color=[COLORS.get(INKS.get(name), "#999999") for name in names])
    axes[3].set(xlabel="PSNR (dB)", xlim=(min(values) - 2, max(values) + 1), title="the bars do not start at 0")
    axes[3].invert_yaxis()
    plt.close(figure)
    return figure
