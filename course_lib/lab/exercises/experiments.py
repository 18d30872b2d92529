"""Checks of the exercises in notebook 15."""

import math

import torch

from course_lib.lab.exercises.checking import call, chosen, compare, exercise, number, several


@exercise
def check_noiseless_deblurring(answer):
    """Right: the circular blur is invertible; without noise the data alone determine x, whatever the prior."""
    hints = {
        "prior": "if TV were such a good prior for faces, it would win in the other tasks too. Does it?",
        "memory": "TV has no weights: it has never seen a face.",
        "smooth": "faces were as smooth at σ = 0.01, where TV has 15 dB less. What else has changed?",
    }
    chosen(answer, "invertible", hints)


def pair(answer, *args, names):
    """The two numbers that a student's function returns."""
    value = call(answer, *args)
    several(value, 2, f"return two numbers, ({names[0]}, {names[1]}).")
    return [number(v, name) for v, name in zip(value, names, strict=True)]


@exercise
def check_paired_gain(answer):
    """Right: the mean of the differences, and their standard deviation (n − 1) divided by √n."""
    a = torch.tensor([31.0, 26.5, 29.0, 24.0, 33.5], dtype=torch.float64)
    b = torch.tensor([29.0, 25.0, 26.5, 23.0, 30.5], dtype=torch.float64)
    d, n = a - b, len(a)
    mean, error = pair(answer, a, b, names=("the mean gain", "its standard error"))
    right = (d.std() / math.sqrt(n)).item()
    wrong = {"the sign: the gain of a over b is a − b.": -d.mean()}
    compare(mean, d.mean(), wrong, f"here the differences have the mean {d.mean():.2f}, got {mean:.2f}.")
    wrong = {
        "that is the spread of single images; the mean of n varies √n less.": d.std(),
        "that is a variance: take the square root.": d.var() / n,
        "both methods saw the same images: take the differences first, then std.": ((a.var() + b.var()) / n).sqrt(),
        "the mean was estimated from the same values: n − 1 in the variance.": d.std(correction=0) / math.sqrt(n),
    }
    compare(error, right, wrong, f"the standard error here is {right:.4f}, got {error:.4f}.")


@exercise
def check_two_means(answer):
    """Right: PSNR is convex in the error, so the mean of the PSNRs is never below the PSNR of the mean error."""
    mse = torch.tensor([1e-2, 1e-3, 4e-4], dtype=torch.float64)
    first, second = -10 * mse.log10().mean().item(), -10 * mse.mean().log10().item()
    got = tuple(pair(answer, mse, names=("the mean of the PSNRs", "the PSNR of the mean error")))
    natural = math.log(10)
    wrong = {
        "the order: first the mean of the PSNRs.": (second, first),
        "the sign: PSNR = −10 log₁₀ MSE, positive for errors below 1.": (-first, -second),
        "the logarithm has base 10: log10.": (first * natural, second * natural),
        "both came out the same: one takes the mean after the logarithm, one before.": [
            (first, first),
            (second, second),
        ],
    }
    hint = f"the mean of the three PSNRs is {first:.2f} dB, the PSNR of the mean error {second:.2f} dB."
    compare(got, (first, second), wrong, hint, 1e-6)
