"""The checks of notebook 01 tell right from blank from typical wrong answers, and name the mistake."""

import torch
import torch.nn.functional as F

from course_lib.lab.exercises import inverse_problems as exercises


def pad(y, left, right):
    return F.pad(y, (left, right))


def copied(y, s):
    return y.repeat_interleave(s, 2).repeat_interleave(s, 3)


def in_corners(y, s):
    x = torch.zeros(*y.shape[:2], s * y.shape[2], s * y.shape[3], dtype=y.dtype)
    x[..., ::s, ::s] = y
    return x


def seen(A, x):
    return A.T(A(x)) / A.gram_diagonal


CLICK = [1] + 23 * [0]
BARKER = [1, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 0, 1] + 11 * [0]
BEST = [1, 1, 1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 1, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 1]
FAIR = [1, 1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1]

CASES = {
    "check_block_adjoint": (
        lambda y, s: copied(y, s) / s**2,
        [
            (copied, "the weight: each pixel"),
            (lambda y, s: copied(y, s) / s, "s × s"),
            (lambda y, s: copied(y, s) * s**2, "do not multiply"),
            (lambda y, s: y.repeat(1, 1, s, s) / s**2, "whole picture"),
            (in_corners, "only one pixel"),
            (lambda y, s: copied(y, s) / s**3, "column j"),
            (lambda y, s: y / s**2, "shape"),
        ],
    ),
    "check_difference_adjoint": (
        lambda y: pad(y[..., :-1], 1, 0) - pad(y[..., :-1], 0, 1),
        [
            (lambda y: pad(y.diff(dim=3), 0, 1), "that is D y"),
            (lambda y: pad(y[..., :-1], 0, 1) - pad(y[..., :-1], 1, 0), "sign"),
            (lambda y: y.roll(1, 3) - y, "periodic"),
            (lambda y: pad(y[..., :-1], 1, 0) - y, "no influence"),
            (lambda y: pad(pad(y[..., :-2], 1, 0), 0, 1) - pad(y[..., :-1], 0, 1), "last column is missing"),
            (lambda y: y.cumsum(3), "no inverse"),
            (lambda y: -pad(y[..., :-1], 0, 1), "only half"),
            (lambda y: 2 * y, "differ by"),
            (lambda y: y[..., :-1], "shape"),
            (lambda y: y.transposed(), "stopped with AttributeError"),
        ],
    ),
    "check_worst_conditioned": (
        "deblurring",
        [
            ("inpainting", "kept"),
            ("super-resolution", "disjoint"),
            ("compressed sensing", "orthonormal"),
            ("MRI", "one"),
        ],
    ),
    "check_noise_error": (
        lambda s, sigma: sigma * (1 / s**2).mean().sqrt(),
        [
            (lambda s, sigma: sigma * (1 / s).mean(), "variances add"),
            (lambda s, sigma: sigma * (1 / s**2).mean(), "take the root"),
            (lambda s, sigma: sigma**2 * (1 / s**2).mean(), "mean square error"),
            (lambda s, sigma: sigma**2 * (1 / s**2).sum(), "all pixels"),
            (lambda s, sigma: sigma * (1 / s**2).sum().sqrt(), "do not sum"),
            (lambda s, sigma: sigma / s.min(), "worst component"),
            (lambda s, sigma: sigma * (s**2).mean().sqrt(), "divides by s"),
            (lambda s, sigma: sigma / s.mean(), "before you average"),
            (lambda s, sigma: sigma / (s**2).mean().sqrt(), "1/s² before"),
            (lambda s, sigma: sigma, "for s ="),
            (lambda s, sigma: sigma / s, "one number"),
        ],
    ),
    "check_shutter": (
        BEST,
        [
            (24 * [1], "erases"),
            (CLICK, "the first point is at 20"),
            ([1, 0], "got 2"),
            (24 * [0.5], "open or shut"),
            ("110", "24 numbers"),
            (lambda: CLICK, "not a function"),
        ],
    ),
    "check_twin": (
        lambda A, x, u: u + seen(A, x - u),
        [
            (lambda A, x, u: u + A.T(A(x) - A(u)), "not yet A⁺"),
            (lambda A, x, u: u + A.gram_diagonal * A.T(A(x) - A(u)), "multiplied"),
            (lambda A, x, u: u - seen(A, x - u), "sign"),
            (lambda A, x, u: seen(A, x), "nothing of u"),
            (lambda A, x, u: u - seen(A, u), "lacks"),
            (lambda A, x, u: x + seen(A, u - x), "exchanged"),
            (lambda A, x, u: x, "x itself"),
            (lambda A, x, u: u, "is not A x"),
            (lambda A, x, u: A(x), "shape"),
            (lambda A, x, u: u + 4 * A.T(A(x) - A(u)), "only"),
        ],
    ),
}


def test_the_points_of_a_shutter():
    assert [exercises.check_shutter(code) for code in (CLICK, 4 * [1, 1, 0, 1, 0, 0], BARKER, FAIR, BEST)] == [
        0,
        0,
        1,
        3,
        3,
    ]
    assert exercises.check_shutter(torch.tensor(FAIR, dtype=torch.bool)) == 3
