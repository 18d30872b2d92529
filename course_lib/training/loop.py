"""The loop: a run in a folder, its steps, its checkpoints, its validation."""

import copy
import csv
import json
import math
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from course_lib.common import check, check_count, check_number, processes, progress, replacing
from course_lib.data import save_grid
from course_lib.models.weights import MODELS, load_state, part_of, read_checkpoint, save_checkpoint
from course_lib.training.batches import check_data, draw_batch, draw_validation, load_sets, load_validation
from course_lib.training.losses import LOSSES
from course_lib.training.recipes import Recipe, learning_rate, step_seed

CHECKPOINT = "checkpoint.safetensors"
"""The name of a run's checkpoint in its folder."""

MAY_CHANGE = {"steps", "lr", "clip"}
"""What may differ between a checkpoint and the recipe that resumes it."""


class Objective(nn.Module):
    """A model with its loss: images [B, C, H, W] in [0, 1] to one number, that of `LOSSES`."""

    def __init__(self, model, kind):
        super().__init__()
        self.model, self.kind = model, kind

    def forward(self, x):
        return LOSSES[self.kind](self.model, x)


def random_state(device):
    """A context that gives torch's global random state back as it was."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


@torch.no_grad()
def mean_loss(model, images, recipe):
    """Mean loss of a model on 8-bit validation images with the noise of the recipe, always the same."""
    objective, device = Objective(model, recipe.model), next(model.parameters()).device
    with random_state(device):
        torch.manual_seed(0)
        parts = draw_validation(images, recipe).split(64)
        return sum(objective(part.to(device)).item() * len(part) for part in parts) / len(images)


def load_average(folder):
    """(model, about): the averaged model in the checkpoint of a run's folder, and what the checkpoint says about it."""
    about, tensors = read_checkpoint(Path(folder) / CHECKPOINT)
    recipe = Recipe(**about["recipe"])
    model = MODELS[recipe.model](**recipe.config)
    model.load_state_dict(part_of(tensors, "average."))
    return model.requires_grad_(False).eval(), about | {"recipe": recipe}


