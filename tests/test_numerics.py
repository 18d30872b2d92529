"""Numbers stay numbers: λ over eight decades, no noise at all, flat images and images that no prior expects.

Images and λ are one batch: every image meets every λ in one run.
"""

import copy

import pytest
import torch
from test_operators import REGISTRY
from test_reconstruction import small_flow
from test_regularizers import REGULARIZERS

from course_lib import solvers
from course_lib.metrics import gmsd, psnr, sam, ssim
from course_lib.models.denoiser import DnCNN
from course_lib.models.flow_in_time import FlowInTime
from course_lib.models.flow_layers import SCALES
from course_lib.models.regression import SRCNN, VDSR, upscale
from course_lib.models.vae import VAE
from course_lib.operators import Blur, Downsample, Identity, Mask, random_mask, square_mask, uniform_kernel
from course_lib.reconstruction import (
    analysis,
    bayesian,
    effective_size,
    joint_map,
    laplace,
    map_estimate,
    patch_map,
    plug_and_play,
    recommended,
    sample_posterior,
    split_rhat,
    splitting,
    synthesis,
    vae_analysis,
    warm_start,
)
from course_lib.regularizers import L1, TV, SquaredL2
from course_lib.studies import methods

LAMS = [10.0**k for k in range(-8, 1)]


