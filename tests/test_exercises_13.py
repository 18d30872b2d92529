"""The checks of notebook 13 tell right from blank from typical wrong answers, and name the mistake."""

import torch

from course_lib.lab.exercises.synthesis import linear_problem
from course_lib.models import load_model
from course_lib.reconstruction import synthesis
from course_lib.studies.methods import run_biharmonic


def linear(weight=2.0, seen=1.0, offset=1.0, latent=False):
    def answer(y, A, W, b, lam):
        B, identity = A @ W, torch.eye(W.shape[1], dtype=W.dtype)
        z = torch.linalg.solve(B.T @ B + weight * lam * identity, B.T @ (y - seen * A @ b).T).T
        return z if latent else z @ W.T + offset * b

    return answer


def failures(excess=lambda a, s: a**2 - s**2, loss=lambda a, e: a + e / a, share=lambda a, d: a / d, swapped=False):
    """An answer to the exercise on failed runs, with some of its parts changed."""

    def answer(mean, std, all_mean, all_std):
        d = loss(mean - all_mean, excess(all_std, std))
        pair = share(mean - all_mean, d), d
        return pair[::-1] if swapped else pair

    return answer


def first_below(data, level):
    reached = data <= level
    return torch.where(reached.any(0), reached.long().argmax(0), len(data) - 1)


def both(y, A):
    found = synthesis(y, A, load_model("vae"), 0.01, optimizer="lbfgs", steps=40).x
    return (found + run_biharmonic(y, A, None, None, None)[0]) / 2


CASES = {
    "check_linear_synthesis": (
        linear(),
        [
            (linear(weight=1), "the ½ in front"),
            (linear(weight=0), "regularization is missing"),
            (linear(weight=4), "not 4λ"),
            (linear(seen=0), "A sees b, too"),
            (linear(offset=0), "left out b"),
            (linear(seen=-1), "the sign"),
            (linear(latent=True), "shape of z"),
            (linear(weight=3), "gradient in z to zero"),
            (lambda y, A, W, b, lam: b, "shape [2, 7]"),
        ],
    ),
    "check_failures": (
        failures(),
        [
            (failures(swapped=True), "in the order"),
            (failures(excess=lambda a, s: a - s), "not standard deviations"),
            (failures(excess=lambda a, s: (a**2 - s**2) ** 0.5), "no root"),
            (failures(excess=lambda a, s: a**2), "a spread of their own"),
            (failures(loss=lambda a, e: e / a), "the mean moves, too"),
            (failures(loss=lambda a, e: a), "a run that fails loses more"),
            (failures(share=lambda a, d: 1 - a / d), "not of those that arrive"),
            (failures(loss=lambda a, e: 3.0), "two equations"),
            (lambda *numbers: 0.5, "a pair"),
        ],
    ),
    "check_stop": (
        first_below,
        [
            (lambda data, level: (data <= level).long().argmax(0), "never reached"),
            (lambda data, level: (data > level).long().sum(0) - 1, "last one above"),
            (lambda data, level: (data > level).long().sum(0).clamp(max=5), "rise again"),
            (lambda data, level: (data - level).abs().argmin(0), "closest"),
            (lambda data, level: data.argmin(0), "least misfit"),
            (lambda data, level: first_below(data, level) + 1, "from 0"),
            (lambda data, level: data.gather(0, first_below(data, level)[None])[0], "number of the step"),
            (lambda data, level: first_below(data, level)[0], "one step for each image"),
            (lambda data, level: 2 * first_below(data, level), "from when on"),
        ],
    ),
    "check_few_pixels": (
        both,
        [
            (lambda y, A: run_biharmonic(y, A, None, None, None)[0], "the first point is at 16.6 dB"),
            (lambda y, A: y, "is lost"),
            (lambda y, A: y[0], "shape"),
        ],
    ),
    "check_more_pixels": (
        (23, 23),
        [
            ((40, 23), "better than the projection"),
            ((30, 40), "better than the projection"),
            ((23, 40), "a path from z = 0"),
            ((23, 30), "eighty evaluations"),
            ((23, 25), "choose one of"),
            (23, "a pair"),
        ],
    ),
}


def test_the_closed_form_is_the_minimizer():
    y, A, W, b, lam = linear_problem()
    x = linear()(y, A, W, b, lam)
    z = torch.linalg.lstsq(W, (x - b).T).solution.T.requires_grad_()
    objective = 0.5 * ((z @ W.T + b) @ A.T - y).square().sum() + lam * z.square().sum()
    (slope,) = torch.autograd.grad(objective, z)
    assert slope.norm() < 1e-9
