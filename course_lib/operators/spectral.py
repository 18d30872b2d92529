"""Operators on spectral cubes [B, bands, H, W]: what an instrument integrates over the spectrum, and where it looks."""

import torch
import torch.nn.functional as F

from course_lib.common import check, check_count, check_images, without_autocast
from course_lib.operators.base import Operator
from course_lib.operators.imaging import check_divisible


class SpectralResponse(Operator):
    """(A x)(m, i, j) = Σ_b R(m, b) x(b, i, j): each pixel's spectrum through the m channels of an instrument. Cubes
    [B, bands, H, W] become [B, m, H, W]; ‖A‖ = ‖R‖.

    Args:
        R: a finite float matrix [m, bands].
    """

    def __init__(self, R):
        super().__init__()
        R = torch.as_tensor(R).detach().clone()
        check(R.is_floating_point(), "R", "a float tensor", R.dtype)
        check(R.dim() == 2 and 0 not in R.shape, "R", "shape [m, bands]", R.shape)
        check(R.isfinite().all(), "R", "finite values", "NaN or infinity")
        self.register_buffer("R", R)

    def forward(self, x):
        check_images("x", x, self.R.device)
        check(x.shape[1] == self.R.shape[1], "x", f"{self.R.shape[1]} bands", x.shape)
        return _mix(self.R, x)

    def T(self, y):
        check_images("y", y, self.R.device)
        check(y.shape[1] == self.R.shape[0], "y", f"{self.R.shape[0]} channels", y.shape)
        return _mix(self.R.T, y)

    def norm(self, shape, iterations=40, seed=0):
        return torch.linalg.matrix_norm(self.R, 2).item()

    def _solve(self, r, rho, *options):
        # RRᵀ = U diag(s²) Uᵀ, the same in each pixel: (AAᵀ + ρI)⁻¹ divides by s² + ρ in the basis U.
        with without_autocast(r):
            values, U = torch.linalg.eigh((self.R @ self.R.T).to(r.dtype))
        return self.T(_mix(U, _mix(U.T, r) / (values.clamp_min(0)[:, None, None] + rho)))


def _mix(R, x):
    with without_autocast(x):
        return (R.to(x.dtype) @ x.reshape(*x.shape[:2], -1)).reshape(len(x), len(R), *x.shape[2:])


class Subsample(Operator):
    """(A x)(i, j) = x(k i, k j): every k-th pixel, [B, C, H, W] → [B, C, H/k, W/k]; A Aᵀ = I. After a blur,
    `Subsample(k) @ Blur(kernel)`, it is a camera with large pixels. H and W are multiples of k.
    """

    gram_diagonal = 1.0

    def __init__(self, factor):
        super().__init__()
        check_count("factor", factor, low=1)
        self.factor = int(factor)

    def forward(self, x):
        check_divisible("x", x, self.factor)
        return x[:, :, :: self.factor, :: self.factor]

    def T(self, y):
        check_images("y", y)
        zeros = 0, self.factor - 1
        x = F.pad(y[:, :, :, None, :, None], (*zeros, 0, 0, *zeros))  # [B, C, H/k, k, W/k, k]
        return x.reshape(*y.shape[:2], self.factor * y.shape[2], self.factor * y.shape[3])
