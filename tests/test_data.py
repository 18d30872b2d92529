"""Reading images: the frame, the modes of a file, the splits, what is wrong with a folder; tasks and observations."""

import io
import struct
import zlib

import numpy as np
import pytest
import skimage.data
import tifffile
import torch
from PIL import Image

from course_lib.data import TASKS, make_task, observe
from course_lib.data.images import (
    FRAME,
    PHOTOGRAPH_SPLITS,
    PHOTOGRAPHS,
    face,
    face_box,
    grey_faces,
    image_files,
    load_folder,
    open_picture,
    photograph,
    photograph_crops,
    read_image,
    save_grid,
    to_float,
    whole_photograph,
)
from course_lib.operators import Blur, Downsample, Mask, uniform_kernel


def gradient(width, height):
    """An image that is linear in the place: red from left to right, green from top to bottom, of 255 grey levels."""
    red = np.broadcast_to(255 * (np.arange(width) + 0.5) / width, (height, width))
    green = np.broadcast_to(255 * (np.arange(height)[:, None] + 0.5) / height, (height, width))
    return Image.fromarray(np.stack([red, green, 0 * red], 2).round().astype(np.uint8))


def write(folder, *names, size=(8, 8)):
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        Image.new("RGB", size, (i, 2 * i, 3 * i)).save(folder / name)
    return folder


@pytest.mark.parametrize("size", [(178, 218), (89, 109)])
def test_faces_of_each_scale_are_cut_to_the_frame(tmp_path, size):
    gradient(*size).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png").double()
    centers = (torch.arange(64).double() + 0.5) * 140 / 64
    assert (image[0] - 255 * (FRAME[0] + centers) / 178).abs().max() < 1.5
    assert (image[1] - 255 * (FRAME[1] + centers)[:, None] / 218).abs().max() < 1.5


def test_both_sizes_of_celeba_give_one_picture(tmp_path):
    for size in ((178, 218), (89, 109)):
        gradient(*size).save(tmp_path / f"{size[0]}.png")
    large, half = (read_image(tmp_path / f"{width}.png").int() for width in (178, 89))
    assert (large - half).abs().max() <= 1
    assert face_box(178, 218) == FRAME and face_box(89, 109) == (9.5, 20.5, 79.5, 90.5)


@pytest.mark.parametrize(("size", "box"), [((100, 60), (20, 0, 80, 60)), ((60, 100), (0, 20, 60, 80))])
def test_other_images_are_cut_to_their_central_square(size, box):
    assert face_box(*size) == box


MODES = {
    "L": (Image.new("L", (20, 20), 77), (77, 77, 77)),
    "1": (Image.new("1", (20, 20), 1), (255, 255, 255)),
    "I;16": (Image.fromarray(np.full((20, 20), 65535, np.uint16)), (255, 255, 255)),
    "P": (Image.new("RGB", (20, 20), (10, 200, 30)).quantize(4), (10, 200, 30)),
    "RGBA": (Image.new("RGBA", (20, 20), (10, 200, 30, 255)), (10, 200, 30)),
    "transparent": (Image.new("RGBA", (20, 20), (10, 200, 30, 0)), (255, 255, 255)),
    "LA": (Image.new("LA", (20, 20), (77, 255)), (77, 77, 77)),
}


@pytest.mark.parametrize("mode", MODES)
def test_images_of_any_mode_become_rgb(tmp_path, mode):
    image, colour = MODES[mode]
    image.save(tmp_path / "a.png")
    pixels = read_image(tmp_path / "a.png", 4)
    assert pixels.shape == (3, 4, 4) and pixels.dtype == torch.uint8
    assert (pixels.int() - torch.tensor(colour)[:, None, None]).abs().max() <= 1


RAMP = np.linspace(0, 1, 64)[None].repeat(8, 0)

