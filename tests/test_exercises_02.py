"""The checks of notebook 02 tell right from blank from typical wrong answers, and name the mistake."""

import pytest
import torch

from course_lib.lab.exercises import normal
from course_lib.lab.exercises import variational_regularization as exercises
from course_lib.solvers import selection


def tikhonov(gain, back=lambda spectrum, y: torch.fft.irfft2(spectrum, s=y.shape[-2:])):
    return lambda y, k, q, lam: back(gain(k, q, lam) * torch.fft.rfft2(y), y)


def right_gain(k, q, lam):
    return k.conj() / (k.abs().square() + lam * q)


def posterior_mean(weights, final=lambda w, t: (w * t).sum(1) / w.sum(1)):
    def answer(y, t, log_prior, sigma):
        return final(weights((y[:, None] - t).square(), log_prior, sigma), t)

    return answer


def posterior(squares, log_prior, sigma):
    return (log_prior - squares / (2 * sigma**2)).exp()


def degrees(k, q, lam):
    return k.abs() ** 2 / (k.abs() ** 2 + lam * q)


def by_discrepancy(y, A, solve, phi, sigma):
    return selection.discrepancy(y, A, solve, sigma).lam


def rehearsed(y, A, solve, phi, sigma):
    """The λ that is best for a first estimate in place of the truth."""
    by_risk = selection.sure(y, A, solve, sigma, exercises.LAMS).lam
    stand_in = solve(y, (by_discrepancy(y, A, solve, phi, sigma) * by_risk).sqrt())
    again = A(stand_in) + sigma * normal(4, *y.shape[1:])
    errors = torch.stack([(solve(again, lam) - stand_in).square().mean() for lam in exercises.LAMS])
    return exercises.LAMS[errors.argmin()]


CASES = {
    "check_limits": (
        ("noise", "grey"),
        [
            (("observation", "grey"), "y itself"),
            (("grey", "grey"), "φ no longer counts"),
            (("black", "grey"), "does not explain y"),
            (("noise", "noise"), "large gradient"),
            (("noise", "observation"), "not 0"),
            (("noise", "black"), "½‖x‖²"),
            (("noise", "white"), "choose one of"),
            ("noise", "pair"),
        ],
    ),
    "check_tikhonov": (
        tikhonov(right_gain),
        [
            (tikhonov(right_gain, lambda s, y: torch.fft.irfft2(s)), "width was odd"),
            (tikhonov(right_gain, lambda s, y: s), "irfft2"),
            (tikhonov(right_gain, lambda s, y: torch.fft.ifft2(s)), "spectrum"),
            (tikhonov(lambda k, q, lam: k / (k.abs() ** 2 + lam * q)), "what does a transpose do"),
            (tikhonov(lambda k, q, lam: k.conj() / (k.abs() ** 2 + lam)), "q is missing"),
            (tikhonov(lambda k, q, lam: k.conj() / (k.abs() ** 2 + q)), "λ is missing"),
            (tikhonov(lambda k, q, lam: k.conj() / (k.abs() + lam * q)), "not |k|"),
            (tikhonov(lambda k, q, lam: k.conj() / (k * k + lam * q)), "not k²"),
            (tikhonov(lambda k, q, lam: 1 / k), "plain inversion"),
            (tikhonov(lambda k, q, lam: 1 / (k.abs() ** 2 + lam * q)), "numerator"),
            (tikhonov(lambda k, q, lam: 2 * right_gain(k, q, lam)), "one equation for each frequency"),
        ],
    ),
    "check_divergence": (
        lambda k, q, lam: degrees(k, q, lam).sum(),
        [
            (lambda k, q, lam: degrees(k, q, lam).mean(), "does not average"),
            (lambda k, q, lam: (k.conj() / (k.abs() ** 2 + lam * q)).sum().real, "divergence of x̂"),
            (lambda k, q, lam: (1 - degrees(k, q, lam)).sum(), "what it leaves"),
            (lambda k, q, lam: degrees(k, q, lam).square().sum(), "squares"),
            (lambda k, q, lam: degrees(k, torch.ones_like(q), lam).sum(), "q is missing"),
            (lambda k, q, lam: (k.abs() / (k.abs() + lam * q)).sum(), "not |k|"),
            (lambda k, q, lam: degrees(k, q, lam).sum() + 1, "the sum of these numbers"),
            (degrees, "one number"),
        ],
    ),
    "check_rule": (
        rehearsed,
        [
            (by_discrepancy, "the first point is at 0.4 dB"),
            (lambda y, A, solve, phi, sigma: 0.02, "dB lost"),
            (lambda y, A, solve, phi, sigma: 0 * sigma, "positive"),
            (lambda y, A, solve, phi, sigma: exercises.LAMS, "one number"),
            (lambda y, A, solve, phi, sigma: selection.l_curve(y, A, solve, phi, exercises.LAMS).lam, "dB lost"),
        ],
    ),
    "check_map_lambda": (
        0.1**2 / (2 * 0.2**2),
        [
            (0.1**2 / 2, "s = 1"),
            ((0.1 / 0.2) ** 2, "without the ½"),
            (2 * (0.1 / 0.2) ** 2, "other way:"),
            (0.1**2 / (2 * 0.2), "s enters squared"),
            (1 / (2 * 0.2**2), "multiply the whole"),
            (1 / (2 * 0.1**2 * 0.2**2), "do not divide"),
            (1 / (0.1 * 0.2) ** 2, "do not divide"),
            (0.1 / (2 * 0.2**2), "σ enters squared"),
            (0.1 / 0.2**2, "σ enters squared"),
            (0.2**2 / (2 * 0.1**2), "other way round"),
            ((0.2 / 0.1) ** 2, "other way round"),
            (1.0, "insert"),
            ("σ²/2", "one number"),
        ],
    ),
    "check_posterior_mean": (
        posterior_mean(posterior),
        [
            (posterior_mean(posterior, lambda w, t: (w * t).sum(1)), "normalized"),
            (posterior_mean(posterior, lambda w, t: t[w.argmax(1)]), "MAP"),
            (posterior_mean(lambda d, p, s: (-d / (2 * s**2)).exp()), "prior is missing"),
            (posterior_mean(lambda d, p, s: (p - d / (2 * s)).exp()), "squared"),
            (posterior_mean(lambda d, p, s: (p - d / s**2).exp()), "2 is missing"),
            (posterior_mean(lambda d, p, s: p.exp().expand_as(d)), "likelihood is missing"),
            (posterior_mean(lambda d, p, s: p * (-d / (2 * s**2)).exp()), "exponential"),
            (posterior_mean(posterior, lambda w, t: (w * t).sum(0) / w.sum(0)), "shape"),
            (posterior_mean(posterior, lambda w, t: w @ t / w.sum(1) + 1), "dim 1"),
        ],
    ),
}


