"""The loss of each model. It may draw from torch's global random state, which the loop sets for each step."""

import torch
import torch.nn.functional as F

from course_lib.models.regression import upscale

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


LOSSES = {
    "glow": lambda model, x: model.bits_per_dim(x).mean(),
    "dncnn": denoising_loss,
    "srcnn": super_resolution_loss,
    "vdsr": super_resolution_loss,
}
"""The mean loss of a batch of images [B, C, H, W] for each model of `weights.MODELS`."""

SCORES = {"glow": "bits_per_dim", "dncnn": "rmse", "srcnn": "rmse", "vdsr": "rmse"}
"""What the loss of a model is called in the recipe beside its weights; "loss" for any other."""
