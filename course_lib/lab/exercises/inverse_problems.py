"""Checks of the exercises in notebook 01."""

import torch
import torch.nn.functional as F

from course_lib.lab.exercises import normal
from course_lib.lab.exercises.checking import call, chosen, close, compare, exercise, expect, number, tensor_like
from course_lib.operators import Downsample, SubsampledTransform


@exercise
def check_difference_adjoint(answer):
    """Right: ⟨D x, y⟩ = ⟨x, Dᵀ y⟩, also at both edges."""
    x, y = normal(2, 3, 5, 7, seed=1), normal(2, 3, 5, 7, seed=2)
    Dx, Dy = (F.pad(u.diff(dim=3), (0, 1)) for u in (x, y))
    inner = y[..., :-1]
    right = F.pad(inner, (1, 0)) - F.pad(inner, (0, 1))
    short = torch.cat([right[..., :-1], 0 * y[..., :1]], 3)
    value = call(answer, y)
    tensor_like(value, x, "Dᵀ y")
    wrong = {
        "that is D y. The transpose passes values the other way: what did pixel j contribute to?": Dy,
        "the sign: x(j) enters (D x)(j) with a minus, and (D x)(j − 1) with a plus.": -right,
        "the first column took a value from the last: nothing here is periodic.": y.roll(1, 3) - y,
        "the last column: D x is 0 there whatever x is, so y there must have no influence.": F.pad(inner, (1, 0)) - y,
        "the last column is missing: x there enters D x once, in the column before.": short,
        "cumulative sums undo D. The adjoint is no inverse: it passes values back along the same weights.": y.cumsum(3),
        "only half: pixel j also enters (D x)(j − 1), with a plus.": -F.pad(inner, (0, 1)),
    }
    gap = abs((Dx * y).sum() - (x * value).sum()).item()
    hint = f"⟨D x, y⟩ and ⟨x, Dᵀ y⟩ should be equal; for random x and y they differ by {gap:.3f}."
    compare(value, right, wrong, hint)


@exercise
def check_worst_conditioned(answer):
    """Right: a blur passes each frequency with its own factor, down to nearly 0. The other three keep or discard."""
    hints = {
        "inpainting": "each pixel is either kept as it is (s = 1) or lost (s = 0): what is kept is not attenuated.",
        "super-resolution": "the means of disjoint blocks do not overlap: A Aᵀ = I/k², all nonzero s are 1/k.",
        "compressed sensing": "the rows are those of an orthonormal matrix: A Aᵀ = I, all nonzero s are 1.",
    }
    chosen(answer, "deblurring", hints)


@exercise
def check_noise_error(answer):
    """Right: each component of the noise is divided by its s, and variances add: σ √(mean of 1/s²)."""
    s, sigma = torch.tensor([2.0, 1.0, 0.5, 0.1], dtype=torch.float64), 0.03
    value, inverse = number(call(answer, s, sigma), "the error"), 1 / s
    right = sigma * inverse.square().mean().sqrt().item()
    wrong = {
        "variances add, standard deviations do not: square 1/s, average, then take the root.": sigma * inverse.mean(),
        "the mean of 1/s² belongs to the variance σ²: take the root of it.": sigma * inverse.square().mean(),
        "that is the mean square error; its root is asked for.": sigma**2 * inverse.square().mean(),
        "that is E‖A⁻¹n‖², over all pixels. Per pixel: the mean; and take the root.": (
            sigma**2 * inverse.square().sum()
        ),
        "that is the length of the error vector: per pixel, average, do not sum.": sigma * inverse.norm(),
        "that is the worst component. Average over all of them.": sigma * inverse.max(),
        "that is what A does to noise. The inverse divides by s.": sigma * s.square().mean().sqrt(),
        "each component is divided by its own s: take 1/s before you average.": sigma / s.mean(),
        "each component is divided by its own s: take 1/s² before you average.": sigma / s.square().mean().sqrt(),
    }
    compare(value, right, wrong, f"for s = (2, 1, 0.5, 0.1) and σ = 0.03 it is {right:.4f}, got {value:.4f}.")


@exercise
def check_null_part(answer):
    """Right: A of it is 0, what is left is what A sees, and the two are perpendicular."""
    x, A = normal(2, 3, 4, 6), Downsample(2)
    back, value = A.T(A(x)), call(answer, A, x)
    wrong = {
        "that is the part that A sees, A⁺A x. Subtract it from x.": back / A.gram_diagonal,
        "that is AᵀA x: divide by A.gram_diagonal to get what A sees, and subtract that from x.": back,
        "A of it is not 0: divide AᵀA x by A.gram_diagonal before you subtract.": x - back,
        "multiplied where it should be divided: A⁺ = Aᵀ / gram_diagonal.": x - A.gram_diagonal * back,
        "the sign: x minus what A sees.": back / A.gram_diagonal - x,
    }
    compare(value, x - back / A.gram_diagonal, wrong, "A of your image is not 0, or x minus it is not what A sees.")
    A = SubsampledTransform((4, 6), 0.5)
    expect(close(call(answer, A, x), x - A.T(A(x))), "right for Downsample(2) only: use A.T, A and A.gram_diagonal.")
