"""The VAE: its bound against closed forms, its gradients, its laws for images of any size, its training and files."""

import json
import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal
from torch.distributions import kl_divergence as exact_kl

from course_lib.__main__ import main
from course_lib.data import face, photograph, save_grid
from course_lib.metrics import psnr
from course_lib.models.vae import VAE, LatentModel, kl_divergence, reparametrize
from course_lib.models.weights import describe, load_model, save_model
from course_lib.training import LOSSES, load_average

SMALL = {"size": 8, "dim": 5, "widths": (6, 8), "blocks": (1, 1)}
SHAPES = {
    "powers of two": SMALL,
    "25×25 grey": {"size": 25, "channels": 1, "dim": 3, "widths": (4, 6, 8), "blocks": (0, 1, 0)},
    "one level": {"size": 7, "dim": 2, "widths": (4,), "blocks": (2,)},
    "smallest": {"size": 4, "dim": 1, "widths": (4, 4), "blocks": (0, 0)},
}


def vae(seed=0, **config):
    """A small VAE in float64 none of whose layers is zero."""
    torch.manual_seed(seed)
    model = VAE(**SMALL | config).double()
    for name, p in model.named_parameters():
        if p.dim() > 0:
            p.data += 0.1 * torch.randn_like(p)
        assert "eta" in name or p.abs().max() > 0
    return model


def images(batch=3, channels=3, size=8, seed=1):
    return torch.rand(batch, channels, size, size, generator=torch.Generator().manual_seed(seed)).double()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class PPCA(LatentModel):
    """x = W z + b + √η ε: p(x) is Gaussian, and the posterior N(M⁻¹Wᵀ(x − b), ηM⁻¹), M = WᵀW + ηI, is known.

    The columns of W are orthogonal, so that the posterior is of the form of q; `shift` and `scale` spoil it.
    """

    def __init__(self, seed=0, shift=0.0, scale=1.0):
        super().__init__()
        random = torch.randn(6, 3, generator=generator(seed), dtype=torch.float64)
        self.W = torch.linalg.qr(random)[0] * torch.tensor([2.0, 1.0, 0.3])
        self.b, self.log_eta = (
            torch.linspace(-1, 1, 6, dtype=torch.float64),
            torch.tensor(0.2, dtype=torch.float64).log(),
        )
        self.dim, self.shift, self.scale = 3, shift, scale

    def decode(self, z):
        return z @ self.W.T + self.b

    def posterior(self, x):
        M = self.W.T @ self.W + self.eta * torch.eye(3, dtype=torch.float64)
        return (x - self.b) @ self.W @ torch.linalg.inv(M), self.eta * torch.linalg.inv(M)

    def encode_distribution(self, x):
        mean, covariance = self.posterior(x)
        return mean + self.shift, (self.scale**2 * covariance.diagonal()).log().expand_as(mean)

    def log_prob(self, x):
        return MultivariateNormal(self.b, self.W @ self.W.T + self.eta * torch.eye(6, dtype=torch.float64)).log_prob(x)

    def exact_elbo(self, x):
        """E_q[‖x − D(z)‖²] = ‖x − D(μ)‖² + Σ σ_k²‖W_k‖², in closed form."""
        mean, logvar = self.encode_distribution(x)
        spread = (logvar.exp() * self.W.square().sum(0)).sum(1)
        return -self.distortion(x, mean) - 0.5 * spread / self.eta - kl_divergence(mean, logvar).sum(1)


@pytest.fixture
def points():
    return torch.randn(4, 6, generator=generator(5), dtype=torch.float64)


def test_with_the_true_posterior_the_bound_is_the_likelihood(points):
    model = PPCA()
    assert (model.exact_elbo(points) - model.log_prob(points)).abs().max() < 1e-10
    many = points[:1].expand(20000, -1)
    draws = model.elbo(many, generator())
    error = draws.std() / math.sqrt(len(draws))
    assert error < 0.02 and (draws.mean() - model.log_prob(points[:1])).abs() < 4 * error


