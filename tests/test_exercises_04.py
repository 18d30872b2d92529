"""The checks of notebook 04 tell right from blank from typical wrong answers, and name the mistake."""

import torch

from course_lib import solvers
from course_lib.lab.exercises import total_variation
from course_lib.regularizers import TV, gradient, gradient_adjoint


def gap(p, v, tau, tv):
    x = v - gradient_adjoint(p)
    return tau * tv(x) - (gradient(x) * p).flatten(1).sum(1)


def climb(momentum=True, enough=torch.Tensor.max, sign=1, most=20000, image=True):
    """A denoiser as the exercise asks for it, or with a mistake."""

    def answer(v, tau, tv, accuracy):
        p = ahead = torch.zeros_like(gradient(v))
        t = 1.0
        for _ in range(most):
            if enough(gap(p, v, tau, tv)) <= accuracy:
                break
            previous, p = p, tv.project(ahead + sign * gradient(v - gradient_adjoint(ahead)) / 8, tau)
            t_previous, t = t, (1 + (1 + 4 * t**2) ** 0.5) / 2
            ahead = p + (t_previous - 1) / t * (p - previous) if momentum else p
        return v - gradient_adjoint(p) if image else p

    return answer


def with_weights(strength, rounds=4):
    """Smooth, but not across the edges that the last image shows; TV shows the first ones."""

    def answer(v, sigma):
        x = TV(iterations=300).prox(v, sigma)
        for _ in range(rounds):
            w = 1 / (1 + (TV().norms(gradient(x)) / (0.8 * sigma)) ** 2) ** 2
            x = solvers.conjugate_gradient(
                lambda x, w=w: x + strength * gradient_adjoint(w * gradient(x)), v, steps=150, tolerance=1e-4
            ).x
        return x

    return answer


CASES = {
    "check_edge_price": (
        ("falls", "same"),
        [
            (("same", "same"), "squared"),
            (("grows", "same"), "each is smaller"),
            (("falls", "falls"), "not squared"),
            (("falls", "grows"), "same measure"),
            (("falls", "stays"), "choose one of"),
            ("falls", "pair"),
        ],
    ),
    "check_height": (
        lambda h, P, N, lam: max(h - lam * P / N, 0),
        [
            (lambda h, P, N, lam: h - lam * P / N, "stops at 0"),
            (lambda h, P, N, lam: min(lam * P / N, h), "what is left"),
            (lambda h, P, N, lam: max(h - lam / N, 0), "not once"),
            (lambda h, P, N, lam: max(h - lam * P, 0), "share the pull"),
            (lambda h, P, N, lam: max(h - lam * N / P, 0), "not area over"),
            (lambda h, P, N, lam: max(h - lam * P / (2 * N), 0), "no 2"),
            (lambda h, P, N, lam: h, "derivative"),
            (lambda h, P, N, lam: "high", "one number"),
        ],
    ),
    "check_denoiser": (
        climb(),
        [
            (climb(momentum=False), "will do"),
            (climb(enough=torch.Tensor.min), "one image of the batch"),
            (climb(enough=torch.Tensor.mean), "not proved"),
            (climb(sign=-1, most=250), "neither image"),
            (climb(enough=lambda gaps: 1.0, most=20), "one image of the batch"),
            (climb(enough=lambda gaps: 1.0, most=900), "then the gap says stop"),
            (climb(enough=lambda gaps: 1.0, most=400), "point ahead"),
            (climb(image=False), "field of arrows"),
            (lambda v, tau, tv, accuracy: TV().prox(v, tau), "no call of tv.project"),
            (lambda v, tau, tv, accuracy: tv(v), "shape"),
        ],
    ),
    "check_surfaces": (
        with_weights(3, 1),
        [
            (lambda v, sigma: TV().prox(v, sigma), "the first point is at 0.3 dB"),
            (lambda v, sigma: v, "the first point is at 0.3 dB"),
            (lambda v, sigma: v[:, 0], "shape"),
            (lambda v, sigma: v / 0, "NaN"),
        ],
    ),
    "check_rho": (
        "same",
        [
            ("smoother", "λ is what"),
            ("smoother", "∇x ≈ z"),
            ("sharper", "does not weigh"),
            ("sharper", "∇x = z"),
            ("depends", "convex"),
            ("none", "choose one"),
        ],
    ),
}


def test_who_knows_the_edges_has_all_points():
    assert total_variation.check_surfaces(with_weights(8)) == 3
