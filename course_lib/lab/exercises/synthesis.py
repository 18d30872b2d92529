"""Checks of notebook 13, synthesis regularization."""

import torch

from course_lib.lab.exercises import normal, uniform
from course_lib.lab.exercises.checking import call, chosen, compare, exercise, several


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
def check_best_start(answer):
    """Right: for each image the start of least objective; no truth is needed to choose it."""
    images = uniform(3, 4, 1, 2, 5)
    objectives = torch.tensor([[3.0, 1.0, 8.0, 2.0], [1.0, 4.0, 2.0, 2.5], [2.0, 5.0, 0.5, 3.0]], dtype=torch.float64)
    columns = torch.arange(4)
    every = images[objectives.argmin(0)]
    right, value = every[columns, columns], call(answer, images, objectives)
    wrong = {
        "that takes all images of each best start: index the second dimension, too, with 0, 1, …, B − 1.": every,
        "one result for each image b, not for each start r: the minimum is over the starts, dim 0.": images[:, 0],
        "that takes the largest objective: argmin.": images[objectives.argmax(0), columns],
        "that takes one start for all images; each image has its own best start.": images[objectives.sum(1).argmin()],
        "that takes the first start, whatever its objective.": images[0],
        "that takes the last start, whatever its objective.": images[-1],
        "that is the mean over the starts; it may have a higher objective than each of them.": images.mean(0),
    }
    compare(value, right, wrong, "r = objectives.argmin(0) is the best start of each image; then images[r, b].")


@exercise
def check_more_pixels(answer):
    """Right: a VAE stops at its distance from x, however many pixels; a bijection misses no image."""
    several(answer, 2, "give a pair: (VAE, Glow).")
    chosen(answer[0], "floor", {"zero": "VAE: 192 numbers describe z, 12 288 describe x. Is there a z for each x?"})
    chosen(answer[1], "zero", {"floor": "Glow: which z would you hand to D to get x back? The encoder knows it."})


@exercise
def check_large_lambda(answer):
    """Right: λ‖z‖² pulls z to 0, and D(0) is the image that the prior falls back on: a mean face."""
    hints = {
        "black": "λ pulls z to zero, not the image. What does the decoder make of z = 0?",
        "observation": "that would be the other end: the data term alone. A large λ lets it be as large as it likes.",
        "average": "z = 0 is one image, whatever y is. Would the average over all that fits y know nothing of y?",
    }
    chosen(answer, "centre", hints)
