"""What all modules share: checks of arguments, the arithmetic of batches, the progress bar.

A check raises ValueError with the name of the argument, what was expected, and what was given.
"""

import numbers
import os
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm.auto import tqdm


def check(condition, name, expected, got):
    """Raise ValueError unless the condition holds. Where a call is repeated often, the condition is about shapes, which
    no GPU has to be waited for."""
    if not condition:
        raise ValueError(f"{name}: expected {expected}, got {list(got) if isinstance(got, torch.Size) else got}")


def check_images(name, x, device=None):
    """Raise ValueError unless x is a float tensor [B, C, H, W] (on `device`, that of the operator)."""
    got = x.dtype if torch.is_tensor(x) else type(x).__name__
    check(torch.is_tensor(x) and x.is_floating_point(), name, "a float tensor", got)
    check(x.dim() == 4, name, "shape [B, C, H, W]", x.shape)
    check(0 not in x.shape, name, "at least one image, and pixels", x.shape)
    check(device is None or x.device == device, name, f"a tensor on {device}, where the operator is", x.device)


def check_like(name, x, other, what="the model"):
    """Raise ValueError unless x has the device and the dtype of the tensor `other`, which belongs to `what`."""
    check(x.device == other.device, name, f"a tensor on {other.device}, where {what} is", x.device)
    check(x.dtype == other.dtype, name, f"{other.dtype}, as {what}", x.dtype)


def check_input(name, x, shape, parameter):
    """Raise ValueError unless x is a tensor [B, *shape], B > 0, of the device and dtype of a model's parameter."""
    got, kind = getattr(x, "shape", type(x).__name__), "images" if len(shape) > 1 else "latents"
    fits = torch.is_tensor(x) and x.dim() > 0 and x.shape[1:] == shape and len(x) > 0
    check(fits, name, f"{kind} of shape [B, {str(list(shape))[1:]}", got)
    check_like(name, x, parameter)


def check_operator(name, A):
    """Raise ValueError unless A can be applied, A(x), and has an adjoint, A.T(y)."""
    fits = callable(A) and callable(getattr(A, "T", None))
    check(fits, name, "an operator with A(x) and its adjoint A.T(y)", type(A).__name__)


def check_calls(name, value, *calls):
    """Raise ValueError unless value has the methods or attributes `calls`."""
    missing = [call for call in calls if not hasattr(value, call)]
    check(not missing, name, f"something with {', '.join(calls)}", f"a {type(value).__name__} without {missing}")


def check_precision(dtype):
    """Raise ValueError unless dtype is None or a floating-point dtype of torch."""
    fits = dtype is None or (isinstance(dtype, torch.dtype) and dtype.is_floating_point)
    check(fits, "dtype", "torch.bfloat16, torch.float16 or None", dtype)


def one_per_image(name, value, x):
    """A non-negative parameter (a number or a tensor [B]) as a tensor [B] of the dtype and device of the batch x.

    Raises:
        ValueError: the parameter is negative or not finite, or it is neither one number nor one for each image.
    """
    try:
        value = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: expected a number or a tensor of shape [{len(x)}], got {value!r}") from error
    if value.dim() > 1 or (value.dim() == 1 and len(value) != len(x)):
        raise ValueError(f"{name}: expected a number or a tensor of shape [{len(x)}], got shape {list(value.shape)}")
    if not bool((torch.isfinite(value) & (value >= 0)).all()):
        raise ValueError(f"{name}: expected finite values >= 0, got {value.tolist()}")
    return value.expand(len(x))


def check_batch(name, x, rank=None):
    """Raises ValueError unless x is a finite float tensor [B, ...], B > 0, of `rank` dimensions if that is given."""
    fits = torch.is_tensor(x) and x.is_floating_point() and x.dim() > 1 and 0 not in x.shape
    if not fits or rank not in (None, x.dim()):
        shape = "[B, C, H, W]" if rank == 4 else "[B, ...]"
        given = f"{x.dtype} of shape {list(x.shape)}" if torch.is_tensor(x) else type(x).__name__
        raise ValueError(f"{name}: expected a float tensor of shape {shape}, got {given}")
    check(not x.is_meta, name, "a tensor with values", "one on the device meta")
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"{name}: expected finite values, got NaN or infinity")


def check_count(name, value, low=0):
    """Raises ValueError unless value is an integer >= low."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < low:
        raise ValueError(f"{name}: expected an integer >= {low}, got {value!r}")


def check_number(name, value, positive=False):
    """Raises ValueError unless value is a finite number >= 0, or > 0."""
    if not isinstance(value, numbers.Real) or not 0 <= value < float("inf") or (positive and value == 0):
        raise ValueError(f"{name}: expected a finite number {'>' if positive else '>='} 0, got {value!r}")


def check_run(steps, tolerance, A=None, **batches):
    """Raises ValueError unless steps, tolerance, an operator and the named batches can be those of an algorithm."""
    if A is not None:
        check_operator("A", A)
    for name, x in batches.items():
        check_batch(name, x)
    check_count("steps", steps)
    check_number("tolerance", tolerance)


def column(value, x):
    """A tensor [B] in the shape [B, 1, …, 1] that multiplies a batch x."""
    return value.reshape(-1, *[1] * (x.dim() - 1))


def dot(a, b):
    """⟨a, b⟩ of each image, [B]."""
    return (a * b).flatten(1).sum(1)


def in_precision(dtype, network, h):
    """network(h) with the arithmetic of `dtype` (None: as it is), as a tensor of the dtype of h."""
    if dtype is None:
        return network(h)
    with torch.autocast(h.device.type, dtype):
        return network(h).to(h.dtype)


def progress(iterable=None, disable=False, **options):
    """A tqdm bar; silent under TQDM_DISABLE=1, without a terminal, and in all but the first process of a `torchrun`."""
    silent = disable or os.environ.get("TQDM_DISABLE") == "1" or os.environ.get("RANK", "0") != "0"
    return tqdm(iterable, disable=silent or None, **options)


@contextmanager
def replacing(path):
    """A path beside `path` to write to: renamed to it at the end of the block, removed where the block fails."""
    temporary = Path(f"{path}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path, text):
    """Write a text file beside its place and rename it, with its folder if need be."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def choose_device(name):
    """The torch.device for `auto`, `cpu` or `cuda`."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: expected auto or cpu, got cuda; this torch finds no CUDA GPU")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
