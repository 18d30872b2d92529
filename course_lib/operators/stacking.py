"""Several operators as one: stacked measurements, redundant frames, and adjoints as operators of their own."""

import itertools
import math

import torch

from course_lib.common import check, check_count, check_images, check_operator
from course_lib.operators.base import Operator, check_orthonormal
from course_lib.operators.transforms import Shift


class Stack(Operator):
    """A x = (A₁ x, …, A_K x), with adjoint Aᵀ y = A₁ᵀ y₁ + … + A_Kᵀ y_K.

    The parts are concatenated along channels, [B, K C, H, W], if all have the same shape. If they differ, give the
    `shape` [C, H, W] of the images: then the parts are flattened and concatenated to [B, 1, 1, m]. `parts(y)` takes
    either apart again.
    """

    def __init__(self, *operators, shape=None):
        super().__init__()
        check(operators and all(isinstance(A, Operator) for A in operators), "operators", "one or more", operators)
        self.operators, self.shape = torch.nn.ModuleList(operators), None
        if shape is not None:
            check(len(shape) == 3, "shape", "[C, H, W]", list(shape))
            tensors = [*self.buffers(), torch.zeros(())]
            with torch.no_grad():
                parts = [A(torch.zeros(1, *shape, device=tensors[0].device)) for A in operators]
            self.shape, self.shapes = tuple(shape), [part.shape[1:] for part in parts]

    def forward(self, x):
        parts = [A(x) for A in self.operators]
        if self.shape:
            check(x.shape[1:] == self.shape, "x", f"images of shape {list(self.shape)}", x.shape)
            return torch.cat([part.reshape(len(part), -1) for part in parts], 1)[:, None, None]
        for part in parts[1:]:
            check(part.shape == parts[0].shape, "operators", "parts of one shape, or shape=[C, H, W]", part.shape)
        return torch.cat(parts, 1)

    def T(self, y):
        return sum(A.T(part) for A, part in zip(self.operators, self.parts(y), strict=True))

    def parts(self, y):
        """The measurements of each operator, in its own shape: a list of K batches."""
        check_images("y", y)
        if self.shape:
            sizes = [math.prod(shape) for shape in self.shapes]
            check(y.shape[1:] == (1, 1, sum(sizes)), "y", f"shape [B, 1, 1, {sum(sizes)}]", y.shape)
            parts = zip(y.reshape(len(y), -1).split(sizes, 1), self.shapes, strict=True)
            return [part.reshape(-1, *shape) for part, shape in parts]
        check(y.shape[1] % len(self.operators) == 0, "y", f"channels divisible by {len(self.operators)}", y.shape)
        return list(y.chunk(len(self.operators), 1))


def tight_frame(*bases):
    """W x = (W₁ x, …, W_K x) / √K for orthonormal bases W_k: a redundant frame with WᵀW = I, a `Stack`. Its adjoint is
    a left inverse, but WWᵀ ≠ I: most coefficients [B, K C, H, W] are those of no image.
    """
    check(bases, "bases", "one or more orthonormal transforms", bases)
    for W in bases:
        check_orthonormal("bases", W)
    return Stack(*(len(bases) ** -0.5 * W for W in bases))


def undecimated(W, shifts=2):
    """The `tight_frame` of W on all images shifted by 0 to shifts − 1 rows and columns ("cycle spinning", Coifman and
    Donoho 1995): with shifts = 2^levels it is the undecimated wavelet transform, and does not depend on the grid.
    """
    check_count("shifts", shifts, 1)
    return tight_frame(*(W @ Shift(i, j) for i, j in itertools.product(range(shifts), repeat=2)))


class Adjoint(Operator):
    """Aᵀ as an operator: its adjoint is A. With a frame W, `A @ Adjoint(W)` measures the image that coefficients
    synthesize.
    """

    def __init__(self, A):
        super().__init__()
        check_operator("A", A)
        self.A = A

    def forward(self, x):
        return self.A.T(x)

    def T(self, y):
        return self.A(y)