RANGES = {
    "8 bits": (RAMP * 255).astype(np.uint8),
    "16 bits": (RAMP * 65535).astype(np.uint16),
    "float": RAMP.astype(np.float32),
    "grey float": 0.25 + 0.5 * RAMP.astype(np.float32),
}


def tiff(array, **options):
    """The bytes of a TIFF file."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **{"photometric": "minisblack"} | options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", RANGES)
def test_integers_are_scaled_by_their_range_and_floats_stay(kind):
    array = RANGES[kind]
    expected = 0.25 + 0.5 * RAMP if kind == "grey float" else RAMP
    for picture in (open_picture(tiff(array)), open_picture(Image.fromarray(array))):
        assert picture.shape == (8, 64, 3) and picture.dtype == np.float32
        assert abs(picture - expected[:, :, None]).max() < (1e-7 if "float" in kind else 1 / np.iinfo(array.dtype).max)


def test_sixteen_bits_of_every_kind(tmp_path):
    grey = (RAMP * 65535).astype(np.uint16)
    (tmp_path / "a.pgm").write_bytes(b"P5 %d %d 65535\n" % grey.shape[::-1] + grey.astype(">u2").tobytes())
    for name in ("a.png", "a.tif"):
        Image.fromarray(grey).save(tmp_path / name)
    for name in ("a.png", "a.pgm", "a.tif"):
        assert abs(open_picture(tmp_path / name) - RAMP[:, :, None]).max() < 2e-5
    assert abs(open_picture(tiff(grey, photometric="miniswhite")) - (1 - RAMP)[:, :, None]).max() < 2e-5
    Image.fromarray(grey).save(tmp_path / "a.png", transparency=0)
    picture = open_picture(tmp_path / "a.png")
    assert (picture[:, 0] == 1).all() and abs(picture[:, 1:] - RAMP[:, 1:, None]).max() < 2e-5


UNKNOWN = {
    "float beyond 1": (255 * RAMP.astype(np.float32), r"floats in \[0, 1\], got 0 to 255; scale them"),
    "float below 0": (RAMP.astype(np.float32) - 0.5, r"floats in \[0, 1\], got -0.5 to 0.5"),
    "NaN": (np.where(RAMP > 0.5, np.nan, RAMP).astype(np.float32), r"floats in \[0, 1\], got nan"),
    "32 bits": ((RAMP * (2**32 - 1)).astype(np.uint32), "integers of 8 or 16 bits without a sign"),
    "int32": ((RAMP * 255).astype(np.int32), "integers of 8 or 16 bits without a sign"),
    "int16": ((RAMP * 32767).astype(np.int16), "integers of 8 or 16 bits without a sign"),
    "int8": ((RAMP * 127).astype(np.int8), "integers of 8 or 16 bits without a sign"),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_range_that_nobody_knows_is_refused(tmp_path, kind):
    array, words = UNKNOWN[kind]
    (tmp_path / "a.tif").write_bytes(tiff(array))
    with pytest.raises(ValueError, match=rf"a\.tif: expected {words}"):
        read_image(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=f"^picture: expected {words}"):
        open_picture(tiff(array))


@pytest.mark.parametrize("source", [3, None, RAMP])
def test_what_is_no_picture_is_named(source):
    with pytest.raises(ValueError, match=r"^picture: expected a path, .* or a Pillow image"):
        open_picture(source)


@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "float"])
def test_a_turned_photograph_is_set_upright(kind):
    """EXIF's orientation 6 is shown turned by 90° clockwise, 3 by 180°."""
    for orientation, turns in ((1, 0), (3, 2), (6, 3), (8, 1)):
        exif, buffer = Image.Exif(), io.BytesIO()
        exif[0x0112] = orientation
        Image.fromarray(RANGES[kind]).save(buffer, "TIFF" if kind == "float" else "PNG", exif=exif)
        picture = open_picture(buffer.getvalue())[:, :, 0]
        assert abs(picture - np.rot90(RAMP, turns)).max() < 1 / 255


