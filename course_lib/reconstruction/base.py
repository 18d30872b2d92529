"""What the methods share: the objectives, the checks of a problem, a descent that records its curves, cheap starts."""

import torch

from course_lib.common import check, check_batch, check_calls, check_like, check_number, check_operator, one_per_image
from course_lib.metrics import psnr
from course_lib.regularizers import TV
from course_lib.solvers import adam, lbfgs, primal_dual


def data_term(x, y, A):
    """½‖A x − y‖² of each image, [B]; ValueError unless A x has the shape of y."""
    Ax = A(x)
    check(Ax.shape == y.shape, "y", f"the shape of A(x), {list(Ax.shape)}", y.shape)
    return 0.5 * (Ax - y).flatten(1).square().sum(1)


OPTIMIZERS = {"adam": adam, "lbfgs": lbfgs}


def synthesis_objective(z, y, A, model, lam):
    """½‖A D(z) − y‖² + λ‖z‖² (3), [B]."""
    return data_term(model.decode(z), y, A) + lam * z.square().sum(1)


def analysis_objective(x, y, A, model, lam):
    """½‖A x − y‖² + λ‖E(x)‖² (4), [B]; E(x) is the mean for a model that encodes to a mean and a variance."""
    return data_term(x, y, A) + lam * model.encode(x).square().sum(1)


def map_objective(x, y, A, model, lam):
    """½‖A x − y‖² + λ(‖E(x)‖² − 2 log|det J_E(x)|), [B], for a flow."""
    z, logdet = model.encode_with_logdet(x)
    return data_term(x, y, A) + lam * (z.square().sum(1) - 2 * logdet)


def check_problem(y, A, model, lam, x0, truth, name="lam", start="x0"):
    """λ (or σ, by its `name`) as a tensor [B]; ValueError for a NaN in y, a λ < 0, or images that don't fit. `start` is
    what the caller calls x0."""
    check(torch.is_tensor(y) and y.dim() == 4 and len(y) > 0, "y", "images [B, C, H, W], B > 0", getattr(y, "shape", y))
    check_operator("A", A)
    check_calls("model", model, "decode", "parameters")
    if y.device == next(model.parameters()).device:
        check_batch("y", y)
    check_like("y", y, next(model.parameters()))
    for argument, image in ((start, x0), ("truth", truth)):
        if image is not None:
            fits = torch.is_tensor(image) and len(image) == len(y)
            check(fits, argument, f"{len(y)} images, as y", getattr(image, "shape", image))
            check(image.device == y.device, argument, f"a tensor on {y.device}, where y is", image.device)
            check_batch(argument, image)
    if start[0] == "z" and x0 is not None:
        check(x0.shape == (len(y), model.dim), start, f"shape {[len(y), model.dim]}", x0.shape)
    if x0 is not None:
        check_like(start, x0, y, "y")
    return one_per_image(name, lam, y)


def check_truth(truth, x):
    """Raise ValueError unless truth is None or has the shape of the images x."""
    check(truth is None or truth.shape == x.shape, "truth", f"images {list(x.shape)}", getattr(truth, "shape", None))


def origin(y, model):
    """z = 0 for each image of y, [B, D]."""
    return torch.zeros(len(y), model.dim, dtype=y.dtype, device=y.device)


@torch.no_grad()
def centre(y, model):
    """D(0) for each image of y, [B, C, H, W]."""
    return model.decode(origin(y, model))


def minimize(objective, start, optimizer, steps, lr, image_of, problem, truth, disable):
    """Run one of `OPTIMIZERS` and record the curves of `Result`, which cost a `decode` a step in z."""
    check(optimizer in OPTIMIZERS, "optimizer", f"one of {sorted(OPTIMIZERS)}", repr(optimizer))
    (y, A), curves = problem, {"data": [], "psnr": [], "latent": []}
    if truth is not None:
        with torch.no_grad():
            check_truth(truth, image_of(start)[0])

    @torch.no_grad()
    def record(k, u):
        x, z = image_of(u)
        curves["data"].append(data_term(x, y, A))
        curves["psnr"].append(psnr(x.clamp(0, 1), truth))
        curves["latent"].append(z.square().mean(1))

    options = {"lr": lr} if optimizer == "adam" else {}
    callback = record if truth is not None else None
    result = OPTIMIZERS[optimizer](objective, start, steps, callback=callback, disable=disable, **options)
    curves = {name: torch.stack(rows) for name, rows in curves.items() if rows}
    return result, result.history | curves


def bayesian(sigma):
    """λ = σ²/2, which makes `map_objective` the negative log-posterior; σ counts as half a grey level at least."""
    check_number("sigma", sigma)
    return max(sigma, 0.5 / 255) ** 2 / 2


def warm_start(y, A, sigma=0.01):
    """A cheap start: x0 = argmin_x ½‖A x − y‖² + λ TV(x), λ = σ/10, where σ counts as half a grey level at least."""
    check_number("sigma", sigma)
    return primal_dual(y, A, TV(), 0.1 * max(sigma, 0.5 / 255), steps=300).x
