"""What a run depends on: the recipe, one for each set of weights in the package, and the learning rate."""

import math
from dataclasses import dataclass, field
from numbers import Real

from course_lib.common import check, check_count, check_number
from course_lib.training.losses import LOSSES


@dataclass
class Recipe:
    """All that a run depends on but its data.

    Args:
        model, config: the name in `weights.MODELS`, and its arguments.
        steps, batch: how many steps, and images a step, of all processes together.
        lr, warmup: the largest learning rate, and the steps until it is reached (`learning_rate`).
        clip: largest norm of the gradient.
        ema: d of the average of the weights, θ̄ ← d θ̄ + (1 − d) θ.
        noise: σ of the Gaussian noise added to training images.
        share, finish: the fraction of a batch that the first folder gives, and the fraction of the steps, the last
            ones, in which it gives all.
        seed: of the model and of the batches.
        photographs: how many crops of scikit-image's photographs join the images of the folders.
        start: the weights of the package that the run starts from; by default random ones.
        name: its key in `RECIPES`, if it is there; a run goes on under no other.
    """

    model: str = "glow"
    config: dict = field(default_factory=dict)
    steps: int = 8000
    batch: int = 32
    lr: float = 1e-3
    warmup: int = 300
    clip: float = 50.0
    ema: float = 0.999
    noise: float = 0.01
    share: float = 0.65
    finish: float = 0.2
    seed: int = 0
    photographs: int = 0
    start: str = ""
    name: str = ""

    def __post_init__(self):
        check(self.model in LOSSES, "model", f"one of {list(LOSSES)}", repr(self.model))
        for name, low in (("steps", 1), ("batch", 1), ("warmup", 0), ("seed", 0), ("photographs", 0)):
            check_count(name, getattr(self, name), low)
        check(self.seed < 2**32, "seed", "an integer below 2³²", self.seed)
        for name in ("lr", "clip", "noise"):
            check_number(name, getattr(self, name))
        for name in ("ema", "share", "finish"):
            value = getattr(self, name)
            check(isinstance(value, Real) and 0 <= value <= 1, name, "a number from 0 to 1", value)


RESTORATION = {"noise": 0.0, "share": 0.35, "finish": 0.0, "photographs": 8000}
"""What the restoration networks have in common: clean images, a third of them faces and the rest photographs."""

SMALL = {"width": 48, "depth": 12, "noise_map": False}
"""The denoisers that are not told σ: for one σ, blind, and blind without biases."""

PATCHES = {"size": 16, "channels": 1, "steps": 6, "widths": [48, 64, 96]}
"""A flow for grey patches, a prior for images of any size."""

SPARSE = {"A": [100, 200], "layers": 16, "coupled": True, "select": 0.12}
"""A LISTA for half as many measurements as values, of which a tenth are not 0."""

RECIPES = {
    "glow_bounded": Recipe(),
    "glow": Recipe("glow", {"scale": "volume_preserving"}, steps=8000, start="glow_bounded"),
    "glow_additive": Recipe("glow", {"scale": "additive"}, steps=6000),
    "glow_noisy": Recipe("glow", steps=1000, lr=5e-4, warmup=100, noise=0.05, start="glow_bounded"),
    "patch_glow": Recipe("glow", PATCHES, steps=5000, batch=256, noise=0.02, finish=0.0, photographs=120_000),
    "flow_in_time": Recipe("flow_in_time", steps=10_000, batch=16, clip=2.0),
    "srcnn": Recipe("srcnn", {"factors": [2]}, steps=6000, batch=8, **RESTORATION),
    "vdsr": Recipe("vdsr", {"width": 32, "factors": [2, 3, 4]}, steps=5000, batch=8, **RESTORATION),
    "dncnn": Recipe(
        "dncnn", {"noise_map": True, "bias": True, "sigmas": [0.0, 0.2]}, steps=9000, batch=8, **RESTORATION
    ),
    "dncnn_fixed": Recipe("dncnn", SMALL | {"sigmas": [0.05, 0.05]}, steps=5000, batch=8, **RESTORATION),
    "dncnn_blind": Recipe("dncnn", SMALL | {"sigmas": [0.0, 0.1]}, steps=5000, batch=8, **RESTORATION),
    "dncnn_bias_free": Recipe(
        "dncnn", SMALL | {"bias": False, "sigmas": [0.0, 0.1]}, steps=5000, batch=8, **RESTORATION
    ),
    "lista": Recipe("lista", SPARSE, steps=6000, batch=128, warmup=100, noise=0.0),
    "admm_net": Recipe("admm_net", steps=1200, batch=4, lr=3e-3, warmup=100, noise=0.0, finish=0.0, photographs=4000),
    "vae": Recipe("vae", {"input_noise": 0.0}, steps=6000, lr=2e-3, clip=5.0),
    "vae_jpmap": Recipe("vae", {"input_noise": 0.05}, steps=6000, lr=2e-3, clip=5.0),
}
"""The recipe of each weight file, by its name: `python -m course_lib train NAME`."""
for name, recipe in RECIPES.items():
    recipe.name = name


def learning_rate(step, recipe):
    """Linear warm-up, then a cosine from `lr` to zero."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def step_seed(step, recipe):
    """The seed of a step's random numbers; the 1008 that follow it belong to the step too."""
    return (recipe.seed * 1_000_003 + step) * 1009
