"""One resumable training loop for every model of the course, and one recipe a model.

A step's batch and noise depend on (seed, step, rank) alone, so a run that is killed and resumed ends with the numbers of
an undisturbed one. A checkpoint is one safetensors file, written beside its place and renamed.
"""

import csv
import json
import math
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from course_lib.data import load_folder, to_float
from course_lib.models.glow import Glow, dequantize


@dataclass
class Recipe:
    """Everything that a run depends on but its data. `noise` is the σ of the Gaussian noise added to training images."""

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


MODELS = {"glow": Glow}


class Objective(nn.Module):
    """The loss of a batch of images in [0, 1] under a recipe: for a flow, bits per dimension of noisy images."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.bits_per_dim(x).mean()


def learning_rate(step, recipe):
    """Linear warm-up, then a cosine from `lr` to zero."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    progress = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def draw_batch(sets, step, recipe, rank=0, world=1):
    """Images [batch / world, C, H, W] in [0, 1] with flips and noise, a function of (seed, step, rank).

    The first set gives the fraction `share` of a batch and all of it in the last `finish` of the run; the other sets
    share the rest in proportion to their sizes.
    """
    generator = torch.Generator().manual_seed((recipe.seed * 1_000_003 + step) * 1009 + rank)
    count = recipe.batch // world
    alone = len(sets) == 1 or step >= (1 - recipe.finish) * recipe.steps
    others = torch.tensor([0.0 if i == 0 else len(s) for i, s in enumerate(sets)])
    weights = torch.eye(len(sets))[0] if alone else others / others.sum() * (1 - recipe.share)
    weights[0] = 1.0 if alone else recipe.share
    which = torch.multinomial(weights, count, replacement=True, generator=generator)
    place = torch.rand(count, generator=generator)
    images = torch.stack([sets[i][int(u * len(sets[i]))] for i, u in zip(which.tolist(), place.tolist(), strict=True)])
    flip = torch.rand(count, generator=generator) < 0.5
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    return dequantize(to_float(images), recipe.noise, generator)


def draw_validation(images, recipe, seed=1):
    """The validation images with the noise of the recipe, always the same."""
    return dequantize(to_float(images), recipe.noise, torch.Generator().manual_seed(seed))


def save_checkpoint(path, tensors, metadata):
    """Write a safetensors file beside `path`, then rename it: `path` is never half-written."""
    path = Path(path)
    temporary = path.with_name(path.name + f".{os.getpid()}.tmp")
    try:
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary, metadata)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Run:
    """A training run in a folder: model, its exponential moving average, Adam's moments, the log."""

    def __init__(self, recipe, out, device="cpu"):
        self.recipe, self.out, self.device, self.step, self.rows = recipe, Path(out), torch.device(device), 0, []
        build = MODELS[recipe.model]
        torch_state = torch.random.get_rng_state()
        torch.manual_seed(recipe.seed)
        self.model = build(**recipe.config).to(self.device, memory_format=torch.channels_last)
        torch.random.set_rng_state(torch_state)
        self.average = build(**recipe.config).to(self.device, memory_format=torch.channels_last)
        self.average.requires_grad_(False)
        self.average.load_state_dict(self.model.state_dict())
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=recipe.lr, betas=(0.9, 0.99))

    def update_average(self):
        """θ̄ ← d θ̄ + (1 - d) θ, with a shorter memory d at the start."""
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        ours, theirs = list(self.average.parameters()), list(self.model.parameters())
        torch._foreach_lerp_(ours, [p.detach() for p in theirs], 1 - decay)

    def save(self):
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{k}": v for k, v in state.items()}
        metadata = {"step": str(self.step), "recipe": json.dumps(asdict(self.recipe)), "rows": json.dumps(self.rows)}
        save_checkpoint(self.out / "checkpoint.safetensors", tensors, metadata)

    def resume(self):
        """Load the checkpoint of the folder, if there is one. Returns whether there was."""
        path = self.out / "checkpoint.safetensors"
        if not path.exists():
            return False
        with safe_open(path, "pt") as file:
            metadata, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}
        before = json.loads(metadata["recipe"])
        if before["config"] != self.recipe.config or before["model"] != self.recipe.model:
            raise ValueError(f"out: {path} holds a {before['model']} with {before['config']}, not {self.recipe.config}")
        self.step, self.rows = int(metadata["step"]), json.loads(metadata["rows"])
        for name, module in (("model.", self.model), ("average.", self.average)):
            module.load_state_dict({k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)})
        state = {}
        for key, value in tensors.items():
            if key.startswith("adam."):
                _, i, name = key.split(".", 2)
                state.setdefault(int(i), {})[name] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        return True

    @torch.no_grad()
    def validate(self, images):
        """Mean loss of the averaged model on the validation images."""
        objective, x = Objective(self.average), draw_validation(images, self.recipe)
        losses = [objective(part.to(self.device)).item() * len(part) for part in x.split(64)]
        return sum(losses) / len(x)

    def report(self, row):
        """Append a row to the log, rewrite log.csv, and save samples of a flow at two temperatures."""
        self.rows.append(row)
        temporary = self.out / "log.csv.tmp"
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(temporary, self.out / "log.csv")
        if hasattr(self.average, "sample"):
            generator = torch.Generator().manual_seed(0)
            samples = [self.average.sample(8, t, generator).detach() for t in (0.7, 0.9)]
            save_grid(torch.cat(samples), self.out / f"samples_{self.step:06d}.png")