@pytest.mark.parametrize(("shift", "scale"), [(0.3, 1.0), (0.0, 1.7), (-0.2, 0.5)])
def test_the_gap_of_the_bound_is_the_divergence_from_the_posterior(points, shift, scale):
    model = PPCA(shift=shift, scale=scale)
    mean, logvar = model.encode_distribution(points)
    true_mean, covariance = model.posterior(points)
    gap = exact_kl(MultivariateNormal(mean, torch.diag_embed(logvar.exp())), MultivariateNormal(true_mean, covariance))
    assert gap.min() > 0.05
    assert (model.log_prob(points) - model.exact_elbo(points) - gap).abs().max() < 1e-10


@pytest.mark.parametrize("input_noise", [0.0, 0.5])
def test_terms_and_bound_agree_and_are_unbiased(points, input_noise):
    model, many = PPCA(shift=0.3, scale=1.5), points[:1].expand(40000, -1)
    distortion, kl = model.terms(many, generator(), input_noise)
    draws = -distortion - kl
    error = draws.std() / math.sqrt(len(draws))
    if input_noise:  # a mixture of bounds: below the likelihood, and here below the bound without noise
        assert draws.mean() < model.exact_elbo(points)[0] - 10 * error
    else:
        assert (draws.mean() - model.exact_elbo(points)[0]).abs() < 4 * error
        assert torch.equal(draws, model.elbo(many, generator()))
    averaged = model.elbo(many[:4000], generator(), samples=25)
    assert averaged.std().item() == pytest.approx(model.elbo(many, generator()).std().item() / 5, rel=0.05)


def test_bits_per_dim_are_the_bound_in_grey_levels(points):
    model = PPCA()
    expected = -model.elbo(points, generator(2)) / (6 * math.log(2)) + math.log2(255)
    assert torch.allclose(model.bits_per_dim(points, generator(2)), expected, rtol=1e-12)


def test_the_divergence_is_that_of_torch():
    mean, logvar = torch.randn(2, 4, 7, generator=generator(), dtype=torch.float64)
    expected = exact_kl(Normal(mean, (0.5 * logvar).exp()), Normal(torch.zeros_like(mean), torch.ones_like(mean)))
    assert (kl_divergence(mean, logvar) - expected).abs().max() < 1e-12
    assert kl_divergence(torch.zeros(1), torch.zeros(1)) == 0


