"""Images: folders of faces for training and measuring, and the photographs of scikit-image for the notebooks.

An image batch is a float tensor [B, C, H, W] in [0, 1]; large sets stay 8-bit, [N, C, H, W] of dtype uint8.
"""

import io
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from course_lib.common import check, check_count, check_images, check_range, progress, replacing

FRAME = (19, 41, 159, 181)
"""Left, top, right, bottom of the face in CelebA's aligned images (178×218)."""

SPLITS = {"validation": range(9501, 9751), "test": range(9751, 10001)}
"""Numbers of CelebA's images held out here; every other image of CelebA trains."""

PLACES = {"test": 9, "validation": 19}
"""Of any other folder, the places in each 20 files that are held out."""

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


@contextmanager
def opened(source, name):
    """An image file opened by Pillow; ValueError with this name for one that cannot be read."""
    try:
        with Image.open(source) as image:
            yield image
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow's decoders raise SyntaxError, struct.error, ... on damaged files
        raise ValueError(f"{name}: expected a readable image file ({error})") from error


def open_picture(source):
    """A picture of any kind as an array [H, W, 3] in [0, 1], float32, upright as its EXIF says.

    Args:
        source: the path of an image file, the bytes of one, or a Pillow image.

    8 and 16 bits are divided by their largest value, and colours without one (palettes, CMYK) become RGB; transparent
    pixels lie on white. Floats are taken as they are if they are in [0, 1]. For floats beyond, integers of 32 bits and
    integers with a sign nobody knows which value is white: they raise ValueError, as does what is no image file; a
    missing file raises FileNotFoundError.
    """
    if isinstance(source, Image.Image):
        return rgb_array(source, "picture")
    is_path, is_bytes = isinstance(source, str | os.PathLike), isinstance(source, bytes | bytearray | memoryview)
    wanted = "a path, the bytes of an image file, or a Pillow image"
    check(is_path or is_bytes, "picture", wanted, type(source).__name__)
    name = source if is_path else "picture"
    with opened(source if is_path else io.BytesIO(source), name) as image:
        image.load()
    return rgb_array(image, name)


def rgb_array(image, name):
    """A Pillow image of any mode as `open_picture` gives it; `name` is that of the errors."""
    tags = getattr(image, "tag_v2", {})  # of a TIFF: 258 is the number of bits; 262 = 0: 0 is white; 339 = 2: signed
    signed = 2 in tags.get(339, ())
    sixteen = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    known = not signed and (sixteen or image.mode != "I")
    hint = "; save them as 8 or 16 bits, or as floats in [0, 1]"
    check(known, name, "integers of 8 or 16 bits without a sign", "integers with a sign, or of 32 bits" + hint)
    upright = ImageOps.exif_transpose(image)
    if image.mode == "F":
        grey = np.asarray(upright)
        low, high = grey.min(), grey.max()
        hint = "; scale them, for example to (x − low) / (high − low)"
        check(0 <= low <= high <= 1, name, "floats in [0, 1]", f"{low:g} to {high:g}{hint}")  # NaN is not in it either
    elif sixteen:
        grey = np.asarray(upright).astype(np.float32) / (2 ** tags.get(258, (16,))[0] - 1)
        grey = 1 - grey if tags.get(262) == 0 else grey
        if "transparency" in image.info:  # one value of grey
            grey[np.asarray(upright) == image.info["transparency"]] = 1
    else:
        if upright.has_transparency_data:
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright.convert("RGBA"))
        return np.asarray(upright.convert("RGB"), dtype=np.float32) / 255
    return np.repeat(grey[:, :, None], 3, axis=2)


def face_box(width, height):
    """The box (left, top, right, bottom) that training images are cut to: `FRAME` in an aligned CelebA image of any
    scale, the central square of any other image."""
    if is_aligned(width, height):
        return tuple(edge * width / 178 for edge in FRAME)
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def is_aligned(width, height):
    """Whether an image has the shape of CelebA's aligned ones, 178:218, at any scale."""
    return abs(width / height - 178 / 218) < 2e-3


