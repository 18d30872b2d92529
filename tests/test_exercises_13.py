"""The checks of notebook 13 tell right from blank from typical wrong answers, and name the mistake."""

import torch

from course_lib.lab.exercises.synthesis import linear_problem


def linear(weight=2.0, seen=1.0, offset=1.0, latent=False):
    def answer(y, A, W, b, lam):
        B, identity = A @ W, torch.eye(W.shape[1], dtype=W.dtype)
        z = torch.linalg.solve(B.T @ B + weight * lam * identity, B.T @ (y - seen * A @ b).T).T
        return z if latent else z @ W.T + offset * b

    return answer


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
    "check_best_start": (
        lambda images, f: images[f.argmin(0), torch.arange(f.shape[1])],
        [
            (lambda images, f: images[f.argmax(0), torch.arange(f.shape[1])], "largest"),
            (lambda images, f: images[f.argmin(0)], "second dimension"),
            (lambda images, f: images[torch.arange(f.shape[0]), f.argmin(1)], "not for each start"),
            (lambda images, f: images[f.sum(1).argmin()], "one start for all"),
            (lambda images, f: images[0], "the first start"),
            (lambda images, f: images[-1], "the last start"),
            (lambda images, f: images.mean(0), "mean over the starts"),
            (lambda images, f: images.amax(0), "objectives.argmin(0)"),
        ],
    ),
    "check_more_pixels": (
        ("floor", "zero"),
        [
            (("zero", "zero"), "12 288"),
            (("floor", "floor"), "encoder knows"),
            (("floor", "none"), "choose one of"),
            ("floor", "pair"),
        ],
    ),
    "check_large_lambda": (
        "centre",
        [
            ("black", "not the image"),
            ("observation", "other end"),
            ("average", "one image"),
            ("grey", "choose one"),
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
