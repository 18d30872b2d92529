"""The checks of notebook 10 tell right from blank from typical wrong answers, and name the mistake."""

import math

import torch


def kl(mean, logvar):
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1)


def elbo(spread=lambda W, logvar: (logvar.exp() * W.square().sum(0)).sum(1), price=1, half=0.5, norm=1, sign=1):
    def answer(x, W, b, log_eta, mean, logvar):
        squared = (x - mean @ W.T - b).square().sum(1) + spread(W, logvar)
        normalizer = norm * x.shape[1] / 2 * (math.log(2 * math.pi) + log_eta)
        return sign * (-half * squared / log_eta.exp() - normalizer - price * kl(mean, logvar))

    return answer


def sample(mean, logvar, noise):
    return mean + (0.5 * logvar).exp() * noise


CASES = {
    "check_naive_likelihood": ("below", [("above", "concave"), ("equal", "Jensen"), ("never", "choose one")]),
    "check_kl": (
        kl,
        [
            (lambda m, v: 2 * kl(m, v), "½"),
            (lambda m, v: kl(m, v) / m.shape[1], "not the mean"),
            (lambda m, v: -kl(m, v), "never negative"),
            (lambda m, v: kl(m, v) + m.shape[1] / 2, "−1 is missing"),
            (lambda m, v: 0.5 * (m.square() + v - 1 - v.abs().log()).sum(1), "exponential"),
            (lambda m, v: kl(m, 2 * v), "not log σ"),
            (lambda m, v: 0.5 * (m.square() + v.exp() - 1 + v).sum(1), "cost a lot"),
            (lambda m, v: kl(0 * m, v), "μ² is missing"),
            (lambda m, v: 0.5 * ((m.square() + 1) / v.exp() - 1 + v).sum(1), "KL(p ‖ q)"),
            (lambda m, v: kl(m, v).sum(), "over the latents only"),
            (lambda m, v: 0.5 * (m.square() + v.exp() - 1 - v), "add up the latents"),
            (lambda m, v: 3 * kl(m, v), "summed over"),
            (lambda m, v: 1.0, "over the latents only"),
        ],
    ),
    "check_reparametrize": (
        sample,
        [
            (lambda m, v, e: m + v.exp() * e, "variance σ²"),
            (lambda m, v, e: m + v * e, "a logarithm"),
            (lambda m, v, e: m + 0.5 * v * e, "½ log σ²"),
            (lambda m, v, e: sample(0 * m, v, e), "μ is missing"),
            (lambda m, v, e: m, "ε is missing"),
            (lambda m, v, e: m + e, "scaled"),
            (lambda m, v, e: sample(m.detach(), v.detach(), e), "no gradient"),
            (lambda m, v, e: sample(m.detach(), v, e), "no gradient"),
            (lambda m, v, e: sample(m, v, 2 * e), "z = mean"),
        ],
    ),
    "check_linear_elbo": (
        elbo(),
        [
            (elbo(lambda W, v: 0), "spread of q"),
            (elbo(lambda W, v: v.exp().sum(1) * W.square().sum()), "column"),
            (elbo(price=-1), "a price"),
            (elbo(price=0), "KL is missing"),
            (elbo(norm=0), "normalizer"),
            (elbo(sign=-1), "negative"),
            (elbo(half=1), "½"),
            (elbo(lambda W, v: ((0.5 * v).exp() * W.square().sum(0)).sum(1)), "not σ_k"),
            (lambda *args: elbo()(*args).sum(), "each image"),
            (elbo(price=2), "(d/2)"),
        ],
    ),
    "check_large_beta": (
        ("falls", "grows"),
        [
            (("grows", "grows"), "its price"),
            (("same", "grows"), "its price"),
            (("falls", "same"), "stay"),
            (("falls", "falls"), "Does that fall"),
            (("falls", "explodes"), "choose one of"),
            ("falls", "pair"),
        ],
    ),
}


def test_the_right_kl_vanishes_for_the_prior():
    assert kl(torch.zeros(1, 3), torch.zeros(1, 3)) == 0
