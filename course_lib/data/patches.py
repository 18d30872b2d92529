"""Overlapping square patches of images: R takes them out, Rᵀ puts them back, RᵀR counts them.

The patches lie on a grid of any stride. Where the stride does not divide H − p or W − p, the last row or column of
patches moves back inside, so that no border is left out. A patch is a row of C·p·p values, its channels one after the
other; the patches come image after image, row by row.
"""

import math

import torch

from course_lib.common import check, check_count, check_images


def positions(length, size, stride, device=None):
    """First pixels of the patches along a side: 0, s, 2s, … and length − p, increasing, each once."""
    last = length - size
    first = torch.arange(0, last + 1, stride, device=device)
    return first if last % stride == 0 else torch.cat([first, first.new_tensor([last])])


def pixels(length, size, stride, device=None):
    """The pixels that the patches along a side read, patch after patch: [patches · p]."""
    inside = torch.arange(size, device=device)
    return (positions(length, size, stride, device)[:, None] + inside).flatten()


def check_size(size, stride, shape):
    """Raise ValueError unless patches of this size and stride can be taken from images of this shape."""
    check_count("size", size, low=1)
    check_count("stride", stride, low=1)
    check(size <= min(shape[2:]), "size", f"at most the shorter side of the images, {min(shape[2:])}", size)


def extract(x, size, stride=1):
    """R x: all patches of a batch, [B, C, H, W] → [N, C·p·p], with N = B · rows · columns. Linear and differentiable.

    Args:
        x: images [B, C, H, W]. size: p >= 1, at most H and W. stride: s >= 1, from one patch to the next.
    """
    check_images("x", x)
    check_size(size, stride, x.shape)
    down, across = (pixels(length, size, stride, x.device) for length in x.shape[2:])
    x = x.index_select(2, down).index_select(3, across)
    # [B, C, rows · p, columns · p] → [B, rows, columns, C, p, p]
    x = x.unflatten(3, (-1, size)).unflatten(2, (-1, size)).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(-1, x.shape[3] * size**2)


def extract_adjoint(patches, shape, stride=1):
    """Rᵀ P: every patch is added where it came from, [N, C·p·p] → [B, C, H, W], the exact adjoint of `extract`.

    Args:
        patches: P, [N, C·p·p]. shape: (B, C, H, W) of the images. stride: s, that of `extract`.

    Raises ValueError if the patches are not those that `extract` takes from images of this shape.
    """
    images, channels, height, width = shape
    size = math.isqrt(patches.shape[1] // channels)
    check(patches.shape[1:] == (channels * size**2,), "patches", f"[N, {channels}·p·p], p an integer", patches.shape)
    check_size(size, stride, shape)
    rows, columns = (len(positions(length, size, stride)) for length in (height, width))
    count = images * rows * columns
    check(len(patches) == count, "patches", f"{count} patches, for {list(shape)} and stride {stride}", patches.shape)
    # [B, rows, columns, C, p, p] → [B, C, rows · p, columns · p]
    p = patches.reshape(images, rows, columns, channels, size, size).permute(0, 3, 1, 4, 2, 5)
    p = p.flatten(4, 5).flatten(2, 3)
    down, across = (pixels(length, size, stride, p.device) for length in (height, width))
    x = p.new_zeros(images, channels, height, p.shape[3]).index_add(2, down, p)
    return x.new_zeros(tuple(shape)).index_add(3, across, x)


def counts(shape, size, stride=1, dtype=None, device=None):
    """RᵀR, which is diagonal: in how many patches each pixel lies, [1, 1, H, W], for images [B, C, H, W]."""
    check_size(size, stride, shape)
    down, across = (
        torch.bincount(pixels(length, size, stride, device), minlength=length).to(dtype or torch.get_default_dtype())
        for length in shape[2:]
    )
    return (down[:, None] * across)[None, None]


def average(patches, shape, stride=1):
    """(RᵀR)⁻¹ Rᵀ P = argmin_x ‖R x − P‖²: every pixel is the mean of its values in all patches that hold it. A left
    inverse of `extract`: average(extract(x, p, s), x.shape, s) = x.

    Args:
        patches: P, [N, C·p·p]. shape: (B, C, H, W) of the images. stride: s <= p, so that the patches cover the images.
    """
    x = extract_adjoint(patches, shape, stride)
    size = math.isqrt(patches.shape[1] // shape[1])
    check(stride <= size, "stride", f"at most the size of a patch, {size}, to cover the images", stride)
    return x / counts(shape, size, stride, x.dtype, x.device)
