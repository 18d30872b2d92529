"""Images: folders of faces for training and measuring, and the photographs of scikit-image for the notebooks.

An image batch is a float tensor [B, C, H, W] in [0, 1]; large sets stay 8-bit, [N, C, H, W] of dtype uint8.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image, UnidentifiedImageError
from tqdm.auto import tqdm

FRAME = (19, 41, 159, 181)
"""Left, top, right, bottom of the face in CelebA's aligned images (178×218)."""

SPLITS = {"validation": range(9501, 9751), "test": range(9751, 10001)}
"""Numbers of CelebA's images held out here; every other image trains."""

EXTENSIONS = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


def face_box(width, height):
    """The box (left, top, right, bottom) that training images are cut to: `FRAME` in an aligned CelebA image of any
    scale (178:218), the central square of any other image."""
    if abs(width / height - 178 / 218) < 2e-3:
        return tuple(edge * width / 178 for edge in FRAME)
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def read_image(path, size=64):
    """One image file as uint8 [3, size, size]: cut to `face_box`, resized bicubically with antialiasing."""
    try:
        with Image.open(path) as image:
            image = image.convert("RGB")
            image = image.resize((size, size), Image.Resampling.BICUBIC, box=face_box(*image.size))
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path}: expected a readable image file ({error})") from error
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def image_files(folder, split=None):
    """Sorted image files of a folder, those of one split (`train`, `validation`, `test`) where it is named.

    Files named by CelebA's numbers (000001.jpg) follow `SPLITS`; of any other folder, each 20th file validates.
    Raises FileNotFoundError for a folder that does not exist or holds no image of the split.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"folder: {folder} is not a folder; expected one with image files")
    if split not in (None, "train", *SPLITS):
        raise ValueError(f"split: expected 'train', 'validation', 'test' or None, got {split!r}")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS)
    if split is not None:
        files = [path for i, path in enumerate(files) if split_of(path, i) == split]
    if not files:
        raise FileNotFoundError(f"folder: {folder} holds no image{'' if split is None else f' of the {split} split'}")
    return files


def split_of(path, index):
    """The split of a file: by its CelebA number, else by its place in the sorted folder."""
    if re.fullmatch(r"\d{6}", path.stem):
        return next((name for name, numbers in SPLITS.items() if int(path.stem) in numbers), "train")
    return "validation" if index % 20 == 19 else "train"


def load_folder(folder, split=None, size=64, limit=None):
    """All images of a folder (or of its split, or the first `limit`) as one uint8 tensor [N, 3, size, size]."""
    files = image_files(folder, split)[:limit]
    with ThreadPoolExecutor() as pool:
        images = pool.map(lambda path: read_image(path, size), files)
        return torch.stack(list(tqdm(images, total=len(files), desc=f"reading {Path(folder).name}", leave=False, disable=None)))


def to_float(images):
    """uint8 [..., C, H, W] to float32 in [0, 1]."""
    return images.float() / 255


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


def photograph(name, size=64):
    """A photograph of scikit-image, [1, 3, size, size] in [0, 1] (grey ones with three equal channels), or None for
    `size` to keep its pixels. The names are the keys of `PHOTOGRAPHS`."""
    if name not in PHOTOGRAPHS:
        raise ValueError(f"name: expected one of {sorted(PHOTOGRAPHS)}, got {name!r}")
    source, box = PHOTOGRAPHS[name]
    image = Image.fromarray(getattr(skimage.data, source)()).convert("RGB").crop(box)
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return to_float(torch.from_numpy(np.array(image)).permute(2, 0, 1))[None]


def face():
    """The real face of the notebooks: the astronaut Eileen Collins (NASA), [1, 3, 64, 64], in the frame of training."""
    return photograph("astronaut")
