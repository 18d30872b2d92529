"""Checks of the exercises in notebook 05."""

import torch

from course_lib.lab.exercises import normal, uniform
from course_lib.lab.exercises.checking import call, chosen, compare, exercise, expect, number, several, tensor_like
from course_lib.operators import Blur, SpectralResponse, Subsample
from course_lib.regularizers import gradient, gradient_adjoint


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


def truncated(matrix, k=2):
    """The first k singular values and vectors of a matrix, or of each of a batch."""
    U, s, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return (U[..., :k] * s[..., None, :k]) @ Vh[..., :k, :]


@exercise
def check_low_rank(answer):
    """Right: the first k singular vectors of each cube, and nothing else, is the nearest cube of rank k."""
    x = normal(2, 5, 3, 4) + 1
    value, flat = call(answer, x, 2), x.flatten(2)
    U, s, Vh = torch.linalg.svd(flat, full_matrices=False)
    matrix = truncated(flat)
    is_matrix = torch.is_tensor(value) and value.shape == matrix.shape
    expect(not is_matrix, "that is the matrix: give it the shape of x again.")
    tensor_like(value, x, "the cube of rank k")
    mean = x.flatten(2).mean(2, keepdim=True)
    pooled = truncated(x.transpose(0, 1).flatten(1)).reshape(5, 2, 12).transpose(0, 1)
    last = (U[:, :, -2:] * s[:, None, -2:]) @ Vh[:, -2:]
    wrong = {
        "those are the last k singular values; the first ones are the largest.": last,
        "the singular values are missing: U diag(s) Vᵀ.": U[:, :, :2] @ Vh[:, :2],
        "you took the mean spectrum off first, and added it again: the rank is k + 1.": mean + truncated(flat - mean),
        "all cubes of the batch in one matrix: each has an SVD of its own, x.flatten(2) is [B, bands, pixels].": pooled,
        "nothing was removed: keep k columns of U, k values of s, and k rows of Vᵀ.": flat,
    }
    rank = int(torch.linalg.matrix_rank(value[0].flatten(1)))
    hint = "its rank is right, but another cube of rank k is nearer to x."
    compare(value.flatten(2), matrix, wrong, hint if rank <= 2 else f"for k = 2 its rank is {rank}.")


@exercise
def check_missing_spectrum(answer):
    """Right: zero. A column of zeros costs the nuclear norm nothing, and the data say nothing against it."""
    hints = {
        "mean": "what would have to pay for it? Compare the nuclear norm of a matrix with and without that column.",
        "material": "to know the material it would have to look at the neighbours. A matrix has no neighbours: permute "
        "its columns, and neither the rank nor the nuclear norm changes.",
    }
    chosen(answer, "zero", hints)


@exercise
def check_fusion_system(answer):
    """Right: the gradient of the two data terms and of the smoothness, without its constant part."""
    c = normal(2, 3, 4, 6, seed=1)
    C = Subsample(2) @ Blur(uniform(3, 3, seed=2))
    G = SpectralResponse(uniform(2, 3, seed=3))
    w, lam = 0.6, 0.3
    value = call(answer, c, C, G, w, lam)
    cube, images, smooth = C.T(C(c)), G.T(G(c)), gradient_adjoint(gradient(c))
    downhill = cube + w * images - lam * smooth
    wrong = {
        "the smoothness is missing: λ ∇ᵀ∇ c.": cube + w * images,
        "λ is missing before ∇ᵀ∇ c.": cube + w * images + smooth,
        "the sign of the smoothness: `gradient_adjoint(gradient(c))` is ∇ᵀ∇ c already, minus the Laplacian.": downhill,
        "w is missing: it weighs the images.": cube + images + lam * smooth,
        "w belongs to the images, not to the cube.": w * cube + images + lam * smooth,
        "the images are missing: w GᵀG c.": cube + lam * smooth,
        "the cube is missing: CᵀC c.": w * images + lam * smooth,
        "the derivative of w ½‖G c − y‖² has w, not w².": cube + w**2 * images + lam * smooth,
        "that is λ c, which makes c small; ∇ᵀ∇ c makes it smooth.": cube + w * images + lam * c,
    }
    compare(value, cube + w * images + lam * smooth, wrong, "expected CᵀC c + w GᵀG c + λ ∇ᵀ∇ c; yours differs.")
