"""Checks of the exercises in notebook 16."""

import torch

from course_lib.lab.exercises.checking import call, chosen, compare, exercise, expect, number, tensor_like


@exercise
def check_prior_abroad(answer):
    """Right: in most of them. A face prior is, for the most part, a prior for images."""
    hints = {
        "none": "what did the flow learn first, long before eyes: that neighbouring pixels are alike, or that mouths"
        " are below noses? Which of the two holds abroad?",
        "few": "it is not only for smooth photographs. How much of a likelihood is about faces, and how much about"
        " neighbouring pixels (notebook 12)?",
        "half": "close to a coin would be a strange coincidence. How much of a likelihood is about faces at all"
        " (notebook 12)?",
    }
    chosen(answer, "most", hints)


@exercise
def check_gain_lost(answer):
    """Right: the gain over TV at home, less the gain over TV abroad; TV tells how hard each image is."""
    psnrs = torch.tensor([[30.0, 29.0], [27.0, 26.5], [36.0, 24.5], [35.0, 24.0]], dtype=torch.float64)
    home, home_tv, abroad, abroad_tv = psnrs.mean(1).tolist()
    value = call(answer, *psnrs)
    value = number(value.mean() if torch.is_tensor(value) and value.dim() else value, "the gain lost")
    at_home, away = home - home_tv, abroad - abroad_tv
    wrong = {
        "the sign: a loss is positive where the gain shrinks.": away - at_home,
        "that compares PSNRs of different images. How hard an image is, TV tells: use it.": home - abroad,
        "that is the gain at home. Subtract the gain abroad.": at_home,
        "that is the gain abroad. Subtract it from the gain at home.": away,
        "add or subtract? What is lost is a difference of two gains.": at_home + away,
        "decibels are logarithms already: take the difference, not the ratio.": at_home / away,
        "the difference of the two TVs says how hard the images are, not what a prior is worth.": home_tv - abroad_tv,
    }
    hint = f"here {at_home:.2f} dB at home become {away:.2f} dB abroad; got {value:.2f}."
    compare(value, at_home - away, wrong, hint)


@exercise
def check_alarm(answer):
    """Right: too far from the faces' mean in either direction, in units of their standard deviation."""
    faces = torch.tensor([0.9, 1.0, 1.1, 1.0, 1.2, 0.8], dtype=torch.float64)
    values = torch.tensor([0.1, 0.5, 0.65, 0.8, 0.9, 1.0, 1.35, 1.5, 3.0], dtype=torch.float64)
    mean, std, variance = faces.mean(), faces.std(), faces.var()
    off = values - mean
    right, value = off.abs() > 3 * std, call(answer, values, faces)
    expect(
        not (torch.is_tensor(value) and value.is_floating_point() and value.shape == right.shape),
        "an alarm rings or does not: compare with 3, to get True or False for each value.",
    )
    tensor_like(value, right, "the alarm")
    wrong = {
        "the other way round: True where the value is far from the faces.": ~right,
        "too small is as suspicious as too large: take the absolute value.": off > 3 * std,
        "too large is as suspicious as too small: take the absolute value.": off < -3 * std,
        "divide by the standard deviation, not by the variance.": off.abs() > 3 * variance,
        "three standard deviations, not one.": off.abs() > std,
        "three standard deviations, not two.": off.abs() > 2 * std,
        "the distance counts from the faces' mean, not from 0.": values > 3 * std,
        "mean and standard deviation are those of the faces, not of the values to be judged.": (
            (values - values.mean()).abs() > 3 * values.std()
        ),
    }
    compare(value.bool(), right, wrong, "|value − mean of the faces| > 3 × their standard deviation.")


@exercise
def check_start_abroad(answer):
    """Right: D(E(x)) = x for every image: a flow can start anywhere, and has no image out of its reach."""
    hints = {
        "face": "that would be a projection onto faces, as in a VAE. What is D(E(x)) for a bijection?",
        "mean": "D(0) is the mean face, but E(x) of that image is not 0.",
        "nothing": "every image has a latent: E is defined everywhere, not on faces alone.",
    }
    chosen(answer, "image", hints)
