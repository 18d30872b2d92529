"""Joint MAP and analysis with a VAE, on a linear one, where all is a least-squares problem, and on a small network."""

import pytest
import torch
from torch import nn

from course_lib.models.vae import VAE
from course_lib.operators import Blur, Downsample, Mask, random_mask, uniform_kernel
from course_lib.reconstruction import joint_map, joint_objective, synthesis, vae_analysis
from course_lib.reconstruction.joint import best_start, joint_penalty, vae_penalty

OPERATORS = {
    "blur": Blur(uniform_kernel(3, torch.float64)),
    "mask": Mask(random_mask(8, 8, 0.5)),
    "down": Downsample(2),
}


class LinearVAE(nn.Module):
    """D(z) = W z + b and q(z|x) = N(V(x − b), s² I) with V the exact posterior mean."""

    dim = 5

    def __init__(self, eta=0.04):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.W = nn.Parameter(torch.randn(192, 5, generator=generator, dtype=torch.float64) / 8, requires_grad=False)
        self.b, self.eta = torch.rand(192, generator=generator, dtype=torch.float64), torch.tensor(eta)
        self.V = torch.linalg.solve(self.W.mT @ self.W + eta * torch.eye(5).double(), self.W.mT)

    def encode(self, x):
        return (x.flatten(1) - self.b) @ self.V.mT

    def encode_distribution(self, x):
        mean = self.encode(x)
        return mean, torch.full_like(mean, -2.0)

    def decode(self, z):
        return (z @ self.W.mT + self.b).reshape(-1, 3, 8, 8)


def matrix(A):
    """A as a matrix, [N, 192]."""
    return A(torch.eye(192, dtype=torch.float64).reshape(192, 3, 8, 8)).flatten(1).mT


def problem(name, batch=3):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(batch, 3, 8, 8, generator=generator, dtype=torch.float64)
    A = OPERATORS[name]
    y = A(x)
    return x, y + 0.02 * torch.randn(y.shape, generator=generator, dtype=torch.float64), A


def network():
    torch.manual_seed(0)
    return VAE(size=8, dim=6, widths=(8, 8), blocks=(0, 0), eta=0.02).double().freeze()


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("method", ["alternate", "reduced"])
def test_joint_map_of_a_linear_vae_is_least_squares(name, method):
    """J is a quadratic in (x, z): its minimum by one dense solve. (The smaller η, the slower are the alternations.)"""
    model, (_, y, A), lam = LinearVAE(0.04 if method == "reduced" else 1.0), problem(name), 0.05
    M, eye, eta = matrix(A), torch.eye(192, dtype=torch.float64), model.eta.double()
    H = torch.cat(
        [
            torch.cat([M.mT @ M + 2 * lam / eta * eye, -2 * lam / eta * model.W], 1),
            torch.cat([-2 * lam / eta * model.W.mT, 2 * lam * (model.W.mT @ model.W / eta + torch.eye(5))], 1),
        ]
    )
    right = torch.cat(
        [
            y.flatten(1) @ M + 2 * lam / eta * model.b,
            (-2 * lam / eta * model.b @ model.W).expand(3, 5),
        ],
        1,
    )
    best = torch.linalg.solve(H, right.mT).mT
    found = joint_map(y, A, model, lam, method=method, steps=60, inner=15)
    torch.testing.assert_close(found.x.flatten(1), best[:, :192], rtol=0, atol=1e-4)
    torch.testing.assert_close(found.z, best[:, 192:], rtol=0, atol=1e-3)
    torch.testing.assert_close(found.history["objective"][-1], joint_objective(found.x, found.z, y, A, model, lam))


@pytest.mark.parametrize("method", ["alternate", "reduced"])
def test_the_joint_objective_never_rises(method):
    model, (x, y, A) = network(), problem("mask")
    found = joint_map(y, A, model, 1e-3, method=method, steps=8, inner=6, truth=x)
    curve = found.history["objective"]
    assert (curve[1:] <= curve[:-1] * (1 + 1e-12)).all() and (curve[-1] < curve[0]).all()
    assert all(curve.shape == (9, 3) for curve in found.history.values()) and len(found.history) == 4
    assert (found.evaluations <= 8 * 7).all() and (found.evaluations > 8).all()


def test_for_a_small_eta_it_is_synthesis():
    model, (_, y, A) = LinearVAE(1e-7), problem("down")
    joint = joint_map(y, A, model, 0.05, method="reduced", steps=1, inner=200)
    alone = synthesis(y, A, model, 0.05, optimizer="lbfgs", steps=200)
    torch.testing.assert_close(joint.x, alone.x, rtol=0, atol=1e-3)


def test_continuation_ends_at_the_eta_of_the_model():
    """However long it is: a single step is one at η, whatever the start."""
    model, (_, y, A) = LinearVAE(), problem("mask")
    for method in ("alternate", "reduced"):
        straight = joint_map(y, A, model, 0.05, method=method, steps=1)
        annealed = joint_map(y, A, model, 0.05, method=method, start=1.0, steps=1)
        assert torch.equal(annealed.x, straight.x)
        assert torch.equal(annealed.history["objective"], straight.history["objective"])
    straight = joint_map(y, A, model, 0.05, method="reduced", steps=4, inner=100)
    annealed = joint_map(y, A, model, 0.05, method="reduced", start=1.0, steps=4, inner=100)
    torch.testing.assert_close(annealed.x, straight.x, rtol=0, atol=1e-4)


