"""Weight files: what is written is what is read, and nothing else is."""

import hashlib
import json
import math
import pickle
import subprocess
import sys

import pytest
import torch

from course_lib.data import PHOTOGRAPHS, photograph
from course_lib.models.glow import Glow
from course_lib.models.weights import (
    FOLDER,
    describe,
    load_model,
    load_state,
    read_checkpoint,
    save_checkpoint,
    save_model,
)

CONFIG = {"size": 8, "channels": 3, "steps": 2, "widths": [4, 4], "scale": "sigmoid", "seed": 3}


@pytest.fixture
def model():
    model = Glow(**CONFIG).initialize(torch.rand(8, 3, 8, 8))
    for p in model.parameters():
        p.data += 0.1 * torch.randn(p.shape)
    return model


@pytest.fixture
def saved(model, tmp_path):
    return save_model(model, "tiny", {"note": "a test", "sha256": "forged"}, tmp_path)


def test_the_embedded_face_model_inverts_exactly_on_photographs():
    model = load_model("glow")
    x = torch.cat([photograph(name) for name in PHOTOGRAPHS])
    with torch.no_grad():
        z, logdet = model.encode_with_logdet(x)
        assert (model.decode(z) - x).abs().max() < 1e-4
        assert logdet.isfinite().all() and (model.encode(x[:1]) - z[:1]).abs().max() < 1e-2


def test_every_embedded_file_has_its_recipe_and_every_recipe_its_file():
    recipes = [describe(path.stem) for path in FOLDER.glob("*.json")]
    assert {about["file"] for about in recipes} == {path.name for path in FOLDER.glob("*.safetensors")}
    for about in recipes:
        assert hashlib.sha256((FOLDER / about["file"]).read_bytes()).hexdigest() == about["sha256"]
    assert "glow" in {about["model"] for about in recipes}


LOADING = """
import sys
from course_lib.models.weights import load_model
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_loading_a_model_imports_torch_and_safetensors_and_little_else():
    run = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=True)
    needless = {"matplotlib", "scipy", "pandas", "skimage", "PIL", "IPython", "ipywidgets", "nbformat", "pywt"}
    assert not needless & set(run.stdout.split()) and "safetensors" in run.stdout.split()


def test_a_model_comes_back_rounded_to_float16_and_frozen(model, saved):
    loaded = load_model("tiny", folder=saved.parent)
    assert loaded.config == CONFIG and not loaded.training and loaded.initialized
    for name, value in model.state_dict().items():
        back = loaded.state_dict()[name]
        assert back.dtype == value.dtype
        assert torch.equal(back, value.half().float() if value.is_floating_point() else value), name
    assert not any(p.requires_grad for p in loaded.parameters())


def test_without_rounding_a_model_comes_back_bit_for_bit(model, tmp_path):
    save_model(model, "exact", {}, tmp_path, half=False)
    loaded = load_model("exact", folder=tmp_path)
    assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in model.state_dict().items())


def test_a_model_loads_to_a_device(saved, device):
    assert load_model("tiny", device, saved.parent).encode(torch.rand(1, 3, 8, 8).to(device)).device.type == device


def test_the_recipe_is_kept_and_cannot_forge_the_digest(saved):
    about = describe("tiny", saved.parent)
    assert about["note"] == "a test" and about["model"] == "glow" and about["config"] == CONFIG
    assert about["sha256"] == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert sorted(p.name for p in saved.parent.iterdir()) == ["tiny.json", "tiny.safetensors"]


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_a_pickle_is_never_opened(saved):
    content = pickle.dumps(Bomb())
    saved.write_bytes(content)
    about = describe("tiny", saved.parent) | {"sha256": hashlib.sha256(content).hexdigest()}
    (saved.parent / "tiny.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"tiny\.safetensors: expected a safetensors file"):
        load_model("tiny", folder=saved.parent)


def test_what_cannot_be_saved_leaves_nothing(model, tmp_path):
    model.levels[0][0].conv.L.data.fill_(1e6)
    with pytest.raises(ValueError, match=r"model: expected finite weights in float16, got others in .*conv\.L"):
        save_model(model, "tiny", {}, tmp_path)
    model.levels[0][0].conv.L.data.fill_(math.nan)
    with pytest.raises(ValueError, match="model: expected finite weights"):
        save_model(model, "tiny", {}, tmp_path, half=False)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, sys
from course_lib.models import weights
from course_lib.models.glow import Glow

replace, left = os.replace, COUNT

def dying(*paths):
    global left
    if left == 0:
        os._exit(7)  # as a kill: nothing is cleaned up
    left -= 1
    replace(*paths)

os.replace = dying
model = Glow(8, 3, 1, (8,))
model.levels[0][0].actnorm.bias.data.fill_(0.25)
weights.save_model(model, "tiny", {"note": "the new one"}, "FOLDER")
"""


@pytest.mark.parametrize("renames", [0, 1])
def test_killed_at_a_rename_the_old_pair_loads_or_is_refused(tmp_path, renames):
    """Between the renames new weights lie beside the old recipe."""
    model = Glow(8, 3, 1, (8,))
    save_model(model, "tiny", {"note": "the old one"}, tmp_path)
    script = KILLED.replace("FOLDER", tmp_path.as_posix()).replace("COUNT", str(renames))
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 7
    assert describe("tiny", tmp_path)["note"] == "the old one"
    if renames:
        with pytest.raises(RuntimeError, match=r"tiny\.safetensors: expected SHA-256"):
            load_state("tiny", tmp_path)
    else:
        assert (load_state("tiny", tmp_path)[1]["levels.0.0.actnorm.bias"] == 0).all()
    model.levels[0][0].actnorm.bias.data.fill_(0.25)
    save_model(model, "tiny", {"note": "the next one"}, tmp_path)
    assert (load_state("tiny", tmp_path)[1]["levels.0.0.actnorm.bias"] == 0.25).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.json", "tiny.safetensors"]


def test_checkpoints_come_back(tmp_path):
    path, tensors = tmp_path / "c.safetensors", {"a": torch.randn(3, 4).T, "b": torch.tensor(7)}
    save_checkpoint(path, tensors, {"step": "5", "recipe": "{}", "rows": "[]"})
    about, back = read_checkpoint(path)
    assert about == {"step": 5, "recipe": {}, "rows": [], "data": []}
    assert all(torch.equal(back[k], v) for k, v in tensors.items())
