"""Checks of the exercises in notebook 05."""

import torch

from course_lib.data.spectra import poisson_counts, spectrum_image
from course_lib.lab.exercises import normal, uniform
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
from course_lib.operators import SpectralResponse
from course_lib.regularizers import gradient, gradient_adjoint
from course_lib.solvers import conjugate_gradient


@exercise
def check_ranks(answer):
    """Right: four spectra mix; the abundances sum to one, which costs a dimension around the mean; noise fills all."""
    several(answer, 3, "expected three integers: (clean, clean minus its mean spectrum, noisy).")
    clean, centred, noisy = (number(value, "each rank") for value in answer)
    expect(clean != 4096 and clean != 100, "clean: each of the 4096 columns is a mixture of the same few spectra.")
    expect(clean == 4, "clean: the rank of a product spectra [100, 4] × maps [4, 4096] is that of its thin side.")
    expect(
        centred != 4,
        "centred: the four abundances of a pixel sum to 1, so its spectrum minus the mean is a mixture "
        "with weights that sum to 0. How many of four such weights are free?",
    )
    expect(centred == 3, "centred: a mixture of four spectra with weights that sum to 0 has three free weights.")
    expect(noisy != 4, "noisy: the noise of each pixel and band is a draw of its own. It follows no mixture.")
    expect(noisy != 4096, "noisy: a matrix 100 × 4096 has at most rank 100.")
    expect(noisy == 100, "noisy: 4096 columns of independent noise span all that 100 bands allow.")


def truncated(matrix, k):
    """The matrix of rank k that is nearest to a matrix: the first k terms of its singular value decomposition."""
    U, s, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return (U[:, :k] * s[:k]) @ Vh[:k]


def mixture(materials):
    """A cube [1, 30, 20, 15] of as many materials, in float64."""
    S, B = uniform(30, materials, seed=materials), normal(materials, 20 * 15, seed=1).mul(2).softmax(0)
    return (S @ B).reshape(1, 30, 20, 15)


@exercise
def check_low_rank(answer):
    """Right: the terms of the SVD that stand above the noise, as many as there are materials, and nothing else."""
    grains = spectrum_image(32, 50, generator=0, dtype=torch.float64).cube  # its fourth singular value is small
    for x, materials, dose in (mixture(2), 2, 500), (mixture(3), 3, 4000), (mixture(3), 3, 30), (grains, 4, 1000):
        y = poisson_counts(x, dose, generator=2)
        value, Y = call(answer, y, dose), y[0].flatten(1)
        U, s, Vh = torch.linalg.svd(Y, full_matrices=False)
        is_matrix = torch.is_tensor(value) and value.shape in (Y.shape, Y[None].shape)
        expect(not is_matrix, "that is the matrix: give it the shape of y again.")
        tensor_like(value, y, "the denoised cube")
        mean = Y.mean(1, keepdim=True)
        wrong = {
            "the singular values are missing: U diag(s) Vᵀ.": U[:, :materials] @ Vh[:materials],
            "you took the mean spectrum off first, and added it again.": [
                mean + truncated(Y - mean, k) for k in (materials - 1, materials)
            ],
            "nothing was removed.": Y,
            "everything was removed: is the ceiling in the unit of y, whose variance is about y / dose?": 0 * Y,
        }
        rank = int(torch.linalg.matrix_rank(value[0].flatten(1), rtol=1e-9))
        shown = ", ".join(f"{value:.3g}" for value in s[:5].tolist())
        above = f"of the singular values of this cube ({shown}, …) {materials} stand above the noise; your result has"
        above += f" rank {rank}. Its dose is {dose}: where does your rule look at the dose?"
        hint = "its rank is right, but another cube of this rank is nearer to y." if rank == materials else above
        compare(value[0].flatten(1), truncated(Y, materials), wrong, hint)