class Run:
    """A training run in a folder: model, its exponential moving average, Adam's moments, the log."""

    def __init__(self, recipe, out, device="cpu"):
        self.out, self.device, self.step, self.rows, self.data = Path(out), torch.device(device), 0, [], []
        self.path = self.out / CHECKPOINT
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(recipe.seed)
            self.model = MODELS[recipe.model](**recipe.config)
        self.model.to(self.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=recipe.lr, betas=(0.9, 0.99))
        self.recipe = replace(recipe, config=json.loads(json.dumps(self.model.config)))

    def update_average(self):
        """θ̄ ← d θ̄ + (1 - d) θ, with a shorter memory d at the start; buffers are copied."""
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        ours, theirs = list(self.average.parameters()), list(self.model.parameters())
        torch._foreach_lerp_(ours, [p.detach() for p in theirs], 1 - decay)
        for buffer, value in zip(self.average.buffers(), self.model.buffers(), strict=True):
            buffer.copy_(value)

    def save(self):
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{k}": v for k, v in state.items()}
        about = {"step": self.step, "recipe": asdict(self.recipe), "rows": self.rows, "data": self.data}
        save_checkpoint(self.path, tensors, {key: json.dumps(value) for key, value in about.items()})

    def resume(self):
        """Load the checkpoint of the folder, if there is one. Returns whether there was.

        Raises RuntimeError for a damaged checkpoint, ValueError for one of another recipe (`MAY_CHANGE` may differ).
        """
        if not self.path.exists():
            return False
        about, tensors = read_checkpoint(self.path)
        ours, theirs = asdict(self.recipe), asdict(self.recipe) | about["recipe"]
        theirs["config"] = ours["config"] | theirs["config"]  # what had no name when the run began is the default
        for name in theirs:
            if name not in MAY_CHANGE and theirs[name] != ours.get(name):
                raise ValueError(f"{name}: {self.path} has {theirs[name]}, got {ours.get(name)}; expected the same")
        self.step, self.rows = about["step"], about["rows"]
        self.model.load_state_dict(part_of(tensors, "model."))
        self.average.load_state_dict(part_of(tensors, "average."))
        self.load_optimizer(part_of(tensors, "adam."))
        return True

    def begin_with(self, name):
        """Take the weights of the package that are called `name`: tensors of the same names and shapes, as those of a
        flow whose couplings have another scale."""
        about, state = load_state(name)
        ours, theirs = ({k: v.shape for k, v in tensors.items()} for tensors in (self.model.state_dict(), state))
        wanted, got = f"{self.recipe.model} {self.recipe.config}", f"{about['model']} {about['config']}"
        check(ours == theirs, "start", f"weights of {wanted}", f"{name!r}: {got}")
        self.model.load_state_dict(state)
        self.average.load_state_dict(state)

    def begin(self, sets):
        """The state of step 0: the weights that the recipe names, or statistics of the first batches."""
        if self.recipe.start:
            self.begin_with(self.recipe.start)
        elif hasattr(self.model, "initialize"):
            count = -(-getattr(self.model, "first_images", 4 * self.recipe.batch) // self.recipe.batch)
            first = torch.cat([draw_batch(sets, -1 - i, self.recipe) for i in range(count)])
            self.model.initialize(first.to(self.device))
            self.average.load_state_dict(self.model.state_dict())

    def load_optimizer(self, tensors):
        """Adam's moments, in the memory layout of their parameters: another one may round otherwise."""
        state, parameters = {}, list(self.model.parameters())
        for key, value in tensors.items():
            i, name = key.split(".")
            like = value if name == "step" else torch.empty_like(parameters[int(i)])
            state.setdefault(int(i), {})[name] = value if name == "step" else like.copy_(value)
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": state})

    def report(self, row):
        """Append a row to the log, rewrite log.csv, and save samples of a flow at two temperatures."""
        self.rows.append(row)
        with replacing(self.out / "log.csv") as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader()
            writer.writerows(self.rows)
        if hasattr(self.average, "sample"):
            generator = torch.Generator().manual_seed(0)
            samples = [self.average.sample(8, t, generator) for t in (0.7, 0.9)]
            # Those of a young flow may be far out of [0, 1].
            save_grid(torch.cat(samples).clamp(0, 1), self.out / f"samples_{self.step:06d}.png")


def train(
    recipe, data, out, device="cpu", precision=None, every=500, compile_model=False, minutes=None, reversible=False
):
    """Train (or go on training) a model on folders of images; returns the `Run`.

    Args:
        recipe: a `Recipe`. To train longer, resume with a larger `steps`.
        data: folders; the first has the validation images. None is needed where the recipe has photographs, and none
            is taken where the model trains on what it draws (`batches.DRAWN`).
        out: folder of checkpoint, log.csv and samples.
        precision: dtype of the networks (torch.bfloat16), None for float32, "auto" for the faster one on this device.
        every: steps between validations (with a checkpoint each).
        minutes: stop after so many minutes, with a checkpoint; resume later.
        reversible: of a flow, compute activations again instead of keeping them (`Glow.reversible`).
    Under `torchrun`, on one machine, each process takes its slice of the batch.
    """
    rank, world = processes()
    check(recipe.batch % world == 0, "batch", f"a multiple of {world} processes", recipe.batch)
    check_count("every", every, low=1)
    check_number("minutes", 0.0 if minutes is None else minutes)
    check(not Path(out).is_file(), "out", "a folder", f"the file {out}")
    check_data(data, recipe)
    with process_group(world, device) as device:
        run = Run(recipe, out, device)
        resumed, sets = run.resume(), load_sets(data, run.recipe)
        validation = load_validation(data, run.recipe) if rank == 0 else None
        run.out.mkdir(parents=True, exist_ok=True)
        run.data = [{"folder": str(Path(d).resolve()), "images": len(s)} for d, s in zip(data, sets, strict=False)]
        if not resumed:
            run.begin(sets)
        set_precision(run, precision, sets)
        if reversible:
            check(hasattr(run.model, "reversible"), "reversible", "a flow, whose steps have inverses", recipe.model)
            run.model.reversible()
        objective = Objective(run.model, recipe.model)
        objective = DistributedDataParallel(objective) if world > 1 else objective
        objective = torch.compile(objective) if compile_model else objective
        optimize(run, objective, sets, validation, every, minutes)
    return run


@contextmanager
def process_group(world, device):
    """The device of this process, within the torch.distributed group of a `torchrun` (none for one process)."""
    device = torch.device(device)
    if world == 1:
        yield device
        return
    if device.type == "cuda":
        local = os.environ.get("LOCAL_RANK", "")
        check(local.isdecimal(), "LOCAL_RANK", "an integer in the environment, as torchrun sets it", repr(local))
        device = torch.device("cuda", int(local))
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        torch.distributed.destroy_process_group()


def agreed(flag, device):
    """The flag of the first process, in all of them: no process may stop while others wait for its gradient."""
    if not torch.distributed.is_initialized():
        return flag
    decision = torch.tensor(float(flag), device=device)
    torch.distributed.broadcast(decision, 0)
    return bool(decision)


def set_precision(run, precision, sets):
    """Let the networks of the model compute in this precision; ValueError for a model that knows float32 alone.

    None is float32. "auto" is bfloat16 on CUDA, and on a CPU what a measurement says; for such a model float32.
    """
    known = hasattr(run.model, "mixed_precision")
    if precision == "auto" and not known:
        precision = None
    elif precision == "auto":
        precision = torch.bfloat16 if run.device.type == "cuda" else faster_precision(run, sets)
    if precision is not None:
        check(known, "precision", f"float32, the only one that {run.recipe.model} knows", precision)
        run.model.mixed_precision(precision)


def faster_precision(run, sets):
    """torch.bfloat16 where this CPU trains the model clearly faster with it, else None for float32: some CPUs have
    units for bfloat16, others take many times longer."""
    x = draw_batch(sets, 0, run.recipe)[:8].to(run.device, memory_format=torch.channels_last)
    seconds = {}
    with random_state(run.device):
        for dtype in (None, torch.bfloat16):
            trial = Objective(copy.deepcopy(run.model).mixed_precision(dtype), run.recipe.model)
            seconds[dtype] = min(seconds_of(trial, x) for _ in range(2))  # the first one warms up
    faster = agreed(seconds[torch.bfloat16] < 0.8 * seconds[None], run.device)
    if processes()[0] == 0:
        print(f"precision: {'bfloat16' if faster else 'float32'}, for 8 images forward and back take ", end="")
        print(f"{seconds[None]:.2g} s in float32, {seconds[torch.bfloat16]:.2g} s in bfloat16")
    return torch.bfloat16 if faster else None


def seconds_of(objective, x):
    """How long the loss of the images x and its gradient take."""
    started = time.perf_counter()
    objective(x).backward()
    return time.perf_counter() - started


def train_step(run, objective, x):
    """One step of Adam on the images x [B, C, H, W]; returns the loss. RuntimeError where it is not finite."""
    loss = objective(x)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), run.recipe.clip)
    if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
        raise RuntimeError(
            f"loss: expected a finite number at step {run.step + 1}, got {loss.item()} with a gradient of norm "
            f"{norm.item()}; {run.path} keeps the last good state (if any was saved): try a smaller lr"
        )
    run.optimizer.param_groups[0]["lr"] = learning_rate(run.step, run.recipe)
    run.optimizer.step()
    run.step += 1
    run.update_average()
    return loss.item()


def optimize(run, objective, sets, validation, every, minutes):
    """Adam steps from `run.step` to the end of the recipe, or until the time is up."""
    recipe, (rank, world) = run.recipe, processes()
    started, before = time.monotonic(), run.rows[-1]["minutes"] if run.rows else 0.0
    losses, late = [], False
    with progress(total=recipe.steps, initial=run.step, desc=recipe.model) as bar, random_state(run.device):
        while run.step < recipe.steps and not late:
            x = draw_batch(sets, run.step, recipe, rank, world).to(run.device, memory_format=torch.channels_last)
            torch.manual_seed(step_seed(run.step, recipe) + 1 + rank)
            losses.append(train_step(run, objective, x))
            bar.update()
            spent = (time.monotonic() - started) / 60
            late = minutes is not None and agreed(spent > minutes, run.device)
            if rank == 0 and (run.step % every == 0 or run.step == recipe.steps or late):
                row = {"step": run.step, "minutes": round(before + spent, 2)}
                row["train"] = round(sum(losses) / len(losses), 4)
                row["validation"] = round(mean_loss(run.average, validation, recipe), 4)
                run.report(row)
                run.save()
                bar.set_postfix(train=row["train"], validation=row["validation"])
                losses = []
