"""The problem that a picture poses: the picture is the observation y = A x + n, and the task says what A is.

denoising     A x = x
deblurring    A x = the part of k * x that the picture shows
sr            A x = means of disjoint blocks of k×k pixels: the picture is the small one
inpainting    A x = M ⊙ x: the picture is the one with holes
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import fft, ndimage
from skimage.restoration import estimate_sigma

from course_lib.common import check, check_count
from course_lib.models.regression import upscale
from course_lib.operators import Blur, Downsample, Identity, Mask, Operator
from course_lib.reconstruction.base import HALF_GREY
from course_lib.restore.pictures import read_kernel, read_mask

TASKS = ("denoising", "deblurring", "sr", "inpainting")

BLOCK = 16
"""Side of the whole blocks between the holes from which σ is estimated."""


class BlurInFrame(Operator):
    """A x = (k * x) within a frame of height×width, [B, C, H, W] → [B, C, height, width].

    What lies beyond the border of a picture blurs into it, too, so x is larger: by the kernel, k * x is periodic there,
    and no pixel within the frame notices. (H, W), `shape`, is a size of which Fourier transforms are fast.
    """

    def __init__(self, kernel, height, width):
        super().__init__()
        self.blur, self.size = Blur(kernel), (height, width)
        needed = (n + k - 1 for n, k in zip(self.size, kernel.shape, strict=True))
        self.shape = tuple(fft.next_fast_len(n, real=True) for n in needed)
        top, left = (k // 2 for k in kernel.shape)
        self.frame = (left, self.shape[1] - width - left, top, self.shape[0] - height - top)

    def forward(self, x):
        return self.cut(self.blur(x))

    def T(self, y):
        return self.blur.T(F.pad(y, self.frame))

    def cut(self, x):
        """What of x lies within the frame."""
        return F.pad(x, [-n for n in self.frame])

    def prox(self, v, y, rho, iterations=3, tol=None):
        """argmin_x ½‖A x − y‖² + (ρ/2)‖x − v‖², nearly: in each of a few turns, what was not observed beyond the frame
        is what the last image says of it, and the periodic problem has a closed form (majorization: it descends)."""
        x = v
        for _ in range(iterations):
            blurred = self.blur(x)
            x = self.blur.prox(v, blurred + F.pad(y - self.cut(blurred), self.frame), rho)
        return x


@dataclass
class Problem:
    """y = A x + n, with σ of the noise and a cheap start x0; `mask` is that of the observed pixels, where some are not.
    `given` says whether σ was given."""

    y: torch.Tensor
    A: Operator
    x0: torch.Tensor
    sigma: float
    given: str
    mask: torch.Tensor | None = None

    def cut(self, x):
        """An image x as it will be shown: without what is beyond the border of a blurred picture."""
        return self.A.cut(x) if isinstance(self.A, BlurInFrame) else x

    @torch.no_grad()
    def unseen(self, x):
        """(u, share): what of an image x is not from the data but from the prior, and of how many of its values.

        With τ, the standard deviation of the values of x, and ρ = (σ/τ)², the data say W (x − x̄) of x − x̄, where

            W = (AᵀA + ρI)⁻¹ AᵀA,    u = (I − W)(x − x̄) = argmin_u ½‖A u‖² + (ρ/2)‖u − (x − x̄)‖²:

        a component that A takes to 0 is the prior's, and so is, in part, one that A brings below the noise. For σ → 0
        it is the part of x − x̄ in the null space of A. The share is the trace of I − W over the number of values,
        from one random vector of signs.
        """
        A = self.A.blur if isinstance(self.A, BlurInFrame) else self.A
        centred = x - x.mean((2, 3), keepdim=True)
        tau = self.cut(centred).std().clamp_min(HALF_GREY).item()
        rho = (max(self.sigma, HALF_GREY) / tau) ** 2
        signs = torch.randint(2, x.shape[1:], generator=torch.Generator().manual_seed(0))[None].to(x) * 2 - 1
        nothing = torch.zeros_like(A(x))
        u, v = A.prox(centred, nothing, rho), A.prox(signs, nothing, rho)
        return self.cut(u), self.cut(signs * v).mean().item()


def make_problem(picture, task, sigma=None, mask=None, kernel=None, factor=2):
    """The `Problem` of a `Picture`; σ, where none is given, is estimated from the picture (`noise_level`).

    Args:
        mask: of the observed pixels, as for `read_mask`; by default what the picture itself says is missing.
        kernel: as for `read_kernel`, for deblurring. factor: k >= 2, for sr.

    Raises ValueError, with the name of the argument, for what is missing or does not fit the task.
    """
    check(task in TASKS, "task", f"one of {TASKS}", repr(task))
    y, observed = picture.x, None
    size = tuple(y.shape[2:])
    for name, value, owner in (("mask", mask, "inpainting"), ("kernel", kernel, "deblurring")):
        check(value is None or task == owner, name, f"none for {task}: it belongs to {owner}", "one")
    if task == "inpainting":
        expected = "the picture of a mask, black where pixels are missing; or a picture with transparent pixels or NaN"
        check(mask is not None or picture.missing is not None, "mask", expected, "neither")
        observed = torch.ones(1, *size, dtype=torch.bool) if mask is None else read_mask(mask, size)
        if picture.missing is not None:
            observed = observed & ~picture.missing
        observed = observed.to(y.device)
    else:
        hint = "; --task inpainting fills what is missing"
        holes = picture.missing is not None and picture.alpha is None
        check(not holes, "picture", f"finite values everywhere for {task}{hint}", "NaN or infinity")
    given = "given" if sigma is not None else "estimated"
    if sigma is None:
        sigma = noise_level(y, observed)
        if sigma is None:
            sigma, given = 0.01, "assumed: between the holes it can't be estimated"
    if task == "denoising":
        return Problem(y, Identity(), y, sigma, given)
    if task == "sr":
        check_count("factor", factor, low=2)
        return Problem(y, Downsample(factor), upscale(y, factor).clamp(0, 1), sigma, given)
    if task == "deblurring":
        check(kernel is not None, "kernel", "a blur kernel: a picture of it, .txt, .csv or .npy", "none")
        kernel = read_kernel(kernel)
        fits = all(k <= n for k, n in zip(kernel.shape, size, strict=True))
        check(fits, "kernel", f"at most the size of the picture, {list(size)}", list(kernel.shape))
        A = BlurInFrame(kernel, *size).to(y.device)
        return Problem(y, A, F.pad(y, A.frame, mode="replicate"), sigma, given)
    A = Mask(observed)
    return Problem(A(y), A, nearest(y, observed), sigma, given, observed)


def nearest(y, observed):
    """An image whose missing pixels are those of the nearest observed one."""
    missing = ~observed[0].cpu().numpy()
    i, j = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
    return y[:, :, torch.from_numpy(i).long(), torch.from_numpy(j).long()]


def noise_level(y, observed=None):
    """σ of white noise in images y [1, C, H, W], from the finest wavelets (scikit-image; Donoho & Johnstone 1994); with
    holes, the median of those of whole blocks, None where there is none."""
    array = y[0].permute(1, 2, 0).double().cpu().numpy()
    if observed is None:
        return sigma_of(array)
    rows, columns = (n // BLOCK for n in y.shape[2:])
    blocks = [
        (slice(BLOCK * i, BLOCK * (i + 1)), slice(BLOCK * j, BLOCK * (j + 1)))
        for i in range(rows)
        for j in range(columns)
    ]
    values = [sigma_of(array[block]) for block in blocks if observed[0][block].all()]
    return float(np.median(values)) if values else None


def sigma_of(array):
    """scikit-image's estimate of σ in an array [H, W, C]; 0 where all pixels are the same, of which it warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(np.nan_to_num(estimate_sigma(array, average_sigmas=True, channel_axis=-1)))
