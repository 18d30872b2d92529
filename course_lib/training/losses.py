"""The loss of each model. It may draw from torch's global random state, which the loop sets for each step."""

import torch
import torch.nn.functional as F

from course_lib.models.regression import upscale
from course_lib.operators import SubsampledTransform

FLOOR = 1e-6
"""Added to a mean square error, (0.26 grey levels)², so that easy images don't lead the training."""

GREY = 0.25
"""The fraction of the images that a denoiser sees in grey, with the same noise in all channels."""


def rmse(x, truth):
    """√(MSE + `FLOOR`), the mean over the images of a batch: images count about alike, whatever their noise level."""
    return ((x - truth).square().mean((1, 2, 3)) + FLOOR).sqrt().mean()


def denoising_loss(model, x):
    """`rmse` of f(x + σ ε, σ), with σ uniform on the range of the model, one an image, and ε ~ N(0, I)."""
    low, high = model.config["sigmas"]
    sigma = low + (high - low) * torch.rand(len(x), device=x.device)
    noise = torch.randn_like(x)
    grey = (torch.rand(len(x), device=x.device) < GREY)[:, None, None, None]
    x = torch.where(grey, x.mean(1, keepdim=True), x)
    noise = torch.where(grey, noise[:, :1], noise)
    return rmse(model(x + sigma[:, None, None, None] * noise, sigma), x)


def super_resolution_loss(model, x):
    """`rmse` of f(upscale(A x, k)), with A the means of k×k blocks and k one of the factors of the model."""
    factors = model.config["factors"]
    factor = factors[int(torch.randint(len(factors), ()))]
    x = x[:, :, : x.shape[2] // factor * factor, : x.shape[3] // factor * factor]
    return rmse(model(upscale(F.avg_pool2d(x, factor), factor)), x)


def sensing_loss(model, x):
    """`rmse` of f(A x + σ ε, A), with `fraction` and `sigma` of the model, on one random channel of each image."""
    size, fraction, sigma = x.shape[2:], model.config["fraction"], model.config["sigma"]
    A = SubsampledTransform(size, fraction).to(x.device)
    x = x[torch.arange(len(x)), torch.randint(x.shape[1], (len(x),))][:, None]
    y = A(x)
    return rmse(model(y + sigma * torch.randn_like(y), A), x)


def sparse_coding_loss(model, z):
    """The error ‖z_k − z‖² / ‖z‖² of the codes z [B, 1, 1, n] of a batch in dB, the mean over the layers k = 1, …, K.

    In dB each layer counts alike, the first ones with their large errors and the last ones with their small ones.
    """
    y = z @ model.A.mT
    codes = model.iterates(y + model.config["sigma"] * torch.randn_like(y))[1:]
    errors = torch.stack([(code - z).square().sum() for code in codes])
    return 10 * (errors / z.square().sum()).log10().mean()


LOSSES = {
    "glow": lambda model, x: model.bits_per_dim(x).mean(),
    "flow_in_time": lambda model, x: model.loss(x).mean(),
    "dncnn": denoising_loss,
    "srcnn": super_resolution_loss,
    "vdsr": super_resolution_loss,
    "lista": sparse_coding_loss,
    "admm_net": sensing_loss,
    "vae": lambda model, x: model.loss(x).mean(),
}
"""The mean loss of a batch of images [B, C, H, W] for each model of `weights.MODELS`."""

SCORES = {
    "glow": "bits_per_dim",
    "flow_in_time": "velocity_error",
    "dncnn": "rmse",
    "srcnn": "rmse",
    "vdsr": "rmse",
    "admm_net": "rmse",
    "lista": "mean_layer_error_db",
    "vae": "bits_per_dim_bound",
}
"""What the loss of a model is called in the recipe beside its weights; "loss" for any other."""
