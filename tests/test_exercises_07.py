"""The checks of notebook 07 tell right from blank from typical wrong answers, and name the mistake."""

from functools import cache

import pytest
import torch

from course_lib.lab.exercises import regression_networks as exercises
from course_lib.operators import Blur, Downsample, gaussian_kernel

EDGE = (torch.arange(32) > 16).float().expand(1, 1, 32, 32).contiguous()
GENERATOR = torch.Generator().manual_seed(3)
CHART = (torch.rand(1, 1, 16, 16, generator=GENERATOR) > 0.5).float().repeat_interleave(2, 2).repeat_interleave(2, 3)
BITS = f"{0x0CB6399E1FFC667276071F40B1E03C271E007F80BB801F303F98F6D87EF60FF2:0256b}"
DESIGNED = torch.tensor([float(bit) for bit in BITS]).reshape(1, 1, 16, 16)  # squares by gradients, for the least error
DESIGNED = DESIGNED.repeat_interleave(2, 2).repeat_interleave(2, 3)
WIDTHS = [0.3 + 0.01 * i for i in range(190)]


def mean(weigh, normalize=True):
    """An answer with the weights (w_a, w_b) = weigh(r_a, r_b, sigma, p) of the squared residuals."""

    def answer(y, a, b, A, sigma, p):
        wa, wb = weigh((y - A(a)).square().sum(), (y - A(b)).square().sum(), sigma, p)
        return (wa * a + wb * b) / (wa + wb if normalize else 1)

    return answer


def likelihood(r, sigma, scale=2):
    return (-r / (scale * sigma**2)).exp()


def weights(ra, rb, sigma, p):
    return p * likelihood(ra, sigma), (1 - p) * likelihood(rb, sigma)


@cache
def ideal(chart):
    """What lenses of `WIDTHS` make of a chart, each [256] minus its mean, of norm 1."""
    images = torch.stack([(Downsample(2) @ Blur(gaussian_kernel(s)))(chart).flatten() for s in WIDTHS])
    images = images - images.mean(1, keepdim=True)
    return images / images.norm(dim=1, keepdim=True)


def sharpest_fit(photograph, exposures, chart=CHART):
    y = sum(photograph(chart) for _ in range(exposures)).flatten()
    return WIDTHS[(ideal(chart) @ (y - y.mean())).argmax()]


def interpolated_fit(photograph, exposures, chart):
    """The peak of a parabola through the best width and its neighbours."""
    y = sum(photograph(chart) for _ in range(exposures)).flatten()
    fits = ideal(chart) @ (y - y.mean())
    k = int(fits.argmax().clamp(1, len(WIDTHS) - 2))
    left, middle, right = fits[k - 1 : k + 2].tolist()
    return WIDTHS[k] + 0.005 * (left - right) / (left - 2 * middle + right)


CASES = {
    "check_two_point_mean": (
        mean(weights),
        [
            (lambda y, a, b, A, sigma, p: a, "decides"),
            (lambda y, a, b, A, sigma, p: b, "decides"),
            (mean(lambda ra, rb, sigma, p: (p, 1 - p)), "before y was seen"),
            (mean(lambda ra, rb, sigma, p: weights(ra, rb, sigma, 0.5)), "prior probabilities"),
            (
                mean(lambda ra, rb, sigma, p: (p * likelihood(ra, sigma, 1), (1 - p) * likelihood(rb, sigma, 1))),
                "mind the 2",
            ),
            (mean(lambda ra, rb, sigma, p: weights(ra, rb, sigma, 1 - p)), "belongs to a"),
            (mean(weights, normalize=False), "so that they add to 1"),
            (mean(lambda ra, rb, sigma, p: weights(ra / 6, rb / 6, sigma, p)), "a sum over all pixels"),
            (mean(lambda ra, rb, sigma, p: weights(ra**0.5, rb**0.5, sigma, p)), "squared"),
            (lambda y, a, b, A, sigma, p: a + (b - a) * (a > b), "one weight for each image"),
            (lambda y, a, b, A, sigma, p: y, "shape"),
        ],
    ),
    "check_receptive_field": (
        lambda kernels: 1 + sum(k - 1 for k in kernels),
        [
            (sum, "two 3×3"),
            (lambda kernels: sum(k - 1 for k in kernels), "its own"),
            (max, "add up"),
            (lambda kernels: 1 + sum(k // 2 for k in kernels), "both sides"),
            (lambda kernels: 100, "the width is 13"),
            (lambda kernels: "wide", "one number"),
            (13, "a function"),
        ],
    ),
    "check_projected_error": (
        lambda r, sigma, k: sigma**2 - r**2,
        [
            (lambda r, sigma, k: -(r**2), "which?"),
            (lambda r, sigma, k: r**2 - sigma**2, "a change below 0"),
            (lambda r, sigma, k: sigma - r, "square r"),
            (lambda r, sigma, k: (sigma**2 - r**2) / k**2, "all k² pixels"),
            (lambda r, sigma, k: k * (sigma**2 - r**2), "all k² pixels"),
            (lambda r, sigma, k: sigma**2, "subtract"),
            (lambda r, sigma, k: 1.0, "the change is"),
            (lambda r, sigma, k: "less", "one number"),
        ],
    ),
    "check_soft_or_sharp": (
        "sharper",
        [("softer", "right direction"), ("both", "than none"), ("neither", "a little soft"), ("blur", "choose one")],
    ),
    "check_lens_width": (
        lambda photograph: sharpest_fit(photograph, exposures=4),
        [
            (lambda photograph: 1.2, "the first point is at 0.04 pixels"),
            (lambda photograph: sharpest_fit(photograph, exposures=5), "at most 4 exposures"),
            (lambda photograph: photograph(torch.ones(1, 1, 8, 8)).mean(), "32"),
            (lambda photograph: photograph(2 * CHART).mean(), "values in"),
            (lambda photograph: "wide", "one number"),
        ],
    ),
}


@pytest.mark.parametrize(
    ("fit", "chart", "exposures", "points"),
    [
        (sharpest_fit, EDGE, 1, 1),
        (interpolated_fit, EDGE, 4, 1),
        (sharpest_fit, CHART, 1, 1),
        (sharpest_fit, CHART, 4, 2),
        (interpolated_fit, CHART, 4, 2),
        (interpolated_fit, DESIGNED, 4, 3),
    ],
)
def test_a_better_chart_and_more_exposures_give_more_points(fit, chart, exposures, points):
    assert exercises.check_lens_width(lambda photograph: fit(photograph, exposures, chart)) == points
