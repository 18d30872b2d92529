"""The checks of notebook 01 tell right from blank from typical wrong answers, and name the mistake."""

import torch.nn.functional as F


def pad(y, left, right):
    return F.pad(y, (left, right))


CASES = {
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
    "check_null_part": (
        lambda A, x: x - A.T(A(x)) / A.gram_diagonal,
        [
            (lambda A, x: A.T(A(x)) / A.gram_diagonal, "Subtract it"),
            (lambda A, x: A.T(A(x)), "divide by A.gram_diagonal"),
            (lambda A, x: x - A.T(A(x)), "A of it is not 0"),
            (lambda A, x: x - A.gram_diagonal * A.T(A(x)), "multiplied"),
            (lambda A, x: A.T(A(x)) / A.gram_diagonal - x, "sign"),
            (lambda A, x: x - x.mean(), "not what A sees"),
            (lambda A, x: A(x), "shape"),
            (lambda A, x: x - 4 * A.T(A(x)), "only"),
        ],
    ),
}