@pytest.mark.parametrize("penalty", ["mean", "joint", "elbo"])
def test_analysis_of_a_linear_vae_is_least_squares(penalty):
    """φ is a quadratic in x: at the minimum the gradient, written by hand, is zero."""
    model, (_, y, A), lam = LinearVAE(), problem("blur"), 0.02
    x = vae_analysis(y, A, model, lam, penalty=penalty, steps=500).x
    M, u, eta = matrix(A), x.flatten(1) - model.b, model.eta.double()
    R = torch.eye(192, dtype=torch.float64) - model.W @ model.V
    gradient = (x.flatten(1) @ M.mT - y.flatten(1)) @ M + 2 * lam * u @ model.V.mT @ model.V
    if penalty == "joint":
        gradient = gradient + 2 * lam / eta * u @ R.mT @ R
    if penalty == "elbo":
        noise = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        gradient = gradient + 2 * lam / eta * (u @ R.mT - torch.tensor(-1.0).exp() * noise @ model.W.mT) @ R
    scale = ((model.b @ M.mT - y.flatten(1)) @ M).norm()
    assert gradient.norm() < 1e-3 * scale


def test_a_result_counts_its_evaluations_and_has_the_mean_for_a_latent():
    _, y, A = problem("blur")
    result = vae_analysis(y, A, LinearVAE(), 0.02, optimizer="lbfgs", steps=3)
    assert (result.evaluations == 4).all() and torch.equal(result.z, LinearVAE().encode(result.x))


def test_one_evaluation_at_each_eta_is_enough_to_run():
    _, y, A = problem("mask")
    result = joint_map(y, A, LinearVAE(), 0.02, steps=2, inner=1)
    assert result.x.isfinite().all() and len(result.history["objective"]) == 3


def test_an_operator_without_prox_is_named():
    _, y, _ = problem("blur")
    with pytest.raises(ValueError, match=r"^A: expected .*prox"):
        joint_map(y, lambda x: x, LinearVAE(), 0.02)


def test_the_elbo_penalty_is_the_bound():
    """−2 ELBO + const: differences between images are those of `terms`, averaged over samples."""
    model = network()
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    generator, values = torch.Generator().manual_seed(4), []
    for _ in range(2000):
        noise = torch.randn(6, generator=generator, dtype=torch.float64)
        values.append(vae_penalty(x, model, "elbo", noise))
    values = torch.stack(values)
    bound = -2 * model.elbo(x, generator, samples=2000)
    error = (values[:, 0] - values[:, 1]).std() / 2000**0.5
    assert abs(values[:, 0].mean() - values[:, 1].mean() - (bound[0] - bound[1])) < 6 * error + 1e-6
    torch.testing.assert_close(vae_penalty(x, model, "joint"), joint_penalty(x, model.encode(x), model, model.eta))


def test_the_elbo_penalty_is_a_distance_and_a_divergence():
    """‖x − D(sample)‖²/η + 2 KL(q(z|x) ‖ N(0, I)), for a network whose variances depend on the image."""
    model, generator = network(), torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    x, noise = torch.rand(2, 3, 8, 8, generator=generator, dtype=torch.float64), torch.ones(6, dtype=torch.float64)
    mean, logvar = model.encode_distribution(x)
    q, p = torch.distributions.Normal(mean, (logvar / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    distance = (x - model.decode(mean + (logvar / 2).exp() * noise)).square().sum((1, 2, 3)) / model.eta
    divergence = torch.distributions.kl_divergence(q, p).sum(1)
    assert (logvar[0] - logvar[1]).abs().max() > 0.01
    torch.testing.assert_close(vae_penalty(x, model, "elbo", noise), distance + 2 * divergence)


def test_the_better_start_is_chosen_for_each_image():
    """The first z is the minimizer of J(x, ·), which the encoder misses; the second is far away."""
    model = LinearVAE()
    x = model.decode(torch.ones(2, 5, dtype=torch.float64))
    z = model.encode(x) + torch.tensor([[0.0], [10.0]], dtype=torch.float64)
    model.V = 0.5 * model.V
    found = best_start(x, z, model, 0.04)
    assert torch.equal(found[0], z[0]) and torch.equal(found[1], model.encode(x)[1])


@pytest.mark.parametrize("penalty", ["mean", "joint", "elbo"])
def test_images_of_a_batch_do_not_influence_one_another(penalty):
    model, (_, y, A) = network(), problem("blur")
    lam = torch.tensor([1e-3, 1e-2, 1e-1], dtype=torch.float64)
    together = vae_analysis(y, A, model, lam, penalty=penalty, steps=10).x
    alone = vae_analysis(y[1:2], A, model, 1e-2, penalty=penalty, steps=10).x
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-8)
    for method in ("alternate", "reduced"):
        together = joint_map(y, A, model, lam, method=method, steps=3, inner=5).x
        alone = joint_map(y[1:2], A, model, 1e-2, method=method, steps=3, inner=5).x
        torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-8)
