"""Checks of the exercises in notebook 15."""

import math

import pandas as pd
import torch

from course_lib.data import TASKS
from course_lib.lab.exercises.checking import call, chosen, compare, exercise, expect, number, open_exercise, several


@exercise
def check_noiseless_deblurring(answer):
    """Right: the circular blur is invertible; without noise the data alone determine x, whatever the prior."""
    hints = {
        "prior": "if TV were such a good prior for faces, it would win in the other tasks too. Does it?",
        "edges": "edges are as sharp at σ = 0.01, where TV has 15 dB less. What has changed between the two?",
        "average": "there is no noise here to be averaged away. What do the data alone say about x?",
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
    """Right: PSNR is convex in the error, so the mean of the PSNRs is the higher one, by some dB where faces differ."""
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


@exercise
def check_faces_needed(answer):
    """Right: n (s_a² + s_b²) / (s_a² + s_b² − 2ρ s_a s_b) faces each; pairing subtracts what the two have in common."""
    for n, s_a, s_b, rho in ((20, 1.5, 1.5, 0.9), (50, 2.0, 1.0, 0.5)):
        got = number(call(answer, n, s_a, s_b, rho), "the number of faces")
        total, both = s_a**2 + s_b**2, 2 * rho * s_a * s_b
        wrong = {
            "upside down: an unpaired comparison needs more faces, not fewer.": n * (total - both) / total,
            "the standard error falls with √n: compare variances, not standard deviations.": n
            * math.sqrt(total / (total - both)),
            "the variance of a difference is s_a² + s_b² − 2 cov(a, b): minus.": n * total / (total + both),
            "a covariance is ρ s_a s_b, and it enters twice.": n * total / (total - both / 2),
        }
        compare(
            got, n * total / (total - both), wrong, f"for n = {n}, s_a = {s_a}, s_b = {s_b}, ρ = {rho}: got {got:.1f}."
        )


GRID = tuple(10.0 ** (k / 4 - 7) for k in range(17))
"""The λ that were tried, four a decade."""


def results_table(seed):
    """A table of results as a paper might have it, and the rows that a referee should not believe.

    Returns:
        A DataFrame, a row a (task, method): `task`, `method`, `sigma` of the noise; `lam`, the λ that tuning chose from
        `GRID`; `tuned_on` and `tested_on`, the numbers (first, last) of the faces; `psnr`, the list of each test face's
        PSNR in dB; `psnr_mean` and `psnr_std` as they are reported. And the sorted list of the rows with a fault.
    """
    g = torch.Generator().manual_seed(seed)

    def draw(low, high):
        return low + (high - low) * torch.rand((), generator=g).item()

    rows = []
    for task in TASKS:
        difficulty = draw(24, 34) + torch.randn(20, generator=g, dtype=torch.float64)
        for method in ("tv", "pnp", "map", "synthesis", "analysis"):
            psnr = difficulty + draw(-2, 2) + 0.4 * torch.randn(20, generator=g, dtype=torch.float64)
            lam = GRID[1 + int(torch.randint(len(GRID) - 2, (), generator=g))]
            row = {
                "task": task,
                "method": method,
                "sigma": 0.01,
                "lam": lam,
                "tuned_on": (1, 8),
                "tested_on": (101, 120),
            }
            rows.append(row | {"psnr": psnr.tolist(), "psnr_mean": psnr.mean().item(), "psnr_std": psnr.std().item()})
    faulty = torch.randperm(len(rows), generator=g)[: 2 * len(FAULTS)].tolist()
    for k, number_of_row in enumerate(faulty):
        FAULTS[k % len(FAULTS)](rows[number_of_row], draw(0, 1))
    return pd.DataFrame(rows), sorted(faulty)


def at_the_edge(row, chance):
    """The chosen λ is the least or the largest that was tried."""
    row["lam"] = GRID[0] if chance < 0.5 else GRID[-1]


def tuned_on_the_test(row, chance):
    """Faces that tuned λ are tested on."""
    first = 101 + int(12 * chance)
    row["tuned_on"] = (first, first + 7)


def other_faces(row, chance):
    """The test faces are not those of the other rows."""
    first = 121 + int(20 * chance)
    row["tested_on"] = (first, first + 19)


def less_noise(row, chance):
    """The observations have less noise than those of the other rows."""
    row["sigma"] = 0.005 if chance < 0.5 else 0.0


def error_of_the_mean(row, chance):
    """What is reported as a standard deviation has been divided by √n."""
    row["psnr_std"] /= math.sqrt(len(row["psnr"]))


def mean_of_the_best(row, chance):
    """The reported mean is that of the fifteen best faces."""
    row["psnr_mean"] = sum(sorted(row["psnr"])[5:]) / 15


def a_failed_face(row, chance):
    """One face failed, and the reported numbers leave it out."""
    row["psnr"][int(19 * chance)] = float("nan")
    kept = torch.tensor([value for value in row["psnr"] if value == value], dtype=torch.float64)
    row["psnr_mean"], row["psnr_std"] = kept.mean().item(), kept.std().item()


FAULTS = (
    at_the_edge,
    tuned_on_the_test,
    other_faces,
    less_noise,
    error_of_the_mean,
    mean_of_the_best,
    a_failed_face,
)


@open_exercise(40, 65, 95, unit=" %")
def check_referee(answer):
    """Found, less accused without a cause, of all faults in ten tables that you have not seen."""
    score = total = 0
    for seed in range(100, 110):
        table, faulty = results_table(seed)
        named = call(answer, table)
        expect(hasattr(named, "__iter__") and not isinstance(named, str), "return the numbers of the rows, in a list.")
        named = {int(number(row, "the number of a row")) for row in named}
        score += len(named & set(faulty)) - len(named - set(faulty))
        total += len(faulty)
    return 100 * score / total
