"""Checks of notebook 13, synthesis regularization."""

import torch

from course_lib.data import face, observe
from course_lib.lab.exercises import normal
from course_lib.lab.exercises.checking import (
    call,
    chosen,
    compare,
    exercise,
    expect,
    number,
    open_exercise,
    several,
    tensor_like,
)
from course_lib.metrics import psnr
from course_lib.operators import Mask, random_mask


def linear_problem():
    """y [2, 5], A [5, 7], W [7, 3], b [7] and λ, in float64."""
    return normal(2, 5), normal(5, 7, seed=1), normal(7, 3, seed=2), normal(7, seed=3), 0.7


@exercise
def check_linear_synthesis(answer):
    """Right: ẑ = (BᵀB + 2λI)⁻¹ Bᵀ(y − A b) with B = A W, then x̂ = W ẑ + b. One minimum, whatever the start."""
    y, A, W, b, lam = linear_problem()
    B, identity = A @ W, torch.eye(3, dtype=torch.float64)

    def latent(residual=y - A @ b, weight=2 * lam, B=B):
        return torch.linalg.solve(B.T @ B + weight * identity, B.T @ residual.T).T

    def image(**options):
        return latent(**options) @ W.T + b

    right, value = image(), call(answer, y, A, W, b, lam)
    wrong = {
        "that has the shape of z; the answer is the image, x̂ = W ẑ + b, for each row of y.": latent(),
        "the ½ in front of the data term: its gradient is Bᵀ(Bz − …), that of λ‖z‖² is 2λz.": image(weight=lam),
        "the regularization is missing: BᵀB + 2λI.": image(weight=0),
        "½ of the data term counts: 2λ, not 4λ.": image(weight=4 * lam),
        "A sees b, too: what Wz has to explain is y − A b.": image(residual=y),
        "the image is W ẑ + b; you left out b.": latent() @ W.T,
        "the sign: y − A b, not y + A b.": image(residual=y + A @ b),
    }
    compare(value, right, wrong, "set the gradient in z to zero, with B = A W: Bᵀ(Bz + A b − y) + 2λz = 0.")


@exercise
def check_failures(answer):
    """Right: the mean loses p Δ, the variance gains p (1 − p) Δ²; divide one by the other to get Δ − p Δ."""
    runs = (30.0, 1.5, 28.0, 3.5), (27.8, 1.9, 22.3, 4.2)
    values = []
    for mean, std, all_mean, all_std in runs:
        value = call(answer, mean, std, all_mean, all_std)
        several(value, 2, "return a pair: (the share p, the loss Δ in dB).")
        values.append([number(value[0], "p"), number(value[1], "Δ")])
    values = torch.tensor(values, dtype=torch.float64)

    def pairs(excess, loss=lambda a, e: a + e / a, share=lambda a, d: a / d):
        """[(p, Δ)] of a rule for Δ, from a = pΔ and the excess of the variance."""
        rows = []
        for mean, std, all_mean, all_std in runs:
            a = mean - all_mean
            d = loss(a, excess(all_std, std))
            rows.append([share(a, d), d])
        return torch.tensor(rows, dtype=torch.float64)

    def variance(all_std, std):
        return all_std**2 - std**2

    right = pairs(variance)
    wrong = {
        "in the order (p, Δ): first the share, then the loss.": right.flip(1),
        "variances add up, not standard deviations: subtract the squares.": pairs(lambda a, s: a - s),
        "the excess is a variance already: no root.": pairs(lambda a, s: (a**2 - s**2) ** 0.5),
        "the runs that arrive have a spread of their own: subtract its square first.": pairs(lambda a, s: a**2),
        "the variance of a share p of losses Δ is p (1 − p) Δ², not p Δ²: the mean moves, too.": pairs(
            variance, lambda a, e: e / a
        ),
        "that Δ is the loss of the mean, p Δ: a run that fails loses more.": pairs(variance, lambda a, e: a),
        "the share of the runs that fail, not of those that arrive.": pairs(variance, share=lambda a, d: 1 - a / d),
    }
    compare(
        values, right, wrong, "two equations: m − pΔ is the mean of all runs, s² + p(1 − p)Δ² their variance.", 1e-3
    )


def first_below(data, level):
    """The first step at which each column of data `[steps + 1, B]` is at the level or below, `[B]`; the last step where
    none is. What the notebook counts on, whether the exercise is answered or not."""
    reached = data <= level
    return torch.where(reached.any(0), reached.long().argmax(0), len(data) - 1)


@exercise
def check_stop(answer):
    """Right: the first step at which the misfit has reached the level, for each image; the last one where none has."""
    columns = [9.0, 6.0, 3.0, 1.2, 2.5, 1.9], [9.0, 8.0, 7.0, 6.5, 6.0, 5.0], [3.0, 1.9, 1.0, 0.5, 0.4, 0.3]
    data, level = torch.tensor(columns, dtype=torch.float64).T, 2.0
    reached = data <= level
    value = call(answer, data, level)
    right = first_below(data, level)  # [3, 5, 1]
    wrong = {
        "one step for each image: the second dimension counts the images.": [torch.tensor(3), reached.long().argmax(1)],
        "where the level is never reached, the search goes on to its last step.": reached.long().argmax(0),
        "the first step at the level or below, not the last one above.": (~reached).long().sum(0) - 1,
        "the misfit may rise again: take the first step, do not count those above.": (~reached)
        .long()
        .sum(0)
        .clamp(max=5),
        "not the step that comes closest to the level, but the first at the level or below.": (data - level)
        .abs()
        .argmin(0),
        "that is the step with the least misfit; it knows nothing of the level.": data.argmin(0),
        "a number of steps from 0, the start, not from 1.": torch.tensor([4, 6, 2]),
        "that is the misfit there; the answer is the number of the step.": data.gather(0, right[None])[0],
    }
    value = value if torch.is_tensor(value) else torch.tensor(value)
    compare(value.double(), right, wrong, "data <= level is True from when on? For each column, the first row.")


@open_exercise(16.6, 17, 17.15, unit=" dB")
def check_few_pixels(answer):
    """That is the mean PSNR of four problems: the admiral and the astronaut, as they are and mirrored, new masks."""
    faces = torch.cat([face("admiral"), face("admiral").flip(3), face(), face().flip(3)])
    scores = []
    for seed, x in enumerate(faces.split(1), 7):
        A = Mask(random_mask(64, 64, missing=0.95, generator=seed))
        found = call(answer, observe(x, A, 0.01, [seed]), A)
        tensor_like(found, x, "the image")
        scores.append(psnr(found.detach().clamp(0, 1), x).item())
    expect(min(scores) > 10, f"one of the four images is lost: {min(scores):.1f} dB.")
    return sum(scores) / len(scores)


@exercise
def check_more_pixels(answer):
    """Right: the VAE stops at its projection; Glow misses no image, and stops on the way, in 60 evaluations."""
    several(answer, 2, "give a pair of numbers: (VAE, Glow).")
    range_ends = "VAE: no z gives an image of her that is better than the projection, however many pixels you see."
    chosen(answer[0], "23", {"30": range_ends, "40": range_ends})
    exact = "Glow: a z of 40 dB is there, the code of y. But does a path from z = 0 get there in 60 evaluations?"
    chosen(answer[1], "23", {"30": "Glow: in section 1, how far had it come after eighty evaluations?", "40": exact})
