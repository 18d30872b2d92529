"""DnCNN and its variants: their laws, their noise map, their training, their files."""

import json
import math

import pytest
import torch

from course_lib.__main__ import main
from course_lib.models.conv_layers import ConvStack
from course_lib.models.denoiser import DnCNN, extend, noise_map
from course_lib.models.weights import load_model
from course_lib.training import LOSSES, RECIPES, Recipe, load_average, train

SMALL = {"width": 8, "depth": 4}
VARIANTS = {
    "noise map": {},
    "blind": {"noise_map": False},
    "bias-free": {"noise_map": False, "bias": False},
    "bias-free with noise map": {"bias": False},
    "original": {"shuffle": 1, "noise_map": False},
    "grey": {"channels": 1},
    "shuffle 3": {"shuffle": 3},
}


def denoiser(seed=0, **config):
    """A small network in float64 whose last layer is not zero."""
    torch.manual_seed(seed)
    model = DnCNN(**SMALL | config).double()
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return model.freeze()


def images(batch=2, channels=3, height=12, width=12, seed=1):
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("size", [(12, 12), (7, 9), (1, 1), (5, 14)])
@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_images_of_any_size_keep_their_shape(config, size):
    model = denoiser(**config)
    for channels in {1, model.config["channels"]}:
        x = images(2, channels, *size)
        assert model(x, 0.1).shape == x.shape and model(x, 0.1).dtype == torch.float64
        assert not torch.equal(model(x, 0.1), x)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_a_new_network_is_the_identity(config):
    model = DnCNN(**SMALL | config)
    x = images(2, model.config["channels"], 7, 9).float()
    assert torch.equal(model(x, 0.1), x)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_images_of_a_batch_do_not_meet_in_training_either(config):
    model = denoiser(**config).train()
    x, sigma = images(3, model.config["channels"], 9, 8), torch.tensor([0.0, 0.1, 0.2])
    alone = torch.cat([model(x[i : i + 1], sigma[i]) for i in range(3)])
    assert (model(x, sigma) - alone).norm() < 1e-12 * alone.norm()


@pytest.mark.parametrize("a", [0.0, 0.3, 7.0])
def test_a_bias_free_network_is_homogeneous(a):
    x = images(2, 3, 11, 8) - 0.5
    model = denoiser(**VARIANTS["bias-free"])
    assert (model(a * x) - a * model(x)).norm() <= 1e-12 * model(x).norm()
    other = denoiser(noise_map=False)
    assert (other(a * x) - a * other(x)).norm() > 1e-2 * other(x).norm()
    assert not any("bias" in name for name, _ in model.named_parameters())


def test_the_noise_map_enters_and_its_forms_agree():
    model, x = denoiser(), images(2, 3, 9, 8)
    one = model(x, 0.1)
    assert (one - model(x, 0.2)).norm() > 1e-3 * one.norm()
    assert torch.equal(one, model(x, torch.tensor([0.1, 0.1], dtype=torch.float64)))
    assert torch.equal(one, model(x, torch.full((1, 1, 9, 8), 0.1, dtype=torch.float64)))
    assert torch.equal(model(x, torch.tensor([0.1, 0.2], dtype=torch.float64))[1:], model(x[1:], 0.2))


def test_a_map_of_sigma_acts_where_it_changes():
    model, x = denoiser(depth=2, shuffle=2), images(1, 3, 32, 32)
    sigma = torch.full((1, 1, 32, 32), 0.1, dtype=torch.float64)
    sigma[..., 24:] = 0.2
    changed = (model(x, sigma) - model(x, 0.1)).abs().amax((0, 1, 2))
    assert (changed[:20] == 0).all() and (changed[20:] > 0).all()


def test_a_blind_network_takes_sigma_and_ignores_it():
    model, x = denoiser(noise_map=False), images()
    assert torch.equal(model(x), model(x, 0.3))


def test_grey_images_are_the_mean_of_equal_channels():
    model, x = denoiser(), images(2, 1, 9, 8)
    expected = model(x.repeat(1, 3, 1, 1), 0.1).mean(1, keepdim=True)
    assert torch.equal(model(x, 0.1), expected)