@pytest.mark.parametrize("damage", ["empty", "text", "truncated", "header"])
@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_a_damaged_file_is_named(tmp_path, damage, kind):
    good = tmp_path / f"a.{kind}"
    skimage_image = Image.fromarray(skimage.data.astronaut()[:64, :64])
    skimage_image.save(good)
    content = good.read_bytes()
    bad = {"empty": b"", "text": b"not an image", "truncated": content[: len(content) // 2], "header": content[:12]}
    (tmp_path / f"b.{kind}").write_bytes(bad[damage])
    with pytest.raises(ValueError, match=rf"b\.{kind}: expected a readable image file"):
        read_image(tmp_path / f"b.{kind}")
    with pytest.raises(ValueError, match=rf"b\.{kind}: expected a readable image file"):
        load_folder(tmp_path)


def test_a_picture_too_large_to_be_one_is_refused(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[16:24] = struct.pack(">II", 60000, 60000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.png: expected a readable image file .*decompression bomb"):
        read_image(tmp_path / "a.png")


def test_other_files_are_ignored(tmp_path):
    write(tmp_path, "b.png", "a.JPG")
    (tmp_path / "list.txt").write_text("x")
    (tmp_path / "._a.jpg").write_text("x")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["a.JPG", "b.png"]
    assert load_folder(tmp_path, size=4).shape == (2, 3, 4, 4)


HELD_OUT = (9501, 9750, 9751, 10000)


def test_celeba_numbers_decide_the_split(tmp_path):
    numbers = (1, 9500, *HELD_OUT, 10001, 202599)
    write(tmp_path, *(f"{number:06d}.jpg" for number in numbers), "cover.jpg", size=(89, 109))
    splits = {split: [p.stem for p in image_files(tmp_path, split)] for split in ("train", "validation", "test")}
    assert splits["validation"] == ["009501", "009750"] and splits["test"] == ["009751", "010000"]
    assert splits["train"] == ["000001", "009500", "010001", "202599", "cover"]


@pytest.mark.parametrize(
    ("name", "size"),
    [("im{:02d}.png", (8, 8)), ("{:06d}.png", (178, 218)), ("0095{:02d}.png", (8, 8)), ("{}.png", (178, 218))],
    ids=["words", "numbers that are not held out", "frames", "other numbers"],
)
def test_of_another_folder_each_twentieth_file_validates_and_each_twentieth_tests(tmp_path, name, size):
    write(tmp_path, *(name.format(i) for i in range(10, 55)), size=size)
    files = image_files(tmp_path)
    assert len(files) == 45
    validation, test = image_files(tmp_path, "validation"), image_files(tmp_path, "test")
    assert validation == [files[19], files[39]] and test == [files[9], files[29]]
    assert image_files(tmp_path, "train") == [path for path in files if path not in validation + test]
    assert load_folder(tmp_path, "test", 4).shape == (2, 3, 4, 4)


@pytest.mark.parametrize("inner", ["img_align_celeba", "img_align_celeba/img_align_celeba"])
def test_celeba_may_be_given_by_its_parent(tmp_path, inner):
    write(tmp_path / inner, "000001.jpg", "009501.jpg", size=(178, 218))
    (tmp_path / "list_attr_celeba.txt").write_text("x")
    assert [p.name for p in image_files(tmp_path, "train")] == ["000001.jpg"]
    assert load_folder(tmp_path, "validation", 4).shape == (1, 3, 4, 4)


def test_load_folder_is_sorted_and_limited(tmp_path):
    write(tmp_path, "a.png", "c.png", "b.png")
    images = load_folder(tmp_path, size=4)
    assert images.dtype == torch.uint8 and images[:, 0, 0, 0].tolist() == [0, 2, 1]
    assert torch.equal(load_folder(tmp_path, size=4, limit=2), images[:2])
    assert len(load_folder(tmp_path, limit=9)) == 3


def test_a_folder_without_images_of_the_split_is_named(tmp_path):
    write(tmp_path, "a.png")
    with pytest.raises(FileNotFoundError, match="holds 1 images, none of them for validation; expected at least 20"):
        image_files(tmp_path, "validation")
    with pytest.raises(FileNotFoundError, match="holds 1 images, none of them for test; expected at least 10"):
        image_files(tmp_path, "test")
    write(tmp_path / "celeba", "009501.jpg", size=(178, 218))
    for split in ("test", "train"):
        with pytest.raises(FileNotFoundError, match=f"for {split}; expected CelebA's numbers as in .*9501"):
            image_files(tmp_path / "celeba", split)
    (tmp_path / "celeba" / "009501.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"009501\.jpg: expected a readable image file"):
        image_files(tmp_path / "celeba", "test")


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs(name):
    image = photograph(name)
    assert image.shape == (1, 3, 64, 64) and image.dtype == torch.float32
    assert image.min() >= 0 and image.max() <= 1 and image.std() > 0.02
    left, top, right, bottom = PHOTOGRAPHS[name][1]
    assert photograph(name, None).shape == (1, 3, bottom - top, right - left) and right - left == bottom - top


def test_the_face_is_the_astronaut():
    assert torch.equal(face(), photograph("astronaut"))
    original = torch.from_numpy(skimage.data.astronaut()[21:183, 146:308].copy()).permute(2, 0, 1).float() / 255
    small = torch.nn.functional.interpolate(original[None], size=64, mode="bicubic", antialias=True)
    assert (face() - small).abs().mean() < 0.01


def test_the_admiral_is_another_face_in_the_same_frame():
    """The glasses (dark) stand where `FRAME` puts the eyes, at half the height; the sky, to the right, is blue."""
    x, centre = face("admiral"), slice(24, 40)
    assert x.shape == (1, 3, 64, 64) and (x - face()).abs().mean() > 0.05
    assert x[0, :, 28:36, 14:24].mean() < x[0, :, 40:46, centre].mean()
    assert x[0, 2, :, 60:].mean() > x[0, 0, :, 60:].mean() + 0.1
    with pytest.raises(ValueError, match="name: expected astronaut or admiral"):
        face("cat")


def test_no_photograph_is_in_two_splits():
    names = [name for split in PHOTOGRAPH_SPLITS.values() for name in split]
    assert len(names) == len(set(names))
    tested = {PHOTOGRAPHS[name][0] for name in ("astronaut", "cat", "moon", "text")}
    assert tested == set(PHOTOGRAPH_SPLITS["test"])
    assert all(min(whole_photograph(name).size) >= 64 for name in names)


def test_crops_are_a_function_of_their_seed():
    crops = photograph_crops("train", 20, 32, seed=3)
    assert crops.shape == (20, 3, 32, 32) and crops.dtype == torch.uint8
    assert torch.equal(crops, photograph_crops("train", 20, 32, seed=3))
    assert not torch.equal(crops, photograph_crops("train", 20, 32, seed=4))
    assert torch.equal(crops[:10], photograph_crops("train", 10, 32, seed=3))


def test_crops_lie_in_their_photograph_at_all_scales_and_turns(monkeypatch):
    """A photograph that is linear in the place: a crop's gradient tells its scale and turn, its mean its place."""
    monkeypatch.setattr("course_lib.data.images.whole_photograph", lambda name: gradient(128, 100))
    crops = photograph_crops("validation", 200, 20).double()
    red = crops[:, 0] * 128 / 255
    down, right = (red[:, 10, 10] - red[:, 9, 10]), (red[:, 10, 10] - red[:, 10, 9])
    scale = torch.maximum(down.abs(), right.abs())
    assert 0.4 < scale.min() < 1.6 and 3.4 < scale.max() < 4.6
    ways = [(right > 0.4), (right < -0.4), (down > 0.4), (down < -0.4)]
    assert sum(way.sum().item() for way in ways) == 200 and min(way.sum().item() for way in ways) > 30
    assert red.min() < 10 and red.max() > 118


def test_grey_faces_are_the_first_hundred_of_the_subset():
    faces = grey_faces()
    assert faces.shape == (100, 1, 25, 25) and faces.dtype == torch.float32
    assert faces.min() >= 0 and faces.max() <= 1
    assert np.allclose(faces[:, 0].numpy(), skimage.data.lfw_subset()[:100])


def test_to_float():
    assert torch.equal(to_float(torch.tensor([0, 255, 51], dtype=torch.uint8)), torch.tensor([0.0, 1.0, 0.2]))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_shows_its_images_row_by_row(tmp_path, channels):
    values = torch.linspace(-0.2, 1.2, 5)
    save_grid(values[:, None, None, None].expand(5, channels, 2, 3), tmp_path / "grid", columns=3)
    pixels = np.asarray(Image.open(tmp_path / "grid"))
    assert pixels.shape == (4, 9, 3)
    shown = [pixels[2 * (i // 3), 3 * (i % 3), 0] for i in range(6)]
    assert shown == [0, 38, 128, 217, 255, 0]


@pytest.mark.parametrize("images", [torch.full((1, 3, 4, 4), 255.0), torch.full((1, 3, 4, 4), -3.0)])
def test_images_of_another_range_are_named(tmp_path, images):
    with pytest.raises(ValueError, match=r"images: expected images in \[0, 1\], got values from"):
        save_grid(images, tmp_path / "grid.png")
    with pytest.raises(ValueError, match=r"x: expected images in \[0, 1\], got values from"):
        observe(images, Downsample(2), 0.1, [0])
    assert list(tmp_path.iterdir()) == []


def test_a_constant_image_is_an_image(tmp_path):
    for value in (0.0, 1.0):
        x = torch.full((1, 3, 4, 4), value)
        save_grid(x, tmp_path / "grid.png", columns=1)
        assert (np.asarray(Image.open(tmp_path / "grid.png")) == 255 * value).all()
        assert torch.equal(observe(x, Downsample(2), 0.0, [0]), x[..., :2, :2])


@pytest.mark.parametrize("name", TASKS)
def test_the_noise_has_the_standard_deviation_that_was_asked_for(name):
    x, A, sigma = torch.rand(3, 3, 64, 64, dtype=torch.float64), make_task(name), 0.1
    y = observe(x, A, sigma, [5, np.int64(6), 7])
    n = y - A(x)
    assert y.dtype == x.dtype and n[n != 0].std().item() == pytest.approx(sigma, rel=0.05)
    assert torch.equal(observe(x[1:2], A, sigma, torch.tensor([6])), y[1:2])


def test_noise_is_hidden_only_where_a_mask_is_zero():
    """A filter that lets a part of the light through does not change the noise of the detector."""
    x, filter_ = torch.zeros(1, 2, 64, 64), torch.full((2, 64, 64), 0.5)
    filter_[0, :, :32], filter_[1, :32] = 0, -0.1
    n = observe(x, Mask(filter_), 0.1, [0])
    assert torch.equal(n == 0, filter_[None] == 0) and n[n != 0].std().item() == pytest.approx(0.1, rel=0.05)
    binary = Mask(filter_ != 0)
    assert torch.equal(n, observe(x, binary, 0.1, [0]))


def test_tasks_are_those_of_the_source():
    x = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    for name, A in (("deblurring", Blur(uniform_kernel(7))), ("sr2", Downsample(2)), ("sr4", Downsample(4))):
        assert torch.equal(make_task(name, 32)(x), A(x))
    hidden = [1 - make_task(name).mask.double().mean().item() for name in TASKS[3:]]
    assert hidden == pytest.approx([0.6, 100 / 4096], abs=1e-3)
