"""Pictures of one's own: files of many kinds, the problems that they pose, tiles, what the prior added, resumption."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import convolve2d

from course_lib import data
from course_lib.__main__ import main
from course_lib.metrics import psnr
from course_lib.models.denoiser import DnCNN
from course_lib.operators import Downsample, Identity, Mask, Operator, gaussian_kernel, square_mask
from course_lib.reconstruction import plug_and_play
from course_lib.restore import pictures, priors, problems, read_picture, restore, run, sheet


def wave(height, width, channels=3):
    """A smooth picture with an edge, [H, W, C] in [0, 1], that no turn and no flip leaves as it is."""
    i, j = np.mgrid[:height, :width]
    values = 0.3 + 0.2 * np.sin(i / 5) + 0.2 * j / width + 0.2 * (i < height / 3) * (j < width / 2)
    return np.stack([values * (1 - 0.2 * c) for c in range(channels)], 2)


def eight(array):
    return (255 * array).round().astype(np.uint8)


def oriented(path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"  # turned by 90°; the maker
    Image.fromarray(eight(wave(40, 60))).save(path, exif=exif, quality=95)


def palette(path):
    Image.fromarray(eight(wave(33, 47))).quantize(64).save(path)


def colour_and_alpha(path):
    alpha = np.full((33, 47, 1), 200, np.uint8)
    Image.fromarray(np.concatenate([eight(wave(33, 47)), alpha], 2)).save(path)


def grey_and_alpha(path):
    Image.fromarray(np.concatenate([eight(wave(20, 31, 1)), np.full((20, 31, 1), 99, np.uint8)], 2), "LA").save(path)


def save(make, **options):
    return lambda path: Image.fromarray(make()).save(path, **options)


KINDS = {
    "16 bits": ("x.png", save(lambda: (60000 * wave(40, 33, 1)[:, :, 0]).astype(np.uint16)), "I;16", (33, 40)),
    "12 of 16 bits": ("x.tif", save(lambda: (4000 * wave(40, 33, 1)[:, :, 0]).astype(np.uint16)), "I;16", (33, 40)),
    "turned JPEG": ("x.jpg", oriented, "RGB", (40, 60)),
    "grey": ("x.png", save(lambda: eight(wave(50, 41, 1))[:, :, 0], dpi=(300, 300)), "L", (41, 50)),
    "palette": ("x.png", palette, "RGB", (47, 33)),
    "transparent": ("x.png", colour_and_alpha, "RGBA", (47, 33)),
    "grey, transparent": ("x.png", grey_and_alpha, "LA", (31, 20)),
    "floats": ("x.tif", save(lambda: (900 * wave(30, 44, 1)[:, :, 0] - 3).astype(np.float32)), "F", (44, 30)),
    "32 bits": ("x.tif", save(lambda: (1e6 * wave(30, 44, 1)[:, :, 0]).astype(np.int32)), "I", (44, 30)),
    "odd and small": ("x.bmp", save(lambda: eight(wave(33, 47))), "RGB", (47, 33)),
    "CMYK": ("x.tif", lambda p: Image.fromarray(eight(wave(33, 47))).convert("CMYK").save(p), "RGB", (47, 33)),
    "one bit": ("x.png", lambda p: Image.fromarray(wave(33, 47, 1)[:, :, 0] > 0.5).save(p), "L", (47, 33)),
    "large": ("x.png", save(lambda: eight(wave(1010, 1100))), "RGB", (1100, 1010)),
}


@pytest.fixture
def idle(monkeypatch):
    """An untrained DnCNN removes nothing: what goes in must come out."""
    monkeypatch.setattr(priors, "load_model", lambda *_: DnCNN(width=4, depth=2).freeze())


def small_denoiser():
    """A denoiser of random weights."""
    denoiser = DnCNN(width=8, depth=4)
    torch.nn.init.normal_(denoiser.net[-1].weight, std=0.1)
    return denoiser.freeze()


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_keeps_its_kind(kind, tmp_path, idle):
    name, make, mode, size = KINDS[kind]
    make(tmp_path / name)
    out = pictures.suggested_path(tmp_path / name, "denoising")
    assert out.suffix == (".png" if name == "x.jpg" else (tmp_path / name).suffix)
    found = restore(tmp_path / name, "denoising", out)
    before, after = Image.open(tmp_path / name), Image.open(out)
    assert after.mode == mode and after.size == size and found.x.shape[2:] == size[::-1]
    assert not after.getexif().get(0x0112) and after.getexif().get(0x010F) == before.getexif().get(0x010F)
    upright = before.rotate(-90, expand=True) if kind == "turned JPEG" else before
    upright = upright.convert(mode) if before.mode in ("P", "CMYK", "1") else upright
    expected, values = np.asarray(upright, dtype=np.float64), np.asarray(after, dtype=np.float64)
    assert np.abs(values - expected).max() <= 1e-6 * np.ptp(expected) * (kind in ("floats", "32 bits"))
    assert found.y.min() >= 0 and found.y.max() <= 1 and found.y.max() - found.y.min() > 0.25
    assert after.info.get("dpi", 0) == pytest.approx(before.info.get("dpi", 0), rel=1e-3)  # a PNG counts in metres
    assert Image.open(found.sheet).size > (900, 600) and len(list(tmp_path.iterdir())) == 3


def test_what_a_file_does_not_say_is_said(tmp_path):
    stack = [Image.fromarray(np.full((9, 9), k, np.int32)) for k in (5, 6)]
    stack[0].save(tmp_path / "stack.tif", save_all=True, append_images=stack[1:])
    assert "the first of 2 frames" in read_picture(tmp_path / "stack.tif").notes
    made = read_picture(Image.fromarray((4000 * wave(8, 8, 1)[:, :, 0]).astype(np.uint16)))
    assert made.high == 4095 and "white 4095" in made.notes[0]
    given = read_picture(Image.fromarray(np.full((4, 4), 3, np.float32)), limits=(1, 5))
    assert torch.equal(given.x, torch.full((1, 1, 4, 4), 0.5)) and not given.notes
    inverted = Image.fromarray(np.full((4, 4), 1, np.uint16))
    inverted.save(tmp_path / "inverted.tif", tiffinfo={262: 0})
    assert Image.open(tmp_path / "inverted.tif").tag_v2[262] == 0
    assert read_picture(tmp_path / "inverted.tif").x.max() == 0  # the largest value is black there


def test_transparent_pixels_and_nan_are_holes(tmp_path):
    holes = ~square_mask(33, 47, side=6)[0].numpy()
    colour = np.concatenate([eight(wave(33, 47)), eight(1.0 - holes)[:, :, None]], 2)
    Image.fromarray(colour).save(tmp_path / "x.png")
    found = restore(tmp_path / "x.png", "inpainting", tmp_path / "y.png", prior="tv", sigma=0.01)
    after = np.asarray(Image.open(tmp_path / "y.png"))
    assert (after[..., 3] == 255).all() and np.abs(after[..., :3] - 255 * wave(33, 47)).max() < 12
    assert found.values == pytest.approx(holes.mean(), abs=0.01)
    floats = np.where(holes, np.nan, wave(33, 47, 1)[:, :, 0]).astype(np.float32)
    problem = problems.make_problem(read_picture(Image.fromarray(floats)), "inpainting")
    assert torch.equal(problem.mask[0], torch.from_numpy(~holes)) and problem.y.isfinite().all()


def test_tiles_make_what_the_whole_would():
    x = torch.rand(1, 3, 131, 150, dtype=torch.float64)
    denoiser, margin = small_denoiser().double(), 2 * 4  # shuffle and depth
    problem = x + 0.1 * torch.randn_like(x), Downsample(1), 0.1, denoiser, margin, [0.2, 0.1], x
    found = {}
    for side in (36, 512):
        state = {"x": x.clone()}
        for stage in priors.splitting_stages(*problem, side):
            state = stage(state)
        found[side] = state["x"]
    assert (found[36] - found[512]).abs().max() < 1e-12
    y, A, sigma, denoiser, *_ = problem
    expected = plug_and_play.hqs(y, A, denoiser, sigma, x, start=0.2, lam=priors.WEIGHT, steps=2).x
    assert (found[36] - expected).abs().max() < 1e-12


def test_a_blur_in_a_frame_is_a_convolution_without_borders():
    kernel = torch.rand(5, 3, dtype=torch.float64)
    A = problems.BlurInFrame(kernel / kernel.sum(), 17, 22)
    x, y = torch.randn(1, 1, *A.shape, dtype=torch.float64), torch.randn(1, 1, 17, 22, dtype=torch.float64)
    expected = convolve2d(x[0, 0], A.blur.kernel, mode="valid")[:17, :22]
    assert np.abs(A(x)[0, 0].numpy() - expected).max() < 1e-12
    assert torch.equal(A.cut(A.T(y)), A.cut(A.blur.T(torch.nn.functional.pad(y, A.frame))))
    assert abs((A(x) * y).sum() - (x * A.T(y)).sum()) < 1e-12
    exact = Operator.prox(A, x, y, 0.5)
    errors = [(A.prox(x, y, 0.5, iterations=n) - exact).norm().item() for n in (0, 1, 3, 60)]
    assert errors == sorted(errors, reverse=True) and errors[3] < 1e-7 * errors[0]


def test_what_the_prior_added_is_what_the_operator_hides():
    x = torch.rand(1, 3, 24, 36, dtype=torch.float64)
    centred = x - x.mean((2, 3), keepdim=True)
    mask = square_mask(24, 36, side=9)
    for A in (Identity(), Mask(mask), Downsample(2)):
        problem = problems.Problem(A(x), A, x, 0.0, "given")
        u, share = problem.unseen(x)
        hidden = {"Identity": torch.zeros_like(x), "Mask": centred * ~mask[None]}.get(type(A).__name__)
        hidden = x - A.T(A(x)) * 4 if hidden is None else hidden
        assert (u - hidden).norm() < 1e-3 * centred.norm()
        assert share == pytest.approx(
            {"Identity": 0, "Mask": (9 * 9) / (24 * 36), "Downsample": 0.75}[type(A).__name__], abs=0.01
        )
    # A frequency that the blur brings to σ/τ of its height is half the prior's.
    A = problems.BlurInFrame(gaussian_kernel(1.5, dtype=torch.float64), 64, 64)
    t = torch.arange(A.shape[1], dtype=torch.float64) * 2 * torch.pi * 8 / A.shape[1]
    x = torch.cos(t).expand(1, 1, *A.shape)
    height = A.blur(x).abs().max()
    problem = problems.Problem(A(x), A, x, (height * A.cut(x).std()).item(), "given")
    assert (problem.unseen(x)[0] - A.cut(x) / 2).abs().max() < 1e-6


def test_sigma_is_estimated_where_it_can_be():
    y = torch.from_numpy(wave(96, 96)).permute(2, 0, 1)[None] + 0.05 * torch.randn(1, 3, 96, 96)
    assert problems.noise_level(y) == pytest.approx(0.05, rel=0.1)
    hole = square_mask(96, 96, side=30)
    assert problems.noise_level(y * hole[None], hole) == pytest.approx(0.05, rel=0.1)
    scattered = torch.rand(1, 96, 96) > 0.5
    assert problems.noise_level(y * scattered[None], scattered) is None
    picture = read_picture(Image.fromarray(eight(y[0].permute(1, 2, 0).clamp(0, 1).numpy())))
    assert problems.make_problem(picture, "inpainting", mask=scattered[0]).given.startswith("assumed")
    given = problems.make_problem(picture, "denoising", sigma=0.2)
    assert (given.sigma, given.given) == (0.2, "given")


@pytest.mark.parametrize("kind", ["picture", "text", "npy"])
def test_a_kernel_from_a_file(kind, tmp_path):
    kernel = np.outer([1, 2, 3, 2], [1, 4, 1]).astype(np.float64)
    path = tmp_path / {"picture": "k.png", "text": "k.csv", "npy": "k.npy"}[kind]
    if kind == "picture":
        Image.fromarray((20 * kernel).astype(np.uint8)).save(path)
    elif kind == "text":
        np.savetxt(path, kernel, delimiter=",")
    else:
        np.save(path, kernel)
    expected = np.pad(kernel, ((0, 1), (0, 0))) / kernel.sum()
    assert np.abs(pictures.read_kernel(path).numpy() - expected).max() < 1e-6


def as_picture(x):
    return Image.fromarray(eight(x[0].permute(1, 2, 0).clamp(0, 1).numpy()).squeeze())


def test_the_results_are_better_than_what_costs_nothing():
    x = data.photograph("cat", 96)
    noisy = x + 0.01 * torch.randn_like(x)
    scattered = torch.rand(96, 96) > 0.5
    filled = restore(as_picture(noisy * scattered), "inpainting", mask=scattered, sigma=0.01)
    start = problems.nearest(noisy, scattered[None])
    assert psnr(filled.x.clamp(0, 1), x) > psnr(start, x) + 3 and filled.prior == "pnp" and filled.residual < 1.2
    assert filled.energy == pytest.approx(0.5, abs=0.1) and filled.values == pytest.approx(0.5, abs=0.05)
    kernel = gaussian_kernel(1.2)
    blurred = problems.BlurInFrame(kernel, 84, 84)
    inner = x[..., 6:-6, 6:-6]
    y = torch.from_numpy(np.stack([convolve2d(c, kernel, mode="same")[6:-6, 6:-6] for c in x[0].numpy()]))[
        None
    ] + 0.005 * torch.randn(1, 3, 84, 84)
    sharp = restore(as_picture(y), "deblurring", kernel=kernel, steps=4)
    assert sharp.x.shape == inner.shape and blurred.size == (84, 84)
    assert psnr(sharp.x.clamp(0, 1), inner) > psnr(y.clamp(0, 1), inner) + 2
    noisy = x + 0.1 * torch.randn_like(x)
    clean = restore(as_picture(noisy), "denoising")
    assert psnr(clean.x.clamp(0, 1), x) > psnr(noisy.clamp(0, 1), x) + 5 and clean.sigma == pytest.approx(0.1, rel=0.15)
    assert clean.residual == pytest.approx(1, abs=0.2)


def prior_for(picture, task, **options):
    return priors.choose_prior("auto", problems.make_problem(read_picture(picture), task, **options))[0]


def test_the_prior_suits_the_picture():
    face, cat, hole = data.face(), data.photograph("cat"), torch.rand(64, 64) > 0.3
    assert prior_for(as_picture(face), "inpainting", mask=hole) == "face"
    assert prior_for(as_picture(face.flip(2)), "inpainting", mask=hole) == "pnp"  # on its head
    assert prior_for(as_picture(cat), "inpainting", mask=hole) == "pnp"
    assert prior_for(as_picture(cat.mean(1, keepdim=True)), "inpainting", mask=hole) == "patches"
    assert prior_for(as_picture(face), "deblurring", kernel=np.ones((3, 3))) == "pnp"


def test_each_prior_fills_a_hole_in_a_face_at_least_as_well_as_total_variation():
    x, mask = data.face(), square_mask(64, 64, side=16)[0]
    error = {}
    for prior in ("tv", "pnp", "face"):
        found = restore(as_picture(x), "inpainting", prior=prior, mask=mask, sigma=0.01)
        error[prior] = (found.x - x)[:, :, ~mask].square().mean().item()
    assert error["face"] < 0.7 * error["tv"] and error["pnp"] < error["tv"], error


@pytest.mark.parametrize("prior", ["patches", "tv"])
def test_the_other_priors_run(prior):
    x = data.photograph("camera", 32).mean(1, keepdim=True)
    mask = torch.rand(32, 32) > 0.4
    found = restore(as_picture(x), "inpainting", prior=prior, mask=mask, steps=2 if prior == "patches" else 100)
    assert found.prior == prior and psnr(found.x.clamp(0, 1), x) > psnr(problems.nearest(x, mask[None]), x)


@pytest.mark.parametrize("end", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_run_goes_on(end, tmp_path, monkeypatch):
    if end is MemoryError:  # as a power cut: nobody has the time to keep anything
        monkeypatch.setattr(run, "EVERY", 0)
        monkeypatch.setattr(run, "TIMES", 0)
    monkeypatch.setattr(priors, "TILE", 32)
    denoiser, calls = small_denoiser(), []

    class Stopping:
        config, stop = denoiser.config, 7

        def __call__(self, x, s):
            calls.append(s)
            if len(calls) == self.stop:
                raise end
            return denoiser(x, s)

    monkeypatch.setattr(priors, "load_model", lambda *_: Stopping())
    Image.fromarray(eight(wave(50, 41))).save(tmp_path / "x.png")
    given = tmp_path / "x.png", "sr", tmp_path / "y.png"
    with pytest.raises(end):
        restore(*given, steps=2, sigma=0.01)
    assert (tmp_path / "y.png.part").exists() and not (tmp_path / "y.png").exists()
    other = restore(*given[:2], steps=2, sigma=0.01).x  # without a file nothing is kept, nothing is found
    assert len(calls) == 7 + 2 * 12
    found = restore(*given, steps=2, sigma=0.01)
    assert len(calls) == 7 + 2 * 12 + 2 * 12 - 6 and torch.equal(found.x, other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.png", "y.png", "y_sheet.png"]
    Stopping.stop = len(calls) + 3
    with pytest.raises(end):
        restore(*given, steps=2, sigma=0.01)
    before = len(calls)
    restore(*given, steps=2, sigma=0.02)  # another problem does not take it up
    assert len(calls) == before + 2 * 12


GREY = Image.fromarray(eight(wave(20, 30, 1))[:, :, 0])
FLOATS = Image.fromarray(np.array([[0, np.nan], [1, 2]], np.float32))
BAD = {
    "task": (GREY, "cleaning", {}),
    "mask: expected the picture": (GREY, "inpainting", {}),
    "mask: expected none for denoising": (GREY, "denoising", {"mask": np.ones((20, 30))}),
    "mask: expected 30×20": (GREY, "inpainting", {"mask": np.ones((30, 20))}),
    "mask: expected white": (GREY, "inpainting", {"mask": np.zeros((20, 30))}),
    "mask: expected black": (GREY, "inpainting", {"mask": np.ones((20, 30))}),
    "kernel: expected a blur kernel": (GREY, "deblurring", {}),
    "kernel: expected at most": (GREY, "deblurring", {"kernel": np.ones((21, 3))}),
    "kernel: expected finite": (GREY, "deblurring", {"kernel": np.zeros((3, 3))}),
    "kernel: expected rows": (GREY, "deblurring", {"kernel": np.ones(3)}),
    "kernel: expected a picture": (GREY, "deblurring", {"kernel": __file__}),
    "factor": (GREY, "sr", {"factor": 1}),
    "sigma": (GREY, "denoising", {"sigma": -1}),
    "steps": (GREY, "denoising", {"steps": 0}),
    "limits": (GREY, "denoising", {"limits": (1, 1)}),
    "prior: expected auto": (GREY, "denoising", {"prior": "magic"}),
    "prior: expected for face": (GREY, "denoising", {"prior": "face"}),
    "prior: expected for patches, sides": (GREY.crop((0, 0, 9, 9)), "denoising", {"prior": "patches"}),
    "prior: expected for tv, a result": (Image.new("L", (1025, 1025)), "denoising", {"prior": "tv"}),
    "picture: expected at most": (GREY, "sr", {"factor": 1000}),
    "picture: expected finite values everywhere": (FLOATS, "denoising", {}),
    "picture: expected a path": (3, "denoising", {}),
    "out: expected 8 bits": (GREY, "denoising", {"out": "y.gif"}),
    "out: expected floats": (Image.fromarray(np.zeros((3, 3), np.float32)), "denoising", {"out": "y.png"}),
    "out: expected a file in a folder": (GREY, "denoising", {"out": "no/such/folder/y.png"}),
}


@pytest.mark.parametrize("message", BAD)
def test_what_does_not_fit_is_named(message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture, task, options = BAD[message]
    with pytest.raises(ValueError, match=message):
        restore(picture, task, **options)
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path, capsys, idle):
    Image.fromarray(eight(wave(33, 47))).save(tmp_path / "x.jpg")
    path = str(tmp_path / "x.jpg")
    assert main(["restore", path, "--task", "sr", "--factor", "3", "--steps", "1", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        "sr, σ = " in lines[0]
        and "(estimated)" in lines[0]
        and lines[-2:]
        == [
            str(tmp_path / "x_sr.png"),
            str(tmp_path / "x_sr_sheet.png"),
        ]
    )
    assert any("of its values the picture determines" in line for line in lines)
    assert Image.open(tmp_path / "x_sr.png").size == (141, 99)
    for given, part in (
        ([path, "--task", "inpainting"], "error: mask: "),
        ([path, "--task", "denoising", "--out", path], "error: out: expected another file"),
        ([str(tmp_path / "none.png"), "--task", "sr"], "none.png"),
        ([__file__, "--task", "sr"], "error: picture: "),
    ):
        assert main(["restore", *given]) == 2
        assert part in capsys.readouterr().err


def test_the_sheet_shows_where_the_prior_added_most():
    u = torch.zeros(1, 1, 300, 500)
    u[..., 200:260, 400:460] = 1
    row, column, side = sheet.detail_at(u)
    assert row <= 200 and row + side >= 260 and column <= 400 and column + side >= 460
    assert sheet.smaller(torch.zeros(1, 1, 3000, 500)).shape == (1, 1, 1000, 167)
