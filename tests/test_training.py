"""The training loop: it learns, it resumes bit for bit, two processes are one, and the command line around it."""

import csv
import json
import math
import os
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from course_lib import training
from course_lib.__main__ import build_parser, main
from course_lib.data import load_folder, photograph_crops
from course_lib.models import weights
from course_lib.models.weights import load_model, read_checkpoint
from course_lib.operators import SubsampledTransform
from course_lib.training import (
    Objective,
    Recipe,
    Run,
    draw_batch,
    draw_validation,
    learning_rate,
    load_average,
    loop,
    train,
)
from course_lib.training.commands import recipe_of

CONFIG = {"size": 8, "steps": 2, "widths": [6, 6]}
OPTIONS = ["--size", "8", "--depth", "2", "--widths", "6", "6", "--batch", "8", "--lr", "5e-3", "--noise", "0.02"]
CHECKPOINT = "checkpoint.safetensors"


def recipe(**options):
    return Recipe(**{"config": CONFIG, "steps": 12, "batch": 8, "lr": 5e-3, "warmup": 3, "noise": 0.02} | options)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders of smooth pictures, 60 and 40."""
    rng, made = np.random.default_rng(0), []
    for name, count in (("first", 60), ("second", 40)):
        folder = tmp_path_factory.mktemp(name)
        for i in range(count):
            ramp = np.linspace(0, 1, 8)[:, None, None] * rng.random(3) + np.linspace(0, 1, 8)[:, None] * rng.random(3)
            Image.fromarray((ramp * 127).astype(np.uint8)).save(folder / f"im_{i:02d}.png")
        made.append(folder)
    return made


def contents(folder):
    """The numbers of a run: tensors, and the log without its clock."""
    about, tensors = read_checkpoint(folder / CHECKPOINT)
    return [{k: v for k, v in row.items() if k != "minutes"} for row in about["rows"]], tensors


def assert_same_run(one, two):
    (rows, tensors), (other_rows, others) = contents(one), contents(two)
    assert rows == other_rows and tensors.keys() == others.keys()
    assert all(torch.equal(value, others[key]) for key, value in tensors.items())


@pytest.fixture(scope="module")
def undisturbed(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    train(recipe(), folders, out, every=4)
    return out


def test_the_loss_goes_down(folders, tmp_path):
    before = torch.get_rng_state()
    options = {"steps": 60, "lr": 3e-2, "noise": 0.005, "ema": 0.9}
    rows = train(recipe(**options), folders[:1], tmp_path, every=15).rows
    for kind in ("train", "validation"):
        losses = [row[kind] for row in rows]
        assert len(losses) == 4 and max(losses[2:]) < losses[1] < losses[0] and losses[-1] < losses[0] - 0.2
    assert torch.equal(torch.get_rng_state(), before)


def test_a_new_run_starts_from_the_statistics_of_its_images(folders, tmp_path):
    r = recipe(steps=1, lr=0.0)
    run = train(r, folders, tmp_path)
    sets = [load_folder(folder, "train", 8) for folder in folders]
    fresh = Run(r, "unused").model.initialize(torch.cat([draw_batch(sets, -1 - i, r) for i in range(4)]))
    for key, value in fresh.state_dict().items():
        assert torch.equal(run.model.state_dict()[key], value) and torch.equal(run.average.state_dict()[key], value)
    assert fresh.initialized and fresh.levels[0][0].actnorm.bias.abs().max() > 0.1


def test_a_run_leaves_a_log_samples_and_a_checkpoint(undisturbed):
    names = [CHECKPOINT, "log.csv", *(f"samples_{step:06d}.png" for step in (4, 8, 12))]
    assert sorted(path.name for path in undisturbed.iterdir()) == sorted(names)
    with (undisturbed / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["4", "8", "12"]
    assert list(rows[0]) == ["step", "minutes", "train", "validation"]
    assert Image.open(undisturbed / "samples_000012.png").size == (64, 16)
    about = read_checkpoint(undisturbed / CHECKPOINT)[0]
    assert [entry["images"] for entry in about["data"]] == [54, 36]


class Killed(Exception):
    pass


def kill_at(monkeypatch, target, name, step, after=False):
    """Make a method of `Run` raise at a step, before or after it has done its work."""
    method = getattr(target, name)

    def deadly(self, *args):
        if self.step == step and not after:
            raise Killed
        result = method(self, *args)
        if self.step == step:
            raise Killed
        return result

    monkeypatch.setattr(target, name, deadly)


@pytest.mark.parametrize(("name", "step"), [("update_average", 3), ("update_average", 7), ("report", 8), ("save", 8)])
def test_a_killed_run_ends_as_an_undisturbed_one(folders, tmp_path, undisturbed, monkeypatch, name, step):
    with monkeypatch.context() as patch:
        kill_at(patch, Run, name, step, after=name == "report")
        with pytest.raises(Killed):
            train(recipe(), folders, tmp_path, every=4)
    train(recipe(), folders, tmp_path, every=4)
    assert_same_run(undisturbed, tmp_path)


def test_a_write_that_fails_keeps_the_last_checkpoint(folders, tmp_path, undisturbed, monkeypatch):
    train(recipe(), folders, tmp_path, every=4, minutes=0)
    before = (tmp_path / CHECKPOINT).read_bytes()

    def half(path, content):
        with path.open("wb") as file:
            file.write(content[:1000])
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", half)
        with pytest.raises(OSError, match="no space"):
            train(recipe(), folders, tmp_path, every=4)
    assert (tmp_path / CHECKPOINT).read_bytes() == before and not list(tmp_path.glob("*.tmp"))


def test_a_run_stops_when_its_time_is_up_and_goes_on(folders, tmp_path, undisturbed):
    for step in (1, 2):
        assert train(recipe(), folders, tmp_path, every=4, minutes=0).step == step
    train(recipe(), folders, tmp_path, every=4)
    ours, theirs = contents(tmp_path)[1], contents(undisturbed)[1]
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    assert train(recipe(), folders, tmp_path).step == 12
    assert train(recipe(steps=14, lr=1e-3), folders, tmp_path).step == 14


@pytest.mark.parametrize(
    "change",
    [{"batch": 4}, {"seed": 1}, {"noise": 0.0}, {"config": CONFIG | {"widths": [6, 7]}}, {"ema": 0.9}, {"share": 1.0}],
    ids=lambda change: next(iter(change)),
)
def test_another_recipe_is_refused(folders, undisturbed, change):
    before = (undisturbed / CHECKPOINT).read_bytes()
    with pytest.raises(ValueError, match=rf"{next(iter(change))}: .*{CHECKPOINT} has .* expected the same"):
        train(recipe(**change), folders, undisturbed)
    assert (undisturbed / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_from_before_an_option_existed_goes_on(folders, tmp_path, undisturbed):
    about, tensors = read_checkpoint(undisturbed / CHECKPOINT)
    del about["recipe"]["photographs"]
    weights.save_checkpoint(tmp_path / CHECKPOINT, tensors, {k: json.dumps(v) for k, v in about.items()})
    assert load_average(tmp_path)[1]["recipe"].photographs == 0
    assert train(recipe(steps=13), folders, tmp_path).step == 13
    with pytest.raises(ValueError, match=r"photographs: .* has 0, got 5; expected the same"):
        train(recipe(photographs=5), folders, tmp_path)


@pytest.mark.parametrize("name", training.RECIPES)
def test_each_recipe_fits_its_model(name):
    r = training.RECIPES[name]
    assert r.model in training.LOSSES and r.model in weights.MODELS
    model = weights.MODELS[r.model](**r.config)
    assert json.loads(json.dumps(model.config)) == model.config and r.config.items() <= model.config.items()
    limit = {"glow": 15e6, "vae": 10e6, "flow_in_time": 12e6}.get(r.model, 2e6)  # bytes, in half precision
    assert 2 * sum(p.numel() for p in model.parameters()) < limit


def test_photographs_join_the_folders(folders):
    r = recipe(photographs=30)
    sets = training.load_sets(folders, r)
    assert [len(s) for s in sets] == [54, 36, 30] and {s.shape[1:] for s in sets} == {(3, 8, 8)}
    assert torch.equal(sets[2], photograph_crops("train", 30, 8, seed=r.seed))
    faces = load_folder(folders[0], "validation", 8)
    validation = training.load_validation(folders, r)
    assert torch.equal(validation, torch.cat([faces, photograph_crops("validation", 3, 8)]))
    assert torch.equal(training.load_validation(folders, recipe()), faces)
    assert len(training.load_validation([], r)) == 30


def test_a_grey_model_sees_the_mean_of_the_channels(folders):
    r = recipe(config=CONFIG | {"channels": 1}, photographs=10)
    colour = training.load_sets(folders, recipe(photographs=10))
    for grey, images in zip(training.load_sets(folders, r), colour, strict=True):
        assert grey.shape == (len(images), 1, 8, 8) and grey.dtype == torch.uint8
        assert torch.equal(grey[:, 0], images.float().mean(1).round().byte())
    assert training.load_validation(folders, r).shape[1:] == draw_batch([grey], 0, r).shape[1:] == (1, 8, 8)


def test_a_run_may_start_from_weights_of_the_package(folders, tmp_path, monkeypatch):
    first = train(recipe(), folders, tmp_path / "first")
    weights.save_model(first.average, "small", {}, tmp_path / "weights", half=False)
    monkeypatch.setattr(loop, "load_state", lambda name: weights.load_state(name, tmp_path / "weights"))
    tuned = train(recipe(steps=1, lr=0.0, start="small"), folders, tmp_path / "tuned")
    assert tuned.step == 1 and tuned.recipe.start == "small"
    for model in (tuned.model, tuned.average):
        for value, expected in zip(model.state_dict().values(), first.average.state_dict().values(), strict=True):
            torch.testing.assert_close(value, expected, atol=1e-6, rtol=0)
    for change in ({"steps": 1}, {"widths": [6, 7]}, {"scale": "additive"}):
        with pytest.raises(ValueError, match="start: expected weights of glow"):
            train(recipe(config=CONFIG | change, start="small"), folders, tmp_path / "other")
    with pytest.raises(FileNotFoundError, match="no weights called 'none'"):
        train(recipe(start="none"), folders, tmp_path / "none")
    assert not (tmp_path / "none" / CHECKPOINT).exists()


def test_a_flow_with_another_scale_may_start_from_the_same_weights(folders, tmp_path, monkeypatch, capsys):
    """The volume-preserving flow has the parameters of the bounded one, and starts from it; `export` writes it."""
    first = train(recipe(), folders, tmp_path / "bounded")
    weights.save_model(first.average, "small", {}, tmp_path / "weights", half=False)
    monkeypatch.setattr(loop, "load_state", lambda name: weights.load_state(name, tmp_path / "weights"))
    r = recipe(config=CONFIG | {"scale": "volume_preserving"}, start="small", steps=1, lr=0.0)
    tuned = train(r, folders, tmp_path / "run")
    for key, value in first.average.state_dict().items():
        torch.testing.assert_close(tuned.model.state_dict()[key], value, atol=1e-6, rtol=0)
    assert main(["export", str(tmp_path / "run"), "preserving", "--folder", str(tmp_path)]) == 0
    model, x = load_model("preserving", folder=tmp_path), torch.rand(2, 3, 8, 8)
    assert model.config["scale"] == "volume_preserving"
    logdet = model.encode_with_logdet(x)[1]
    torch.testing.assert_close(logdet[0], logdet[1])


@pytest.mark.parametrize("level", [0, 128, 255])
def test_images_of_a_single_value_train(tmp_path, level):
    for i in range(20):
        Image.new("RGB", (8, 8), (level,) * 3).save(tmp_path / f"{i:02d}.png")
    run = train(recipe(steps=2), [tmp_path], tmp_path / "run")
    assert math.isfinite(run.rows[-1]["validation"])


def test_bad_arguments_are_named(folders, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="data: expected a list of folders, got 'faces'"):
        train(recipe(), "faces", tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="batch: expected a multiple of 3 processes, got 8"):
        train(recipe(), folders, tmp_path)
    assert list(tmp_path.iterdir()) == []


SPOILT = {
    "nan": lambda loss, p: loss * math.nan,
    "inf of a finite gradient": lambda loss, p: loss + math.inf,
    "gradient of a finite loss": lambda loss, p: loss + (0 * p).sqrt().sum(),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_step_that_is_not_finite_stops_the_run(folders, tmp_path, monkeypatch, spoil):
    calls, loss = [], training.LOSSES["glow"]

    def spoilt(model, x):
        calls.append(model.training)
        value = loss(model, x)
        return spoil(value, next(model.parameters())) if sum(calls) == 6 else value

    monkeypatch.setitem(training.LOSSES, "glow", spoilt)
    with pytest.raises(RuntimeError, match=r"loss: expected a finite number at step 6, got .* keeps the last good"):
        train(recipe(), folders, tmp_path, every=4)
    about, tensors = read_checkpoint(tmp_path / CHECKPOINT)
    assert about["step"] == 4 and all(value.isfinite().all() for value in tensors.values())


def test_the_average_follows_its_formula(tmp_path):
    run = Run(recipe(ema=0.3), tmp_path)
    expected = {name: p.clone() for name, p in run.average.named_parameters()}
    run.model.levels[0][0].conv.sign.fill_(-1)
    for step in (1, 2, 9):
        run.step, decay = step, min(0.3, (1 + step) / (10 + step))
        for name, p in run.model.named_parameters():
            p.data += 0.1 * torch.randn_like(p)
            expected[name] = decay * expected[name] + (1 - decay) * p.detach()
        run.update_average()
    for name, p in run.average.named_parameters():
        torch.testing.assert_close(p, expected[name])
    assert (run.average.levels[0][0].conv.sign == -1).all() and not run.average.training


def test_the_learning_rate_rises_and_falls(undisturbed):
    r = Recipe(steps=1000, lr=2e-3, warmup=100)
    assert [learning_rate(step, r) for step in (0, 49, 99, 100)] == pytest.approx([2e-5, 1e-3, 2e-3, 2e-3])
    assert learning_rate(325, r) == pytest.approx(1e-3 * (1 + math.sqrt(0.5)))
    assert learning_rate(550, r) == pytest.approx(1e-3) and learning_rate(1000, r) == pytest.approx(0.0)
    assert learning_rate(0, Recipe(steps=10, warmup=0, lr=1.0)) == 1.0


def test_the_optimizer_takes_the_learning_rate_of_its_step(folders, tmp_path):
    run = train(recipe(steps=5), folders[:1], tmp_path)
    assert run.optimizer.param_groups[0]["lr"] == learning_rate(4, run.recipe)


def numbered(count, start=0):
    """8-bit images whose first pixel is their number."""
    images = torch.zeros(count, 3, 4, 4, dtype=torch.uint8)
    images[:, :, :, :] = torch.arange(start, start + count, dtype=torch.uint8)[:, None, None, None]
    return images


def test_a_batch_is_a_function_of_seed_and_step():
    sets, before = [numbered(50), numbered(30, 100)], torch.get_rng_state()
    r = recipe(batch=16, steps=100)
    first = draw_batch(sets, 7, r)
    assert first.shape == (16, 3, 4, 4) and first.dtype == torch.float32
    assert torch.equal(first, draw_batch(sets, 7, r))
    assert not torch.equal(first, draw_batch(sets, 8, r))
    assert not torch.equal(first, draw_batch(sets, 7, recipe(batch=16, steps=100, seed=1)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_one_batch(world):
    sets, r = [numbered(50), numbered(30, 100)], recipe(batch=16)
    parts = [draw_batch(sets, 3, r, rank, world) for rank in range(world)]
    assert {len(part) for part in parts} == {16 // world}
    assert torch.equal(torch.cat(parts), draw_batch(sets, 3, r))


def test_batches_follow_share_finish_and_sizes():
    sets, r = [numbered(50), numbered(20, 100), numbered(60, 150)], recipe(batch=4000, steps=10, noise=0.0, share=0.7)
    values = (draw_batch(sets, 7, r)[:, 0, 0, 0] * 255).round()
    shares = [
        ((values >= low) & (values < high)).float().mean().item() for low, high in ((0, 50), (100, 120), (150, 210))
    ]
    assert shares == pytest.approx([0.7, 0.075, 0.225], abs=0.03)
    assert len(values.unique()) == 130
    assert ((draw_batch(sets, 8, r)[:, 0, 0, 0] * 255).round() < 50).all()
    assert ((draw_batch(sets[1:2], 0, r)[:, 0, 0, 0] * 255).round() >= 100).all()


def test_half_of_the_images_are_flipped_and_noise_is_added():
    image = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    image[..., 0] = 255
    x = draw_batch([image], 0, recipe(batch=2000, noise=0.05))
    flipped = x[:, 0, 0, 3] > 0.5
    assert 0.45 < flipped.float().mean() < 0.55 and ((x[:, 0, 0, 0] > 0.5) != flipped).all()
    assert x[..., 1:3].std() == pytest.approx(math.hypot(0.05, 1 / 255 / math.sqrt(12)), rel=0.02)


def test_gradients_of_the_slices_average_to_that_of_the_batch(folders):
    sets = [load_folder(folder, "train", 8) for folder in folders]
    run = Run(recipe(), "unused")
    run.model.double().initialize(draw_batch(sets, -1, run.recipe).double())

    def gradient(rank, world):
        run.model.zero_grad()
        Objective(run.model, "glow")(draw_batch(sets, 0, run.recipe, rank, world).double()).backward()
        return torch.cat([p.grad.flatten() for p in run.model.parameters()])

    whole, halves = gradient(0, 1), (gradient(0, 2) + gradient(1, 2)) / 2
    assert (whole - halves).norm() < 1e-12 * whole.norm()


def test_mixed_precision_trains_and_averages_in_float32(folders, tmp_path):
    run = train(recipe(steps=3), folders[:1], tmp_path, precision=torch.bfloat16)
    assert all(p.dtype == torch.float32 for p in (*run.model.parameters(), *run.average.parameters()))
    assert run.model.levels[0][0].coupling.net.precision == torch.bfloat16
    assert run.average.levels[0][0].coupling.net.precision is None and math.isfinite(run.rows[-1]["validation"])


@pytest.mark.parametrize(("seconds", "chosen"), [(0.5, torch.bfloat16), (0.9, None), (13.0, None)])
def test_auto_measures_on_a_cpu_which_precision_is_faster(folders, tmp_path, monkeypatch, capsys, seconds, chosen):
    """By a stand-in for the clock: 1 s in float32, and so many in bfloat16."""
    measured = []

    def seconds_of(objective, x):
        measured.append(objective.model.levels[0][0].coupling.net.precision)
        objective(x).backward()
        return 1.0 if measured[-1] is None else seconds

    monkeypatch.setattr(loop, "seconds_of", seconds_of)
    run = train(recipe(steps=2), folders, tmp_path / "auto", precision="auto")
    assert set(measured) == {None, torch.bfloat16}
    assert run.model.levels[0][0].coupling.net.precision == chosen
    words = f"precision: {'bfloat16' if chosen else 'float32'}, for 8 images forward and back take 1 s in float32"
    assert words in capsys.readouterr().out
    train(recipe(steps=2), folders, tmp_path / "told", precision=chosen)
    assert_same_run(tmp_path / "auto", tmp_path / "told")


def test_auto_is_float32_for_a_model_that_knows_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "seconds_of", None)
    assert train(replace(DRAWS, steps=1), [], tmp_path, precision="auto").step == 1


def test_one_measurement_takes_a_positive_time(folders):
    run = Run(recipe(), "unused")
    assert loop.seconds_of(Objective(run.model, "glow"), torch.rand(2, 3, 8, 8)) > 0
    assert run.model.levels[0][0].actnorm.bias.grad is not None


class Noisy(nn.Module):
    """A model of another kind: its loss draws random numbers, it has a buffer that training changes, and no samples."""

    def __init__(self, width=4):
        super().__init__()
        self.config = {"size": 8, "width": width}
        self.layers = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, 3, 1))


def test_reversible_training_gives_the_same_weights(folders, tmp_path, undisturbed):
    train(recipe(), folders, tmp_path, every=4, reversible=True)
    state, expected = (load_average(folder)[0].state_dict() for folder in (tmp_path, undisturbed))
    assert not any(torch.equal(a, expected[k]) for k, a in state.items() if k.endswith("net.0.weight"))
    for name, value in state.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4)


def test_only_flows_are_reversible(tmp_path, capsys):
    assert main(["train", "lista", "--out", f"{tmp_path}", "--reversible"]) == 2
    assert "reversible: expected a flow, whose steps have inverses, got lista" in capsys.readouterr().err


def noisy_loss(model, x):
    return (model.layers(x) - torch.randn(len(x), 3, 6, 6)).square().mean()


def test_another_model_needs_one_line_and_resumes_bit_for_bit(folders, tmp_path, monkeypatch):
    monkeypatch.setitem(training.LOSSES, "noisy", noisy_loss)
    monkeypatch.setitem(weights.MODELS, "noisy", lambda size=8, width=4: Noisy(width))
    r = Recipe(model="noisy", config={"size": 8}, steps=4, batch=8)
    train(r, folders, tmp_path / "one", every=2)
    train(r, folders, tmp_path / "two", every=2, minutes=0)
    torch.manual_seed(99)
    train(r, folders, tmp_path / "two", every=2)
    ours, theirs = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert all(torch.equal(value, theirs[1][key]) for key, value in ours[1].items())
    assert ours[0][-1]["validation"] == theirs[0][-1]["validation"]
    assert ours[1]["average.layers.1.running_mean"].abs().max() > 0


DRAWS = Recipe(
    "lista", {"A": [6, 12], "layers": 3, "coupled": True, "density": 0.1, "sigma": 0.1}, steps=6, batch=8, lr=1e-2
)


def test_what_a_recipe_draws_is_a_function_of_seed_and_step():
    first = draw_batch([], 4, DRAWS)
    assert first.shape == (8, 1, 1, 12) and torch.equal(first, draw_batch([], 4, DRAWS))
    assert not torch.equal(first, draw_batch([], 5, DRAWS))
    assert not torch.equal(first, draw_batch([], 4, replace(DRAWS, seed=1)))
    halves = [draw_batch([], 4, DRAWS, rank, 2) for rank in range(2)]
    assert torch.equal(torch.cat(halves), first)
    many = draw_batch([], 0, replace(DRAWS, batch=4000))
    assert (many != 0).float().mean() == pytest.approx(0.1, abs=0.01)
    assert many[many != 0].std() == pytest.approx(1, abs=0.03) and abs(many.sum() / many.count_nonzero()) < 0.05
    validation = training.load_validation([], DRAWS)
    assert len(validation) == 2000 and torch.equal(draw_validation(validation, DRAWS), validation)


def test_a_recipe_that_draws_needs_no_images_and_resumes_bit_for_bit(tmp_path, capsys):
    train(DRAWS, [], tmp_path / "one", every=3)
    train(DRAWS, [], tmp_path / "two", every=3, minutes=0)
    torch.manual_seed(99)
    run = train(DRAWS, [], tmp_path / "two", every=3)
    (rows, tensors), (other_rows, others) = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert rows[-1]["validation"] == other_rows[-1]["validation"]
    assert all(torch.equal(value, others[key]) for key, value in tensors.items())
    longer = train(replace(DRAWS, steps=150), [], tmp_path / "long", every=75)
    assert longer.rows[-1]["validation"] < run.rows[-1]["validation"] - 0.5
    assert main(["export", str(tmp_path / "long"), "tiny", "--folder", str(tmp_path)]) == 0
    about, model = json.loads((tmp_path / "tiny.json").read_text()), load_model("tiny", folder=tmp_path)
    assert about["data"] == [] and about["validation"]["examples"] == 2000 and "photographs" not in about
    z = training.load_validation([], longer.recipe)
    measured = training.mean_loss(model, z, longer.recipe)
    assert measured == pytest.approx(about["validation"]["mean_layer_error_db_float16"], abs=1e-3)
    model.config["sigma"] = 0.0
    exact = training.mean_loss(model, z[:64], longer.recipe)
    errors = [(c - z[:64]).square().sum() / z[:64].square().sum() for c in model.iterates(z[:64] @ model.A.mT)[1:]]
    assert exact == pytest.approx(10 * torch.stack(errors).log10().mean().item(), abs=1e-4) and exact < measured


def test_the_command_line_trains_on_what_it_draws(tmp_path, capsys):
    line = ["train", "lista", "--out", str(tmp_path / "run"), "--device", "cpu", "--batch", "4", "--layers", "2"]
    assert main([*line, "--steps", "1"]) == 0 and main([*line, "--steps", "2"]) == 0
    assert "step 2 of 2" in capsys.readouterr().out
    assert load_average(tmp_path / "run")[0].layers == 2
    assert main([*line, "--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: data: expected no images, lista trains on what it draws")
    assert main([*line, "--photographs", "9"]) == 2
    assert capsys.readouterr().err.startswith("error: data: expected no images")
    assert main([*line, "--steps", "3", "--precision", "bf16"]) == 2
    assert capsys.readouterr().err.startswith("error: precision: expected float32, the only one that lista knows")


def test_sensing_trains_on_photographs_alone(tmp_path):
    r = replace(training.RECIPES["admm_net"], config={"layers": 2, "side": 3}, steps=2, batch=2, photographs=20)
    model, x = train(r, [], tmp_path, every=1).model, torch.rand(2, 3, 16, 16)
    torch.manual_seed(0)
    channel = torch.randint(3, (2,))
    A, truth = SubsampledTransform((16, 16), 0.3), x[torch.arange(2), channel][:, None]
    y = A(truth) + 0.01 * torch.randn(2, 1, 1, A.m)
    torch.manual_seed(0)
    loss = training.LOSSES["admm_net"](model, x)
    assert loss.item() == pytest.approx(training.losses.rmse(model(y, A), truth).item(), rel=1e-5)


def command(*arguments, **environment):
    root = str(Path(__file__).parent.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    everything = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "PYTHONPATH": path} | environment
    line = [sys.executable, "-m", "course_lib", *map(str, arguments)]
    return subprocess.Popen(line, env=everything, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_and_the_command_line_are_one_process(folders, tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(s.getsockname()[1])}
    line = ["train", "glow_bounded", "--data", *folders, *OPTIONS, "--device", "cpu", "--precision", "fp32"]
    line += ["--out", tmp_path / "two", "--steps", 3]
    processes = [command(*line, RANK=str(rank), LOCAL_RANK=str(rank), **group) for rank in range(2)]
    train(recipe(steps=3, warmup=300), folders, tmp_path / "one")
    try:
        outputs = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [p.returncode for p in processes] == [0, 0], outputs
    assert "step 3 of 3" in outputs[0][0] and outputs[1][0] == ""
    (rows, one), (other_rows, two) = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert rows[0]["validation"] == pytest.approx(other_rows[0]["validation"], abs=2e-4)
    for kind in ("exp_avg", "exp_avg_sq"):
        ours, theirs = (torch.cat([v.flatten() for k, v in t.items() if k.endswith(kind)]) for t in (one, two))
        assert (ours - theirs).norm() < 1e-4 * ours.norm()
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == [CHECKPOINT, "log.csv", "samples_000003.png"]


def test_train_goes_on_with_the_recipe_of_its_folder(folders, tmp_path, capsys):
    line = ["train", "glow_bounded", "--data", str(folders[0]), "--out", str(tmp_path), "--device", "cpu"]
    assert main([*line, *OPTIONS, "--steps", "2", "--scale", "sigmoid", "--seed", "5"]) == 0
    assert main([*line, "--steps", "3"]) == 0
    assert "step 3 of 3" in capsys.readouterr().out
    about = read_checkpoint(tmp_path / CHECKPOINT)[0]
    expected = {"config": CONFIG | {"channels": 3, "scale": "sigmoid", "seed": 0}, "batch": 8, "seed": 5, "steps": 3}
    assert about["recipe"] == asdict(Recipe(**expected, lr=5e-3, noise=0.02, name="glow_bounded"))
    assert main([*line, "--batch", "4"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: batch: ") and error.count("\n") == 1
    with pytest.raises(ValueError, match="batch: "):
        main(["--traceback", *line, "--batch", "4"])


def test_a_flow_of_another_size_starts_from_random_weights(tmp_path):
    """The recipe of `glow` starts from the weights of `glow_bounded`, which another width could not take."""
    for more, start in ([], "glow_bounded"), (["--widths", "4", "4"], ""):
        line = ["train", "glow", "--data", "faces", *more]
        assert recipe_of(build_parser(line).parse_args(line), tmp_path).start == start


@pytest.mark.parametrize("other", ["glow_additive", "glow_noisy", "vae"])
def test_a_run_goes_on_under_no_other_recipe(other, folders, tmp_path, capsys):
    """The couplings of `glow_additive` are another model's, and the noise of `glow_noisy` that of another training."""
    line = ["--data", str(folders[0]), "--out", str(tmp_path), "--device", "cpu"]
    assert main(["train", "glow_bounded", *line, *OPTIONS, "--steps", "2"]) == 0
    before = (tmp_path / CHECKPOINT).read_bytes()
    assert main(["train", other, *line, "--steps", "3"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: name: expected the recipe of ") and error.endswith(
        f"glow_bounded (glow), got {other}\n"
    )
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_export_measures_and_writes_the_average(folders, tmp_path, undisturbed, capsys):
    assert main(["export", str(undisturbed), "tiny", "--note", "for a test", "--folder", str(tmp_path)]) == 0
    about = json.loads((tmp_path / "tiny.json").read_text(encoding="utf-8"))
    assert about["note"] == "for a test" and about["steps"] == 12 and len(about["date"]) == 10
    assert about["training"]["batch"] == 8 and about["training"]["noise"] == about["validation"]["noise"] == 0.02
    assert about["data"] == [{"folder": f.name, "images": n} for f, n in zip(folders, (54, 36), strict=True)]
    model = load_model("tiny", folder=tmp_path)
    assert about["parameters"] == sum(p.numel() for p in model.parameters())
    images = load_folder(folders[0], "validation", 8)
    assert about["validation"]["images"] == len(images) == 3
    x = draw_validation(images, recipe())
    assert model.bits_per_dim(x).mean().item() == pytest.approx(about["validation"]["bits_per_dim_float16"], abs=1e-3)
    average, _ = load_average(undisturbed)
    assert average.bits_per_dim(x).mean().item() == pytest.approx(about["validation"]["bits_per_dim"], abs=1e-3)
    assert about["validation"]["bits_per_dim"] == pytest.approx(contents(undisturbed)[0][-1]["validation"], abs=2e-4)
    state = read_checkpoint(undisturbed / CHECKPOINT)[1]
    assert torch.equal(model.levels[0][0].conv.L, state["average.levels.0.0.conv.L"].half().float())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["export", "{tmp}", "tiny", "--folder", "{tmp}"], "error: out: {tmp}/checkpoint.safetensors is missing"),
        (["export", "{run}", "../x", "--folder", "{tmp}"], "error: name: expected letters"),
        (["export", "{run}", "x", "--folder", "{tmp}", "--data", "{tmp}"], "error: folder: {tmp} holds no image"),
        (
            ["train", "glow_bounded", "--data", "{tmp}", "--out", "{tmp}", "--batch", "0"],
            "error: batch: expected an integer >= 1, got 0",
        ),
        (
            ["train", "glow_bounded", "--data", "{tmp}", "--out", "{tmp}", "--size", "30"],
            "error: size: expected a multiple of 16",
        ),
        (["train", "glow_bounded", "--data", "{tmp}", "--out", "{tmp}"], "error: folder: {tmp} holds no image"),
    ],
)
def test_an_error_of_the_user_is_one_line(line, message, tmp_path, undisturbed, capsys):
    names = {"tmp": tmp_path, "run": undisturbed}
    assert main([word.format(**names) for word in line]) == 2
    error = capsys.readouterr().err
    assert error.startswith(message.format(**names)) and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_message_of_many_lines_becomes_one(tmp_path, monkeypatch, capsys):
    def fail(*args, **options):
        raise RuntimeError("first\n\tsecond")

    monkeypatch.setattr("course_lib.training.commands.train", fail)
    assert main(["train", "glow_bounded", "--data", str(tmp_path), "--out", str(tmp_path), "--device", "cpu"]) == 2
    assert capsys.readouterr().err == "error: first second\n"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_asking_for_cuda_without_it_is_an_error(capsys, tmp_path):
    assert main(["train", "glow_bounded", "--data", str(tmp_path), "--out", str(tmp_path), "--device", "cuda"]) == 2
    assert capsys.readouterr().err.startswith("error: device: expected auto or cpu, got cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_training_on_cuda_resumes(folders, tmp_path):
    options = {"device": "cuda", "precision": torch.bfloat16, "every": 2}
    assert train(recipe(), folders, tmp_path, minutes=0, **options).step == 1
    run = train(recipe(), folders, tmp_path, **options)
    assert run.step == 12 and next(run.average.parameters()).is_cuda and math.isfinite(run.rows[-1]["validation"])
