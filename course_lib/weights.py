"""Trained weights that the package embeds: safetensors files in `course_lib/weights/`, each with its recipe in JSON.

Nothing unpickles; a file whose SHA-256 differs from its recipe's is refused.
"""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors.torch import load, save

from course_lib.models.glow import Glow

FOLDER = Path(__file__).parent / "weights"
MODELS = {"glow": Glow}


def describe(name="glow", folder=FOLDER):
    """What the recipe beside a weight file says: model, config, training, data, date, bits per dimension, SHA-256."""
    path = Path(folder) / f"{name}.json"
    if not path.exists():
        known = sorted(p.stem for p in Path(folder).glob("*.json"))
        raise FileNotFoundError(f"name: no weights called {name!r} in {folder}; expected one of {known}")
    return json.loads(path.read_text(encoding="utf-8"))


def load_model(name="glow", device="cpu", folder=FOLDER):
    """A trained model, in float32, frozen for inference.

    Raises FileNotFoundError where there is no such weight file, RuntimeError where its SHA-256 is not the recipe's.
    """
    recipe = describe(name, folder)
    path = Path(folder) / recipe["file"]
    if not path.exists():
        raise FileNotFoundError(f"name: {path} is missing; expected the weights that {name}.json describes")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != recipe["sha256"]:
        raise RuntimeError(f"{path}: expected SHA-256 {recipe['sha256'][:16]}…, got {digest[:16]}… (altered or truncated)")
    model = MODELS[recipe["model"]](**recipe["config"])
    model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load(content).items()})
    return model.to(device).freeze()


def save_model(model, name, recipe, folder=FOLDER, half=True):
    """Write `name`.safetensors (float16 by default) and `name`.json; `recipe` is kept in the latter. Returns the path.

    Each file is written beside its place and renamed.
    """
    kind = next(key for key, cls in MODELS.items() if type(model) is cls)
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    if half:
        state = {k: v.to(torch.float16) if v.is_floating_point() else v for k, v in state.items()}
    content, path = save(state), Path(folder) / f"{name}.safetensors"
    about = {"model": kind, "config": model.config, "file": path.name, "sha256": hashlib.sha256(content).hexdigest()}
    text = json.dumps(about | recipe, indent=2, ensure_ascii=False) + "\n"
    for target, data in ((path, content), (path.with_suffix(".json"), text.encode())):
        temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(data)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    return path
