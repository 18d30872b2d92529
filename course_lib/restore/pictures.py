"""Picture files in and out: a picture as an image in [0, 1], and a restored image as a picture of the same kind."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from course_lib.common import check, replacing
from course_lib.data.images import open_picture, opened

GREY = ("1", "L", "LA", "La")
"""Modes of Pillow, beside 16 bits, 32 bits and floats, that have no colour."""

SUFFIXES = {
    "float32": (".tif", ".tiff"),
    "int32": (".tif", ".tiff"),
    "uint16": (".png", ".tif", ".tiff"),
    "alpha": (".png", ".tif", ".tiff", ".webp"),
    "uint8": (".png", ".tif", ".tiff", ".bmp", ".webp", ".jpg", ".jpeg"),
}
"""Files that can hold a kind of picture."""


@dataclass
class Picture:
    """A picture, and what it takes to write another one of its kind.

    Args:
        x: [1, C, H, W], C = 1 or 3, upright; 0 is black and 1 is white. missing: [H, W], where NaN or transparency says
            that there is no value, or None. alpha: [H, W], 8 bits, or None.
        low, high: black and white in the units of the file. dtype: of its values. suffix: of its name.
        about: what a file keeps beside its values: EXIF, colour profile, resolution. notes: what a reader should know.
    """

    x: torch.Tensor
    missing: torch.Tensor | None
    alpha: np.ndarray | None
    low: float
    high: float
    dtype: str
    suffix: str
    about: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)


def read_picture(source, limits=None):
    """A `Picture` from a file that Pillow reads, or from a Pillow image: 8 or 16 bits, 32-bit integers, floats; grey,
    palette, colour, with or without transparency. It is turned upright, as its EXIF says.

    Args:
        limits: (black, white) in the units of the file. By default those of the type for 8 bits; 0 and the largest of
            10, 12, 14 or 16 bits for 16; floats in [0, 1] are as they are; of others, the smallest and largest value.

    Raises FileNotFoundError for a missing file, ValueError for one that is no picture.
    """
    if isinstance(source, Image.Image):
        return as_picture(source, "picture", "", limits)
    check(isinstance(source, str | os.PathLike), "picture", "a path or a Pillow image", type(source).__name__)
    with opened(source, f"picture: {source}") as image:
        image.load()
        return as_picture(image, f"picture: {source}", Path(source).suffix.lower(), limits)


def as_picture(image, name, suffix, limits):
    """The `Picture` of an open Pillow image."""
    notes, mode = [], image.mode
    if getattr(image, "n_frames", 1) > 1:
        notes.append(f"the first of {image.n_frames} frames")
    white_is_zero = getattr(image, "tag_v2", {}).get(262) == 0  # Pillow knows it for 8 bits, not for 16.
    about = {key: image.info[key] for key in ("dpi", "icc_profile") if image.info.get(key)}
    upright = ImageOps.exif_transpose(image)
    exif = upright.getexif()
    if exif and image.format in ("JPEG", "PNG", "WEBP", "MPO"):  # That of a TIFF describes the file itself.
        about["exif"] = exif.tobytes()
    alpha = None
    if mode[0] in "IF":
        values = np.array(upright)
        values = values.astype(values.dtype.newbyteorder("="))[:, :, None]
        if white_is_zero and values.dtype == np.uint16:
            values = values.max() - values
    else:
        transparent = upright.has_transparency_data
        kept = ("LA" if transparent else "L") if mode in GREY else ("RGBA" if transparent else "RGB")
        if mode != kept:
            notes.append(f"mode {mode} became {kept}")
        if mode == "CMYK":
            about.pop("icc_profile", None)
        values = np.atleast_3d(np.array(upright.convert(kept)))
        if transparent:
            values, alpha = values[:, :, :-1], values[:, :, -1]
    finite = np.isfinite(values).all(2)
    check(bool(finite.any()), name, "finite values", "none")
    low, high = limits_of(values[finite]) if limits is None else limits
    check(low < high, "limits", "two numbers, black < white", (low, high))
    if (low, high) != (0, 255) and limits is None:
        notes.append(f"black is {low:g}, white {high:g}")
    x = np.where(np.isfinite(values), (values.astype(np.float64) - low) / (high - low), 0).astype(np.float32)
    missing = ~finite if alpha is None else ~finite | (alpha == 0)
    x = torch.from_numpy(x).permute(2, 0, 1)[None].contiguous()
    missing = torch.from_numpy(missing) if missing.any() else None
    return Picture(x, missing, alpha, float(low), float(high), values.dtype.name, suffix, about, notes)


def limits_of(values):
    """(black, white) of values whose file does not say."""
    low, high = values.min(), values.max()
    if values.dtype == np.uint8:
        return 0, 255
    if values.dtype == np.uint16:
        return 0, next(2**bits - 1 for bits in (10, 12, 14, 16) if high < 2**bits)
    if values.dtype == np.float32 and low >= 0 and high <= 1:
        return 0.0, 1.0
    return (low, high) if low < high else (low, low + 1)


def check_suffix(path, picture):
    """Raise ValueError unless a file of this name can hold a picture of this kind."""
    kind = "alpha" if picture.alpha is not None else picture.dtype
    what = {"alpha": "transparency", "uint16": "16 bits", "int32": "32 bits", "float32": "floats"}.get(kind, "8 bits")
    check(Path(path).suffix.lower() in SUFFIXES[kind], "out", f"{what} in one of {SUFFIXES[kind]}", str(path))


def suggested_path(source, task):
    """Where the result of a task goes if nobody says: beside the picture, with its suffix if that holds it without
    loss, else as .png or .tif."""
    source, picture = Path(source), read_picture(source)
    kind = "alpha" if picture.alpha is not None else picture.dtype
    lossless = [suffix for suffix in SUFFIXES[kind] if suffix not in (".jpg", ".jpeg", ".webp")]
    suffix = picture.suffix if picture.suffix in lossless else lossless[0]
    return source.with_name(f"{source.stem}_{task}{suffix}")


def write_picture(path, x, picture):
    """Write an image [1, C, H, W] in [0, 1] as a picture of the kind of another one; what was missing is opaque now."""
    values = x[0].permute(1, 2, 0).double().cpu().numpy()
    kind = np.dtype(picture.dtype)
    if kind.kind != "f":
        values = values.clip(0, 1)
    values = picture.low + (picture.high - picture.low) * values
    values = (values if kind.kind == "f" else values.round()).astype(kind)
    if picture.alpha is not None:
        alpha = picture.alpha if picture.missing is None else np.where(picture.missing, 255, picture.alpha)
        alpha = Image.fromarray(alpha.astype(np.uint8)).resize(values.shape[1::-1], Image.Resampling.BICUBIC)
        values = np.concatenate([values, np.array(alpha)[:, :, None]], 2)
    image = Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values)
    form = Image.registered_extensions()[Path(path).suffix.lower()]
    options = {"quality": 95} if form in ("JPEG", "WEBP") else {}
    with replacing(path) as temporary:
        image.save(temporary, format=form, **picture.about, **options)


def read_mask(source, shape):
    """A mask [1, H, W] for pictures of a shape (H, W), True where a pixel was observed: white in the picture of a mask.

    source: the path of a picture, a Pillow image, or an array [H, W] of truth values.
    """
    if isinstance(source, str | os.PathLike | Image.Image):
        mask = torch.from_numpy(open_picture(source).mean(2) >= 0.5)
    else:
        mask = torch.as_tensor(source) > 0
    expected = f"{shape[1]}×{shape[0]} pixels, as the picture"
    got = "×".join(str(n) for n in reversed(mask.shape))
    check(tuple(mask.shape) == tuple(shape), "mask", expected, got)
    check(bool(mask.any()), "mask", "white where a pixel was observed", "black everywhere")
    check(not bool(mask.all()), "mask", "black where a pixel is missing", "white everywhere")
    return mask[None]


def read_kernel(source):
    """A blur kernel [h, w], h and w odd, of sum 1, from a picture of it, numbers in a text file (.txt, .csv) or .npy;
    or from an array. An even side gets a line of zeros."""
    try:
        if not isinstance(source, str | os.PathLike):
            kernel = np.asarray(source, dtype=np.float64)
        elif Path(source).suffix.lower() == ".npy":
            kernel = np.load(source, allow_pickle=False).astype(np.float64)
        elif Path(source).suffix.lower() in (".txt", ".csv"):
            text = Path(source).read_text(encoding="utf-8").replace(",", " ")
            kernel = np.loadtxt(text.splitlines(), ndmin=2)
        else:
            kernel = open_picture(source).mean(2).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"kernel: expected a picture, numbers in rows, or .npy ({error})") from error
    check(kernel.ndim == 2 and kernel.size > 0, "kernel", "rows and columns of numbers", list(kernel.shape))
    fits = bool(np.isfinite(kernel).all()) and kernel.sum() > 0
    check(fits, "kernel", "finite numbers with a positive sum", f"a sum of {kernel.sum():g}")
    kernel = np.pad(kernel, [(0, 1 - n % 2) for n in kernel.shape])
    return torch.from_numpy(kernel / kernel.sum()).float()
