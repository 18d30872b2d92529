"""The checks of notebook 06 tell right from blank from typical wrong answers, and name the mistake."""

import torch
import torch.nn.functional as F

from course_lib.data import patches
from course_lib.lab.exercises import dictionary_learning as exercises


def least_squares(P, Z):
    return torch.linalg.solve(Z.T @ Z, Z.T @ P)


def votes(combine):
    """An answer to the aggregation exercise: combine(y, Rᵀ P, RᵀR, μ)."""
    return lambda y, P, mu: combine(
        y, patches.extract_adjoint(P, y.shape), patches.counts(y.shape, 3, dtype=y.dtype), mu
    )


def shrink(y, sigma, keep=2.7):
    """Hard thresholds on the cosine transform of all patches, which are then averaged: a first honest try."""
    t = torch.arange(8) + 0.5
    wave = F.normalize(torch.cos(torch.pi * torch.arange(8)[:, None] * t / 8), dim=1).to(y)
    atoms = torch.einsum("ai,bj->abij", wave, wave).reshape(64, 64)
    z = patches.extract(y, 8) @ atoms.T
    z[:, 1:] *= z[:, 1:].abs() > keep * sigma
    return patches.average(z @ atoms, y.shape)


CASES = {
    "check_dictionary_update": (
        lambda P, Z: F.normalize(least_squares(P, Z), dim=1),
        [
            (lambda P, Z: least_squares(P, Z), "divide each row"),
            (lambda P, Z: F.normalize(least_squares(P, Z), dim=1).T, "transposed"),
            (lambda P, Z: Z.T @ P, "orthonormal"),
            (lambda P, Z: F.normalize(Z.T @ P, dim=1), "share patches"),
            (lambda P, Z: F.normalize(least_squares(P, Z), dim=0), "not each column"),
            (lambda P, Z: least_squares(P, Z) / least_squares(P, Z).norm(), "whole matrix"),
            (lambda P, Z: F.normalize(least_squares(P, Z), p=1, dim=1), "Euclidean"),
            (lambda P, Z: F.normalize(least_squares(P, Z) ** 2, dim=1), "solve"),
            (lambda P, Z: torch.linalg.solve(Z, P), "stopped with"),
            (lambda P, Z: 3.0, "tensor"),
        ],
    ),
    "check_overlap_gain": (
        "some",
        [("none", "64 estimates"), ("all", "independent"), ("3", "choose")],
    ),
    "check_aggregation": (
        votes(lambda y, total, count, mu: (mu * y + total) / (mu + count)),
        [
            (lambda y, P, mu: patches.average(P, y.shape), "a vote too"),
            (lambda y, P, mu: (mu * y + patches.average(P, y.shape)) / (mu + 1), "RᵀR times"),
            (votes(lambda y, total, count, mu: (mu * y + total) / count), "denominator"),
            (votes(lambda y, total, count, mu: (y + total) / (mu + count)), "numerator"),
            (votes(lambda y, total, count, mu: mu * y + total), "number of votes"),
            (votes(lambda y, total, count, mu: (mu * y + total) / (mu + 9)), "border"),
            (votes(lambda y, total, count, mu: (mu * y - total) / (mu + count)), "gradient"),
            (votes(lambda y, total, count, mu: y[0]), "shape"),
        ],
    ),
    "check_patch_denoiser": (
        shrink,
        [
            (lambda y, sigma: y, "first point is at 1 dB"),
            (lambda y, sigma: shrink(y, sigma, 1.0), "first point is at 1 dB"),
            (lambda y, sigma: shrink(y, sigma, 20.0), "first point is at 1 dB"),
            (lambda y, sigma: patches.extract(y, 8), "shape"),
            (lambda y, sigma: y / 0, "NaN or infinity"),
            (lambda y, sigma: y.mean(), "shape"),
        ],
    ),
    "check_foreign_dictionary": (
        "text",
        [("cosines", "such a window"), ("same", "sharp step"), ("brick", "choose")],
    ),
}


def test_a_little_ridge_and_lstsq_count(capsys):
    assert exercises.check_dictionary_update(lambda P, Z: F.normalize(torch.linalg.lstsq(Z, P).solution, dim=1))
    assert exercises.check_dictionary_update(
        lambda P, Z: F.normalize(torch.linalg.solve(Z.T @ Z + 1e-6 * torch.eye(6).double(), Z.T @ P), dim=1)
    )