def read_image(path, size=64):
    """One picture (as `open_picture`) as uint8 [3, size, size]: cut to `face_box`, resized bicubically with
    antialiasing."""
    check_count("size", size, low=1)
    image = Image.fromarray((255 * open_picture(path)).round().astype(np.uint8))
    image = image.resize((size, size), Image.Resampling.BICUBIC, box=face_box(*image.size))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def image_files(folder, split=None):
    """Sorted image files of a folder, those of one split (`train`, `validation`, `test`) where it is named.

    Other files are ignored. CelebA's folder may also be given by its parent: `celeba` for `celeba/img_align_celeba`.
    CelebA's files follow the numbers in `SPLITS`. Of any other folder the 20th, 40th, … file validates, the 10th, 30th,
    … tests, and the rest trains. A folder is CelebA's if it has files that are numbered with six digits as those in
    `SPLITS`, and the first of them has the aligned shape 178:218.
    Raises FileNotFoundError for a folder that does not exist or holds no image of the split.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"folder: {folder} is not a folder; expected one with image files")
    check(split in (None, "train", *SPLITS), "split", "'train', 'validation', 'test' or None", repr(split))
    files = sorted(path for path in folder.iterdir() if is_image(path))
    if not files and (folder / "img_align_celeba").is_dir():
        return image_files(folder / "img_align_celeba", split)
    if not files:
        raise FileNotFoundError(f"folder: {folder} holds no image; expected files that end in {', '.join(EXTENSIONS)}")
    if split is None:
        return files
    celeba = is_celeba(files)
    chosen = [path for i, path in enumerate(files) if split == (split_of_number(path) if celeba else split_of_place(i))]
    if not chosen:
        wanted = f"CelebA's numbers as in {SPLITS}" if celeba else f"at least {PLACES[split] + 1}"
        found = f"folder: {folder} holds {len(files)} images, none of them for {split}"
        raise FileNotFoundError(f"{found}; expected {wanted}")
    return chosen


def is_image(path):
    """Whether a path is an image file by its extension; hidden files (macOS writes ._000001.jpg) are not."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()


def is_celeba(files):
    """Whether files are CelebA's: some are numbered as those held out, and the first of these has the aligned shape."""
    held_out = next((path for path in files if split_of_number(path) != "train"), None)
    if held_out is None:
        return False
    with opened(held_out, held_out) as image:
        return is_aligned(*image.size)


def split_of_number(path):
    """The split of one of CelebA's files, 000001.jpg to 202599.jpg."""
    number = int(path.stem) if re.fullmatch("[0-9]{6}", path.stem) else None
    return next((name for name, numbers in SPLITS.items() if number in numbers), "train")


def split_of_place(index):
    """The split of a file by its place in the sorted folder, counted from 0."""
    return next((name for name, place in PLACES.items() if index % 20 == place), "train")


def load_folder(folder, split=None, size=64, limit=None):
    """All images of a folder (or of its split, or the first `limit`) as one uint8 tensor [N, 3, size, size]."""
    if limit is not None:
        check_count("limit", limit, low=1)
    files = image_files(folder, split)[:limit]
    images = torch.empty(len(files), 3, size, size, dtype=torch.uint8)
    with ThreadPoolExecutor() as pool:
        read = pool.map(lambda path: read_image(path, size), files)
        bar = progress(read, total=len(files), desc=f"reading {Path(folder).name}", leave=False)
        for i, image in enumerate(bar):
            images[i] = image
    return images


def to_float(images):
    """uint8 [..., C, H, W] to float32 in [0, 1]."""
    got = images.dtype if torch.is_tensor(images) else type(images).__name__
    check(got == torch.uint8, "images", "8-bit images, torch.uint8", got)
    return images.float() / 255


def save_grid(images, path, columns=8):
    """Write images [N, C, H, W] in [0, 1], grey or colour, as one PNG, `columns` a row; what overshoots is cut off."""
    check_images("images", images)
    check_range("images", images)
    check_count("columns", columns, low=1)
    images = F.pad(images.detach().clamp(0, 1).cpu(), (0, 0, 0, 0, 0, 0, 0, -len(images) % columns))
    rows = [torch.cat(list(row), 2) for row in images.expand(-1, 3, -1, -1).split(columns)]
    array = (torch.cat(rows, 1).permute(1, 2, 0) * 255).round().byte().numpy()
    with replacing(path) as temporary:
        Image.fromarray(array).save(temporary, format="PNG")


