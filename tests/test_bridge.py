"""The bridge to deepinv: equal values in both directions, and their algorithms at the course's own answers."""

import re
from pathlib import Path

import pytest
import torch

deepinv = pytest.importorskip("deepinv", reason='deepinv is not installed (python -m pip install -e ".[deepinv]")')

from course_lib import bridge, data, operators, reconstruction, regularizers, solvers  # noqa: E402
from course_lib.models import denoiser, flow_in_time, glow, vae  # noqa: E402
from course_lib.reconstruction import plug_and_play  # noqa: E402

SHAPE = 3, 9, 14
KERNEL = torch.rand(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
KERNEL /= KERNEL.sum()
MASK = operators.random_mask(9, 14)

OURS = {
    "identity": operators.Identity(),
    "mask": operators.Mask(MASK),
    "blur, circular": operators.Blur(KERNEL),
    "blur, zero": operators.Blur(KERNEL, "zero"),
    "camera": operators.Subsample(2) @ operators.Blur(KERNEL) @ operators.Blur(KERNEL),
    "downsample": operators.Downsample(3) @ operators.Shift(1, 2),
    "radon": operators.Radon(9, [0.0, 20.0, 70.0]),
    "spectral": operators.SpectralResponse(torch.rand(2, 3, dtype=torch.float64)),
    "stack": operators.Stack(operators.Identity(), operators.Downsample(1)),
}
"""Operators of the course, most of which take images 3×9×14."""

SHAPES = {"camera": (3, 8, 14), "downsample": (3, 9, 15), "radon": (3, 9, 9)}


def double(make, **options):
    """A physics of deepinv in float64."""
    return make(**options).double()


P, FILTER = deepinv.physics, KERNEL[None, None]
BOX = torch.full((1, 1, 3, 3), 1 / 9)
PAIRS = {
    "mask": (double(P.Inpainting, img_size=SHAPE, mask=MASK.double().expand(3, -1, -1)), operators.Mask(MASK), 1e-12),
    # deepinv keeps the transform of the kernel in complex64, whatever the dtype.
    "blur, circular, by FFT": (double(P.BlurFFT, img_size=SHAPE, filter=FILTER), operators.Blur(KERNEL), 1e-6),
    "blur, circular": (double(P.Blur, filter=FILTER, padding="circular"), operators.Blur(KERNEL), 1e-12),
    "blur, zero": (double(P.Blur, filter=FILTER, padding="constant"), operators.Blur(KERNEL, "zero"), 1e-12),
    "downsample": (
        double(P.Downsampling, img_size=(3, 9, 15), filter=BOX, factor=3, padding="valid"),
        operators.Downsample(3),
        1e-7,  # their box, in float32 before the cast
    ),
}
"""(physics of deepinv, the same operator of the course, how much they may differ)."""

ALONE = {
    "blur, valid": (double(P.Blur, filter=FILTER, padding="valid"), SHAPE),
    "MRI": (double(P.MRI, mask=MASK[0].double(), img_size=(2, 9, 14)), (2, 9, 14)),
    "tomography": (
        P.Tomography(angles=4, img_width=8, circle=False, normalize=False),
        (1, 8, 8),
    ),
    "compressed sensing": (P.CompressedSensing(m=40, img_size=SHAPE, dtype=torch.float64), SHAPE),
}
"""Physics of deepinv that the course has no twin of, with the shape of their images."""


def images(shape=SHAPE, seed=0, count=2):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def small_flow(scale="sigmoid", spread=0.1, size=8, widths=(4, 4), linear=False):
    """A flow with random weights of this spread, in float64; in all layers but the couplings where it is `linear`. With
    spread 0 the `additive` one is orthogonal.
    """
    flow = glow.Glow(size=size, steps=2, widths=widths, scale=scale).double()
    with torch.no_grad():
        for name, parameter in flow.named_parameters():
            if not (linear and ".net." in name):
                parameter.add_(spread * torch.randn_like(parameter))
    return flow.freeze()


def relative(a, b):
    assert a.shape == b.shape and a.dtype == b.dtype
    return ((a - b).norm() / b.norm()).item()


def not_optimal(x, v, y, A, rho):
    """‖Aᵀ(A x − y) + ρ(x − v)‖ / ‖Aᵀ(A v − y)‖: 0 where x is the prox of the data term."""
    return ((A.T(A(x) - y) + rho * (x - v)).norm() / A.T(A(v) - y).norm()).item()


@pytest.mark.parametrize("name", OURS)
def test_an_operator_is_the_same_as_a_physics(name):
    A, x = OURS[name], images(SHAPES.get(name, SHAPE))
    physics, y = bridge.CoursePhysics(A), torch.randn_like(A(x))
    assert torch.equal(physics.A(x), A(x)) and torch.equal(physics(x), A(x))
    assert torch.equal(physics.A_adjoint(y), A.T(y))
    assert physics.adjointness_test(x) < 1e-12
    assert physics.compute_sqnorm(x[0]).item() == A.norm(x.shape[1:]) ** 2
    found = physics.prox_l2(x, y, gamma=2.0)
    assert not_optimal(found, x, y, A, 0.5) < 1e-6
    # Conjugate gradients of deepinv on the same operator, which end there: how it is solved differs, not what.
    theirs = P.LinearPhysics.prox_l2(physics, x, y, 2.0, solver="CG", max_iter=300, tol=1e-10)
    assert relative(found, theirs) < 1e-5
    gammas = torch.tensor([2.0, 3.0], dtype=x.dtype)[:, None, None, None]
    assert relative(physics.prox_l2(x, y, gammas)[:1], found[:1]) < 1e-12, "an image alone as in a batch"
    assert relative(physics.prox_l2(None, y, 2.0), physics.prox_l2(torch.zeros_like(x), y, 2.0)) == 0


@pytest.mark.parametrize("name", PAIRS)
def test_a_physics_is_the_same_as_its_twin_of_the_course(name):
    physics, twin, tolerance = PAIRS[name]
    x = images((3, 9, 15) if name == "downsample" else SHAPE)
    A = bridge.DeepinvOperator(physics)
    y = torch.randn_like(twin(x))
    assert relative(A(x), twin(x)) < tolerance and relative(A.T(y), twin.T(y)) < tolerance
    assert A.norm(x.shape) == pytest.approx(twin.norm(x.shape), rel=1e-5)
    rho = torch.tensor([0.5, 2.0], dtype=x.dtype)
    assert relative(A.prox(x, y, rho), twin.prox(x, y, rho)) < max(10 * tolerance, 1e-6)
    found = solvers.primal_dual(y, A, regularizers.TV(), 0.1, steps=20).x
    expected = solvers.primal_dual(y, twin, regularizers.TV(), 0.1, steps=20).x
    assert relative(found, expected) < max(100 * tolerance, 1e-6), "the steps follow ‖A‖, which only the twin knows"


@pytest.mark.parametrize("name", [*PAIRS, *ALONE])
def test_a_physics_obeys_the_laws_of_operators(name):
    physics, shape = ALONE[name] if name in ALONE else (PAIRS[name][0], (3, 9, 15) if name == "downsample" else SHAPE)
    A, x = bridge.DeepinvOperator(physics, vectors=name == "compressed sensing"), images(shape)
    if name == "tomography":  # whose angles stay in float32
        x = x.float()
    y, exact = torch.randn_like(A(x)), x.dtype == torch.float64
    assert y.dim() == 4
    gap = ((A(x) * y).sum() - (x * A.T(y)).sum()).abs()
    assert gap < (1e-10 if exact else 1e-5) * A(x).norm() * y.norm()
    assert relative(A(x)[:1], A(x[:1])) < (1e-14 if exact else 1e-6)
    for rho in (0.3, torch.tensor([0.3, 4.0], dtype=x.dtype)):
        column = rho if isinstance(rho, float) else rho[:, None, None, None]
        assert not_optimal(A.prox(x, y, rho), x, y, A, column) < (1e-6 if exact else 1e-5)
    assert A.norm(shape) >= (A(x).norm() / x.norm()).item()


def test_a_physics_there_and_back_is_the_operator():
    A, x = operators.Blur(KERNEL), images()
    back = bridge.DeepinvOperator(bridge.CoursePhysics(A))
    assert torch.equal((2 * back @ back)(x), (2 * A @ A)(x))


@pytest.mark.parametrize("name", ["mask", "blur, zero"])
def test_the_noise_is_that_of_the_course(name):
    x = images(count=1).float()
    noise = P.GaussianNoise(0.1, rng=torch.Generator().manual_seed(7))
    y = bridge.CoursePhysics(OURS[name], noise)(x)
    assert relative(y, data.observe(x, OURS[name], 0.1, [7])) < 1e-6
    assert name != "mask" or torch.equal(y[:, :, ~MASK[0]], torch.zeros_like(y[:, :, ~MASK[0]]))


def problem(shape=(3, 8, 8), count=2):
    A, x = operators.Blur(KERNEL), images(shape, count=count)
    return A(x) + 0.1 * torch.randn_like(x), A, x


@pytest.mark.parametrize("scale", ["sigmoid", "volume_preserving"])
def test_the_flow_prior_is_the_posterior_of_the_course(scale):
    sigma, flow, (y, A, x) = 0.3, small_flow(scale), problem()
    fit, prior, physics = deepinv.optim.L2(sigma=sigma), bridge.FlowPrior(flow), bridge.CoursePhysics(A)
    _, slope = solvers.base.evaluate(lambda u: reconstruction.map_objective(u, y, A, flow, sigma**2 / 2), x)
    assert relative(fit.grad(x, y, physics) + prior.grad(x), slope / sigma**2) < 1e-12
    u = x.flip(3)
    change = fit(u, y, physics) + prior(u) - fit(x, y, physics) - prior(x)
    ours = [reconstruction.map_objective(v, y, A, flow, sigma**2 / 2) for v in (u, x)]
    assert relative(change, (ours[0] - ours[1]) / sigma**2) < 1e-10, "up to a constant"


@pytest.mark.parametrize("model", [small_flow(), vae.VAE(8, dim=4, widths=[4, 4], blocks=[0, 0]).double().freeze()])
def test_the_encoder_prior_is_analysis(model):
    lam, (y, A, x) = 0.2, problem()
    fit, prior, physics = deepinv.optim.L2(), bridge.EncoderPrior(model), bridge.CoursePhysics(A)
    f, slope = solvers.base.evaluate(lambda u: reconstruction.analysis_objective(u, y, A, model, lam), x)
    assert relative(fit(x, y, physics) + lam * prior(x), f) < 1e-12
    assert relative(fit.grad(x, y, physics) + lam * prior.grad(x), slope) < 1e-12


def test_a_gradient_leaves_its_image_alone_and_can_be_differentiated():
    prior, x = bridge.FlowPrior(small_flow()), images((3, 8, 8))
    with torch.no_grad():
        assert not prior.grad(x).requires_grad
    assert not x.requires_grad
    x.requires_grad_()
    direction = torch.randn_like(x)
    (product,) = torch.autograd.grad((prior.grad(x) * direction).sum(), x)
    numeric = (prior.grad(x + 1e-5 * direction) - prior.grad(x - 1e-5 * direction)) / 2e-5
    assert relative(product, numeric.detach()) < 1e-5


def test_the_prox_of_a_flow_is_its_map_denoiser():
    flow, x, gammas = small_flow(), images((3, 8, 8)), torch.tensor([0.5, 2.0], dtype=torch.float64)
    found = bridge.FlowPrior(flow).prox(x, gamma=gammas[:, None, None, None], steps=20)
    ours = reconstruction.map_estimate(x, operators.Identity(), flow, gammas / 2, x, steps=20)
    assert relative(found, ours.x) < 1e-8
    one = bridge.FlowPrior(flow).prox(x[:1], gamma=0.5, steps=20)
    assert relative(one, found[:1]) < 1e-8 and relative(one, x[:1]) > 0.05


def curvatures(objective, x):
    """The eigenvalues of the Hessian of objective(x), [1], at one image x [1, C, H, W]."""
    hessian = torch.autograd.functional.hessian(lambda u: objective(u).sum(), x)
    return torch.linalg.eigvalsh(hessian.reshape(x.numel(), x.numel()))


def test_gradient_descent_of_deepinv_finds_the_map_of_the_course():
    """For a linear flow the objective F is quadratic: there is one minimum to find."""
    sigma, flow, (y, A, x0) = 0.5, small_flow(linear=True), problem(count=1)
    lam = sigma**2 / 2

    def objective(u):
        return reconstruction.map_objective(u, y, A, flow, lam)

    ours = reconstruction.map_estimate(y, A, flow, lam, x0, steps=300).x
    mu, *_, top = curvatures(objective, x0).tolist()
    options = {"data_fidelity": deepinv.optim.L2(sigma=sigma), "prior": bridge.FlowPrior(flow), "lambda_reg": 1.0}
    descent = deepinv.optim.GD(**options, stepsize=sigma**2 / top, max_iter=300)  # theirs is F/σ²
    theirs = descent(y, bridge.CoursePhysics(A), init=x0)
    # F(x) − min F <= ‖∇F(x)‖²/2μ: what stopping early leaves open.
    slopes = [solvers.base.evaluate(objective, u)[1].square().sum().item() for u in (ours, theirs)]
    assert mu > 0 and abs((objective(theirs) - objective(ours)).item()) <= max(slopes) / (2 * mu) + 1e-12
    assert max(slopes) / (2 * mu) < 1e-6 * objective(ours).item() and objective(ours) < 0.9 * objective(x0)


@pytest.mark.parametrize("name", ["PGD", "FISTA", "ADMM"])
def test_algorithms_of_deepinv_find_the_minimum_of_the_course(name):
    (y, A, _), phi, lam = problem(), regularizers.L1(), 0.05
    ours = solvers.fista(y, A, phi, lam, steps=2000, tolerance=1e-10)
    options = {"data_fidelity": deepinv.optim.L2(), "prior": bridge.RegularizerPrior(phi), "lambda_reg": lam}
    run = getattr(deepinv.optim, name)(**options, stepsize=1 / A.norm(y.shape) ** 2, max_iter=300)
    theirs = run(y, bridge.CoursePhysics(A))
    objective = solvers.base.data_fit(A(theirs), y) + lam * phi(theirs)
    # After k steps of proximal gradients from x₀ it is ‖A‖²‖x₀ − x̂‖²/2k above the minimum, at most.
    allowed = A.norm(y.shape) ** 2 * (A.T(y) - ours.x).square().flatten(1).sum(1) / (2 * 300)
    gap = objective - ours.history["objective"][-1]
    assert ours.converged.all() and (gap >= -1e-9).all() and (gap <= allowed).all()


def test_total_variation_of_deepinv_in_an_algorithm_of_the_course():
    (y, A, x), ours = problem(), regularizers.TV(coupled=False, tolerance=1e-5)
    theirs = bridge.DeepinvRegularizer(deepinv.optim.TVPrior(n_it_max=300))
    assert relative(theirs(x), ours(x)) < 1e-12
    tau = torch.tensor([0.05, 0.2], dtype=x.dtype)
    assert relative(theirs.prox(x, tau), ours.prox(x, tau)) < 1e-3
    found, expected = (solvers.fista(y, A, phi, 0.05, steps=5).x for phi in (theirs, ours))
    assert relative(found, expected) < 1e-3


def test_a_prior_of_deepinv_is_the_regularizer_of_the_course():
    theirs, ours, x = bridge.DeepinvRegularizer(deepinv.optim.L1Prior()), regularizers.L1(), images() - 0.5
    tau = torch.tensor([0.1, 0.3], dtype=x.dtype)
    assert relative(theirs(x), ours(x)) < 1e-14 and relative(theirs.prox(x, tau), ours.prox(x, tau)) < 1e-14
    assert relative(bridge.RegularizerPrior(ours).prox(x, gamma=tau[:, None, None, None]), ours.prox(x, tau)) == 0
    assert relative(bridge.RegularizerPrior(ours).grad(x), x.sign()) == 0


def denoisers():
    time = flow_in_time.FlowInTime(8, widths=[4, 4], depth=1).double().freeze()
    yield pytest.param(denoiser.DnCNN(width=4, depth=3).double().freeze(), id="DnCNN")
    yield pytest.param(plug_and_play.tweedie(small_flow()), id="tweedie")
    yield pytest.param(time.denoise, id="flow in time")
    yield pytest.param(plug_and_play.nlm, id="nlm")


@pytest.mark.parametrize("f", denoisers())
def test_a_denoiser_takes_every_form_of_sigma(f):
    theirs, x = bridge.CourseDenoiser(f), images((3, 8, 8))
    one, each = torch.tensor(0.1, dtype=x.dtype), torch.tensor([0.1, 0.2], dtype=x.dtype)
    for sigma in (0.1, one, one[None], one.reshape(1, 1, 1, 1)):
        assert relative(theirs(x, sigma), f(x, 0.1)) < 1e-12
    for sigma in (each, each.reshape(2, 1, 1, 1)):
        assert relative(theirs(x, sigma), f(x, each)) < 1e-12


def test_dpir_of_deepinv_is_half_quadratic_splitting_of_the_course():
    f, (y, A, _), sigma = plug_and_play.tweedie(small_flow()), problem(), 0.05
    theirs = deepinv.optim.DPIR(sigma=sigma, denoiser=bridge.CourseDenoiser(f))(y, bridge.CoursePhysics(A))
    ours = plug_and_play.hqs(y, A, f, sigma, A.T(y), start=49 / 255, steps=8)
    assert relative(theirs, ours.x) < 1e-5, "its strengths are float32"


def test_a_denoiser_of_deepinv_needs_no_bridge():
    (y, A, _), f = problem(SHAPE), deepinv.models.TVDenoiser(n_it_max=50)
    f.forward = lambda x, sigma, run=f.forward: run(x, ths=sigma**2)
    result = plug_and_play.proximal_gradient(y, A, f, 0.3, steps=5)
    assert result.x.isfinite().all()


@pytest.mark.parametrize("name", ["ULA", "SKRock"])
def test_samplers_of_deepinv_sample_the_posterior_of_a_flow(name):
    """A flow of orthogonal layers says x ~ N(½, I): given y = x + n with σ = 1, x has mean (½ + y)/2 and variance ½."""
    flow = small_flow("additive", spread=0, size=4, widths=(4,))
    y = 0.5 + 2 * torch.randn(2, 3, 4, 4, dtype=torch.float64)
    assert relative(flow.encode(y).square().sum(1), (y - 0.5).square().flatten(1).sum(1)) < 1e-6
    step, steps = {"ULA": (0.05, 1500), "SKRock": (0.5, 300)}[name]
    options = {"step_size": step, "alpha": 1.0, "sigma": 0.0} | (
        {"inner_iter": 5, "eta": 0.05} if name == "SKRock" else {}
    )
    sampler = deepinv.sampling.sampling_builder(
        name,
        data_fidelity=deepinv.optim.L2(sigma=1.0),
        prior=bridge.FlowPrior(flow),
        params_algo=options,
        max_iter=steps,
        burnin_ratio=0.1,
        thinning=1,
        history_size=False,
    )
    mean, variance = sampler.sample(y, bridge.CoursePhysics(operators.Identity()), x_init=y, seed=0)
    assert (mean - (0.5 + y) / 2).abs().mean() < 0.2 * 0.5**0.5
    assert variance.mean().item() == pytest.approx(0.5, rel=0.15)


@pytest.mark.parametrize(
    ("named", "call"),
    [
        ("A", lambda: bridge.CoursePhysics(lambda x: x)),
        ("noise_model", lambda: bridge.CoursePhysics(operators.Identity(), 0.1)),
        ("physics", lambda: bridge.DeepinvOperator(operators.Identity())),
        ("physics", lambda: bridge.DeepinvOperator(ALONE["compressed sensing"][0])(images())),
        ("x", lambda: bridge.DeepinvOperator(ALONE["blur, valid"][0])(images()[0])),
        ("y", lambda: bridge.DeepinvOperator(ALONE["blur, valid"][0]).T(images()[0])),
        ("phi", lambda: bridge.RegularizerPrior(lambda x: x)),
        ("flow", lambda: bridge.FlowPrior(vae.VAE(8, dim=4, widths=[4, 4], blocks=[0, 0]))),
        ("model", lambda: bridge.EncoderPrior(3)),
        ("prior", lambda: bridge.DeepinvRegularizer(regularizers.L1())),
        ("prior", lambda: bridge.DeepinvRegularizer(deepinv.optim.PnP(lambda x, s: x))(images())),
        ("denoiser", lambda: bridge.CourseDenoiser(3)),
    ],
)
def test_what_the_bridge_does_not_take(named, call):
    with pytest.raises(ValueError, match=f"^{named}: expected"):
        call()


def test_the_page_prints_what_it_says(capsys):
    page = (Path(__file__).parents[1] / "docs" / "deepinv.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```\n\n<!-- output -->\n```\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == page.count("```python") == 3
    names, number = {}, r"\d+\.\d"
    for code, said in blocks:
        exec(code, names)
        printed = capsys.readouterr().out
        assert re.sub(number, "#", printed) == re.sub(number, "#", said)
        # Other processors round otherwise, and a descent takes the difference along.
        assert [float(n) for n in re.findall(number, printed)] == pytest.approx(
            [float(n) for n in re.findall(number, said)], abs=0.15
        )
