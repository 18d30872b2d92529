"""Checks of notebook 18, towards real data."""

import functools

import torch

from course_lib import operators, solvers
from course_lib.data import phantom
from course_lib.lab.exercises import normal, uniform
from course_lib.lab.exercises.checking import (
    call,
    chosen,
    compare,
    exercise,
    expect,
    number,
    open_exercise,
    tensor_like,
)
from course_lib.lab.real_data import grey, noise, scanner
from course_lib.metrics import psnr
from course_lib.models import load_model
from course_lib.reconstruction import patch_map
from course_lib.regularizers import TV


@exercise
def check_favourite_grain(answer):
    """Right: a flat patch with grain is a Gaussian around grey, and a Gaussian is densest at its centre."""
    hints = {
        "trained": "that is the grain of what the flow draws. But where is the density of a Gaussian largest?",
        "same": "every bit of grain moves the patch away from the centre of the Gaussian. How does −log p grow?",
    }
    chosen(answer, "clean", hints)


@exercise
def check_pixels_once(answer):
    """Right: the mean over the patches, for each of their values, times the values of the image."""
    z = normal(12, 16)
    logdet, d = normal(12, seed=1), 100
    value = call(answer, z, logdet, d)
    expect(not (torch.is_tensor(value) and value.numel() > 1), "one number for the image: average over the patches.")
    value, squares = number(value, "the penalty"), z.square().sum(1)
    each = squares - 2 * logdet

    def image(values):
        return values.mean() * d / 16

    wrong = {
        "a sum over overlapping patches counts most pixels several times: take the mean.": each.sum(),
        "the factor is d over the values of one patch, d/z.shape[1]; d alone is missing.": each.mean() / 16,
        "that is −2 log p of one mean patch. How many disjoint ones does the image hold?": each.mean(),
        "you divided by the number of patches. How many disjoint ones does the image hold?": [
            each.mean() * d / 12,
            image(each) / 12,
            each.mean() / 12,
        ],
        "divide by the values of one patch, z.shape[1].": each.mean() * d,
        "the sign of the log-determinant: a patch is penalized where E contracts.": image(squares + 2 * logdet),
        "twice the log-determinant: −2 log p, as ‖z‖² is.": image(squares - logdet),
        "the log-determinant is missing.": image(squares),
        "‖z‖² without ½: φ is −2 log p.": image(squares / 2 - 2 * logdet),
    }
    compare(value, image(each), wrong, "start from the mean of −2 log p over the patches: how many disjoint ones in d?")


@exercise
def check_map_weight(answer):
    """Right: Σ_b H²x_b/N is the noise of c, divided by span² that of u, and λ is half of it, map by map."""
    H, mean, dose, span = normal(6, 4), 0.1 + uniform(6), 50.0, 0.5 + uniform(4, seed=1)
    value = call(answer, H, mean, dose, span)
    variance = (H.square() * mean[:, None] / dose).sum(0)
    right = variance / span.square() / 2
    wrong = {
        "a variance has the weights squared: H², not H.": (H * mean[:, None] / dose).sum(0) / span.square() / 2,
        "the bands are independent: add their variances, do not square the sum.": (
            (H * (mean / dose).sqrt()[:, None]).sum(0).square() / span.square() / 2
        ),
        "the variance of counts with dose N is x/N.": right * dose,
        "that is the noise of c; the flow sees u = (c − a)/span.": variance / 2,
        "c is divided by span, and so is its noise; yours is multiplied.": variance * span.square() / 2,
        "a variance is divided by span², not by span.": variance / span / 2,
        "the ½ is missing: λ is half a variance.": 2 * right,
        "λ is half a variance, not half a standard deviation.": variance.sqrt() / span / 2,
    }
    compare(value, right, wrong, "Σ_b H_bk² mean_b / N is the variance of c_k; divide it by span² and by 2.")


@functools.cache
def scanned():
    """What the open exercise starts from: (data, operator, σ, flow, TV image, truth, PSNR of the text's method)."""
    R, A = scanner(64)
    x, sigma = torch.cat([grey("moon", 64), grey("astronaut", 64), phantom.image(64).rot90(1, (2, 3))]), 0.003
    y = A(x) + noise(A(x), sigma, seed=1)
    x0 = operators.filtered_back_projection(64 * y, R)
    step = 1.9 / A.norm(x0.shape, iterations=30) ** 2
    x0 = solvers.condat_vu(y, A, TV(), 1e-4, x0=x0, step=step, steps=500, tolerance=1e-5).x
    flow = load_model("patch_glow")
    usual = patch_map(y / sigma, (1 / sigma) * A, flow, 0.5, x0, rounds=4, steps=12).x
    return y, A, sigma, flow, x0, x, psnr(usual.clamp(0, 1), x)


@open_exercise(0.2, 0.3, 0.45, unit=" dB")
def check_scan(answer):
    """That is the mean gain over the patch flow of the text, on three objects in the scanner."""
    *given, x, usual = scanned()
    value = call(answer, *given)
    tensor_like(value, x, "the image")
    return (psnr(value.detach().clamp(0, 1), x) - usual).mean()


@exercise
def check_wrong_kernel(answer):
    """Right: a kernel that is too wide asks for frequencies that the data do not hold, and edges start to ring."""
    hints = {
        "narrow": "a kernel that is too narrow leaves some blur. Is that worse than edges that are sharpened too much?",
        "same": "blur attenuates; to undo it is to amplify. Which of the two errors amplifies too much?",
    }
    chosen(answer, "wide", hints)


@exercise
def check_holdout(answer):
    """Right: the method is shown the other pixels alone, and asked where there is a measurement to compare with."""
    seen, held = uniform(12, 10) < 0.7, uniform(12, 10, seed=1) < 0.4
    y = uniform(1, 1, 12, 10, seed=2) * seen
    kept, asked = seen & ~held, seen & held

    def restore(y, seen):  # the mean of what it is shown, where it is shown nothing
        return torch.where(seen, y, y[..., seen].mean())

    def miss(y_shown, shown, where):
        return (restore(y_shown, shown) - y)[..., where].square().mean().sqrt().item()

    right, value = miss(y * kept, kept, asked), number(call(answer, restore, y, seen, held), "the miss")
    wrong = {
        "the method has been shown what it is asked for, so it misses nothing. Hide it, in y and in `seen`.": 0.0,
        "hide the pixels in `seen`, too: else the method takes their zeros for measurements.": miss(
            y * kept, seen, asked
        ),
        "where nothing was measured, the 0 of y is nothing to compare with: ask at `seen & held`.": miss(
            y * kept, kept, held
        ),
        "ask at the pixels that were held back, not at all of them.": [
            miss(y * kept, kept, seen),
            miss(y * kept, kept, seen | ~seen),
            miss(y * kept, kept, ~kept),
        ],
        "the other way round: `held` are the pixels that the method must not see.": miss(y * asked, asked, kept),
        "the root is missing.": right**2,
        "a mean of squares, then the root; yours is the mean of the sizes.": (
            (restore(y * kept, kept) - y)[..., asked].abs().mean().item()
        ),
    }
    compare(value, right, wrong, "restore from the pixels that are seen and not held; compare where both are True.")
