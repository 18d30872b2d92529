"""The checks of notebook 09 tell right from blank from typical wrong answers, and name the mistake."""

import math


def step(start=1, into=1, order=1):
    def answer(z, u, y, A, f, s, rho):
        x = A.prox(z - start * u, y, rho)
        new = f(x + into * u, s)
        return new, u + order * (x - new)

    return answer


def edited(change):
    """The right step, with (x⁺, z⁺, z, u) put together in another way."""

    def answer(z, u, y, A, f, s, rho):
        x = A.prox(z - u, y, rho)
        return change(x, f(x + u, s), z, u)

    return answer


CASES = {
    "check_pnp_step": (
        step(),
        [
            (step(start=-1), "not z + u"),
            (step(start=0), "not z."),
            (step(into=-1), "not x⁺ − u"),
            (step(into=0), "memory"),
            (step(order=-1), "not by z⁺ − x⁺"),
            (edited(lambda x, new, z, u: (new, x - new)), "running sum"),
            (edited(lambda x, new, z, u: (new, u + x - z)), "not with the old"),
            (edited(lambda x, new, z, u: (u + x - new, new)), "wrong way round"),
            (edited(lambda x, new, z, u: (x, u + x - new)), "z⁺: x = "),
            (edited(lambda x, new, z, u: (new, 2 * u)), "u⁺ = u + x⁺"),
            (edited(lambda x, new, z, u: new), "a pair"),
            (lambda z, u, y, A, f, s, rho: (A.prox(z - u, y, s), u), "z⁺: x = "),
        ],
    ),
    "check_pnp_strength": (
        lambda lam, rho: math.sqrt(lam / rho),
        [
            (lambda lam, rho: lam / rho, "variance"),
            (lambda lam, rho: math.sqrt(rho / lam), "other way round"),
            (lambda lam, rho: math.sqrt(lam * rho), "not multiplied"),
            (lambda lam, rho: math.sqrt(2 * lam / rho), "factor of 2"),
            (lambda lam, rho: lam, "what is s"),
        ],
    ),
    "check_rescaled": (
        "same",
        [("smoother", "pull the factor"), ("sharper", "pull the factor"), ("darker", "two factors"), ("?", "choose")],
    ),
    "check_averaged": (
        (-0.2, 1.05),
        [
            ((-0.7, 0.55), "identity"),
            ((-1.4, 1.1), "f itself"),
            ((-0.2, 1.0), "above 1"),
            ((0.2, 1.05), "smallest: for"),
            ((-0.2, 1.1), "largest: for"),
            ((1.05, -0.2), "above the largest"),
            ((-0.2, "big"), "one number"),
            (1.05, "pair"),
        ],
    ),
}
