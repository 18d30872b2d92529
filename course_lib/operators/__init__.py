"""The operator A of y = A x + n, with its exact adjoint Aᵀ.

    A(x)     A x            A.T(y)     Aᵀ y           A.norm(shape)       ‖A‖, the largest singular value
    A @ B    x ↦ A(B(x))    A + B      A x + B x      c * A               c A x
    A.prox(v, y, rho)       argmin_x ½‖A x − y‖² + (ρ/2)‖x − v‖², the proximal step of the data term

Images are float tensors [B, C, H, W] of any height and width, and no image of a batch influences another. Buffers keep
the dtype that they were given and are cast to that of the image at use; they move with `A.to(device)`.
"""

from course_lib.operators.base import Compose, Operator, Scaled, Sum
from course_lib.operators.imaging import (
    Blur,
    Downsample,
    Identity,
    Mask,
    gaussian_kernel,
    random_mask,
    square_mask,
    uniform_kernel,
)

__all__ = [
    "Blur",
    "Compose",
    "Downsample",
    "Identity",
    "Mask",
    "Operator",
    "Scaled",
    "Sum",
    "gaussian_kernel",
    "random_mask",
    "square_mask",
    "uniform_kernel",
]