@exercise
def check_missing_spectrum(answer):
    """Right: zero. A column of zeros costs the nuclear norm nothing, and the data say nothing against it."""
    hints = {
        "mean": "what would have to pay for it? Compare the nuclear norm of a matrix with and without that column.",
        "material": "to know the material it would have to look at the neighbours. A matrix has no neighbours: permute "
        "its columns, and neither the rank nor the nuclear norm changes.",
    }
    chosen(answer, "zero", hints)


BUDGET = 410
"""Pixels that `microscope` lets one visit: a tenth of 64 × 64."""


def microscope(seed):
    """(measure, truth): a scan that you steer, and the cube [1, 100, 64, 64] that it looks at; `seed` is the specimen.

    `measure(mask)`, mask [64, 64] of True and False, visits pixels, and returns y, the counts divided by the dose 200,
    for all pixels visited up to then, 0 in the others. It may be called again and again, until `BUDGET` pixels have
    been visited; visiting one anew costs nothing and gives the same counts.
    """
    truth = spectrum_image(64, 100, generator=seed, dtype=torch.float64).cube
    counted = poisson_counts(truth, 200, generator=seed)
    visited = torch.zeros(64, 64, dtype=torch.bool)

    def measure(mask):
        nonlocal visited
        mask = torch.as_tensor(mask).reshape(64, 64).bool()
        total = int((visited | mask).sum())
        expect(total <= BUDGET, f"that makes {total} pixels; the specimen tolerates {BUDGET}.")
        visited = visited | mask
        return counted * visited

    return measure, truth


def random_scan(measure):
    """What is to be beaten: pixels at random, the subspace of their spectra, and Sobolev smoothness."""
    mask = torch.zeros(64 * 64, dtype=torch.bool)
    mask[torch.randperm(64 * 64, generator=torch.Generator().manual_seed(0))[:BUDGET]] = True
    mask = mask.reshape(64, 64)
    y = measure(mask)
    H = torch.linalg.svd(y[0][:, mask], full_matrices=False)[0][:, :4]

    def system(c):
        return mask * c + 0.03 * gradient_adjoint(gradient(c))

    run = conjugate_gradient(system, SpectralResponse(H.T)(y), steps=300, tolerance=1e-4)
    return SpectralResponse(H)(run.x)


@open_exercise(1, 2.5, 4, unit=" dB")
def check_sampling(answer):
    """That is the gain over random pixels, the mean of two specimens that you have not seen."""
    gains = []
    for specimen in (7, 8):
        measure, x = microscope(specimen)
        value = call(answer, measure)
        tensor_like(value, x, "the cube")
        gains.append(psnr(value, x).item() - psnr(random_scan(microscope(specimen)[0]), x).item())
    return sum(gains) / 2


@exercise
def check_unseen(answer):
    """Right: (K − m) (p² − (p / f)²): maps that no filter sees, without what is left of them in the large pixels."""
    for K, m, p, f in ((4, 3, 96, 4), (6, 2, 40, 5)):
        value = number(call(answer, K, m, p, f), "the number of dimensions")
        small, large = p**2, (p // f) ** 2
        wrong = {
            "you counted equations and took them off the unknowns. But the images tell again what the cube has told:"
            " count what *neither* sees.": (K - m) * small - K * large,
            "that is what the images leave open. In the large pixels the spectrometer sees all K maps.": (K - m)
            * small,
            "that is what the cube leaves open. The camera sees m combinations of the maps in each pixel.": K
            * (small - large),
            "those are the combinations that the camera does see; count those that it does not.": m * (small - large),
            "that is what the spectrometer *does* see of the maps that the camera misses.": (K - m) * large,
            "that is for one map; how many combinations of K maps does the camera miss?": small - large,
            "the spectrometer has (p / f)² pixels: p / f a side.": (K - m) * (small - p // f),
        }
        compare(
            value, (K - m) * (small - large), wrong, f"for K = {K}, m = {m}, p = {p}, f = {f} it is another number."
        )
