"""The checks of notebook 09 tell right from blank from typical wrong answers, and name the mistake."""

import math

from course_lib.lab.exercises.plug_and_play import CALLS
from course_lib.reconstruction import plug_and_play as pnp
from course_lib.reconstruction import warm_start
from course_lib.studies.methods import run_biharmonic


def hqs(strength=lambda k, n, sigma: 0.2 * (sigma / 0.2) ** (k / (n - 1)), rho=None, told=None, last="z"):
    def answer(y, A, f, sigma, z, lam, steps):
        for k in range(steps):
            s = strength(k, steps, sigma)
            x = A.prox(z, y, rho(lam, sigma, s) if rho else lam * sigma**2 / s**2)
            z = f(x, told(s, sigma) if told else s)
        return z if last == "z" else x

    return answer


def biharmonic(y, A, f, sigma):
    return run_biharmonic(y, A, None, None, sigma)[0]


def one_call(y, A, f, sigma):
    return f(biharmonic(y, A, f, sigma), 0.05)


def careful(y, A, f, sigma, steps=CALLS, rho=0.15):
    return pnp.admm(y, A, f, 0.05, rho, biharmonic(y, A, f, sigma), steps=steps).x


def divided(y, A, f, sigma):
    """Half of the calls in the loop, the others for a mean over turned and mirrored copies."""
    z = careful(y, A, f, sigma, CALLS // 2, rho=0.1)
    turned = [z.rot90(k, (2, 3)) for k in range(4)]
    plain = [f(u, 0.01).rot90(-k, (2, 3)) for k, u in enumerate(turned)]
    mirrored = [f(u.flip(3), 0.01).flip(3).rot90(-k, (2, 3)) for k, u in enumerate(turned)]
    return sum(plain + mirrored) / 8


def too_often(y, A, f, sigma):
    return pnp.hqs(y, A, f, sigma, steps=CALLS + 1).x


def from_black(y, A, f, sigma):
    return pnp.hqs(y, A, f, sigma, steps=8).x


CASES = {
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
    "check_hqs": (
        hqs(),
        [
            (hqs(lambda k, n, sigma: 0.2 + (sigma - 0.2) * k / (n - 1)), "not linearly"),
            (hqs(lambda k, n, sigma: 0.2 * (sigma / 0.2) ** (k / n)), "n − 1 ratios"),
            (hqs(lambda k, n, sigma: sigma * (0.2 / sigma) ** (k / (n - 1))), "begins at 0.2"),
            (hqs(rho=lambda lam, sigma, s: lam * sigma / s), "mind the square"),
            (hqs(rho=lambda lam, sigma, s: s**2 / (lam * sigma**2)), "not its inverse"),
            (hqs(rho=lambda lam, sigma, s: sigma**2 / s**2), "λ is missing"),
            (hqs(rho=lambda lam, sigma, s: lam), "from step to step"),
            (hqs(told=lambda s, sigma: sigma), "not σ"),
            (hqs(last="x"), "not x"),
            (hqs(rho=lambda lam, sigma, s: 3 * lam), "in each step"),
            (lambda y, A, f, sigma, z, lam, steps: z[0], "shape"),
        ],
    ),
    "check_hqs_rule": (
        0.25,
        [(0.5, "what follows"), (1, "factor 2"), (4, "other way"), (0.1, "cancels"), ("¼", "one")],
    ),
    "check_rescaled": (
        "same",
        [("smoother", "pull the factor"), ("sharper", "pull the factor"), ("darker", "two factors"), ("?", "choose")],
    ),
    "check_averaged": (
        (1 / 2.4, 1 + 0.1 / 2.4),
        [
            ((1 / 1.4, 1.04), "identity"),
            ((0.5, 1.05), "still below 0"),
            ((0.25, 1.025), "larger one"),
            ((0.417, 1.0), "cannot fall"),
            ((0.417, 1.1), "f itself"),
            ((0.417, 0.458), "identity"),
            ((0.417, 1.07), "mean of x"),
            ((0.417, "big"), "one number"),
            (1.05, "pair"),
        ],
    ),
    "check_few_calls": (
        careful,
        [
            (too_often, "more than 16 times"),
            (from_black, "the first point is at 1.5"),
            (biharmonic, "the first point is at 1.5"),
            (lambda y, A, f, sigma: y[:1], "shape"),
            (lambda y, A, f, sigma: warm_start(y, A, sigma), "the first point"),
        ],
    ),
}


def test_the_open_exercise_knows_one_call_from_sixteen(capsys):
    from course_lib.lab.exercises.plug_and_play import check_few_calls

    points = [check_few_calls(method) for method in (one_call, careful, divided)]
    assert points == [1, 2, 3], capsys.readouterr().out