def test_the_distortion_is_a_gaussian_likelihood():
    model, x, z = vae(eta=0.07), images(), torch.randn(3, 5, generator=generator(), dtype=torch.float64)
    expected = -Normal(model.decode(z), math.sqrt(0.07)).log_prob(x).sum((1, 2, 3))
    assert (model.distortion(x, z) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_reparametrized_samples_have_mean_variance_and_gradients():
    mean = torch.tensor([[1.0, -2.0]], dtype=torch.float64, requires_grad=True)
    logvar = torch.tensor([[0.5, -1.0]], dtype=torch.float64, requires_grad=True)
    z = reparametrize(mean.expand(100000, -1), logvar.expand(100000, -1), generator())
    assert (z.mean(0) - mean[0]).abs().max() < 0.02 and (z.var(0) - logvar[0].exp()).abs().max() < 0.02
    # E[z²] = μ² + σ²: its gradients are 2μ, and σ² with respect to log σ²
    z.square().sum(1).mean().backward()
    assert (mean.grad - 2 * mean).abs().max() < 0.02 and (logvar.grad - logvar.exp()).abs().max() < 0.02
    assert torch.equal(reparametrize(mean, logvar, generator(3)), reparametrize(mean, logvar, generator(3)))


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_shapes_dtypes_and_batches(config):
    model = vae(**config).train()
    x = images(3, model.config["channels"], model.config["size"])
    mean, logvar = model.encode_distribution(x)
    z = torch.randn(3, model.dim, generator=generator(), dtype=torch.float64)
    assert mean.shape == logvar.shape == (3, model.dim) and model.decode(z).shape == x.shape
    assert mean.dtype == model.decode(z).dtype == torch.float64 and model.eta.dim() == 0
    for i in range(3):  # in training too, images of a batch do not meet
        alone = torch.cat([*model.encode_distribution(x[i : i + 1]), model.decode(z[i : i + 1]).flatten(1)], 1)
        together = torch.cat([mean[i], logvar[i], model.decode(z)[i].flatten()])
        assert (alone[0] - together).norm() < 1e-12 * together.norm()


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_gradients_reach_all_parameters_and_are_right(config):
    model = vae(**config)
    x = images(2, model.config["channels"], model.config["size"])
    model.loss(x, generator()).mean().backward()
    assert all(p.grad.abs().max() > 0 for p in model.parameters())
    before, step = [p.detach().clone() for p in model.parameters()], 1e-6
    values = []
    for sign in (1, -1):
        for p, value in zip(model.parameters(), before, strict=True):
            p.data = value + sign * step * p.grad
        values.append(model.loss(x, generator()).mean().item())
    squared = sum(p.grad.square().sum().item() for p in model.parameters())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(squared, rel=1e-5)


def test_the_decoder_is_smooth():
    model, z = vae(), torch.randn(1, 5, generator=generator(), dtype=torch.float64)
    assert torch.autograd.gradcheck(model.decode, z.requires_grad_())
    assert torch.autograd.gradgradcheck(lambda z: model.decode(z).square().sum(), z)


def test_the_best_eta_is_the_mean_squared_error():
    model, x = vae(), images(20)
    (slope,) = torch.autograd.grad(model.loss(x, generator()).mean(), model.scaled_log_eta)
    assert slope.abs() > 0.1
    for _ in range(30):  # Newton's method in log η; the curvature of a + b/η + c log η at its minimum is c
        (slope,) = torch.autograd.grad(model.loss(x, generator()).mean(), model.scaled_log_eta)
        model.scaled_log_eta.data -= slope * 2 * math.log(2) / 100
    mean, logvar = model.encode_distribution(x)
    mse = (model.decode(reparametrize(mean, logvar, generator())) - x).square().mean()
    assert model.eta.item() == pytest.approx(mse.item(), rel=1e-6)


def test_beta_and_noise_enter_the_loss_as_they_should():
    x, scale = images(), 192 * math.log(2)
    one, four = (vae(beta=b).loss(x, generator()) for b in (1.0, 4.0))
    kl = vae().terms(x, generator())[1]
    assert (four - one - 3 * kl / scale).abs().max() < 1e-12 and kl.min() > 0
    assert torch.equal(one, vae().bits_per_dim(x, generator()))
    noisy = vae(input_noise=0.5)
    distortion, kl = noisy.terms(x, generator(), 0.5)
    assert torch.equal(noisy.loss(x, generator()), (distortion + kl) / scale + math.log2(255))
    assert (noisy.loss(x, generator()) - one).abs().min() > 1e-6
    mean, logvar = noisy.encode_distribution(
        x + 0.5 * torch.randn(x.shape, generator=(g := generator()), dtype=x.dtype)
    )
    assert torch.equal(kl, kl_divergence(mean, logvar).sum(1))
    assert torch.equal(distortion, noisy.distortion(x, reparametrize(mean, logvar, g)))
    assert all(
        torch.equal(a, b) for a, b in zip(noisy.encode_distribution(x), vae().encode_distribution(x), strict=True)
    )


def test_a_fixed_eta_stays():
    model = vae(eta=0.01)
    assert model.eta.item() == pytest.approx(0.01) and not model.scaled_log_eta.requires_grad
    assert vae().scaled_log_eta.requires_grad


def test_samples_are_decoded_and_repeat():
    model = vae()
    z = torch.randn(4, 5, generator=generator(7), dtype=torch.float64)
    assert torch.equal(model.sample(4, 0.5, generator(7)), model.decode(0.5 * z))
    assert torch.equal(model.sample(1, 0.0), model.decode(torch.zeros(1, 5, dtype=torch.float64)))
    state = torch.get_rng_state()
    model.elbo(images(), generator(), samples=2)
    assert torch.equal(torch.get_rng_state(), state)


def test_statistics_are_those_of_their_formulas():
    model, x = vae(), images(60)
    found = model.statistics(x, generator())
    mean, logvar = model.encode_distribution(x)
    z, kl = reparametrize(mean, logvar, generator()), kl_divergence(mean, logvar)
    scores = psnr(model.decode(mean).clamp(0, 1), x)
    expected = {"kl": kl.sum(1).mean(), "psnr": scores.mean(), "norm": (z.norm(dim=1) ** 2 / 5).mean()}
    assert found["active"] == sum(kl.mean(0) > 0.1)
    assert all(found[name] == pytest.approx(value.item(), abs=1e-3) for name, value in expected.items())
    assert found["norm_std"] == pytest.approx((z.norm(dim=1) ** 2 / 5).std().item(), abs=1e-3)
    collapsed = vae()
    collapsed.posterior.weight.data.zero_()
    collapsed.posterior.bias.data.zero_()
    collapsed = collapsed.statistics(images(4000), generator())
    assert collapsed["kl"] == 0 and collapsed["active"] == 0
    assert collapsed["norm"] == pytest.approx(1, abs=0.05)
    assert collapsed["norm_std"] == pytest.approx(math.sqrt(2 / 5), abs=0.05)


def correlated():
    """A VAE whose posterior means are correlated and far from zero."""
    model = vae()
    model.posterior.weight.data[:5] *= 40
    model.posterior.bias.data[:5] += 3
    return model


def test_alignment_fits_the_aggregate_posterior_to_the_prior_and_changes_no_reconstruction():
    model, x = correlated(), images(300)
    mean, logvar = model.encode_distribution(x)
    decoded, before = model.decode(mean), kl_divergence(mean, logvar).sum(1).mean()
    assert model.align(x.split(64)) is model and model.config["aligned"]
    aligned, aligned_logvar = model.encode_distribution(x)
    assert (model.decode(aligned) - decoded).abs().max() < 1e-10
    spread = aligned_logvar.exp().mean(0)
    covariance = torch.cov(aligned.T) + torch.diag(spread)
    assert aligned.mean(0).abs().max() < 1e-9 and (covariance.diagonal() - 1).abs().max() < 1e-9
    # VᵀCV = I, and VᵀSV is diagonal: so is the covariance of the means
    assert (torch.cov(aligned.T) - torch.diag(1 - spread)).abs().max() < 1e-9
    assert (spread.diff() > 0).all(), "the most informative latent comes first"
    assert kl_divergence(aligned, aligned_logvar).sum(1).mean() < 0.5 * before


def test_an_aligned_encoder_gives_the_variances_of_the_old_samples_in_the_new_coordinates():
    model, x = correlated(), images(50)
    mean, logvar = model.encode_distribution(x[:1])
    old = reparametrize(mean.expand(20000, -1), logvar.expand(20000, -1), generator())
    decoded = model.decode(old[:50])
    model.align([x])
    new_mean, new_logvar = model.encode_distribution(x[:1])
    new = (old - model.centre) @ model.axes
    assert (model.decode(new[:50]) - decoded).abs().max() < 1e-10
    assert (new.mean(0) - new_mean).abs().max() < 0.05 * new.std(0).max()
    assert (new.var(0) / new_logvar.exp() - 1).abs().max() < 0.05


def test_alignment_is_kept_in_the_file_and_done_once(tmp_path):
    model, x = correlated().float(), images(40).float()
    model.align([x])
    save_model(model, "tiny", {}, tmp_path, half=False)
    loaded = load_model("tiny", folder=tmp_path)
    for ours, theirs in zip(loaded.encode_distribution(x), model.encode_distribution(x), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="model: expected one whose latents are not aligned yet"):
        loaded.align([x])
    with pytest.raises(ValueError, match="batches: expected more than 5 images"):
        vae().align([images(5)])


def test_mixed_precision_is_close_and_keeps_float32():
    torch.manual_seed(0)
    model = VAE(**SMALL)
    x, z = images().float(), torch.randn(3, 5, generator=generator())
    exact = model.encode(x), model.decode(z)
    model.mixed_precision(torch.bfloat16)
    for ours, theirs in zip((model.encode(x), model.decode(z)), exact, strict=True):
        assert ours.dtype == torch.float32 and 0 < (ours - theirs).norm() < 0.02 * theirs.norm()
    model.mixed_precision(None)
    assert torch.equal(model.decode(z), exact[1])


@pytest.mark.parametrize("eta", [None, 0.02])
def test_a_saved_model_comes_back_frozen(tmp_path, eta):
    model = vae(eta=eta, input_noise=0.1).float()
    save_model(model, "tiny", {}, tmp_path, half=False)
    loaded = load_model("tiny", folder=tmp_path)
    assert loaded.config == json.loads(json.dumps(model.config)) == describe("tiny", tmp_path)["config"]
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    x = images().float()
    for ours, theirs in zip(loaded.encode_distribution(x), model.encode_distribution(x), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert loaded.eta == model.eta


def gratings(count=64, size=8):
    """Noisy images with two degrees of freedom: brightness and slope."""
    a, b = torch.rand(2, count, 1, 1, 1, generator=generator())
    ramp = torch.linspace(-0.5, 0.5, size)
    noise = torch.randn(count, 3, size, size, generator=generator(1))
    return 0.3 + 0.4 * a + 0.5 * (b - 0.5) * ramp + 0.03 * noise


def test_training_lowers_the_loss_uses_the_latents_and_finds_eta():
    torch.manual_seed(0)
    model, x = VAE(**SMALL | {"dim": 4}), gratings(32)
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=5e-3), []
    for _ in range(200):
        loss = LOSSES["vae"](model, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        mean, logvar = model.encode_distribution(x)
        mse = (model.decode(reparametrize(mean, logvar, generator())) - x).square().mean()
        active = (kl_divergence(mean, logvar).mean(0) > 0.5).sum()
    assert losses[-1] < losses[0] - 2 and mse < 0.2 * x.var() and active >= 2
    assert 0.9 < model.eta / mse < 1.1 and 0.9 < mse / 0.03**2 < 1.3


def test_the_command_line_trains_resumes_exports_and_loads(tmp_path, capsys):
    (tmp_path / "faces").mkdir()
    for i, image in enumerate(gratings(40)):
        save_grid(image[None], tmp_path / "faces" / f"im_{i:02d}.png", columns=1)
    run = str(tmp_path / "run")
    line = ["train", "vae", "--data", str(tmp_path / "faces"), "--out", run, "--device", "cpu", "--every", "2"]
    options = ["--size", "8", "--widths", "4", "6", "--blocks", "0", "1", "--dim", "3", "--batch", "4"]
    assert main([*line, *options, "--steps", "2"]) == 0
    assert main([*line, "--steps", "4"]) == 0
    assert main([line[0], "vae_jpmap", *line[2:], "--steps", "6"]) == 2
    assert "name: expected the recipe of" in capsys.readouterr().err
    assert main(["export", run, "tiny", "--folder", str(tmp_path)]) == 0
    about = describe("tiny", tmp_path)
    assert about["config"]["dim"] == 3 and about["steps"] == 4
    before, after = (about["validation"][f"{when}_alignment"] for when in ("before", "after"))
    assert math.isfinite(about["validation"]["bits_per_dim_bound"]) and about["config"]["aligned"]
    assert 0 < before["psnr"] == pytest.approx(after["psnr"], abs=1e-2)
    model, average = load_model("tiny", folder=tmp_path), load_average(run)[0]
    x = gratings(3)
    assert torch.allclose(model.decode(model.encode(x)), average.decode(average.encode(x)), atol=1e-2)
    assert isinstance(model, VAE) and not average.config["aligned"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda_it_is_the_same():
    model, x = vae(), images()
    expected = model.elbo(x, generator(1))
    assert (model.cuda().elbo(x.cuda(), generator(1)).cpu() - expected).abs().max() < 1e-6 * expected.abs().max()


@pytest.mark.parametrize("name", ["vae", "vae_jpmap"])
def test_the_stored_models_know_faces(name):
    model, x, cup = load_model(name), face(), photograph("coffee")
    with torch.no_grad():
        mean, logvar = model.encode_distribution(x)
        assert psnr(model.decode(mean).clamp(0, 1), x) > 21.5
        assert model.elbo(x, generator(), 5) > model.elbo(cup, generator(), 5) + 5000
        kl = kl_divergence(mean, logvar)[0]
        noisy = x + 0.05 * torch.randn(x.shape, generator=generator())
        assert (model.encode(noisy) - mean).square().mean() < 0.03
    assert model.config["aligned"] and kl[:20].sum() > 3 * kl[-20:].sum()
    measured = describe(name)["validation"]
    before, after = measured["before_alignment"], measured["after_alignment"]
    assert after["kl"] < before["kl"] - 50 and after["bits_per_dim_bound"] < before["bits_per_dim_bound"]
    assert measured["bits_per_dim_bound_float16"] == pytest.approx(measured["bits_per_dim_bound"], abs=1e-3)