PHOTOGRAPHS = {
    "astronaut": ("astronaut", (146, 21, 308, 183)),
    "cat": ("chelsea", (90, 20, 340, 270)),
    "coffee": ("coffee", (120, 20, 500, 400)),
    "rocket": ("rocket", (200, 0, 627, 427)),
    "galaxies": ("hubble_deep_field", (100, 100, 612, 612)),
    "histology": ("immunohistochemistry", (0, 0, 256, 256)),
    "retina": ("retina", (155, 155, 1255, 1255)),
    "moon": ("moon", (100, 100, 356, 356)),
    "text": ("page", (20, 20, 148, 148)),
    "camera": ("camera", (100, 60, 340, 300)),
    "brick": ("brick", (0, 0, 512, 512)),
    "gravel": ("gravel", (0, 0, 256, 256)),
}
"""Images that scikit-image ships: name here, name there, and the square that is shown. The astronaut's square puts the
eyes and the mouth where `FRAME` puts those of CelebA."""


PHOTOGRAPH_SPLITS = {
    "train": (
        "brick",
        "coffee",
        "coins",
        "grass",
        "gravel",
        "hubble_deep_field",
        "immunohistochemistry",
        "retina",
        "rocket",
        "stereo_motorcycle",
    ),
    "validation": ("camera",),
    "test": ("astronaut", "chelsea", "moon", "page"),
}
"""The photographs of scikit-image, under its own names, that restoration networks train on, and those that they never
see. Of PHOTOGRAPHS, camera is for validation; astronaut, cat, moon and text are for tests."""


def whole_photograph(source):
    """A photograph of `skimage.data` as a Pillow image in RGB; of a stereo pair, the left one."""
    known = {name for names in PHOTOGRAPH_SPLITS.values() for name in names}
    known |= {name for name, _ in PHOTOGRAPHS.values()}
    check(source in known, "source", f"one of {sorted(known)}", repr(source))
    image = getattr(skimage.data, source)()
    return Image.fromarray(image[0] if isinstance(image, tuple) else image).convert("RGB")


def photograph_crops(split, count, size=64, seed=0):
    """Random squares of the photographs of one split, uint8 [count, 3, size, size].

    Each photograph gives as many. A square's side is log-uniform from `size` to 4 `size` (or the photograph); it is
    resized to `size` with antialiasing, and turned by a multiple of 90°.
    """
    check(split in PHOTOGRAPH_SPLITS, "split", f"one of {list(PHOTOGRAPH_SPLITS)}", repr(split))
    check_count("count", count, low=1)
    check_count("size", size, low=1)
    rng = np.random.default_rng(seed)
    sources = [whole_photograph(source) for source in PHOTOGRAPH_SPLITS[split]]
    smallest = min(min(source.size) for source in sources)
    check(size <= smallest, "size", f"at most {smallest}, the side of the smallest photograph", size)
    crops = np.empty((count, size, size, 3), np.uint8)
    for i in range(count):
        image = sources[i % len(sources)]
        side = size * min(4, min(image.size) / size) ** rng.random()
        left, top = rng.random(2) * (np.array(image.size) - side)
        crop = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
        crops[i] = np.rot90(np.asarray(crop), rng.integers(4))
    return torch.from_numpy(crops).permute(0, 3, 1, 2)


def photograph(name, size=64):
    """A photograph of scikit-image, [1, 3, size, size] in [0, 1] (grey ones with three equal channels), or None for
    `size` to keep its pixels. The names are the keys of `PHOTOGRAPHS`."""
    check(name in PHOTOGRAPHS, "name", f"one of {sorted(PHOTOGRAPHS)}", repr(name))
    if size is not None:
        check_count("size", size, low=1)
    source, box = PHOTOGRAPHS[name]
    image = whole_photograph(source).crop(box)
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return to_float(torch.from_numpy(np.array(image)).permute(2, 0, 1))[None]


def face(name="astronaut"):
    """A real face of the notebooks, [1, 3, 64, 64], framed as for training: the astronaut Eileen Collins (NASA), or the
    `admiral` Grace Hopper (US Navy; Matplotlib ships the picture). Both pictures are in the public domain."""
    check(name in ("astronaut", "admiral"), "name", "astronaut or admiral", repr(name))
    if name == "astronaut":
        return photograph(name)
    from matplotlib.cbook import get_sample_data  # here, as data alone need nothing that draws

    with Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        square = image.convert("RGB").resize((64, 64), Image.Resampling.BICUBIC, box=(107, 26, 425, 344))
    return to_float(torch.from_numpy(np.array(square)).permute(2, 0, 1))[None]


def grey_faces():
    """The 100 faces of scikit-image's `lfw_subset` (Labeled Faces in the Wild), [100, 1, 25, 25] in [0, 1]."""
    return torch.from_numpy(skimage.data.lfw_subset()[:100]).float()[:, None]
