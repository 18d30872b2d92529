"""Weight files: what is written is what is read, and nothing else is."""

import hashlib
import json
import math
import os
import pickle
import signal
import subprocess
import sys

import pytest
import torch

from course_lib.common import replacing
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


def test_every_embedded_file_has_its_recipe():
    for path in FOLDER.glob("*.safetensors"):
        about = describe(path.stem)
        assert about["file"] == path.name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == about["sha256"]
    assert (FOLDER / "glow.safetensors").exists()


def test_a_model_comes_back_rounded_to_float16_and_frozen(model, saved):
    loaded = load_model("tiny", folder=saved.parent)
    assert loaded.config == CONFIG and not loaded.training and loaded.initialized
    for name, value in model.state_dict().items():
        back = loaded.state_dict()[name]
        assert back.dtype == value.dtype
        assert torch.equal(back, value.half().float() if value.is_floating_point() else value), name
    assert not any(p.requires_grad for p in loaded.parameters())
    assert all(step.frozen for level in loaded.levels for step in level)


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


@pytest.mark.parametrize("change", [lambda c: c[:-1] + bytes([c[-1] ^ 1]), lambda c: c[:-100], lambda c: b""])
def test_an_altered_or_truncated_file_is_refused(saved, change):
    saved.write_bytes(change(saved.read_bytes()))
    with pytest.raises(RuntimeError, match=r"tiny\.safetensors: expected SHA-256 .*altered or truncated"):
        load_model("tiny", folder=saved.parent)


def test_a_missing_file_is_named(saved):
    saved.unlink()
    with pytest.raises(FileNotFoundError, match=r"name: .*tiny\.safetensors is missing"):
        load_model("tiny", folder=saved.parent)
    with pytest.raises(FileNotFoundError, match=r"name: no weights called 'huge' .* expected one of \['tiny'\]"):
        load_model("huge", folder=saved.parent)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"model": "glow"}', '{"model": "x", "config": 0, "file": 0, "sha256": 0}']
)
def test_a_broken_recipe_is_refused(saved, text):
    saved.with_suffix(".json").write_text(text)
    with pytest.raises(RuntimeError, match=r"tiny\.json: expected"):
        load_model("tiny", folder=saved.parent)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_a_pickle_is_never_opened(saved):
    content = pickle.dumps(Bomb())
    saved.write_bytes(content)
    about = describe("tiny", saved.parent) | {"sha256": hashlib.sha256(content).hexdigest()}
    saved.with_suffix(".json").write_text(json.dumps(about))
    with pytest.raises(RuntimeError, match=r"tiny\.safetensors: expected a safetensors file"):
        load_model("tiny", folder=saved.parent)


def test_what_cannot_be_saved_leaves_nothing(model, tmp_path):
    with pytest.raises(ValueError, match="name: expected letters"):
        save_model(model, "../tiny", {}, tmp_path)
    with pytest.raises(ValueError, match=r"model: expected one of \['glow'.*got a Linear"):
        save_model(torch.nn.Linear(1, 1), "tiny", {}, tmp_path)
    model.levels[0][0].conv.L.data.fill_(1e6)
    with pytest.raises(ValueError, match=r"model: expected finite weights in float16, got others in .*conv\.L"):
        save_model(model, "tiny", {}, tmp_path)
    model.levels[0][0].conv.L.data.fill_(math.nan)
    with pytest.raises(ValueError, match="model: expected finite weights"):
        save_model(model, "tiny", {}, tmp_path, half=False)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal
from course_lib.models import weights
from course_lib.models.glow import Glow

replace, done = os.replace, []

def last_rename(*paths):
    if done:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(replace(*paths))

os.replace = last_rename
model = Glow(8, 3, 1, (8,))
model.levels[0][0].actnorm.bias.data.fill_(0.25)
weights.save_model(model, "tiny", {"note": "the new one"}, "FOLDER")
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_killed_between_the_two_renames(tmp_path):
    """The recipe of the new model, the weights of the old one: the new ones are found where they were written."""
    model = Glow(8, 3, 1, (8,))
    path = save_model(model, "tiny", {"note": "the old one"}, tmp_path)
    old = path.read_bytes()
    run = subprocess.run([sys.executable, "-c", KILLED.replace("FOLDER", tmp_path.as_posix())], check=False)
    assert run.returncode == -signal.SIGKILL and path.read_bytes() == old
    assert describe("tiny", tmp_path)["note"] == "the new one" and len(list(tmp_path.iterdir())) == 3
    assert (load_state("tiny", tmp_path)[1]["levels.0.0.actnorm.bias"] == 0.25).all()
    save_model(model, "tiny", {"note": "the next one"}, tmp_path)
    assert (load_state("tiny", tmp_path)[1]["levels.0.0.actnorm.bias"] == 0).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.json", "tiny.safetensors"]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(KeyError), replacing(target) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert target.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["file"]
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_checkpoints_come_back_and_damaged_ones_are_named(tmp_path):
    path, tensors = tmp_path / "c.safetensors", {"a": torch.randn(3, 4).T, "b": torch.tensor(7)}
    save_checkpoint(path, tensors, {"step": "5", "recipe": "{}", "rows": "[]"})
    about, back = read_checkpoint(path)
    assert about == {"step": 5, "recipe": {}, "rows": [], "data": []}
    assert all(torch.equal(back[k], v) for k, v in tensors.items())
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(RuntimeError, match=r"c\.safetensors: expected a checkpoint, got a truncated"):
        read_checkpoint(path)
    save_checkpoint(path, tensors, {"step": "5"})
    with pytest.raises(RuntimeError, match=r"c\.safetensors: expected a checkpoint with step, recipe and rows"):
        read_checkpoint(path)
    with pytest.raises(FileNotFoundError, match=r"out: .*none\.safetensors is missing"):
        read_checkpoint(tmp_path / "none.safetensors")
