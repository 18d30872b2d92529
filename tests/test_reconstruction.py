"""Objectives and methods of `reconstruction` on small flows, against closed forms and each other."""

import inspect
import warnings

import pytest
import torch

from course_lib import reconstruction
from course_lib.metrics import psnr
from course_lib.models.flow_layers import CouplingNet
from course_lib.models.glow import Glow
from course_lib.models.vae import VAE
from course_lib.operators import Blur, Downsample, Identity, Mask, random_mask, uniform_kernel
from course_lib.reconstruction import (
    analysis,
    analysis_objective,
    bayesian,
    map_estimate,
    map_objective,
    patch_map,
    patch_penalty,
    plug_and_play,
    recommended,
    sample_posterior,
    splitting,
    synthesis,
    synthesis_objective,
    warm_start,
)
from course_lib.reconstruction.base import data_term, geometric
from course_lib.regularizers import TV
from course_lib.solvers import primal_dual

OPERATORS = {
    "identity": Identity(),
    "blur": Blur(uniform_kernel(3, torch.float64)),
    "mask": Mask(random_mask(8, 8, 0.5)),
    "down": Downsample(2),
}


def small_flow(scale="bounded", seed=0, std=0.05):
    """A flow on 8×8 images whose couplings are no identities."""
    generator = torch.Generator().manual_seed(seed)
    model = Glow(size=8, steps=2, widths=(8, 8), scale=scale).double()
    for parameter in model.parameters():
        parameter.data.copy_(std * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    for module in model.modules():
        if isinstance(module, CouplingNet):
            module[0].weight.data.mul_(5)
    model.initialize(0.5 + 0.2 * torch.randn(32, 3, 8, 8, generator=generator, dtype=torch.float64))
    return model.freeze()


@pytest.fixture(scope="module")
def flow():
    return small_flow()


def problem(name, batch=3, sigma=0.02, seed=1):
    """(x, y, A) of a small random problem in float64."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(batch, 3, 8, 8, generator=generator, dtype=torch.float64)
    A = OPERATORS[name]
    y = A(x)
    return x, y + sigma * torch.randn(y.shape, generator=generator, dtype=torch.float64), A


@pytest.mark.parametrize("name", OPERATORS)
def test_synthesis_and_analysis_are_one_function(flow, name):
    x, y, A = problem(name)
    z, logdet = flow.encode_with_logdet(x)
    lam = torch.tensor([0.1, 0.01, 0.0], dtype=torch.float64)
    ours, theirs = analysis_objective(x, y, A, flow, lam), synthesis_objective(z, y, A, flow, lam)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(map_objective(x, y, A, flow, lam), ours - 2 * lam * logdet, rtol=1e-12, atol=1e-12)


def test_map_objective_is_the_posterior(flow):
    x, y, A = problem("blur")
    sigma = 0.1
    other = x.flip(0)
    log_posterior = [flow.log_prob(u) - (A(u) - y).square().sum((1, 2, 3)) / (2 * sigma**2) for u in (x, other)]
    values = [map_objective(u, y, A, flow, sigma**2 / 2) for u in (x, other)]
    torch.testing.assert_close(values[0] - values[1], -(sigma**2) * (log_posterior[0] - log_posterior[1]))


@pytest.mark.parametrize("method", [synthesis, analysis, map_estimate])
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_objective_falls_and_history_fits(flow, method, optimizer):
    x, y, A = problem("mask")
    result = method(y, A, flow, 1e-2, optimizer=optimizer, steps=30, truth=x)
    curve = result.history["objective"]
    assert (curve[-1] < curve[0]).all()
    assert all(result.history[name].shape == curve.shape for name in ("data", "psnr", "latent"))
    equation = map_objective if method is map_estimate else analysis_objective
    torch.testing.assert_close(equation(result.x, y, A, flow, 1e-2), curve[-1], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(result.z, flow.encode(result.x), rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(result.history["latent"][-1], result.z.square().mean(1))
    torch.testing.assert_close(result.history["data"][-1], data_term(result.x, y, A))
    torch.testing.assert_close(result.history["psnr"][-1], psnr(result.x.clamp(0, 1), x))


def test_starts_are_those_of_the_source(flow):
    x, y, A = problem("down")
    centre = flow.decode(torch.zeros(3, flow.dim, dtype=torch.float64))
    for method in (synthesis, analysis, map_estimate):
        torch.testing.assert_close(method(y, A, flow, 0.1, steps=0).x, centre)
    torch.testing.assert_close(analysis(y, A, flow, 0.1, x0=x, steps=0).x, x)
    torch.testing.assert_close(synthesis(y, A, flow, 0.1, z0=flow.encode(x), steps=0).x, x)


def test_both_coordinates_reach_the_same_minimum_for_an_additive_flow():
    """Where no coupling net speaks, E is affine and the objective a convex quadratic: one minimizer for all."""
    flow = small_flow("additive", std=0.0)
    _, y, A = problem("blur")
    found = [method(y, A, flow, 0.05, optimizer="lbfgs", steps=400).x for method in (synthesis, analysis, map_estimate)]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-4)
    torch.testing.assert_close(found[1], found[2], rtol=0, atol=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("method", [synthesis, analysis, map_estimate, recommended])
def test_images_of_a_batch_do_not_influence_one_another(flow, method, optimizer):
    _, y, A = problem("blur")
    options = {} if method is recommended else {"optimizer": optimizer}
    together = method(y, A, flow, 0.1, steps=15, **options).x
    alone = method(y[1:2], A, flow, 0.1, steps=15, **options).x
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-8)


def test_lam_for_each_image(flow):
    _, y, A = problem("mask")
    lam = torch.tensor([1e-3, 1e-1, 1.0], dtype=torch.float64)
    result = analysis(y, A, flow, lam, optimizer="lbfgs", steps=20)
    alone = analysis(y[2:], A, flow, 1.0, optimizer="lbfgs", steps=20)
    torch.testing.assert_close(result.x[2:], alone.x, rtol=0, atol=1e-8)


def test_a_large_lam_gives_the_centre(flow):
    _, y, A = problem("identity")
    result = synthesis(y, A, flow, 1e6, z0=torch.ones(3, flow.dim, dtype=torch.float64), optimizer="lbfgs", steps=50)
    assert result.z.norm() < 1e-3


def test_map_goes_on_from_a_warm_start(flow):
    x, y, A = problem("mask", sigma=0.001)
    start = warm_start(y, A, 1e-3)
    assert start.shape == x.shape and (start - x).norm() < (y - x).norm()
    result = map_estimate(y, A, flow, 1e-6, x0=start, steps=20)
    torch.testing.assert_close(result.history["objective"][0], map_objective(start, y, A, flow, 1e-6))
    assert (result.history["objective"][-1] < result.history["objective"][0]).all()


@pytest.mark.parametrize("sigma", [0.0, 0.02])
def test_a_warm_start_is_total_variation_with_a_tenth_of_sigma(sigma):
    """But σ counts as half a grey level, 1/510, at least."""
    _, y, A = problem("mask")
    expected = primal_dual(y, A, TV(), max(sigma, 1 / 510) / 10, steps=300).x
    torch.testing.assert_close(warm_start(y, A, sigma), expected, rtol=0, atol=1e-9)
    assert torch.equal(warm_start(y, A), warm_start(y, A, 0.01))
    assert bayesian(sigma) == pytest.approx(max(sigma, 1 / 510) ** 2 / 2)


@pytest.mark.parametrize("travel", [None, 4])
def test_recommended_is_synthesis_then_map(flow, travel):
    x, y, A = problem("down")
    lam = bayesian(0.02)
    first = synthesis(y, A, flow, lam, optimizer="lbfgs", steps=travel or 10)
    then = map_estimate(y, A, flow, lam, first.x, steps=10)
    result = recommended(y, A, flow, 0.02, steps=10, travel=travel, truth=x)
    torch.testing.assert_close(result.x, then.x)
    assert torch.equal(result.evaluations, first.evaluations + then.evaluations)
    rows = len(first.history["objective"]) + len(then.history["objective"])
    assert {len(curve) for curve in result.history.values()} == {rows} and len(result.history) == 4
    torch.testing.assert_close(
        result.history["objective"], torch.cat([first.history["objective"], then.history["objective"]])
    )
    blind = recommended(y, A, flow, 0.02, steps=10, travel=travel)
    assert blind.history.keys() == {"objective"} and len(blind.history["objective"]) == rows


def test_splitting_is_a_map_denoiser_and_a_data_step_by_turns(flow):
    x, y, A = problem("mask")
    start = warm_start(y, A, 0.02)
    result = splitting(y, A, flow, 1e-3, start, sigma=0.05, start=0.05, steps=1, inner=15, truth=x)
    half = map_estimate(start, Identity(), flow, 0.05**2 / 2, start, steps=15)
    torch.testing.assert_close(result.x, A.prox(half.x, y, 2e-3 / 0.05**2))
    torch.testing.assert_close(result.history["objective"][-1], map_objective(result.x, y, A, flow, 1e-3))
    torch.testing.assert_close(result.z, flow.encode(result.x))
    assert torch.equal(result.evaluations, half.evaluations) and result.history["psnr"].shape == (2, 3)


def test_the_second_turn_of_splitting_goes_on_from_the_first(flow):
    """s falls from `start` to `sigma`; L-BFGS starts from the image of its last turn, the prior pulls to that of y."""
    x, y, A = problem("mask")
    first = map_estimate(y, Identity(), flow, 0.2**2 / 2, y, steps=4)
    v = A.prox(first.x, y, 2e-3 / 0.2**2)
    second = map_estimate(v, Identity(), flow, 0.05**2 / 2, first.x, steps=4)
    result = splitting(y, A, flow, 1e-3, y, sigma=0.05, start=0.2, steps=2, inner=4, truth=x)
    torch.testing.assert_close(result.x, A.prox(second.x, y, 2e-3 / 0.05**2), rtol=0, atol=1e-9)
    assert torch.equal(result.evaluations, first.evaluations + second.evaluations)
    rows = {"objective": lambda v: map_objective(v, y, A, flow, 1e-3), "data": lambda v: data_term(v, y, A)}
    rows |= {"psnr": lambda v: psnr(v.clamp(0, 1), x), "latent": lambda v: flow.encode(v).square().mean(1)}
    assert result.history.keys() == rows.keys()
    for name, value in rows.items():
        expected = torch.stack([value(image) for image in (y, v, result.x)])
        torch.testing.assert_close(result.history[name], expected, rtol=1e-9, atol=1e-12)


def test_one_turn_of_splitting_has_the_noise_of_the_data(flow):
    """The schedule ends at σ, however short it is."""
    _, y, A = problem("mask")
    found = [splitting(y, A, flow, 1e-3, y, sigma=0.05, start=start, steps=1, inner=4).x for start in (0.05, 0.2, 1.0)]
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])


def test_a_geometric_schedule_ends_at_its_end():
    assert geometric(0.2, 0.05, 3) == pytest.approx([0.2, 0.1, 0.05]) and geometric(0.2, 0.05, 3)[2] == 0.05
    assert geometric(0.2, 0.05, 1) == [0.05] and geometric(0.1, 0.1, 2) == pytest.approx([0.1, 0.1])


VAE_8 = VAE(size=8, dim=4, widths=(4, 4), blocks=(0, 0)).double().freeze()


@pytest.mark.parametrize(
    "call",
    [
        lambda y, A: map_estimate(y, A, VAE_8, 0.01),
        lambda y, A: splitting(y, A, VAE_8, 0.01),
        lambda y, A: recommended(y, A, VAE_8, 0.01),
        lambda y, A: map_objective(y, y, A, VAE_8, 0.01),
        lambda y, A: patch_map(y, A, VAE_8, 0.01),
        lambda y, A: patch_penalty(y, VAE_8),
    ],
)
def test_what_needs_a_determinant_says_what_a_vae_has_instead(call):
    _, y, A = problem("mask")
    with pytest.raises(ValueError, match=r"^(model|flow): expected a flow.*joint_map and vae_analysis, got VAE"):
        call(y, A)


def test_analysis_with_a_vae_works_by_its_mean():
    _, y, A = problem("mask")
    mean, _ = VAE_8.encode_distribution(y)
    expected = data_term(y, y, A) + 0.1 * mean.square().sum(1)
    torch.testing.assert_close(analysis_objective(y, y, A, VAE_8, 0.1), expected)
    found = analysis(y, A, VAE_8, 0.1, steps=5)
    assert torch.equal(found.z, VAE_8.encode(found.x)) and (found.history["objective"].diff(dim=0) < 0).all()


@pytest.mark.parametrize("name", OPERATORS)
def test_images_up_to_255_are_warned_of(flow, name):
    """With y and σ of images in [0, 255] nothing fails, and a PSNR is −28 dB."""
    _, y, A = problem(name)
    calls = [
        lambda y: synthesis(y, A, flow, 0.1, steps=1),
        lambda y: map_estimate(y, A, flow, 0.1, steps=1),
        lambda y: recommended(y, A, flow, 0.1, steps=1),
        lambda y: sample_posterior(y, A, flow, 25.5, chains=2, steps=4, burn=0, thin=1),
        lambda y: plug_and_play.hqs(y, A, lambda x, s: x, 25.5, steps=1),
    ]
    for call in calls:
        with pytest.warns(UserWarning, match=r"^y: expected data of images in \[0, 1\].*divide y and σ by 255"):
            call(255 * y)
        # One image of the batch is enough.
        with pytest.warns(UserWarning, match=r"^y: "):
            call(torch.cat([y[:1], 255 * y[1:]]))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            call(y)


@pytest.mark.parametrize("name", ["blur", "down"])
def test_splitting_nears_the_minimum_of_the_map(name):
    """Where E is affine the MAP is a convex quadratic, of which L-BFGS knows the minimum."""
    flow = small_flow("additive", std=0.0)
    _, y, A = problem(name)
    best = map_estimate(y, A, flow, 0.02, steps=400).history["objective"][-1]
    begin = map_objective(warm_start(y, A, 0.02), y, A, flow, 0.02)
    last = splitting(y, A, flow, 0.02, sigma=0.02, start=1.0, steps=60, inner=20).history["objective"][-1]
    assert (last >= best - 1e-9).all() and (last - best < 0.02 * (begin - best)).all()


def test_splitting_treats_each_image_alone(flow):
    _, y, A = problem("blur")
    lam = torch.tensor([1e-3, 1e-2, 0.0], dtype=torch.float64)
    together = splitting(y, A, flow, lam, steps=3, inner=5).x
    alone = splitting(y[1:2], A, flow, 1e-2, steps=3, inner=5).x
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-8)


DEFAULTS = {
    "synthesis": dict(z0=None, optimizer="adam", steps=200, lr=0.1, truth=None),
    "analysis": dict(x0=None, optimizer="adam", steps=200, lr=0.03, truth=None),
    "map_estimate": dict(x0=None, optimizer="lbfgs", steps=50, lr=0.01, truth=None),
    "splitting": dict(x0=None, sigma=0.01, start=0.1, steps=10, inner=10, truth=None),
    "recommended": dict(lam=None, z0=None, steps=75, truth=None),
    "joint_map": dict(z0=None, start=None, method="alternate", steps=20, inner=10, truth=None),
    "vae_analysis": dict(x0=None, penalty="joint", optimizer="lbfgs", steps=100, lr=0.01, seed=0, truth=None),
    "patch_map": dict(x0=None, stride=None, rounds=4, steps=25, sigma=0.01, seed=0, truth=None),
    "sample_posterior": dict(
        z0=None, reference=None, eta=None, method="mala", leaps=5, chains=4, steps=1000, burn=500, thin=10, seeds=0
    ),
}
"""The defaults with which the figures and the stored outputs of the notebooks were made: others ask for new ones."""


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_method_is_silent_and_has_the_defaults_of_the_figures(name):
    parameters = inspect.signature(getattr(reconstruction, name)).parameters
    defaults = {key: p.default for key, p in parameters.items() if p.default is not p.empty}
    assert defaults.items() >= (DEFAULTS[name] | {"disable": True}).items()
