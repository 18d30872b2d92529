"""Images: folders of faces for training and measuring, and the photographs of scikit-image for the notebooks.

An image batch is a float tensor [B, C, H, W] in [0, 1]; large sets stay 8-bit, [N, C, H, W] of dtype uint8.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from course_lib.common import check, check_count, check_images, check_number, progress

FRAME = (19, 41, 159, 181)
"""Left, top, right, bottom of the face in CelebA's aligned images (178×218)."""

SPLITS = {"validation": range(9501, 9751), "test": range(9751, 10001)}
"""Numbers of CelebA's images held out here; every other image trains."""

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def face_box(width, height):
    """The box (left, top, right, bottom) that training images are cut to: `FRAME` in an aligned CelebA image of any
    scale (178:218), the central square of any other image."""
    check_number("width", width, positive=True)
    check_number("height", height, positive=True)
    if abs(width / height - 178 / 218) < 2e-3:
        return tuple(edge * width / 178 for edge in FRAME)
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def to_rgb(image):
    """A Pillow image of any mode as 8-bit RGB: 16-bit greys scaled to 8 bits, transparent pixels on white."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("RGB")


def read_image(path, size=64):
    """One image file as uint8 [3, size, size]: cut to `face_box`, resized bicubically with antialiasing.

    Raises FileNotFoundError for a missing file, ValueError for one that is no image or is damaged.
    """
    check_count("size", size, low=1)
    try:
        with Image.open(path) as image:
            image = to_rgb(ImageOps.exif_transpose(image))
            image = image.resize((size, size), Image.Resampling.BICUBIC, box=face_box(*image.size))
    except FileNotFoundError:
        raise
    except Exception as error:  # Pillow's decoders raise SyntaxError, struct.error, ... on damaged files
        raise ValueError(f"{path}: expected a readable image file ({error})") from error
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def image_files(folder, split=None):
    """Sorted image files of a folder, those of one split (`train`, `validation`, `test`) where it is named.

    Other files are ignored. CelebA's folder may also be given by its parent: `celeba` for `celeba/img_align_celeba`.
    Files named by CelebA's numbers (000001.jpg) follow `SPLITS`; of any other folder, each 20th file validates.
    Raises FileNotFoundError for a folder that does not exist or holds no image of the split.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"folder: {folder} is not a folder; expected one with image files")
    if split not in (None, "train", *SPLITS):
        raise ValueError(f"split: expected 'train', 'validation', 'test' or None, got {split!r}")
    files = sorted(path for path in folder.iterdir() if is_image(path))
    if not files and (folder / "img_align_celeba").is_dir():
        return image_files(folder / "img_align_celeba", split)
    if not files:
        raise FileNotFoundError(f"folder: {folder} holds no image; expected files that end in {', '.join(EXTENSIONS)}")
    chosen = [path for i, path in enumerate(files) if split in (None, split_of(path, i))]
    if not chosen:
        held_out = ", ".join(f"{s} {n[0]:06d}-{n[-1]:06d}" for s, n in SPLITS.items())
        raise FileNotFoundError(
            f"folder: {folder} holds {len(files)} images, but none of the {split} split; expected at least 20 images, "
            f"or CelebA's numbers with {held_out}"
        )
    return chosen


def is_image(path):
    """Whether a path is an image file by its extension; hidden files (macOS writes ._000001.jpg) are not."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()


def split_of(path, index):
    """The split of a file: by its CelebA number, else by its place in the sorted folder."""
    if re.fullmatch(r"\d{6}", path.stem):
        return next((name for name, numbers in SPLITS.items() if int(path.stem) in numbers), "train")
    return "validation" if index % 20 == 19 else "train"


def load_folder(folder, split=None, size=64, limit=None):
    """All images of a folder (or of its split, or the first `limit`) as one uint8 tensor [N, 3, size, size]."""
    if limit is not None:
        check_count("limit", limit, low=1)
    check_count("size", size, low=1)
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
    """Write images [N, C, H, W], grey or colour, as one PNG, `columns` a row."""
    check_images("images", images)
    check(images.shape[1] in (1, 3), "images", "1 or 3 channels", images.shape)
    check_count("columns", columns, low=1)
    images = F.pad(images.detach().clamp(0, 1).cpu(), (0, 0, 0, 0, 0, 0, 0, -len(images) % columns))
    rows = [torch.cat(list(row), 2) for row in images.expand(-1, 3, -1, -1).split(columns)]
    array = (torch.cat(rows, 1).permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(array).save(path, format="PNG")


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
    known = {name for names in PHOTOGRAPH_SPLITS.values() for name in names} | {
        name for name, _ in PHOTOGRAPHS.values()
    }
    check(source in known, "source", f"one of {sorted(known)}", repr(source))
    image = getattr(skimage.data, source)()
    return Image.fromarray(image[0] if isinstance(image, tuple) else image).convert("RGB")


def photograph_crops(split, count, size=64, seed=0):
    """Random squares of the photographs of one split, uint8 [count, 3, size, size].

    Each photograph gives as many. A square's side is log-uniform from `size` to 4 `size` (or the photograph); it is
    resized to `size` with antialiasing, and turned by a multiple of 90°.

    Raises ValueError for an unknown split, a count below 1, or a size beyond the smallest photograph.
    """
    if split not in PHOTOGRAPH_SPLITS:
        raise ValueError(f"split: expected one of {list(PHOTOGRAPH_SPLITS)}, got {split!r}")
    check_count("count", count, low=1)
    check_count("size", size, low=1)
    rng, sources = np.random.default_rng(seed), [whole_photograph(source) for source in PHOTOGRAPH_SPLITS[split]]
    smallest = min(min(source.size) for source in sources)
    if size > smallest:
        raise ValueError(f"size: expected at most {smallest}, the side of the smallest photograph, got {size}")
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
    if name not in PHOTOGRAPHS:
        raise ValueError(f"name: expected one of {sorted(PHOTOGRAPHS)}, got {name!r}")
    if size is not None:
        check_count("size", size, low=1)
    source, box = PHOTOGRAPHS[name]
    image = whole_photograph(source).crop(box)
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return to_float(torch.from_numpy(np.array(image)).permute(2, 0, 1))[None]


def face():
    """The real face of the notebooks: the astronaut Eileen Collins (NASA), [1, 3, 64, 64], in the frame of training."""
    return photograph("astronaut")


def grey_faces():
    """The 100 faces of scikit-image's `lfw_subset` (Labeled Faces in the Wild), [100, 1, 25, 25] in [0, 1]."""
    return torch.from_numpy(skimage.data.lfw_subset()[:100]).float()[:, None]
