"""The methods of the score table (slide 25 and more): functions of (y, A, model, lam, sigma)."""

from dataclasses import dataclass

import torch
from skimage.restoration import inpaint_biharmonic

from course_lib.data import TASKS
from course_lib.models.regression import upscale
from course_lib.models.weights import describe, load_model
from course_lib.reconstruction import (
    analysis,
    bayesian,
    diffpir,
    dps,
    joint_map,
    laplace,
    map_estimate,
    pigdm,
    plug_and_play,
    pnp_flow,
    recommended,
    sample_posterior,
    synthesis,
    vae_analysis,
    warm_start,
)
from course_lib.reconstruction.plug_and_play import HALF_GREY
from course_lib.regularizers import TV
from course_lib.solvers import primal_dual

GRID = tuple(10 ** (k / 4) for k in range(-40, 9))
"""The λ that tuning chooses from: four a decade, from 1e-10 to 1e2, so wide that the best one lies inside."""

PNP_START, PNP_STEPS = 0.2, 16
"""The strength with which plug and play starts, and its number of steps."""

PNP_LAM = 0.23
"""The λ of plug and play where it is not tuned."""


@dataclass
class Method:
    """How a row of the table is computed.

    Args:
        run: (y, A, model, lam, sigma) → (image, objective [B] or None).
        start: λ where tuning starts, as a function of σ; None for a method without λ.
        tasks: tasks that it applies to.
        network: the weight file of the `model` that it is given; by default the experiment's flow.
    """

    run: callable
    start: callable = None
    tasks: tuple = TASKS
    network: str = ""


def minimizing(estimate, tuned_from=bayesian, network="", **options):
    """A `Method` of one of the functions of `reconstruction` that minimize an objective."""

    def run(y, A, model, lam, sigma):
        return image_and_objective(estimate(y, A, model, lam, **options))

    return Method(run, tuned_from, network=network)


def image_and_objective(result):
    """(x̂, the objective that it has reached, [B])."""
    return result.x, result.history["objective"][-1]


def descent(sigma):
    """Where tuning starts for descents that stop before they arrive: their best λ often exceeds σ²/2 by far."""
    return max(bayesian(sigma), 5e-4)


def of_decoder(sigma):
    """σ²/2 for the noise of the data and of the VAE's decoder together."""
    return 0.5 * (sigma**2 + load_model("vae").eta.item())


def run_tv(y, A, model, lam, sigma):
    return image_and_objective(primal_dual(y, A, TV(), lam, steps=1000))


def run_map(y, A, model, lam, sigma):
    return image_and_objective(map_estimate(y, A, model, lam, warm_start(y, A, sigma)))


def analysis_from_tv(steps):
    """What a `Method` runs: analysis from the total-variation image, by so many evaluations of L-BFGS."""

    def run(y, A, model, lam, sigma):
        return image_and_objective(analysis(y, A, model, lam, warm_start(y, A, sigma), optimizer="lbfgs", steps=steps))

    return run


def run_recommended(y, A, model, lam, sigma):
    return image_and_objective(recommended(y, A, model, sigma, lam))


def run_bicubic(y, A, model, lam, sigma):
    return upscale(y, A.factor), None


def run_biharmonic(y, A, model, lam, sigma):
    missing = (A.mask[0] == 0).cpu().numpy()
    filled = [inpaint_biharmonic(image.permute(1, 2, 0).cpu().numpy(), missing, channel_axis=2) for image in y]
    return torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in filled]).to(y), None


def run_regression(y, A, model, lam, sigma):
    return model(upscale(y, A.factor)), None


def run_plug_and_play(y, A, model, lam, sigma):
    result = plug_and_play.hqs(y, A, model, sigma, warm_start(y, A, sigma), start=PNP_START, lam=lam, steps=PNP_STEPS)
    return result.x, None


def run_posterior_mean(y, A, model, lam, sigma):
    mode = joint_map(y, A, model, bayesian(sigma), method="reduced", steps=1, inner=100).z
    sigma, eta = max(sigma, HALF_GREY), model.eta.item()
    reference = mode, laplace(mode, y, A, model, sigma, eta)
    options = {"eta": eta, "chains": 2, "burn": 100, "steps": 300, "thin": 3}
    return sample_posterior(y, A, model, sigma, reference=reference, **options).mean, None


