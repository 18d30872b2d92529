"""Regularizers φ of x̂ = argmin ½‖A x − y‖² + λ φ(x): the value φ(x), one number an image, and the proximity operator

    prox_{τφ}(v) = argmin_x τ φ(x) + ½‖x − v‖²,

which is the denoiser that φ stands for (A = I, λ = τ). Image batches are [B, C, H, W]; τ is one number, or a tensor [B]
with one for each image. The images of a batch never influence one another.

    L0, L1, SquaredL2, Box      each value alone: hard threshold, soft threshold, ½‖x‖², [0, 1]
    L12                         groups of values live or die together
    TV                          the gradient is sparse: flat regions with edges
    Nuclear                     the matrix bands × pixels has a low rank
    Transformed(phi, W)         phi of the coefficients W x of an orthonormal transform, e.g. wavelets
"""

from course_lib.regularizers.base import Regularizer
from course_lib.regularizers.simple import L0, L1, Box, SquaredL2
from course_lib.regularizers.structured import L12, Nuclear, Transformed, block_groups, channel_groups
from course_lib.regularizers.tv import TV, gradient, gradient_adjoint
