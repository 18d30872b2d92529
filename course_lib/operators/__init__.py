"""The operator A of y = A x + n, with its exact adjoint Aᵀ.

    A(x)     A x            A.T(y)     Aᵀ y           A.norm(shape)       ‖A‖, the largest singular value
    A @ B    x ↦ A(B(x))    A + B      A x + B x      c * A               c A x
    Counted(A).count        how often A and Aᵀ were applied
    A.prox(v, y, rho)       argmin_x ½‖A x − y‖² + (ρ/2)‖x − v‖², the proximal step of the data term

Images are float tensors [B, C, H, W] of any height and width, and no image of a batch influences another. Buffers keep
the dtype that they were given and are cast to that of the image at use; they move with `A.to(device)`.
"""

from course_lib.operators.base import Compose, Counted, Operator, Scaled, Sum
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
from course_lib.operators.projections import Radon, RandomProjections, SubsampledTransform, filtered_back_projection
from course_lib.operators.spectral import SpectralResponse, Subsample
from course_lib.operators.stacking import Adjoint, Stack, tight_frame, undecimated
from course_lib.operators.transforms import DCT, Shift, Wavelet
