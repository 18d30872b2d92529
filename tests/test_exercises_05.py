"""The checks of notebook 05 tell right from blank from typical wrong answers, and name the mistake."""

import torch

from course_lib.regularizers import gradient, gradient_adjoint


def svd(x):
    return torch.linalg.svd(x.flatten(2), full_matrices=False)


def low_rank(x, k):
    U, s, Vh = svd(x)
    return ((U[:, :, :k] * s[:, None, :k]) @ Vh[:, :k]).reshape(x.shape)


def last_values(x, k):
    U, s, Vh = svd(x)
    return ((U[:, :, -k:] * s[:, None, -k:]) @ Vh[:, -k:]).reshape(x.shape)


def without_values(x, k):
    U, _, Vh = svd(x)
    return (U[:, :, :k] @ Vh[:, :k]).reshape(x.shape)


def centred(x, k):
    mean = x.mean((2, 3), keepdim=True)
    return mean + low_rank(x - mean, k)


def pooled(x, k):
    one = x.transpose(0, 1).reshape(1, x.shape[1], -1, 1)
    return low_rank(one, k).reshape(x.shape[1], len(x), *x.shape[2:]).transpose(0, 1)


def smooth(c):
    return gradient_adjoint(gradient(c))


CASES = {
    "check_ranks": (
        (4, 3, 100),
        [
            ((100, 3, 100), "same few spectra"),
            ((5, 3, 100), "thin side"),
            ((4, 4, 100), "weights that sum to 0"),
            ((4, 2, 100), "three free weights"),
            ((4, 3, 4), "no mixture"),
            ((4, 3, 4096), "at most rank 100"),
            ((4, 3, 96), "100 bands"),
            (4, "three integers"),
            ((4, 3), "three integers"),
            ("few", "three integers"),
        ],
    ),
    "check_low_rank": (
        low_rank,
        [
            (last_values, "last k"),
            (without_values, "singular values are missing"),
            (centred, "mean spectrum"),
            (pooled, "in one matrix"),
            (lambda x, k: x, "nothing was removed"),
            (lambda x, k: low_rank(x, k).flatten(2), "shape of x"),
            (lambda x, k: low_rank(x, k + 1), "its rank is 3"),
            (lambda x, k: 0.9 * low_rank(x, k), "nearer"),
            (lambda x, k: x[:, :k], "shape"),
        ],
    ),
    "check_missing_spectrum": (
        "zero",
        [("mean", "pay"), ("material", "permute"), ("noise", "choose one")],
    ),
    "check_fusion_system": (
        lambda c, C, G, w, lam: C.T(C(c)) + w * G.T(G(c)) + lam * smooth(c),
        [
            (lambda c, C, G, w, lam: C.T(C(c)) + w * G.T(G(c)), "smoothness is missing"),
            (lambda c, C, G, w, lam: C.T(C(c)) + w * G.T(G(c)) + smooth(c), "λ is missing"),
            (lambda c, C, G, w, lam: C.T(C(c)) + w * G.T(G(c)) - lam * smooth(c), "sign"),
            (lambda c, C, G, w, lam: C.T(C(c)) + G.T(G(c)) + lam * smooth(c), "w is missing"),
            (lambda c, C, G, w, lam: w * C.T(C(c)) + G.T(G(c)) + lam * smooth(c), "not to the cube"),
            (lambda c, C, G, w, lam: C.T(C(c)) + lam * smooth(c), "images are missing"),
            (lambda c, C, G, w, lam: w * G.T(G(c)) + lam * smooth(c), "cube is missing"),
            (lambda c, C, G, w, lam: C.T(C(c)) + w**2 * G.T(G(c)) + lam * smooth(c), "not w²"),
            (lambda c, C, G, w, lam: C.T(C(c)) + w * G.T(G(c)) + lam * c, "makes c small"),
            (lambda c, C, G, w, lam: 2 * (C.T(C(c)) + w * G.T(G(c)) + lam * smooth(c)), "differs"),
            (lambda c, C, G, w, lam: C(c), "shape"),
        ],
    ),
}
