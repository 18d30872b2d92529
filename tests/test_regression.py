"""SRCNN and VDSR: the interpolation before them, their laws, their training, their files."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.__main__ import main
from course_lib.models.regression import SRCNN, VDSR, upscale
from course_lib.models.weights import load_model
from course_lib.operators import Downsample
from course_lib.studies.methods import METHODS
from course_lib.training import LOSSES, Recipe, load_average, train

SMALL = {"srcnn": {"widths": [8, 4]}, "vdsr": {"width": 8, "depth": 4}}
CLASSES = {"srcnn": SRCNN, "vdsr": VDSR}
KINDS = pytest.mark.parametrize("kind", CLASSES)


def network(kind, seed=0, **config):
    """A small network in float64, away from its start."""
    torch.manual_seed(seed)
    model = CLASSES[kind](**SMALL[kind] | config).double()
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return model.freeze()


def images(batch=2, channels=3, height=12, width=12, seed=1):
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_upscaling_is_that_of_pillow(factor):
    y = images(1, 1, 7, 10).float()
    expected = Image.fromarray(y[0, 0].numpy()).resize((10 * factor, 7 * factor), Image.Resampling.BICUBIC)
    assert (upscale(y, factor)[0, 0] - torch.from_numpy(np.array(expected))).abs().max() < 1e-5


def test_the_baseline_of_the_score_table_is_what_the_networks_get():
    for factor in (2, 4):
        y = images(2, 3, 5, 6)
        baseline, objective = METHODS["bicubic"].run(y, Downsample(factor), None, None, 0.1)
        assert torch.equal(baseline, upscale(y, factor)) and objective is None


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_upscaling_keeps_places(factor):
    """The upscaled block means of a ramp are the ramp, away from the borders."""
    ramp = torch.arange(24.0, dtype=torch.float64).expand(1, 2, 24, 24) / 24
    back = upscale(Downsample(factor)(ramp), factor)
    inner = slice(2 * factor, 24 - 2 * factor)
    assert (back - ramp)[..., inner].abs().max() < 1e-12


@KINDS
@pytest.mark.parametrize("size", [(12, 12), (7, 9), (1, 1), (5, 14)])
def test_images_of_any_size_keep_their_shape(kind, size):
    model = network(kind)
    for channels in (1, 3):
        x = images(2, channels, *size)
        assert model(x).shape == x.shape and model(x).dtype == torch.float64 and not torch.equal(model(x), x)


@KINDS
@pytest.mark.parametrize("channels", [1, 3])
def test_a_new_network_is_the_identity(kind, channels):
    model, x = CLASSES[kind](channels, **SMALL[kind]), images(2, channels, 9, 7).float()
    assert torch.equal(model(x), x)


def test_the_paths_of_a_new_srcnn_that_are_not_handed_through_can_learn():
    model = SRCNN(**SMALL["srcnn"])
    (model(images().float()) - images(seed=2).float()).square().sum().backward()
    assert model.net[4].weight.grad[:, 3:].abs().sum() > 0 and model.net[0].weight[3:].std() > 0.05


@KINDS
def test_images_of_a_batch_do_not_meet_in_training_either(kind):
    model, x = network(kind).train(), images(3, 3, 9, 8)
    alone = torch.cat([model(x[i : i + 1]) for i in range(3)])
    assert (model(x) - alone).norm() < 1e-12 * alone.norm()


@KINDS
def test_grey_images_are_the_mean_of_equal_channels(kind):
    model, x = network(kind), images(2, 1, 9, 8)
    assert torch.equal(model(x), model(x.repeat(1, 3, 1, 1)).mean(1, keepdim=True))


@pytest.mark.parametrize(("kind", "config", "width"), [("srcnn", {}, 13), ("vdsr", {"depth": 3}, 7)])
def test_the_receptive_field(kind, config, width):
    model = network(kind, channels=1, **config)
    for p in model.parameters():
        p.data = p.data.abs() + 0.1  # positive weights: no path is cut by a ReLU, none cancels
    x = torch.ones(1, 1, 21, 21, dtype=torch.float64, requires_grad=True)
    model(x)[0, 0, 10, 10].backward()
    seen = x.grad[0, 0].nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [width] * 2


def test_the_papers_sizes():
    shapes = [list(conv.weight.shape) for conv in list(SRCNN(channels=1).net)[::2]]
    assert shapes == [[64, 1, 9, 9], [32, 64, 1, 1], [1, 32, 5, 5]]
    convs = list(VDSR(channels=1).net)[::2]
    assert len(convs) == 20 and {conv.out_channels for conv in convs[:-1]} == {64}


@KINDS
def test_mixed_precision_is_close_and_frozen_weights_have_no_gradient(kind):
    model, x = network(kind).float(), images().float()
    exact, close = model(x), model.mixed_precision(torch.bfloat16)(x)
    assert close.dtype == torch.float32 and 0 < (exact - close).norm() < 0.02 * exact.norm()
    assert not any(p.requires_grad for p in model.parameters()) and not model.training


class Probe(torch.nn.Module):
    """A network that keeps what the loss gives to it, and hands it through."""

    def __init__(self, factors):
        super().__init__()
        self.config, self.inputs = {"factors": factors}, []

    def forward(self, x):
        self.inputs.append(x)
        return x


def test_the_loss_is_that_of_upscaled_block_means():
    x, probe = images(2, 3, 13, 12), Probe([3])
    value = LOSSES["vdsr"](probe, x)
    expected = upscale(Downsample(3)(x[:, :, :12]), 3)
    assert torch.equal(probe.inputs[0], expected)
    mse = (expected - x[:, :, :12]).square().mean((1, 2, 3))
    assert value.item() == pytest.approx((mse + 1e-6).sqrt().mean().item())


def test_the_loss_draws_all_factors():
    x, probe = images(1, 3, 12, 12), Probe([2, 3, 4])
    for _ in range(30):
        LOSSES["vdsr"](probe, x)
    candidates = [upscale(Downsample(k)(x), k) for k in (2, 3, 4)]
    counts = [sum(torch.equal(seen, c) for seen in probe.inputs) for c in candidates]
    assert sum(counts) == 30 and min(counts) >= 3


def small_recipe(kind, **options):
    options = {"steps": 24, "batch": 4, "lr": 1e-3, "warmup": 3, "ema": 0.5, "noise": 0.0, "photographs": 40} | options
    return Recipe(kind, SMALL[kind] | {"factors": [2]}, **options)


@KINDS
def test_it_learns_from_photographs_alone(kind, tmp_path):
    rows = train(small_recipe(kind, steps=60), [], tmp_path, every=20).rows
    assert rows[-1]["validation"] < rows[0]["validation"] and all(math.isfinite(row["train"]) for row in rows)


@pytest.mark.parametrize(("kind", "option"), [("srcnn", ["--widths", "8", "4"]), ("vdsr", ["--width", "8"])])
def test_the_command_line_trains_exports_and_loads(kind, option, tmp_path, capsys):
    line = ["train", kind, "--out", str(tmp_path / "run"), "--photographs", "20", "--device", "cpu", "--batch", "4"]
    assert main([*line, *option, "--steps", "2", "--factors", "2", "4"]) == 0
    assert main(["export", str(tmp_path / "run"), "tiny", "--folder", str(tmp_path)]) == 0
    about = json.loads((tmp_path / "tiny.json").read_text(encoding="utf-8"))
    assert about["config"]["factors"] == [2, 4] and about["validation"]["images"] == 20
    assert about["photographs"]["test"] == ["astronaut", "chelsea", "moon", "page"]
    model, average = load_model("tiny", folder=tmp_path), load_average(tmp_path / "run")[0]
    for name, value in average.state_dict().items():
        assert torch.equal(model.state_dict()[name], value.half().float())
    capsys.readouterr()
    assert main([*line, "--scale", "sigmoid"]) == 2
    assert capsys.readouterr().err == f"error: scale: expected an option of {kind}, got one of another model\n"