def strange_images(dtype=torch.float32):
    """Black, white, grey, one colour, noise, a checkerboard, and an image far out of [0, 1]: [7, 3, 8, 8]."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(3, 8, 8, generator=generator, dtype=dtype)
    board = ((torch.arange(8)[:, None] + torch.arange(8)) % 2).to(dtype).expand(3, 8, 8)
    colour = torch.tensor([1.0, 0.0, 0.3], dtype=dtype)[:, None, None].expand(3, 8, 8)
    black = torch.zeros_like(noise)
    return torch.stack([black, black + 1, black + 0.5, colour, noise, board, 20 * noise - 10])


NAMES = ["black", "white", "grey", "colour", "noise", "checkerboard", "far"]
TASKS = {
    "deblurring": Blur(uniform_kernel(3)),
    "sr2": Downsample(2),
    "sr4": Downsample(4),
    "inpainting_random": Mask(random_mask(8, 8, 0.6)),
    "inpainting_square": Mask(square_mask(8, 8, 3)),
}


def every_pair(x, lams=LAMS):
    """Each image with each λ: (images [N·L, C, H, W], λ [N·L])."""
    return x.repeat_interleave(len(lams), 0), torch.tensor(lams, dtype=x.dtype, device=x.device).repeat(len(x))


def broken(x, lams=LAMS):
    """Which pairs of `every_pair` have a number that is none."""
    bad = (~x.flatten(1).isfinite().all(1)).nonzero()[:, 0].tolist()
    return [(NAMES[i // len(lams)], lams[i % len(lams)]) for i in bad]


def finite(found):
    """Whether an estimate and all that came with it are finite."""
    parts = [found.x, found.z, *found.history.values()]
    return all(bool(part.isfinite().all()) for part in parts if part is not None)


@pytest.fixture(scope="module")
def flow():
    return small_flow().float()


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return VAE(8, dim=4, widths=[6, 6], blocks=[0, 0], eta=0.01).freeze()


def network_of(method, flow, vae):
    """A small model of the kind that a method is given."""
    torch.manual_seed(0)
    kinds = {"srcnn": SRCNN(widths=(4, 4)), "vdsr": VDSR(width=4, depth=3), "dncnn": DnCNN(width=4, depth=3)}
    kinds |= {"vae": vae, "vae_jpmap": vae, "flow_in_time": FlowInTime(8, widths=(4, 4), depth=1).freeze()}
    return kinds.get(methods.METHODS[method].network, flow)


@pytest.mark.parametrize("method", methods.METHODS)
def test_every_method_of_the_table(method, flow, vae, monkeypatch):
    monkeypatch.setattr(methods, "load_model", lambda name, device="cpu": flow)
    about, model = methods.METHODS[method], network_of(method, flow, vae)
    A, x = TASKS[about.tasks[-1]], strange_images()
    if method in ("pnp", "flow_denoiser_pnp", "time_hqs", "diffpir", "dps"):  # λ is one number there
        pairs, runs = x, [(LAMS[k], x) for k in range(0, 9, 4)]
    elif about.start is None:
        pairs, runs = x, [(None, x)]
    else:
        pairs, lam = every_pair(x, LAMS[::2])
        runs = [(lam, pairs)]
    for lam, truth in runs:
        y = A(truth)
        image, objective = about.run(y, A, model, lam, 0.0)
        assert image.shape == pairs.shape
        assert broken(image, LAMS[::2] if len(pairs) > len(x) else [lam]) == []
        assert objective is None or objective.isfinite().all()


ESTIMATES = {
    "synthesis adam": lambda y, A, m, lam: synthesis(y, A, m, lam, steps=15),
    "synthesis lbfgs": lambda y, A, m, lam: synthesis(y, A, m, lam, optimizer="lbfgs", steps=15),
    "analysis adam": lambda y, A, m, lam: analysis(y, A, m, lam, steps=15),
    "analysis lbfgs": lambda y, A, m, lam: analysis(y, A, m, lam, optimizer="lbfgs", steps=15),
    "map adam": lambda y, A, m, lam: map_estimate(y, A, m, lam, optimizer="adam", steps=15),
    "map lbfgs": lambda y, A, m, lam: map_estimate(y, A, m, lam, steps=15),
    "splitting": lambda y, A, m, lam: splitting(y, A, m, lam, steps=3, inner=4),
    "recommended": lambda y, A, m, lam: recommended(y, A, m, 0.0, lam, steps=10),
    "patch_map": lambda y, A, m, lam: patch_map(y, A, m, lam, rounds=2, steps=4, sigma=0.0),
}
OF_VAE = {
    "joint alternate": lambda y, A, m, lam: joint_map(y, A, m, lam, steps=3, inner=5),
    "joint reduced": lambda y, A, m, lam: joint_map(y, A, m, lam, method="reduced", start=0.5, steps=3, inner=5),
    **{
        f"vae_analysis {penalty}": lambda y, A, m, lam, p=penalty: vae_analysis(y, A, m, lam, penalty=p, steps=15)
        for penalty in ("mean", "joint", "elbo")
    },
}


@pytest.mark.parametrize("task", ["deblurring", "inpainting_random", "sr2"])
@pytest.mark.parametrize("name", [*ESTIMATES, *OF_VAE])
def test_every_estimate_with_every_lambda(name, task, flow, vae):
    x, lam = every_pair(strange_images(), [0.0, *LAMS])
    y = TASKS[task](x)
    found = (ESTIMATES | OF_VAE)[name](y, TASKS[task], vae if name in OF_VAE else flow, lam)
    assert broken(found.x, [0.0, *LAMS]) == [] and finite(found)


@pytest.mark.parametrize("sigma", [1e-6, 0.01, 10.0])
@pytest.mark.parametrize("eta", [None, 0.01])
@pytest.mark.parametrize("method", ["pcn", "mala", "hmc"])
def test_samples_of_a_posterior_are_finite(method, eta, sigma, vae):
    x, A = strange_images(), TASKS["inpainting_square"]
    found = sample_posterior(A(x), A, vae, sigma, eta=eta, method=method, chains=2, burn=5, steps=8, thin=2)
    values = found.mean, found.std, found.samples, found.acceptance, found.step, found.ess
    assert all(value.isfinite().all() for value in values) and not found.rhat.isnan().any()


@pytest.mark.parametrize(
    "call",
    [
        lambda y, A, m: sample_posterior(y, A, m, 0.0),
        lambda y, A, m: laplace(torch.zeros(len(y), m.dim), y, A, m, 0.0),
        lambda y, A, m: splitting(y, A, m, 0.1, sigma=0.0),
        lambda y, A, m: plug_and_play.tweedie_of({0.1: m})(y, 0.0),
    ],
)
def test_what_needs_noise_says_so(call, flow):
    x, model = strange_images(), flow
    with pytest.raises(ValueError, match="sigma: expected a finite number > 0, got 0"):
        call(x, Identity(), model)


def test_without_noise_half_a_grey_level_is_assumed():
    assert bayesian(0.0) == bayesian(0.5 / 255) > 0
    y = strange_images()
    torch.testing.assert_close(warm_start(y, Identity(), 0.0), warm_start(y, Identity(), 0.5 / 255))


@pytest.mark.parametrize("sigma", [1e-6, 0.01, 10.0])
def test_laplace_is_finite_and_triangular(sigma, vae):
    x, z = strange_images(), torch.zeros(7, 4)
    L = laplace(z, x, Identity(), vae, sigma)
    assert L.isfinite().all() and (L.diagonal(dim1=1, dim2=2) > 0).all()


def test_chains_that_never_move_are_told_from_chains_that_agree():
    stuck = torch.arange(3.0)[None, :, None].expand(8, 3, 2)
    assert split_rhat(stuck).isinf().all() and (effective_size(stuck) < 3).all()
    same = torch.ones(8, 3, 2)
    assert torch.equal(split_rhat(same), torch.ones(2)) and (effective_size(same) < 3).all()


SOLVERS = {
    "gradient_descent": lambda A, y, lam: solvers.gradient_descent(y, A, SquaredL2(), lam, 1.0, steps=30),
    "ista": lambda A, y, lam: solvers.ista(y, A, L1(), lam, steps=30),
    "fista": lambda A, y, lam: solvers.fista(y, A, L1(), lam, steps=30),
    "fista TV": lambda A, y, lam: solvers.fista(y, A, TV(iterations=20), lam, steps=10),
    "admm": lambda A, y, lam: solvers.admm(y, A, L1(), lam, steps=30),
    "admm split": lambda A, y, lam: solvers.admm(y, A, TV(), lam, split=True, steps=15),
    "primal_dual": lambda A, y, lam: solvers.primal_dual(y, A, TV(), lam, steps=30),
    "primal_dual box": lambda A, y, lam: solvers.primal_dual(y, A, TV(), lam, steps=30, box=(0, 1)),
    "condat_vu": lambda A, y, lam: solvers.condat_vu(y, A, TV(), lam, steps=30),
    "iht": lambda A, y, lam: solvers.iht(y, A, 5, steps=20),
    "omp": lambda A, y, lam: solvers.omp(y, A, 5),
}


@pytest.mark.parametrize("task", ["deblurring", "inpainting_random", "sr4"])
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_with_every_lambda(name, task, device):
    x, lam = every_pair(strange_images().to(device), [0.0, *LAMS, 1e4])
    A = copy.deepcopy(TASKS[task]).to(device)
    found = SOLVERS[name](A, A(x), lam)
    assert broken(found.x, [0.0, *LAMS, 1e4]) == []
    assert all(curve.isfinite().all() for curve in found.history.values())


@pytest.mark.parametrize("name", [n for n in SOLVERS if n not in ("omp", "iht")])
def test_single_precision_follows_double(name, device):
    x, lam = every_pair(strange_images(torch.float64)[:6], [1e-4, 1e-2])
    double = SOLVERS[name](TASKS["deblurring"], TASKS["deblurring"](x), lam).x
    A = copy.deepcopy(TASKS["deblurring"]).to(device)
    single = SOLVERS[name](A, A(x.float().to(device)), lam.float().to(device)).x
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double().cpu(), double, rtol=0, atol=2e-3)


def test_linear_algebra_of_nothing():
    zeros = torch.zeros(2, 3)
    found = solvers.conjugate_gradient(lambda x: 2 * x, zeros)
    assert torch.equal(found.x, zeros) and found.converged.all()
    for result in (solvers.lbfgs(lambda x: x.square().sum(1), zeros), solvers.adam(lambda x: x.square().sum(1), zeros)):
        assert torch.equal(result.x, zeros)


@pytest.mark.parametrize("name", REGISTRY)
def test_prox_of_the_data_term_for_every_rho(name):
    build, shape = REGISTRY[name]
    A = build(*shape).float()
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    x = torch.stack([torch.zeros(shape), torch.ones(shape), noise])
    y = A(x)
    assert y.dtype == torch.float32 and y.isfinite().all()
    for rho in (1e-8, 1e-4, 1.0, 1e4, 1e8):
        found = A.prox(torch.zeros_like(x), y, rho)
        assert found.isfinite().all(), rho
        assert (found.flatten(1).norm(dim=1) <= (1 + 1e-3) * x.flatten(1).norm(dim=1) + 1e-5).all(), rho


TV_OF = {
    "tv isotropic": TV(iterations=50),
    "tv anisotropic": TV(isotropic=False, iterations=50),
    "tv uncoupled": TV(coupled=False, iterations=50),
    "tv anisotropic uncoupled": TV(isotropic=False, coupled=False, iterations=50),
}
"""With fewer steps than those that the laws are held to."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", REGULARIZERS)
def test_regularizers_of_flat_images_have_values_slopes_and_proxes(name, dtype, device):
    x = strange_images(dtype).to(device)
    phi = TV_OF[name] if name in TV_OF else REGULARIZERS[name](*x.shape[1:])
    u = x.clone().requires_grad_()
    value = phi(u)
    assert not value.isnan().any() and (name == "box" or value.isfinite().all())
    if value.requires_grad and name != "nuclear":  # its slope is not defined where singular values vanish together
        (slope,) = torch.autograd.grad(value.sum(), u)
        assert slope.isfinite().all()
    for tau in (0.0, 1e-8, 1.0, 1e8):
        found = phi.prox(x, tau)
        assert found.dtype == dtype and found.isfinite().all()
        assert tau or name == "box" or torch.allclose(found, x, atol=1e-5)