def test_other_writings_of_a_right_answer_count():
    assert exercises.check_limits((" Noise", "GREY"))
    assert exercises.check_map_lambda(torch.tensor(0.125, dtype=torch.float64))
    assert exercises.check_posterior_mean(
        lambda y, t, p, s: torch.softmax(p - (y[:, None] - t) ** 2 / (2 * s**2), 1).mv(t)
    )


def test_the_points_of_a_rule():
    assert exercises.check_rule(by_discrepancy) == 0 and exercises.check_rule(rehearsed) == 3
    assert exercises.practice(rehearsed) < 0.5 * exercises.practice(by_discrepancy)


def test_practice_is_about_as_hard_as_the_check():
    hidden = list(exercises.deblurring_problems(("cat", "brick", "moon", "rocket"), seed=100))
    for rule in (by_discrepancy, rehearsed):
        assert exercises.practice(rule) == pytest.approx(exercises.mean_loss(rule, hidden), rel=0.1)


def test_what_the_rules_are_judged_on_is_not_what_they_practise_on():
    mine, hidden = (list(exercises.deblurring_problems(names, 0)) for names in (("camera", "text"), ("cat", "moon")))
    assert len(mine) == len(hidden) == 8 and not any(torch.equal(a[0], b[0]) for a in mine for b in hidden)
    for x, y, A, solve, phi, sigma in mine:
        assert abs((y - A(x)).std() / sigma - 1) < 0.05
        best = solve(y, 0.1)

        def objective(u, y=y, A=A, phi=phi):
            return 0.5 * (A(u) - y).square().sum() + 0.1 * phi(u).sum()

        assert all(objective(best) < objective(best + 1e-3 * normal(*y.shape, seed=i)) for i in range(3))
        assert torch.allclose(solve(y.expand(2, -1, -1, -1), torch.tensor([0.1, 1.0]))[:1], best)