@pytest.mark.parametrize(("shuffle", "depth"), [(1, 3), (2, 3), (3, 2)])
def test_the_receptive_field_is_as_wide_as_the_docstring_says(shuffle, depth):
    torch.manual_seed(0)
    model = DnCNN(channels=1, width=6, depth=depth, shuffle=shuffle, noise_map=False, bias=False).double()
    for p in model.parameters():
        p.data = p.data.abs() + 0.1  # positive weights: no path is cut by a ReLU, none cancels
    side = 30
    x = torch.ones(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    centre = side // shuffle // 2 * shuffle
    model(x)[0, 0, centre, centre].backward()
    seen = x.grad[0, 0].nonzero()
    widths = (seen.max(0).values - seen.min(0).values + 1).tolist()
    assert widths == [shuffle * (2 * depth + 1)] * 2


def test_an_image_is_extended_by_its_last_row_and_column():
    x = images(1, 1, 3, 5)
    y = extend(x, 2)
    assert y.shape == (1, 1, 4, 6) and torch.equal(y[..., 3, :5], x[..., 2, :]) and torch.equal(y[..., 5], y[..., 4])
    assert extend(y, 2) is y


@pytest.mark.parametrize("sigma", [torch.rand(2, 1, 8, 7), torch.full((1, 1, 8, 8), math.nan), -torch.ones(2, 1, 8, 8)])
def test_a_wrong_map_is_named(sigma):
    with pytest.raises(ValueError, match=r"^sigma: expected"):
        DnCNN(**SMALL)(torch.rand(2, 3, 8, 8), sigma)


def test_a_noise_map_has_the_dtype_of_the_images():
    x = images(2).half()
    assert noise_map(0.1, x).dtype == torch.float16 and noise_map(torch.ones(1, 1, 12, 12), x).shape == (2, 1, 12, 12)


def test_mixed_precision_is_close_and_frozen_weights_have_no_gradient():
    model = DnCNN(**SMALL)
    x = images(2).float()
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    exact, close = model(x, 0.1), model.mixed_precision(torch.bfloat16)(x, 0.1)
    assert close.dtype == torch.float32
    assert 0 < (exact - close).norm() < 0.02 * (exact - x).norm()
    assert model.mixed_precision(None)(x, 0.1).equal(exact)
    assert not any(p.requires_grad for p in model.freeze().parameters()) and not model.training


def test_under_another_autocast_rounded_weights_are_not_kept():
    model, x = DnCNN(**SMALL).mixed_precision(torch.bfloat16), images(2).float()
    with torch.autocast("cpu", torch.bfloat16):
        model(x, 0.1)
        for p in model.parameters():
            p.data += 0.1 * torch.randn_like(p)
        inside = model(x, 0.1)
    assert torch.equal(inside, model(x, 0.1)) and not torch.equal(inside, x)


def test_the_stack_has_its_depth():
    stack = ConvStack(3, 5, 7, 6)
    convs = list(stack)[::2]
    assert [(c.in_channels, c.out_channels) for c in convs] == [(3, 7), *[(7, 7)] * 4, (7, 5)]
    assert bool((convs[-1].weight == 0).all())
    random = convs[0].weight.detach().clone()
    for c in range(3):
        random[c, c, 1, 1] -= 1
    assert random.std().item() == pytest.approx(0.3 * math.sqrt(2 / 27), rel=0.15)


class Probe(torch.nn.Module):
    """A denoiser that keeps what the loss gives to it."""

    def __init__(self):
        super().__init__()
        self.config = {"sigmas": [0.05, 0.15]}

    def forward(self, x, sigma):
        self.x, self.sigma = x, sigma
        return x


def test_the_loss_draws_its_range_of_noise_levels_and_some_grey_images():
    probe, x = Probe(), torch.full((400, 3, 16, 16), 0.5) + torch.tensor([0.1, 0.0, -0.1])[:, None, None]
    value = LOSSES["dncnn"](probe, x)
    assert 0.05 <= probe.sigma.min() < 0.055 and 0.145 < probe.sigma.max() <= 0.15
    grey = (probe.x - probe.x[:, :1]).abs().amax((1, 2, 3)) == 0
    assert 0.17 < grey.float().mean() < 0.33
    truth = torch.where(grey[:, None, None, None], x.mean(1, keepdim=True), x)
    noise = probe.x - truth
    assert torch.allclose(noise.std((1, 2, 3)), probe.sigma, rtol=0.2)
    assert value.item() == pytest.approx((noise.square().mean((1, 2, 3)) + 1e-6).sqrt().mean().item())


def small_recipe(**options):
    config = SMALL | {"sigmas": [0.1, 0.1]}
    options = {"steps": 30, "batch": 4, "lr": 3e-3, "warmup": 3, "ema": 0.5, "noise": 0.0, "photographs": 40} | options
    return Recipe("dncnn", config, **options)


def test_it_learns_from_photographs_alone(tmp_path):
    rows = train(small_recipe(), [], tmp_path, every=10).rows
    assert rows[-1]["validation"] < rows[0]["validation"]


def test_the_command_line_trains_exports_and_loads(tmp_path, capsys):
    options = ["--width", "8", "--depth", "3", "--steps", "2", "--batch", "4", "--photographs", "20", "--device", "cpu"]
    line = ["train", "dncnn_bias_free", "--out", str(tmp_path / "run")]
    assert main([*line, *options]) == 0
    assert main(["export", str(tmp_path / "run"), "tiny", "--folder", str(tmp_path)]) == 0
    about = json.loads((tmp_path / "tiny.json").read_text(encoding="utf-8"))
    fixed = RECIPES["dncnn_bias_free"].config
    assert about["config"] == {"channels": 3, "shuffle": 2} | fixed | {"width": 8, "depth": 3}
    assert "camera" in about["photographs"]["validation"] and about["training"]["photographs"] == 20
    model, average = load_model("tiny", folder=tmp_path), load_average(tmp_path / "run")[0]
    for name, value in average.state_dict().items():
        assert torch.equal(model.state_dict()[name], value.half().float())
    assert model(torch.rand(1, 3, 9, 7)).shape == (1, 3, 9, 7)
    capsys.readouterr()
    assert main(["train", "dncnn", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: name: expected the recipe of ") and error.endswith("(dncnn), got dncnn\n")
