"""Safetensors files: the trained weights in `models/trained/`, each with its recipe in JSON, and checkpoints.

Nothing unpickles; a file whose SHA-256 differs from its recipe's is refused.
"""

import hashlib
import json
import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from course_lib.common import check, replacing
from course_lib.models.denoiser import DnCNN
from course_lib.models.flow_in_time import FlowInTime
from course_lib.models.glow import Glow
from course_lib.models.regression import SRCNN, VDSR
from course_lib.models.unrolled import LISTA, ADMMNet
from course_lib.models.vae import VAE

FOLDER = Path(__file__).parent / "trained"
MODELS = {"glow": Glow, "flow_in_time": FlowInTime, "vae": VAE, "dncnn": DnCNN, "srcnn": SRCNN, "vdsr": VDSR}
MODELS |= {"lista": LISTA, "admm_net": ADMMNet}
REQUIRED = {"model", "config", "file", "sha256"}


def describe(name="glow", folder=FOLDER):
    """What the recipe `name`.json says of a weight file: model, config, training, data, date, validation, SHA-256."""
    path = Path(folder) / f"{name}.json"
    if not path.exists():
        known = sorted(p.stem for p in Path(folder).glob("*.json"))
        raise FileNotFoundError(f"name: no weights called {name!r} in {folder}; expected one of {known}")
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RuntimeError(f"{path}: expected a recipe in JSON, got an altered or truncated file ({error})") from error
    if not isinstance(recipe, dict) or not recipe.keys() >= REQUIRED or recipe["model"] not in MODELS:
        raise RuntimeError(f"{path}: expected {sorted(REQUIRED)} of a model in {list(MODELS)}, got {recipe}")
    return recipe


def load_state(name="glow", folder=FOLDER):
    """(recipe, state): what `describe` says, and the weights of the file that it names, in float32.

    Raises FileNotFoundError where there is no such weight file, RuntimeError where its SHA-256 is not the recipe's.
    """
    recipe = describe(name, folder)
    path = Path(folder) / recipe["file"]
    if not path.exists():
        raise FileNotFoundError(f"name: {path} is missing; expected the weights that {name}.json describes")
    content = path.read_bytes()
    found, expected = hashlib.sha256(content).hexdigest(), recipe["sha256"]
    if found != expected:
        raise RuntimeError(f"{path}: expected SHA-256 {expected[:16]}…, got {found[:16]}… (altered or truncated)")
    try:
        state = load(content)
    except SafetensorError as error:
        raise RuntimeError(f"{path}: expected a safetensors file ({error})") from error
    return recipe, {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


def load_model(name="glow", device="cpu", folder=FOLDER):
    """A trained model, in float32, frozen for inference. Raises as `load_state`."""
    recipe, state = load_state(name, folder)
    try:
        model = MODELS[recipe["model"]](**recipe["config"])
        model.load_state_dict(state)
    except (TypeError, ValueError, RuntimeError) as error:
        wanted = f"{Path(folder) / recipe['file']}: expected the weights of {recipe['model']} {recipe['config']}"
        raise RuntimeError(f"{wanted} ({' '.join(str(error).split())[:200]})") from error
    return model.to(device).freeze()


def save_model(model, name, recipe, folder=FOLDER, half=True):
    """Write the weights (in float16 by default) and `name`.json, which keeps `recipe`; returns the path of the weights.

    Both are on the disk before either is renamed, the recipe last. Where a run is killed between the two, `load_state`
    refuses the pair: the SHA-256 differs. Saving again mends it.
    """
    check(re.fullmatch(r"\w[\w-]*", name), "name", "letters, digits, _ and -", repr(name))
    kind = next((key for key, cls in MODELS.items() if type(model) is cls), None)
    check(kind, "model", f"one of {list(MODELS)}", f"a {type(model).__name__}")
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    if half:
        state = {k: v.to(torch.float16) if v.is_floating_point() else v for k, v in state.items()}
    broken = [k for k, v in state.items() if not v.isfinite().all()]
    check(not broken, "model", f"finite weights{' in float16' if half else ''}", f"others in {broken[:1]}")
    content = save(state)
    path = Path(folder) / f"{name}.safetensors"
    about = {"model": kind, "config": model.config, "file": path.name, "sha256": hashlib.sha256(content).hexdigest()}
    text = json.dumps(about | recipe | about, indent=2, ensure_ascii=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path.parent / f"{name}.json") as described, replacing(path) as weights:
        # The inner block ends first.
        weights.write_bytes(content)
        described.write_text(text, encoding="utf-8", newline="\n")
    return path


def save_checkpoint(path, tensors, metadata):
    """Write a safetensors file beside `path`, then rename it: `path` is never half-written."""
    with replacing(path) as temporary:
        # Not `save_file`: it writes to a hidden file of its own, which stays where a run is killed.
        temporary.write_bytes(save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata))


def read_checkpoint(path):
    """(about, tensors) of a checkpoint; `about` has its step, recipe, log rows and data.

    Raises FileNotFoundError for a missing file, RuntimeError for a truncated one or one of another kind.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"out: {path} is missing; expected the checkpoint of a training run")
    try:
        with safe_open(path, "pt") as file:
            metadata, tensors = file.metadata() or {}, {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        about = {"data": []} | {key: json.loads(value) for key, value in metadata.items()}
    except (SafetensorError, ValueError, OSError) as error:
        raise RuntimeError(f"{path}: expected a checkpoint, got a truncated or altered file ({error})") from error
    if not about.keys() >= {"step", "recipe", "rows"}:
        raise RuntimeError(f"{path}: expected a checkpoint with step, recipe and rows, got {sorted(about)}")
    return about, tensors


def part_of(tensors, prefix):
    """The tensors whose names start with a prefix, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