def run_flow_denoiser(y, A, model, lam, sigma):
    low, high = (describe(name)["training"]["noise"] for name in ("glow_bounded", "glow_noisy"))
    flows = {low: load_model("glow_bounded", y.device), high: model}
    denoiser = plug_and_play.averaged(plug_and_play.tweedie_of(flows), 0.5)
    options = {"start": high, "end": max(sigma, low), "lam": lam, "steps": 40}
    return plug_and_play.hqs(y, A, denoiser, sigma, warm_start(y, A, sigma), **options).x, None


def run_time_hqs(y, A, model, lam, sigma):
    return run_plug_and_play(y, A, model.denoise, lam, sigma)


def run_time_analysis(y, A, model, lam, sigma):
    """Analysis from the image of `run_time_hqs`, by ten evaluations of L-BFGS, with ten velocities to an encoder."""
    x0, _ = run_time_hqs(y, A, model, PNP_LAM, sigma)
    return image_and_objective(analysis(y, A, model.discretize(5), lam, x0, optimizer="lbfgs", steps=10))


def guided_by(method, name=None, **options):
    """What a `Method` of a flow in time runs: one of `reconstruction.guided`, from the total-variation image, with λ as
    its option `name`, if it has one."""

    def run(y, A, model, lam, sigma):
        own = options if name is None else options | {name: lam}
        return method(y, A, model, sigma, warm_start(y, A, sigma), **own).x, None

    return run


METHODS = {
    "tv": Method(run_tv, lambda sigma: max(0.1 * sigma, 1e-4)),
    "bicubic": Method(run_bicubic, tasks=("sr2", "sr4")),
    "biharmonic": Method(run_biharmonic, tasks=("inpainting_random", "inpainting_square")),
    "srcnn": Method(run_regression, tasks=("sr2",), network="srcnn"),
    "vdsr": Method(run_regression, tasks=("sr2", "sr4"), network="vdsr"),
    "pnp": Method(run_plug_and_play, lambda sigma: PNP_LAM, network="dncnn"),
    "recommended": Method(run_recommended, bayesian),
    "analysis_from_tv": Method(analysis_from_tv(100), bayesian),  # the MAP, too: the main flow keeps volumes
    "synthesis_lbfgs": minimizing(synthesis, optimizer="lbfgs", steps=100),
    "analysis_lbfgs": minimizing(analysis, descent, optimizer="lbfgs", steps=100),
    "vae_synthesis": minimizing(synthesis, of_decoder, "vae", optimizer="lbfgs", steps=100),
    "vae_analysis": minimizing(vae_analysis, network="vae", steps=100),
    "joint_map": minimizing(joint_map, network="vae_jpmap", method="reduced", start=0.05, steps=5, inner=20),
    "posterior_mean": Method(run_posterior_mean, network="vae"),
    "flow_denoiser_pnp": Method(run_flow_denoiser, lambda sigma: 1.0, network="glow_noisy"),
    # The flow whose Jacobian depends on the image; the names of its rows end with its own.
    "recommended_bounded": Method(run_recommended, bayesian, network="glow_bounded"),
    "map_bounded": Method(run_map, bayesian, network="glow_bounded"),
    "analysis_from_tv_bounded": Method(analysis_from_tv(50), bayesian, network="glow_bounded"),
    "synthesis_lbfgs_bounded": minimizing(synthesis, network="glow_bounded", optimizer="lbfgs", steps=100),
    "analysis_lbfgs_bounded": minimizing(analysis, descent, "glow_bounded", optimizer="lbfgs", steps=100),
    "synthesis_bounded": minimizing(synthesis, descent, "glow_bounded"),
    "analysis_bounded": minimizing(analysis, descent, "glow_bounded"),
    # The flow in time, whose velocity is a denoiser, and whose encoder is an equation.
    "time_hqs": Method(run_time_hqs, lambda sigma: PNP_LAM, network="flow_in_time"),
    "time_analysis": Method(run_time_analysis, bayesian, network="flow_in_time"),
    "pigdm": Method(guided_by(pigdm, t0=0.7, steps=20), network="flow_in_time"),
    "diffpir": Method(guided_by(diffpir, "lam", zeta=1, t0=0.4, steps=20), lambda sigma: 1.0, network="flow_in_time"),
    "pnp_flow": Method(guided_by(pnp_flow, decay=0.3, t0=0.6, steps=40), network="flow_in_time"),
    "dps": Method(guided_by(dps, "zeta", t0=0.4, steps=30), lambda sigma: 2.0, network="flow_in_time"),
}
