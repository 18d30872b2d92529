"""Checks of notebook 18, towards real data."""

import torch

from course_lib.lab.exercises import normal, uniform
from course_lib.lab.exercises.checking import call, chosen, compare, exercise, expect, number


@exercise
def check_fewest_bits(answer):
    """Right: flat patches are predicted best of all, down to the noise that the flow was trained with."""
    hints = {
        "photographs": "it was trained on photographs. But how well can a pixel be guessed from its neighbours there?",
        "noise": "in white noise no pixel says anything about its neighbour: nothing is harder to predict.",
        "same": "a density integrates to one, but it is not flat: some patches are more probable than others.",
    }
    chosen(answer, "flat", hints)


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
        "that is −2 log p of one mean patch: an image holds d/z.shape[1] of them.": each.mean(),
        "divide by the values of one patch, z.shape[1].": each.mean() * d,
        "the sign of the log-determinant: a patch is penalized where E contracts.": image(squares + 2 * logdet),
        "twice the log-determinant: −2 log p, as ‖z‖² is.": image(squares - logdet),
        "the log-determinant is missing.": image(squares),
        "‖z‖² without ½: φ is −2 log p.": image(squares / 2 - 2 * logdet),
    }
    compare(value, image(each), wrong, "mean of ‖z‖² − 2 logdet over the patches, times d/z.shape[1].")


@exercise
def check_map_weight(answer):
    """Right: u = (c − low)/span has noise σ/span, and the prior is about u: λ = (σ/span)²/2, map by map."""
    sigma, span = 0.1 + uniform(2, 4)
    value, right = call(answer, sigma, span), (sigma / span).square() / 2
    wrong = {
        "σ is the noise of c; the flow sees u, whose noise is σ/span.": sigma.square() / 2,
        "c is divided by span, and so is its noise; yours is multiplied.": (sigma * span).square() / 2,
        "the ½ is missing: λ = σ²/2.": (sigma / span).square(),
        "λ is half a variance, not half a standard deviation: square it.": sigma / span / 2,
        "the whole standard deviation is divided by span, then squared: span², not span.": sigma.square() / span / 2,
    }
    compare(value, right, wrong, "the noise of u is σ/span; λ is half its square.")


@exercise
def check_wrong_kernel(answer):
    """Right: a kernel that is too wide asks for frequencies that the data do not hold, and edges start to ring."""
    hints = {
        "narrow": "a kernel that is too narrow leaves some blur. Is that worse than edges that are sharpened too much?",
        "same": "blur attenuates; to undo it is to amplify. Which of the two errors amplifies too much?",
    }
    chosen(answer, "wide", hints)
