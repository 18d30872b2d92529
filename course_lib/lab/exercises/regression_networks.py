"""Checks of notebook 07, regression networks."""

import torch

from course_lib.common import check, check_images
from course_lib.lab.exercises import normal, uniform
from course_lib.lab.exercises.checking import (
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
from course_lib.operators import Blur, Downsample, gaussian_kernel


def two_point_problem():
    """(y, a, b, A, σ, p): block means of two images [1, 1, 4, 6] that are about alike, a noisy y near the first's."""
    a = uniform(1, 1, 4, 6)
    b = a + 0.3 * normal(*a.shape, seed=1)
    A, sigma = Downsample(2), 0.2
    y = A(a) + 0.1 * normal(1, 1, 2, 3, seed=2)
    return y, a, b, A, sigma, 0.3


@exercise
def check_two_point_mean(answer):
    """Right: the mean of a and b with the weights p exp(−‖y − A a‖²/2σ²) and (1 − p) exp(−‖y − A b‖²/2σ²)."""
    y, a, b, A, sigma, p = two_point_problem()

    def mean(p=p, scale=2.0):
        misfit = [(y - A(x)).square().sum() / (scale * sigma**2) for x in (a, b)]
        weights = [p * (-misfit[0]).exp(), (1 - p) * (-misfit[1]).exp()]
        return (weights[0] * a + weights[1] * b) / sum(weights)

    right, value = mean(), call(answer, y, a, b, A, sigma, p)
    wrong = {
        "that is one of the two images: the MAP decides, the mean doesn't.": [a, b],
        "that is the mean before y was seen: weigh a and b by their likelihoods too.": p * a + (1 - p) * b,
        "the prior probabilities p and 1 − p are missing.": mean(p=0.5),
        "the Gaussian is exp(−‖y − A x‖²/(2σ²)): mind the 2.": mean(scale=1.0),
        "p belongs to a, and 1 − p to b.": mean(p=1 - p),
    }
    tensor_like(value, right)
    images = torch.stack([a.flatten(), b.flatten()], 1)
    weights = torch.linalg.lstsq(images, value.detach().to(a).reshape(-1, 1)).solution
    if not close(images @ weights, value.reshape(-1, 1), 1e-3):
        hint = "a mean of a and b has one weight for each image: ‖y − A x‖² is one number, not one for each pixel."
    elif close(weights.sum(), 1.0, 1e-3):
        hint = "the weights add to 1, but they are not the right ones: ‖·‖² is a sum over all pixels, squared."
    else:
        hint = "divide by the sum of the two weights, so that they add to 1."
    compare(value, right, wrong, hint)


@exercise
def check_receptive_field(answer):
    """Right: 1 + Σ (w − 1): each layer adds its kernel's width without the middle; 13 for SRCNN, 41 for VDSR."""
    for kernels in ([9, 1, 5], [3], [3] * 20, [7, 5]):
        right, value = 1 + sum(k - 1 for k in kernels), number(call(answer, kernels), "the width")
        if value == right:
            continue
        hints = {
            sum(kernels): f"{kernels} does not see {value:g} pixels: two 3×3 layers see 5, not 6. What do they share?",
            right - 1: "even a network without layers sees one pixel: its own.",
            max(kernels): "a later layer looks at pixels that have already looked around: widths add up.",
            1 + sum(k // 2 for k in kernels): "count to both sides: a 3×3 kernel adds a pixel left and one right.",
        }
        expect(False, hints.get(value, f"for {kernels} the width is {right}, got {value:g}."))


@exercise
def check_projected_error(answer):
    """Right: σ² − r². The error of the block means, r, is replaced by the noise, σ; nothing else changes."""
    for r, sigma, k in ((0.02, 0.0, 2), (0.02, 0.05, 2), (0.04, 0.03, 3)):
        right, value = sigma**2 - r**2, number(call(answer, r, sigma, k), "the change")
        wrong = {
            "with noise the projected image has other block means than the truth: which?": -(r**2),
            "the sign: a change below 0 is a gain. What do the block means carry afterwards, what before?": -right,
            "the mean square is asked for: square r and σ.": sigma - r,
            "an error of a block's mean is carried by all k² pixels of the block: their mean square is its square.": [
                right / k**2,
                right / k,
                right * k**2,
                right * k,
            ],
            "that is the error of the block means afterwards: subtract the one before.": sigma**2,
        }
        compare(value, right, wrong, f"for r = {r}, σ = {sigma}, k = {k} the change is {right:.6f}, got {value:.6f}.")


@exercise
def check_soft_or_sharp(answer):
    """Right: on the sharper data. A softer lens is sharpened too little; here it sharpens what is sharp already."""
    hints = {
        "softer": "too little sharpening is still a step in the right direction. What does the other camera need?",
        "both": "interpolation does not sharpen at all. For which of the two is some sharpening better than none?",
        "neither": "each image of its training was a little soft. What does it do with an edge that is not?",
    }
    chosen(answer, "sharper", hints)


def lens_camera(width, seed, exposures=4):
    """A camera that takes means of 2×2 blocks behind a Gaussian lens of a width in pixels: a function
    photograph(chart) → y, [1, 1, 16, 16], for charts [1, 1, 32, 32] of values in [0, 1]. It exposes four times.

    y = g A x + h + n, with noise n of σ = 0.02; the gain g and the offset h come from the seed.
    """
    A, generator, taken = Downsample(2) @ Blur(gaussian_kernel(width)), torch.Generator().manual_seed(seed), []
    gain, offset = (0.6 + 0.3 * torch.rand(1, generator=generator), 0.1 * torch.rand(1, generator=generator))

    def photograph(chart):
        check_images("chart", chart)
        fits = tuple(chart.shape) == (1, 1, 32, 32) and chart.min() >= 0 and chart.max() <= 1
        check(fits, "chart", "shape [1, 1, 32, 32] and values in [0, 1]", tuple(chart.shape))
        check(len(taken) < exposures, "photograph", f"at most {exposures} exposures", f"one more than {exposures}")
        taken.append(chart)
        y = gain * A(chart.float()) + offset
        return y + 0.02 * torch.randn(y.shape, generator=generator)

    return photograph


@open_exercise(0.04, 0.01, 0.0062, unit=" pixels")
def check_lens_width(answer):
    """That is the root mean square error of your widths, over 120 lenses between 0.4 and 2 pixels."""
    widths = [0.4 + 1.6 * ((0.618034 * i) % 1) for i in range(120)]  # so many that luck counts for little
    found = [number(call(answer, lens_camera(s, 7000 + i)), "the width") for i, s in enumerate(widths)]
    return (sum((value - s) ** 2 for value, s in zip(found, widths, strict=True)) / len(widths)) ** 0.5
