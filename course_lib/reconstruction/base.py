"""What the methods share: the objectives, the checks of a problem, a descent that records its curves, cheap starts."""

import warnings

import numpy as np
import torch

from course_lib.common import check, check_batch, check_calls, check_like, check_number, check_operator, one_per_image
from course_lib.metrics import psnr
from course_lib.regularizers import TV
from course_lib.solvers import adam, lbfgs, primal_dual
from course_lib.solvers.base import Result, norm

OPTIMIZERS = {"adam": adam, "lbfgs": lbfgs}

HALF_GREY = 0.5 / 255
"""The least σ that counts: half a grey level."""


def data_term(x, y, A):
    """½‖A x − y‖² of each image, [B]; ValueError unless A x has the shape of y."""
    Ax = A(x)
    check(Ax.shape == y.shape, "y", f"the shape of A(x), {list(Ax.shape)}", y.shape)
    return 0.5 * (Ax - y).flatten(1).square().sum(1)


def synthesis_objective(z, y, A, model, lam):
    """½‖A D(z) − y‖² + λ‖z‖² (3), [B]."""
    return data_term(model.decode(z), y, A) + lam * z.square().sum(1)


def analysis_objective(x, y, A, model, lam):
    """½‖A x − y‖² + λ‖E(x)‖² (4), [B]; E(x) is the mean for a model that encodes to a mean and a variance."""
    return data_term(x, y, A) + lam * model.encode(x).square().sum(1)


def map_objective(x, y, A, model, lam):
    """½‖A x − y‖² + λ(‖E(x)‖² − 2 log|det J_E(x)|), [B], for a flow; ValueError for a model that is none."""
    check_flow("model", model)
    z, logdet = model.encode_with_logdet(x)
    return data_term(x, y, A) + lam * (z.square().sum(1) - 2 * logdet)


def check_flow(name, model):
    """Raise ValueError unless the model knows the log-determinant of its encoder, and say what else there is."""
    expected = "a flow, with encode_with_logdet(x); for a VAE there are joint_map and vae_analysis"
    check(hasattr(model, "encode_with_logdet"), name, expected, type(model).__name__)


def check_problem(y, A, model, lam, x0, truth, name="lam", start="x0"):
    """λ (or σ, by its `name`) as a tensor [B]. The one check of a problem: ValueError for a NaN in y, a λ < 0, or what
    does not fit y. `start` is what the caller calls x0; one that begins with z is a latent."""
    check_operator("A", A)
    check_calls("model", model, "decode", "parameters")
    check_batch("y", y, 4)
    check_like("y", y, next(model.parameters()))
    images = A.T(y)
    if x0 is not None:
        shape = (len(y), model.dim) if start[0] == "z" else images.shape
        check_batch(start, x0)
        check(x0.shape == shape, start, f"shape {list(shape)}", x0.shape)
        check_like(start, x0, y, "y")
    check_truth(truth, images)
    warn_of_range(y, A)
    return one_per_image(name, lam, y)


def check_truth(truth, x):
    """Raise ValueError unless truth is None, or images of the shape and on the device of x."""
    if truth is not None:
        check_batch("truth", truth)
        check(truth.shape == x.shape, "truth", f"images {list(x.shape)}", truth.shape)
        check(truth.device == x.device, "truth", f"a tensor on {x.device}, where y is", truth.device)


@torch.no_grad()
def warn_of_range(y, A):
    """Warn of data that no image in [0, 1] explains, ‖y‖ > 10 ‖A 1‖ with the white image 1: as of images to 255."""
    white = norm(A(torch.ones_like(A.T(y))))
    times = (norm(y) / white.clamp_min(torch.finfo(y.dtype).tiny))[white > 0]
    if bool((times > 10).any()):
        expected = "y: expected data of images in [0, 1], for which the priors are made"
        advice = "for images from 0 to 255, divide y and σ by 255, λ by 255²"
        got = f"got {times.max().item():.0f} times the norm of a white image's"
        warnings.warn(f"{expected}, {got}; {advice}", stacklevel=4)


def origin(y, model):
    """z = 0 for each image of y, [B, D]."""
    return torch.zeros(len(y), model.dim, dtype=y.dtype, device=y.device)


@torch.no_grad()
def centre(y, model):
    """D(0) for each image of y, [B, C, H, W]."""
    return model.decode(origin(y, model))


def quality(x, y, A, truth=None, z=None):
    """The curves beside the objective, a row of them: data term, PSNR if the truth is known, ‖z‖²/D if z is given."""
    row = {"data": data_term(x, y, A)}
    if truth is not None:
        row["psnr"] = psnr(x.clamp(0, 1), truth)
    if z is not None:
        row["latent"] = z.square().mean(1)
    return row


def minimize(objective, start, image_of, y, A, truth, optimizer, lr, **options):
    """The Result of one of `OPTIMIZERS`, where u ↦ image_of(u) = (x, z) gives the image and its latent. With the truth
    it records their `quality`, at the cost of a `decode` or `encode` a step."""
    check(optimizer in OPTIMIZERS, "optimizer", f"one of {sorted(OPTIMIZERS)}", repr(optimizer))

    def record(k, u):
        x, z = image_of(u)
        return quality(x, y, A, truth, z)

    options |= {"lr": lr} if optimizer == "adam" else {}
    callback = None if truth is None else record
    run = OPTIMIZERS[optimizer](objective, start, callback=callback, **options)
    with torch.no_grad():
        x, z = image_of(run.x)
    return Result(x, run.history, run.evaluations, run.iterations, run.converged, z)


def descend_in_x(equation, y, A, model, lam, x0, truth, **options):
    """Minimize an `equation` (x, y, A, model, λ), as `analysis_objective`, over the image, from x0 or D(0)."""
    check_calls("model", model, "encode")
    lam = check_problem(y, A, model, lam, x0, truth)
    x0 = centre(y, model) if x0 is None else x0

    def objective(x):
        return equation(x, y, A, model, lam)

    def image_of(x):
        return x, model.encode(x)

    return minimize(objective, x0, image_of, y, A, truth, **options)


def geometric(start, end, steps):
    """[start, …, end]: so many values, each the same multiple of the one before. One value is the end."""
    return [*np.geomspace(start, end, steps)[:-1].tolist(), end]


def bayesian(sigma):
    """λ = σ²/2, which makes `map_objective` the negative log-posterior; σ counts as half a grey level at least."""
    check_number("sigma", sigma)
    return max(sigma, HALF_GREY) ** 2 / 2


def warm_start(y, A, sigma=0.01):
    """A cheap start: x0 = argmin_x ½‖A x − y‖² + λ TV(x), λ = σ/10, where σ counts as half a grey level at least."""
    check_number("sigma", sigma)
    return primal_dual(y, A, TV(), 0.1 * max(sigma, HALF_GREY), steps=300).x
