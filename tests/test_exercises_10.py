"""The checks of notebook 10 tell right from blank from typical wrong answers, and name the mistake."""

import math

import torch

from course_lib.lab.exercises.vae import check_few_evaluations


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


def draws_from(kind):
    """An estimate of the open exercise: from the prior; around the best draw; around two tops, one for each order of
    the bumps."""

    def answer(log_joint, generator):
        z = torch.randn(200 if kind == "prior" else 100, 2, generator=generator, dtype=torch.float64)
        values = log_joint(z)
        if kind == "prior":
            return (values + 0.5 * z.square().sum(1)).logsumexp(0) + math.log(2 * math.pi) - math.log(200)
        top = z[values.argmax()]
        tops = torch.stack([top, top.flip(0)]) if kind == "two" else top[None]
        w = tops.repeat(100 // len(tops), 1)
        w = w + 0.15 * torch.randn(100, 2, generator=generator, dtype=torch.float64)
        q = torch.distributions.Normal(tops, 0.15)
        log_q = q.log_prob(w[:, None]).sum(2).logsumexp(1) - math.log(len(tops))
        return (log_joint(w) - log_q).logsumexp(0) - math.log(100)

    return answer


def gaussians(log_joint, generator):
    """The tops of the posterior, one for each order of the bumps, climbed from the best of 50 draws, and the Gaussians
    [2] that the Hessians there give."""
    z = torch.randn(50, 2, generator=generator, dtype=torch.float64)
    z = z[log_joint(z).argmax()]
    z = torch.stack([z, z.flip(0)]).requires_grad_()
    optimizer = torch.optim.LBFGS([z], max_iter=15, max_eval=15, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -log_joint(z).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    tops = z.detach()
    bends = -torch.stack([torch.func.hessian(lambda u: log_joint(u[None])[0])(top) for top in tops])
    return torch.distributions.MultivariateNormal(tops, precision_matrix=bends)


def climbing(log_joint, generator):
    """Random draws from the two Gaussians, made a little wider."""
    q = gaussians(log_joint, generator)
    q = torch.distributions.MultivariateNormal(q.loc, precision_matrix=q.precision_matrix / 1.5)
    noise = torch.randn(2, 2, 55, generator=generator, dtype=torch.float64)
    w = (q.loc[:, None] + (q.scale_tril @ noise).mT).reshape(110, 2)
    log_q = q.log_prob(w[:, None]).logsumexp(1) - math.log(2)
    return (log_joint(w) - log_q).logsumexp(0) - math.log(110)


def on_grids(log_joint, generator):
    """A grid of 7×7 points along the axes of each Gaussian; each point counts for the Gaussian that it belongs to."""
    q = gaussians(log_joint, generator)
    line = torch.linspace(-4, 4, 7, dtype=torch.float64)
    w = q.loc[:, None] + (q.scale_tril @ torch.cartesian_prod(line, line).T).mT  # [2, 49, 2]
    share = q.log_prob(w[:, :, None]).log_softmax(2)
    cell = 2 * (line[1] - line[0]).log() + q.scale_tril.logdet()
    values = [log_joint(w[k]) + share[k, :, k] + cell[k] for k in (0, 1)]
    return torch.cat(values).logsumexp(0)


CASES = {
    "check_naive_likelihood": (
        ("equal", "below"),
        [
            (("below", "below"), "p̂: each"),
            (("above", "below"), "p̂: each"),
            (("equal", "above"), "concave"),
            (("equal", "equal"), "Jensen"),
            (("equal", "never"), "choose one"),
            ("below", "pair"),
        ],
    ),
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
    "check_few_evaluations": (
        climbing,
        [
            (draws_from("prior"), "the first point is at 2"),
            (lambda log_joint, generator: log_joint(torch.zeros(201, 2, dtype=torch.float64)).sum(), "more than 200"),
            (lambda log_joint, generator: log_joint(torch.zeros(2, dtype=torch.float64)), "latents [S, 2]"),
            (lambda log_joint, generator: 24.0, "the first point"),
        ],
    ),
}


def test_the_right_kl_vanishes_for_the_prior():
    assert kl(torch.zeros(1, 3), torch.zeros(1, 3)) == 0


def test_the_open_exercise_knows_a_first_try_from_a_careful_one(capsys):
    points = [check_few_evaluations(answer) for answer in (draws_from("prior"), draws_from("one"), climbing, on_grids)]
    assert points == [0, 1, 2, 3], capsys.readouterr().out
