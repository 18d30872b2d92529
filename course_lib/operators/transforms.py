"""Orthonormal transforms W, WᵀW = I: cosines, wavelets, shifts. Their adjoint is their inverse."""

import functools
from numbers import Integral

import numpy as np
import pywt
import scipy.fft
import torch

from course_lib.common import check, check_count, check_images, without_autocast
from course_lib.operators.base import Operator, corner


class DCT(Operator):
    """Orthonormal cosine transform (DCT-II) of whole images: A x = C_H x C_Wᵀ, [B, C, H, W] of any size; Aᵀ = A⁻¹.

    C_n is `cosines(n)`. Coefficient (0, 0) is √(HW) times the mean.
    """

    gram_diagonal = 1.0

    def forward(self, x):
        check_images("x", x)
        rows, columns = _cosines_of(x.shape[2], x.shape[3], x.dtype, x.device)
        with without_autocast(x):
            return rows @ x @ columns.T

    def T(self, y):
        check_images("y", y)
        rows, columns = _cosines_of(y.shape[2], y.shape[3], y.dtype, y.device)
        with without_autocast(y):
            return rows.T @ y @ columns


def cosines(n):
    """C with C(k, i) = c_k cos(π (2i + 1) k / 2n), c_0 = √(1/n), c_k = √(2/n): [n, n], float64, C Cᵀ = I."""
    return torch.from_numpy(scipy.fft.dct(np.eye(n), norm="ortho", axis=0))


# The matrices of the last few sizes are kept. One made in inference mode could not be used under autograd later.
@functools.lru_cache(maxsize=4)
@torch.inference_mode(False)
def _cosines_of(height, width, dtype, device):
    """C_H and C_W."""
    return [cosines(n).to(device, dtype) for n in (height, width)]


@functools.lru_cache(maxsize=4)
@torch.inference_mode(False)
def _wavelet_steps(height, width, levels, wavelet, dtype, device):
    """Of each level: the matrices for columns and rows, and height and width of the corner where it works."""
    corners = [[n >> level if n > 1 else 1 for n in (height, width)] for level in range(levels)]
    return [(*(wavelet_step(n, wavelet).to(device, dtype) for n in corner), *corner) for corner in corners]


def daubechies(name):
    """The low-pass filter h of `haar` (`db1`), `db2`, …, `db10` (Daubechies, *Ten Lectures on Wavelets*, 1992): float64
    [2N], Σ h = √2, with N vanishing moments.
    """
    names = ["haar", *(f"db{N}" for N in range(1, 11))]
    check(name in names, "wavelet", f"one of {names}", repr(name))
    return torch.tensor(pywt.Wavelet(name).rec_lo, dtype=torch.float64)


def wavelet_step(n, name):
    """One level on a periodic signal of n samples, n even or 1: [n, n], float64, orthogonal. Its upper half is the
    low-pass filter h at every second position, its lower half the high-pass filter g(k) = (−1)ᵏ h(2N − 1 − k).
    """
    if n == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    h = daubechies(name)
    g = h.flip(0) * (-1.0) ** torch.arange(len(h))
    k = (2 * torch.arange(n // 2)[:, None] + torch.arange(len(h)) + 1 - len(h) // 2) % n
    step = torch.zeros(2, n // 2, n, dtype=torch.float64)
    return step.scatter_add_(2, k.expand(2, -1, -1), torch.stack([h, g])[:, None].expand(2, *k.shape)).flatten(0, 1)


class Wavelet(Operator):
    """Orthonormal wavelet transform W with periodic boundaries, Wᵀ = W⁻¹: images [B, C, H, W] to coefficients of the
    same shape, in the usual nested layout.

    Each level turns the H × W corner into four quarters: means at the top left, where the next level works, and
    differences along one axis or both. An axis of length 1 is left alone, so that [B, C, 1, n] holds signals. As
    PyWavelets' `wavedec2(…, mode="periodization")` and `coeffs_to_array`.

    Args:
        wavelet: `haar`, or `db2` to `db10` (Daubechies 1988), with more vanishing moments and longer filters.
        levels: how often; H and W must be divisible by 2^levels, or be 1.
    """

    gram_diagonal = 1.0

    def __init__(self, wavelet="db4", levels=3):
        super().__init__()
        daubechies(wavelet)
        check_count("levels", levels)
        self.wavelet, self.levels = wavelet, int(levels)

    def forward(self, x):
        for rows, columns, height, width in self._steps("x", x):
            with without_autocast(x):
                quarters = rows @ corner(x, height, width) @ columns.T
            x = _with_corner(x, quarters)
        return x

    def T(self, y):
        for rows, columns, height, width in reversed(self._steps("y", y)):
            with without_autocast(y):
                part = rows.T @ corner(y, height, width) @ columns
            y = _with_corner(y, part)
        return y

    def _steps(self, name, x):
        check_images(name, x)
        factor = 2**self.levels
        fits = all(n == 1 or n % factor == 0 for n in x.shape[2:])
        check(fits, name, f"height and width divisible by {factor} (levels={self.levels})", x.shape)
        return _wavelet_steps(*x.shape[2:], self.levels, self.wavelet, x.dtype, x.device)


def _with_corner(x, part):
    height, width = part.shape[2:]
    if part.shape == x.shape:
        return part
    right = torch.cat([part, x[..., :height, width:]], 3)
    return torch.cat([right, x[..., height:, :]], 2)


class Shift(Operator):
    """(A x)(i, j) = x(i + rows, j + columns), periodically: a permutation of pixels, Aᵀ = A⁻¹."""

    gram_diagonal = 1.0

    def __init__(self, rows, columns):
        super().__init__()
        for name, value in (("rows", rows), ("columns", columns)):
            check(isinstance(value, Integral), name, "an integer", value)
        self.rows, self.columns = int(rows), int(columns)

    def forward(self, x):
        check_images("x", x)
        return x.roll((-self.rows, -self.columns), (2, 3))

    def T(self, y):
        check_images("y", y)
        return y.roll((self.rows, self.columns), (2, 3))
