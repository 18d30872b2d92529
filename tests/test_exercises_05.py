"""The checks of notebook 05 tell right from blank from typical wrong answers, and name the mistake."""

import pytest
import torch
from scipy import ndimage

from course_lib.lab.exercises import spectral_imaging as exercises
from course_lib.lab.exercises.checking import Wrong


def svd(y):
    return torch.linalg.svd(y[0].flatten(1), full_matrices=False)


def terms(y, kept):
    """The terms of the SVD that `kept`, of the singular values, names."""
    U, s, Vh = svd(y)
    return ((U * (s * kept(s))) @ Vh).reshape(y.shape)


def ceiling(y, dose):
    variance = y[0].flatten(1) / dose
    return variance.sum(1).max().sqrt() + variance.sum(0).max().sqrt()


def first(k):
    return lambda y, dose: terms(y, lambda s: torch.arange(len(s)) < k)


def without_values(y, dose):
    U, s, Vh = svd(y)
    return ((U * (s > ceiling(y, dose))) @ Vh).reshape(y.shape)


def centred(y, dose):
    mean = y.mean((2, 3), keepdim=True)
    k = int((svd(y)[1] > ceiling(y, dose)).sum())
    return mean + terms(y - mean, lambda s: torch.arange(len(s)) < k)


def denoised(y, dose):
    return terms(y, lambda s: s > ceiling(y, dose))


def scan(pixels):
    """An answer that visits every so many pixels in row and column, and gives each the spectrum of the nearest."""

    def cube(measure):
        mask = torch.zeros(64, 64, dtype=torch.bool)
        mask[pixels // 2 :: pixels, pixels // 2 :: pixels] = True
        y = measure(mask)
        i, j = ndimage.distance_transform_edt(~mask.numpy(), return_distances=False, return_indices=True)
        return y[:, :, i, j]

    return cube


def even(measure):
    """A grid of pixels with the smooth maps of the check's own reconstruction."""
    places = ((torch.arange(20) + 0.5) * 64 / 20).long()
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[places[:, None], places] = True
    return smooth(measure(mask), mask)


def smooth(y, mask):
    H = svd(y[:, :, mask][..., None])[0][:, :4]
    response = exercises.SpectralResponse
    system = lambda c: mask * c + 0.03 * exercises.gradient_adjoint(exercises.gradient(c))  # noqa: E731
    return response(H)(exercises.conjugate_gradient(system, response(H.T)(y), steps=300, tolerance=1e-4).x)


CASES = {
    "check_ranks": (
        (4, 3, 100),
        [
            ((100, 3, 100), "same few spectra"),
            ((5, 3, 100), "thin side"),
            ((4, 4, 100), "weights that sum to 0"),
            ((4, 2, 100), "three free weights"),
            ((4, 3, 4), "no mixture"),
            ((4, 3, 4096), "at most rank 100"),
            ((4, 3, 96), "100 bands"),
            (4, "three integers"),
            ((4, 3), "three integers"),
            ("few", "three integers"),
        ],
    ),
    "check_low_rank": (
        denoised,
        [
            (first(4), "rank 4"),
            (first(2), "your result has rank 2"),
            (lambda y, dose: terms(y, lambda s: s > dose**0.5 * ceiling(y, dose)), "rank 1"),
            (lambda y, dose: terms(y, lambda s: s > dose * ceiling(y, dose)), "everything was removed"),
            (lambda y, dose: terms(y, lambda s: s > 0), "nothing was removed"),
            (lambda y, dose: terms(y, lambda s: s < ceiling(y, dose)), "stand above"),
            (lambda y, dose: terms(y, lambda s: s > 0.05 * s[0]), "look at the dose"),
            (lambda y, dose: terms(y, lambda s: s > 0.1 * s[0]), "look at the dose"),
            (lambda y, dose: terms(y, lambda s: s > 0.03 * s[0]), "look at the dose"),
            (lambda y, dose: terms(y, lambda s: s > 2), "look at the dose"),
            (lambda y, dose: first(int((svd(y)[1][:-1] / svd(y)[1][1:]).argmax()) + 1)(y, dose), "look at the dose"),
            (without_values, "singular values are missing"),
            (centred, "mean spectrum"),
            (lambda y, dose: denoised(y, dose).flatten(2), "shape of y"),
            (lambda y, dose: 0.9 * denoised(y, dose), "nearer"),
            (lambda y, dose: y[:, :3], "shape"),
        ],
    ),
    "check_missing_spectrum": (
        "zero",
        [("mean", "pay"), ("material", "permute"), ("noise", "choose one")],
    ),
    "check_sampling": (
        even,
        [
            (scan(2), "1024 pixels"),
            (scan(4), "first point is at 1 dB"),
            (lambda measure: measure(torch.zeros(64, 64)), "first point is at 1 dB"),
            (lambda measure: measure(torch.ones(64, 64)), "4096 pixels"),
            (lambda measure: scan(4)(measure)[0], "shape"),
            (lambda measure: scan(4)(measure) / 0, "NaN or infinity"),
        ],
    ),
    "check_unseen": (
        lambda K, m, n, f: (K - m) * (n**2 - (n // f) ** 2),
        [
            (lambda K, m, n, f: K * n**2 - m * n**2 - K * (n // f) ** 2, "neither"),
            (lambda K, m, n, f: (K - m) * n**2, "what the images leave open"),
            (lambda K, m, n, f: K * (n**2 - (n // f) ** 2), "what the cube leaves open"),
            (lambda K, m, n, f: m * (n**2 - (n // f) ** 2), "does see"),
            (lambda K, m, n, f: (K - m) * (n // f) ** 2, "*does* see"),
            (lambda K, m, n, f: n**2 - (n // f) ** 2, "one map"),
            (lambda K, m, n, f: (K - m) * (n**2 - n // f), "a side"),
            (lambda K, m, n, f: 0, "another number"),
            (lambda K, m, n, f: "none", "one number"),
        ],
    ),
}


def test_the_microscope_counts_each_pixel_once():
    measure, x = exercises.microscope(0)
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[:5] = True
    first = measure(mask)
    assert x.shape == first.shape == (1, 100, 64, 64) and not first[:, :, 5:].any() and first[:, :, :5].any()
    mask[5] = True
    assert torch.equal(measure(mask)[:, :, :5], first[:, :, :5]) and exercises.BUDGET == 410 > mask.sum()
    with pytest.raises(Wrong, match="448 pixels"):
        measure(torch.arange(64)[:, None].expand(64, 64) < 7)
    assert measure(torch.zeros(64, 64)).any((0, 1)).sum() == 384, "what was refused has not been visited"


def test_a_random_scan_gains_nothing_on_itself(capsys):
    assert exercises.check_sampling(exercises.random_scan) == 0
    assert "✗ 0 dB" in capsys.readouterr().out
    assert exercises.check_sampling(even) == 1
