"""What all rooms share: checks of arguments, the arithmetic of batches, seeds, the progress bar, files written whole.

A check raises ValueError with the name of the argument, what was expected, and what was given. Public functions check
what they are given; what they call need not check it again.
"""

import os
from contextlib import contextmanager, nullcontext
from numbers import Integral, Real
from pathlib import Path

import torch
from tqdm.auto import tqdm


def check(condition, name, expected, got):
    """Raise ValueError unless the condition holds. Only then are the values of a tensor `got` read: within a transform
    of torch.func it may have none."""
    if not condition:
        got = got.tolist() if torch.is_tensor(got) else list(got) if isinstance(got, torch.Size) else got
        raise ValueError(f"{name}: expected {expected}, got {got}")


def check_images(name, x, device=None):
    """Raise ValueError unless x is a float tensor [B, C, H, W] (on `device`, that of the operator).

    It looks at the shape and not at the values, so that operators may call it: nobody waits for a GPU.
    """
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
    fits = torch.is_tensor(x) and x.dim() > 0 and x.shape[1:] == shape and len(x) > 0
    got = x.shape if torch.is_tensor(x) else type(x).__name__
    check(fits, name, f"a tensor of shape [B, {str(list(shape))[1:]}", got)
    check_like(name, x, parameter)


def check_operator(name, A):
    """Raise ValueError unless A can be applied, A(x), and has an adjoint, A.T(y)."""
    fits = callable(A) and callable(getattr(A, "T", None))
    check(fits, name, "an operator with A(x) and its adjoint A.T(y)", type(A).__name__)


def check_calls(name, value, *calls):
    """Raise ValueError unless value has the methods or attributes `calls`."""
    missing = [call for call in calls if not hasattr(value, call)]
    check(not missing, name, f"something with {', '.join(calls)}", f"a {type(value).__name__} without {missing}")


def check_batch(name, x, rank=None):
    """Raise ValueError unless x is a finite float tensor [B, ...], B > 0, of `rank` dimensions if that is given."""
    fits = torch.is_tensor(x) and x.is_floating_point() and x.dim() > 1 and 0 not in x.shape
    shape = "[B, C, H, W]" if rank == 4 else "[B, ...]"
    given = f"{x.dtype} of shape {list(x.shape)}" if torch.is_tensor(x) else type(x).__name__
    check(fits and rank in (None, x.dim()), name, f"a float tensor of shape {shape}", given)
    check(not x.is_meta, name, "a tensor with values", "one on the device meta")
    check(bool(x.isfinite().all()), name, "finite values", "NaN or infinity")


def check_range(name, x):
    """Raise ValueError where images x are clearly not in [0, 1], as those from 0 to 255.

    Samples of a model, and images with noise, may overshoot: values from −1 to 2 pass.
    """
    low, high = x.min().item(), x.max().item()
    check(not (low < -1 or high > 2), name, "images in [0, 1]", f"values from {low:g} to {high:g}")


def check_count(name, value, low=0):
    """Raise ValueError unless value is an integer >= low."""
    fits = isinstance(value, Integral) and not isinstance(value, bool) and value >= low
    check(fits, name, f"an integer >= {low}", repr(value))


def check_number(name, value, positive=False):
    """Raise ValueError unless value is a finite number >= 0, or > 0."""
    fits = isinstance(value, Real) and 0 <= value < float("inf") and not (positive and value == 0)
    check(fits, name, f"a finite number {'>' if positive else '>='} 0", repr(value))


def check_run(steps, tolerance, A=None, **batches):
    """Raise ValueError unless steps, tolerance, an operator and the named batches can be those of an algorithm."""
    if A is not None:
        check_operator("A", A)
    for name, x in batches.items():
        check_batch(name, x)
    check_count("steps", steps)
    check_number("tolerance", tolerance)


def one_per_image(name, value, x):
    """A non-negative parameter (a number or a tensor [B]) as a tensor [B] of the dtype and device of the batch x.

    Raises:
        ValueError: the parameter is negative or not finite, or it is neither one number nor one for each image.
    """
    try:
        value = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: expected a number or a tensor of shape [{len(x)}], got {value!r}") from error
    check(value.shape in ((), x.shape[:1]), name, f"a number or a tensor of shape [{len(x)}]", value.shape)
    check(bool((value.isfinite() & (value >= 0)).all()), name, "finite values >= 0", value)
    return value.expand(len(x))


def column(value, x):
    """A tensor [B] in the shape [B, 1, …, 1] that multiplies a batch x."""
    return value.reshape(-1, *[1] * (x.dim() - 1))


def dot(a, b):
    """⟨a, b⟩ of each image, [B]."""
    return (a * b).flatten(1).sum(1)


def root(squares):
    """√s, with all derivatives 0 at s = 0, where it has none: a norm at 0 takes the subgradient 0."""
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1).sqrt(), 0)


def without_autocast(x):
    """A context in which products of matrices have the precision of x, also under `torch.autocast`."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def in_precision(dtype, network, h):
    """network(h) with the arithmetic of `dtype` (None: as it is), as a tensor of the dtype of h.

    Rounded weights are not kept: under another autocast they would outlive the weights.
    """
    if dtype is None:
        return network(h)
    with torch.autocast(h.device.type, dtype, cache_enabled=False):
        return network(h).to(h.dtype)


def as_generator(seed, device="cpu"):
    """A `torch.Generator` with a seed, a Python or NumPy integer; a generator, or None for torch's own, as it is."""
    return torch.Generator(device).manual_seed(int(seed)) if isinstance(seed, Integral) else seed


def processes():
    """(rank, world): the number of this process and how many there are, as `torchrun` sets them; (0, 1) without it."""
    found = {}
    for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")):
        text = os.environ.get(name) or default
        check(text.isdecimal(), name, "an integer in the environment, as torchrun sets it, or none", repr(text))
        found[name] = int(text)
    rank, world = found.values()
    check(rank < world, "RANK", f"an integer below WORLD_SIZE = {world}", rank)
    return rank, world


def progress(iterable=None, disable=False, **options):
    """A tqdm bar; silent under TQDM_DISABLE=1, without a terminal, and in all but the first process of a `torchrun`."""
    silent = disable or os.environ.get("TQDM_DISABLE") == "1" or os.environ.get("RANK") not in (None, "", "0")
    return tqdm(iterable, disable=silent or None, **options)


@contextmanager
def replacing(path):
    """A path beside `path` to write to: renamed to it at the end of the block, removed where the block fails.

    So `path` is whole at any moment, the old file or the new one. A process that is killed may leave `path`.tmp behind,
    which nobody reads, and which the next writer overwrites.
    """
    temporary = Path(f"{path}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path, text):
    """Write a text file through `replacing`, in UTF-8, with its folder if need be."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def choose_device(name):
    """The torch.device for `auto`, `cpu` or `cuda`."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: expected auto or cpu, got cuda; this torch finds no CUDA GPU")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
