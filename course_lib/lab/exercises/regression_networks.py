"""Checks of notebook 07, regression networks."""

from course_lib.lab.exercises import normal, uniform
from course_lib.lab.exercises.checking import call, chosen, compare, exercise, expect, number
from course_lib.operators import Downsample


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
    compare(value, right, wrong, "divide by the sum of the two weights, so that they add to 1.")


@exercise
def check_receptive_field(answer):
    """Right: 1 + Σ (k − 1): each layer adds its kernel's width without the middle; 13 for SRCNN, 41 for VDSR."""
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
def check_projection(answer):
    """Right: x + k² Aᵀ(y − A x): add to each block what its mean lacks, and change nothing else."""
    for factor in (2, 3):
        A, truth, x = Downsample(factor), *uniform(2, 2, 1, 6, 12, seed=1)
        y = A(truth)
        missing = A.T(y - A(x))
        right, value = x + factor**2 * missing, call(answer, x, y, A)
        wrong = {
            "that has the shape of y: bring the residual back to the image with A.T.": y,
            "Aᵀ spreads a value over its block *divided by k²*: multiply by A.factor**2.": x + missing,
            "the residual is y − A x, with this sign.": x - factor**2 * missing,
            "the factor is k², the number of pixels of a block, not k.": x + factor * missing,
            "that throws x away: start from x and add what is missing.": factor**2 * A.T(y),
            "write A.factor for k: here it is not 2.": x + 4 * missing,
        }
        compare(value, right, wrong, "x plus A.factor**2 times A.T of the residual y − A(x).")


@exercise
def check_worst_degradation(answer):
    """Right: without averaging there is nothing to undo, and VDSR undoes it all the same: it sharpens what is sharp."""
    hints = {
        "blur": "an image that is too soft is sharpened too little. Which one is sharpened though it needs nothing?",
        "noise": "fine grain is amplified a little. Which change makes *each edge* an edge that the network never saw?",
        "factor": "×4 was in its training. Which of the four breaks what all its training images had in common?",
    }
    chosen(answer, "decimation", hints)
