"""Reading images: the frame, the modes of a file, the splits, and what is wrong with a folder."""

import struct
import zlib

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from course_lib.data.images import (
    FRAME,
    PHOTOGRAPH_SPLITS,
    PHOTOGRAPHS,
    face,
    face_box,
    grey_faces,
    image_files,
    load_folder,
    photograph,
    photograph_crops,
    progress,
    read_image,
    save_grid,
    split_of,
    to_float,
    whole_photograph,
)


def gradient(width, height):
    """An image that is linear in the place: red from left to right, green from top to bottom, of 255 grey levels."""
    red = np.broadcast_to(255 * (np.arange(width) + 0.5) / width, (height, width))
    green = np.broadcast_to(255 * (np.arange(height)[:, None] + 0.5) / height, (height, width))
    return Image.fromarray(np.stack([red, green, 0 * red], 2).round().astype(np.uint8))


def write(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        Image.new("RGB", (8, 8), (i, 2 * i, 3 * i)).save(folder / name)
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


def test_a_turned_photograph_is_set_upright(tmp_path):
    image = Image.new("RGB", (20, 20))
    image.paste((255, 255, 255), (0, 0, 20, 10))
    exif = image.getexif()
    exif[0x0112] = 3
    image.save(tmp_path / "a.png", exif=exif)
    pixels = read_image(tmp_path / "a.png", 4)
    assert pixels[:, 0].max() < 30 and pixels[:, 3].min() > 225


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


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.jpg"):
        read_image(tmp_path / "nothing.jpg")


def test_other_files_are_ignored(tmp_path):
    write(tmp_path, "b.png", "a.JPG")
    (tmp_path / "list.txt").write_text("x")
    (tmp_path / "._a.jpg").write_text("x")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["a.JPG", "b.png"]
    assert load_folder(tmp_path, size=4).shape == (2, 3, 4, 4)


def test_celeba_numbers_decide_the_split(tmp_path):
    tmp = write(tmp_path / "celeba")
    for number in (1, 9500, 9501, 9750, 9751, 10000, 10001, 202599):
        (tmp / f"{number:06d}.jpg").touch()
    splits = {split: [int(p.stem) for p in image_files(tmp, split)] for split in ("train", "validation", "test")}
    assert splits == {"train": [1, 9500, 10001, 202599], "validation": [9501, 9750], "test": [9751, 10000]}


def test_each_twentieth_file_of_another_folder_validates(tmp_path):
    for i in range(45):
        (tmp_path / f"im{i:02d}.jpg").touch()
    assert [p.stem for p in image_files(tmp_path, "validation")] == ["im19", "im39"]
    assert len(image_files(tmp_path, "train")) == 43 and len(image_files(tmp_path)) == 45
    assert split_of(tmp_path / "009600.jpg", 0) == "validation" and split_of(tmp_path / "9600.jpg", 0) == "train"


@pytest.mark.parametrize("inner", ["img_align_celeba", "img_align_celeba/img_align_celeba"])
def test_celeba_may_be_given_by_its_parent(tmp_path, inner):
    write(tmp_path / inner, "000001.jpg", "009501.jpg")
    (tmp_path / "list_attr_celeba.txt").write_text("x")
    assert [p.name for p in image_files(tmp_path, "train")] == ["000001.jpg"]
    assert load_folder(tmp_path, "validation", 4).shape == (1, 3, 4, 4)


def test_load_folder_is_sorted_and_limited(tmp_path):
    write(tmp_path, "a.png", "c.png", "b.png")
    images = load_folder(tmp_path, size=4)
    assert images.dtype == torch.uint8 and images[:, 0, 0, 0].tolist() == [0, 2, 1]
    assert torch.equal(load_folder(tmp_path, size=4, limit=2), images[:2])
    assert len(load_folder(tmp_path, limit=9)) == 3
    with pytest.raises(ValueError, match="limit: expected an integer >= 1, got 0"):
        load_folder(tmp_path, limit=0)


def test_errors_name_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder: .*nowhere is not a folder"):
        image_files(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"folder: .* holds no image; expected files that end in \.jpg"):
        image_files(tmp_path)
    write(tmp_path, "a.png")
    with pytest.raises(FileNotFoundError, match="holds 1 images, but none of the validation split"):
        image_files(tmp_path, "validation")
    with pytest.raises(ValueError, match=r"split: expected 'train', .* got 'dev'"):
        image_files(tmp_path, "dev")


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
    with pytest.raises(ValueError, match=r"name: expected one of .*astronaut.* got 'lena'"):
        photograph("lena")


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
    monkeypatch.setattr("course_lib.data.whole_photograph", lambda name: gradient(128, 100))
    crops = photograph_crops("validation", 200, 20).double()
    red = crops[:, 0] * 128 / 255
    down, right = (red[:, 10, 10] - red[:, 9, 10]), (red[:, 10, 10] - red[:, 10, 9])
    scale = torch.maximum(down.abs(), right.abs())
    assert 0.4 < scale.min() < 1.6 and 3.4 < scale.max() < 4.6
    ways = [(right > 0.4), (right < -0.4), (down > 0.4), (down < -0.4)]
    assert sum(way.sum().item() for way in ways) == 200 and min(way.sum().item() for way in ways) > 30
    assert red.min() < 10 and red.max() > 118


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dev", 1), "split: expected one of .*'train', 'validation', 'test'.* got 'dev'"),
        (("train", 0), "count: expected an integer >= 1, got 0"),
        (("test", 1, 192), "size: expected at most 191, .* got 192"),
    ],
)
def test_crops_that_cannot_be_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        photograph_crops(*arguments)


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


def test_progress_is_silent_where_it_should_be(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert progress(range(3)).disable
    monkeypatch.delenv("TQDM_DISABLE")
    monkeypatch.setenv("RANK", "1")
    assert progress(range(3)).disable and list(progress(range(3))) == [0, 1, 2]
