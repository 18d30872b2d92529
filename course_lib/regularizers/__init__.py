"""Regularizers φ of x̂ = argmin ½‖A x − y‖² + λ φ(x): the value φ(x), one number an image, and the proximity operator

    prox_{τφ}(v) = argmin_x τ φ(x) + ½‖x − v‖²,

which is the denoiser that φ stands for (A = I, λ = τ). Image batches are [B, C, H, W]; τ is one number, or a tensor [B]
with one for each image. The images of a batch never influence one another.
"""

from course_lib.regularizers.base import Regularizer
from course_lib.regularizers.simple import Box
from course_lib.regularizers.tv import TV, gradient, gradient_adjoint

__all__ = ["TV", "Box", "Regularizer", "gradient", "gradient_adjoint"]