def save_grid(images, path, columns=8):
    """Images [N, 3, H, W] as one PNG, `columns` a row."""
    rows = [torch.cat(list(row), 2) for row in images.clamp(0, 1).cpu().split(columns)]
    array = (torch.cat(rows, 1).permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(array).save(path)


def train(recipe, data, out, device="cpu", precision=None, every=500, compile_model=False, minutes=None):
    """Train (or go on training) a model on folders of images; returns the `Run`.

    Args:
        recipe: a `Recipe`. To train longer, resume with a larger `steps`.
        data: folders; the first has the validation images.
        out: folder of checkpoint, log.csv and samples.
        precision: dtype of the networks (torch.bfloat16), None for float32.
        every: steps between validations (with a checkpoint each).
        minutes: stop after so many minutes, with a checkpoint; resume later.
    Under `torchrun` each process takes its share of the batch (DistributedDataParallel).
    """
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if recipe.batch % world:
        raise ValueError(f"batch: expected a multiple of {world} processes, got {recipe.batch}")
    Path(out).mkdir(parents=True, exist_ok=True)
    sets = [load_folder(folder, "train") for folder in data]
    validation = load_folder(data[0], "validation")
    with process_group(world, device):
        run = Run(recipe, out, device)
        if not run.resume() and hasattr(run.model, "initialize"):
            first = torch.cat([draw_batch(sets, -1 - i, recipe) for i in range(4)]).to(run.device)
            run.model.initialize(first)
            run.average.load_state_dict(run.model.state_dict())
        if precision is not None:
            run.model.mixed_precision(precision)
        objective = Objective(run.model)
        objective = DistributedDataParallel(objective) if world > 1 else objective
        objective = torch.compile(objective) if compile_model else objective
        optimize(run, objective, sets, validation, rank, world, every, minutes)
    return run


@contextmanager
def process_group(world, device):
    """The torch.distributed group of a `torchrun`, destroyed at the end; nothing for one process."""
    if world > 1:
        torch.distributed.init_process_group("nccl" if torch.device(device).type == "cuda" else "gloo")
    try:
        yield
    finally:
        if world > 1:
            torch.distributed.destroy_process_group()


def optimize(run, objective, sets, validation, rank, world, every, minutes):
    """Adam steps from `run.step` to the end of the recipe, or until the time is up."""
    recipe, started = run.recipe, time.monotonic()
    before = run.rows[-1]["minutes"] if run.rows else 0.0
    bar = tqdm(total=recipe.steps, initial=run.step, desc=recipe.model, disable=rank > 0 or None)
    total, count = torch.zeros((), device=run.device), 0
    while run.step < recipe.steps:
        x = draw_batch(sets, run.step, recipe, rank, world).to(run.device, memory_format=torch.channels_last)
        loss = objective(x)
        run.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(run.model.parameters(), recipe.clip)
        run.optimizer.param_groups[0]["lr"] = learning_rate(run.step, recipe)
        run.optimizer.step()
        run.step += 1
        run.update_average()
        total, count = total + loss.detach(), count + 1
        bar.update()
        late = minutes is not None and time.monotonic() - started > 60 * minutes
        if rank == 0 and (run.step % every == 0 or run.step == recipe.steps or late):
            row = {"step": run.step, "minutes": round(before + (time.monotonic() - started) / 60, 2)}
            row |= {"train": round(total.item() / count, 4), "validation": round(run.validate(validation), 4)}
            run.report(row)
            run.save()
            bar.set_postfix(train=row["train"], validation=row["validation"])
            total, count = torch.zeros((), device=run.device), 0
        if late:
            break
    bar.close()
