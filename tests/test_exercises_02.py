"""The checks of notebook 02 tell right from blank from typical wrong answers, and name the mistake."""

import torch

from course_lib.lab.exercises import variational_regularization as exercises


def tikhonov(gain, back=lambda spectrum, y: torch.fft.irfft2(spectrum, s=y.shape[-2:])):
    return lambda y, k, p, lam: back(gain(k, p, lam) * torch.fft.rfft2(y), y)


def right_gain(k, p, lam):
    return k.conj() / (k.abs().square() + lam * p)


def posterior_mean(weights, final=lambda w, t: (w * t).sum(1) / w.sum(1)):
    def answer(y, t, log_prior, sigma):
        return final(weights((y[:, None] - t).square(), log_prior, sigma), t)

    return answer


def posterior(squares, log_prior, sigma):
    return (log_prior - squares / (2 * sigma**2)).exp()


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
            (tikhonov(lambda k, p, lam: k / (k.abs() ** 2 + lam * p)), "conjugate"),
            (tikhonov(lambda k, p, lam: k.conj() / (k.abs() ** 2 + lam)), "p is missing"),
            (tikhonov(lambda k, p, lam: k.conj() / (k.abs() ** 2 + p)), "λ is missing"),
            (tikhonov(lambda k, p, lam: k.conj() / (k.abs() + lam * p)), "not |k|"),
            (tikhonov(lambda k, p, lam: k.conj() / (k * k + lam * p)), "not k²"),
            (tikhonov(lambda k, p, lam: 1 / k), "plain inversion"),
            (tikhonov(lambda k, p, lam: 1 / (k.abs() ** 2 + lam * p)), "numerator"),
            (tikhonov(lambda k, p, lam: 2 * right_gain(k, p, lam)), "for each frequency"),
        ],
    ),
    "check_map_lambda": (
        0.005,
        [
            (0.01, "without the ½"),
            (0.02, "other way"),
            (50, "do not divide"),
            (100.0, "do not divide"),
            (0.5, "multiply the whole"),
            (0.05, "squared"),
            (0.1, "squared"),
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
    assert exercises.check_map_lambda(torch.tensor(0.005, dtype=torch.float64))
    assert exercises.check_posterior_mean(
        lambda y, t, p, s: torch.softmax(p - (y[:, None] - t) ** 2 / (2 * s**2), 1).mv(t)
    )
