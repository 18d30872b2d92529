"""Checks of the exercises in notebook 06."""

import skimage.data
import torch
import torch.nn.functional as F

from course_lib.data import patches, photograph
from course_lib.lab.exercises import normal, uniform
from course_lib.lab.exercises.checking import call, chosen, compare, exercise, open_exercise, tensor_like
from course_lib.metrics import psnr
from course_lib.regularizers import TV


@exercise
def check_dictionary_update(answer):
    """Right: the least-squares dictionary (ZᵀZ)⁻¹ZᵀP, its atoms scaled to length 1."""
    Z = normal(40, 6)
    P = normal(40, 9, seed=1)
    free, plain = torch.linalg.lstsq(Z, P).solution, F.normalize(Z.T @ P)
    right, value = F.normalize(free, dim=1), call(answer, P, Z)
    wrong = {
        "transposed: the atoms are the rows of D, [K, p·p].": right.T,
        "the least-squares solution is there; now divide each row by its length.": free,
        "ZᵀP alone would be right if the columns of Z were orthonormal: solve with ZᵀZ.": Z.T @ P,
        "ZᵀP alone, even with rows of length 1, forgets that atoms share patches: solve with ZᵀZ.": plain,
        "each row (an atom) gets length 1, not each column.": F.normalize(free, dim=0),
        "each row gets length 1 by itself, not the whole matrix.": free / free.norm(),
        "length 1 is in the Euclidean norm: the root of the sum of squares.": free / free.abs().sum(1, keepdim=True),
    }
    compare(value, right, wrong, "solve (ZᵀZ) D = ZᵀP for D, then normalize its rows.", 1e-4)


@exercise
def check_overlap_gain(answer):
    """Right: a few dB. The errors of overlapping patches agree in part; only what differs is averaged away."""
    hints = {
        "none": "every pixel gets up to 64 estimates, from patches that saw other noise and chose other atoms. Would"
        " their mean be no better than one of them?",
        "all": "the variance of a mean falls 64-fold (18 dB) if the 64 errors are independent. But two neighbouring"
        " patches share most of their noisy pixels.",
    }
    chosen(answer, "some", hints)


@exercise
def check_aggregation(answer):
    """Right: x̂ = (μ y + Rᵀ P) / (μ + RᵀR), pixel by pixel."""
    y = uniform(2, 1, 6, 7)
    P = uniform(len(patches.extract(y, 3)), 9, seed=1)
    mu, total, count = 2.5, patches.extract_adjoint(P, y.shape), patches.counts(y.shape, 3, dtype=torch.float64)
    votes, right, value = mu * y + total, (mu * y + total) / (mu + count), call(answer, y, P, mu)
    even = (mu * y + total / count) / (mu + 1)
    wrong = {
        "that is the mean of the patches: y has a vote too, of weight μ.": total / count,
        "each patch has one vote, and y has μ: the mean of the patches counts RᵀR times.": even,
        "divide by μ + RᵀR: μ counts in the denominator too.": votes / count,
        "y is weighted by μ in the numerator as well.": (y + total) / (mu + count),
        "the sum is there; divide it by the number of votes, μ + RᵀR.": votes,
        "pixels at the border lie in fewer patches: divide by `patches.counts`, not by p².": votes / (mu + count.max()),
    }
    compare(value, right, wrong, "set the gradient to zero: μ(x − y) + Rᵀ(R x − P) = 0.")


def hidden_images():
    """What the open exercise denoises, [1, 1, 96, 96] each: another part of the wall, of a page, and a rocket."""
    wall, rocket = photograph("brick", 256)[..., 150:246, 150:246], photograph("rocket", 96)
    page = skimage.data.page()[40:136, 180:276] / 255
    return [wall[:, :1], torch.from_numpy(page).float()[None, None], rocket[:, :1]]


@open_exercise(1, 2.45, 2.65, unit=" dB")
def check_patch_denoiser(answer):
    """That is the lead over total variation, the mean of three images that you have not seen."""
    leads, sigma = [], 0.1
    for seed, x in enumerate(hidden_images()):
        y = x + sigma * normal(*x.shape, seed=seed).to(x)
        value = call(answer, y, sigma)
        tensor_like(value, y, "the denoised image")
        best = max(psnr(TV().prox(y, lam), x).item() for lam in (0.04, 0.05, 0.06, 0.07, 0.08, 0.1))
        leads.append(psnr(value, x).item() - best)
    return sum(leads) / 3


@exercise
def check_foreign_dictionary(answer):
    """Right: edges, sharp steps and flat parts are common to text and bricks; cosines have none of them."""
    hints = {
        "cosines": "letters are no bricks; but 8×8 pixels are small. What is left of a letter in such a window?",
        "same": "the sizes are the same, 255 atoms each. But which of the two has seen a sharp step?",
    }
    chosen(answer, "text", hints)
