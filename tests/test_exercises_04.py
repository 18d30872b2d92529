"""The checks of notebook 04 tell right from blank from typical wrong answers, and name the mistake."""

from course_lib.regularizers import gradient, gradient_adjoint


def step(change, size=8):
    return lambda p, v, tau, tv: tv.project(p + change(p, v) / size, tau)


def slope(p, v):
    return gradient(v - gradient_adjoint(p))


def gap(value):
    def answer(p, v, tau, tv):
        x = v - gradient_adjoint(p)
        return value(tau, tv(x), (gradient(x) * p).flatten(1).sum(1))

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
    "check_dual_step": (
        step(slope),
        [
            (lambda p, v, tau, tv: p + slope(p, v) / 8, "projection"),
            (step(lambda p, v: -slope(p, v)), "downhill"),
            (step(lambda p, v: gradient(v + gradient_adjoint(p))), "v + "),
            (step(lambda p, v: gradient(v)), "not ∇v"),
            (step(slope, 1), "diverges"),
            (lambda p, v, tau, tv: tv.project(slope(p, v) / 8, tau), "where you are"),
            (lambda p, v, tau, tv: tv.project(p + slope(p, v) / 8, tau / tau), "not 1"),
            (lambda p, v, tau, tv: v - gradient_adjoint(p), "shape of an image"),
            (step(slope, 4), "then tv.project"),
        ],
    ),
    "check_duality_gap": (
        gap(lambda tau, total, product: tau * total - product),
        [
            (gap(lambda tau, total, product: total - product), "in front of"),
            (gap(lambda tau, total, product: tau * (total - product)), "up to τ"),
            (gap(lambda tau, total, product: tau * total + product), "cancel"),
            (gap(lambda tau, total, product: product - tau * total), "larger one"),
            (gap(lambda tau, total, product: tau * total), "second term"),
            (gap(lambda tau, total, product: (tau * total - product).sum()), "each image"),
            (lambda p, v, tau, tv: tau * tv(v) - (gradient(v) * p).flatten(1).sum(1), "not v"),
            (gap(lambda tau, total, product: 2 * tau * total), "all dims"),
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