@pytest.mark.parametrize("metric", [psnr, ssim, gmsd, sam])
def test_metrics_of_flat_images(metric, device):
    x = strange_images(torch.float64)
    for i in range(len(x)):
        reference = x[i : i + 1].expand_as(x).contiguous()
        double = metric(x, reference)
        assert not double.isnan().any()
        assert torch.equal(double.isinf(), (x == reference).flatten(1).all(1) & (metric is psnr))
        single = metric(x.float().to(device), reference.float().to(device)).double().cpu()
        torch.testing.assert_close(single, double, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", SCALES)
def test_a_flow_far_away_from_its_images(scale, device):
    double = small_flow(scale)
    # A sigmoid scale goes to 0 there, and has no inverse in numbers.
    x = torch.cat([strange_images(torch.float64), (1 if scale == "sigmoid" else 1e3) * strange_images(torch.float64)])
    z, logdet = double.encode_with_logdet(x)
    assert z.isfinite().all() and logdet.isfinite().all()
    size = x.flatten(1).norm(dim=1).clamp_min(1)
    assert ((double.decode(z) - x).flatten(1).norm(dim=1) <= 1e-9 * size).all()
    single = copy.deepcopy(double).float().to(device)
    found, logdet32 = single.encode_with_logdet(x.float().to(device))
    assert ((found.double().cpu() - z).norm(dim=1) <= 1e-4 * z.norm(dim=1).clamp_min(1)).all()
    torch.testing.assert_close(logdet32.double().cpu(), logdet, rtol=1e-3, atol=1e-2)
    far = torch.cat([torch.zeros(1, double.dim), 10 * torch.eye(double.dim)[:3], torch.full((1, double.dim), 5.0)])
    assert single.decode(far.to(device)).isfinite().all()


def test_a_vae_far_away_from_its_images(vae, device):
    model = copy.deepcopy(vae).to(device)
    x = torch.cat([strange_images(), 1e3 * strange_images()[4:6]]).to(device)
    mean, logvar = model.encode_distribution(x)
    assert mean.isfinite().all() and logvar.isfinite().all()
    assert model.decode(torch.cat([mean, 100 * torch.eye(4, device=device)])).isfinite().all()
    torch.testing.assert_close(mean.double(), copy.deepcopy(model).double().encode(x.double()), rtol=1e-3, atol=1e-3)


def networks():
    """Networks that offer `mixed_precision`, with a call."""
    torch.manual_seed(0)
    x = strange_images()[:6]
    vae = VAE(8, dim=4, widths=[6, 6], blocks=[0, 0]).freeze()
    in_time = FlowInTime(8, widths=(6, 6), depth=1)
    torch.nn.init.normal_(in_time.net.head[-1].weight, std=0.3)
    return {
        "glow": (small_flow().float(), lambda m: m.encode(x)),
        "flow_in_time": (in_time, lambda m: m.denoise(x, 0.1)),
        "vae": (vae, lambda m: m.decode(m.encode(x))),
        "dncnn": (DnCNN(width=6, depth=3), lambda m: m(x, 0.1)),
        "srcnn": (SRCNN(widths=(6, 6)), lambda m: m(x)),
        "vdsr": (VDSR(width=6, depth=3), lambda m: m(upscale(Downsample(2)(x), 2))),
    }


@pytest.mark.parametrize("name", ["glow", "flow_in_time", "vae", "dncnn", "srcnn", "vdsr"])
def test_half_precision_is_near_single(name):
    model, call = networks()[name]
    single = call(model)
    half = call(model.mixed_precision(torch.bfloat16))
    assert half.dtype == torch.float32 and half.isfinite().all()
    assert (half - single).norm() <= 0.02 * single.norm()
    assert torch.equal(call(model.mixed_precision(None)), single)


@pytest.mark.parametrize("strength", [0.0, 1e-8, 1e-3, 1.0])
@pytest.mark.parametrize("name", ["nlm", "tv", "wavelet", "tweedie", "dncnn", "proximal"])
def test_denoisers_of_flat_images(name, strength, flow):
    torch.manual_seed(0)
    made = {"tweedie": plug_and_play.tweedie(flow), "dncnn": DnCNN(width=4, depth=3)}
    made |= {"proximal": plug_and_play.proximal(TV())}
    found = (made.get(name) or getattr(plug_and_play, name))(strange_images(), strength)
    assert found.isfinite().all()
    if name in ("nlm", "tv", "wavelet", "proximal"):
        torch.testing.assert_close(found[:4], strange_images()[:4], rtol=0, atol=1e-4)  # flat images are clean


PLUGGED = {
    "admm": lambda y, A, f, s: plug_and_play.admm(y, A, f, s, steps=5),
    "hqs": lambda y, A, f, s: plug_and_play.hqs(y, A, f, s, steps=5),
    "proximal_gradient": lambda y, A, f, s: plug_and_play.proximal_gradient(y, A, f, s, steps=5),
    "red": lambda y, A, f, s: plug_and_play.red(y, A, f, s, 0.1, steps=5),
    "red gradient": lambda y, A, f, s: plug_and_play.red(y, A, f, s, 0.1, method="gradient", steps=5),
}


@pytest.mark.parametrize("task", ["deblurring", "inpainting_random", "sr2"])
@pytest.mark.parametrize("name", PLUGGED)
def test_plug_and_play_for_every_strength(name, task):
    x, A = strange_images(), TASKS[task]
    for strength in (0.0, 1e-6, 1e-2, 1.0):
        found = PLUGGED[name](A(x), A, plug_and_play.proximal(TV(iterations=20)), strength)
        assert finite(found), strength
