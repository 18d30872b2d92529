"""Checks of the exercises in notebook 01."""

import torch
import torch.nn.functional as F

from course_lib.lab.exercises import normal
from course_lib.lab.exercises.checking import (
    Wrong,
    call,
    chosen,
    close,
    compare,
    exercise,
    expect,
    number,
    open_exercise,
    tensor_like,
)
from course_lib.operators import Downsample, SubsampledTransform


@exercise
def check_block_adjoint(answer):
    """Right: each value goes to all s² pixels of its block, with the weight 1/s² that they had in the mean."""
    y, s = normal(2, 3, 4, 5, seed=1), 3
    value, copied = call(answer, y, s), y.repeat_interleave(s, 2).repeat_interleave(s, 3)
    corner = torch.zeros_like(copied)
    corner[..., ::s, ::s] = y
    wrong = {
        "the weight: each pixel enters the mean with 1/s², and the transpose passes back with the same weight.": copied,
        "the weight: a block has s × s pixels.": copied / s,
        "divide, do not multiply: an entry of A is 1/s², and the transpose has the same entries.": copied * s**2,
        "that repeats the whole picture. Repeat each value, along both axes: `repeat_interleave`.": [
            y.repeat(1, 1, s, s),
            y.repeat(1, 1, s, s) / s**2,
        ],
        "only one pixel of each block got something. Which pixels of a block enter its mean?": [corner, corner / s**2],
    }
    compare(value, copied / s**2, wrong, "column j of A has one entry: 1/s², in the row of the block that j lies in.")


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


SLOTS, PIXELS = 24, 64
"""Time slots of a shutter, and pixels along the motion, of `check_shutter`."""


@open_exercise(20, 12, 9.7, unit=" times the noise")
def check_shutter(answer):
    """The best of all codes reaches 9.13; one short click gives 24, a shutter that stays open has no inverse."""
    expect(not callable(answer), "give the code itself, 24 numbers that are 0 or 1, not a function.")
    try:
        code = torch.as_tensor(answer, dtype=torch.float64).flatten()
    except (TypeError, ValueError, RuntimeError):
        raise Wrong("give 24 numbers that are 0 or 1, as a list or a tensor.") from None
    expect(len(code) == SLOTS, f"give {SLOTS} numbers, one a time slot, got {len(code)}.")
    expect(bool(((code == 0) | (code == 1)).all()), "a shutter is open or shut: each number is 1 or 0.")
    s = torch.fft.fft(F.pad(code / SLOTS, (0, PIXELS - SLOTS))).abs()
    lost = int((s < 1e-9).sum())
    expect(lost == 0, f"your code erases {lost} of {PIXELS} frequencies: there is no inverse.")
    return (1 / s).square().mean().sqrt()


@exercise
def check_twin(answer):
    """Right: it is measured as x is, and what A forgets of it is that of u."""
    A, x, u = Downsample(2), normal(2, 3, 4, 6), normal(2, 3, 4, 6, seed=1)
    c, value = A.gram_diagonal, call(answer, A, x, u)
    gap = A.T(A(x) - A(u))
    wrong = {
        "A of it is not A x: Aᵀ is not yet A⁺. What is A(Aᵀ r), if A Aᵀ = c I?": [u + gap, x - A.T(A(x)) + A.T(A(u))],
        "multiplied where it should be divided: A (Aᵀ r) = c r, so A⁺ = Aᵀ/c.": u + c * gap,
        "the sign: u has to move towards the measurement of x.": u - gap / c,
        "that is the part of x that A sees, and nothing of u: among all images with this measurement, take the one"
        " nearest to u.": A.T(A(x)) / c,
        "that is what A forgets of u; it lacks what A sees of x.": u - A.T(A(u)) / c,
        "x and u are exchanged: yours is the image nearest to x that is measured as u is.": x - gap / c,
        "that is x itself. It has the right measurement, but others that have it are nearer to u.": x,
    }
    compare(value, u + gap / c, wrong, "A of your image is not A x, or an image nearer to u has the same measurement.")
    A = SubsampledTransform((4, 6), 0.5)
    right = u + A.T(A(x) - A(u))
    expect(close(call(answer, A, x, u), right), "right for Downsample(2) only: use A, A.T and A.gram_diagonal.")
