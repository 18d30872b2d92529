"""One picture, restored: the problem, the prior, its stages with what is kept between them, the files, the report."""

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from course_lib.common import check, check_count, check_number, progress
from course_lib.models.weights import read_checkpoint, save_checkpoint
from course_lib.reconstruction.base import HALF_GREY
from course_lib.restore import pictures, priors, problems, sheet

LARGEST = 2**25
"""The most pixels of a result: what fits into the memory of a plain machine."""

EVERY, TIMES = 20, 20
"""Seconds of work that a power cut may cost, or so many times what it takes to keep a large picture, if it is more."""


@dataclass
class Restoration:
    """What `restore` returns.

    Args:
        x: x̂, [1, C, H, W], 0 black and 1 white. y: the picture. task: what was asked.
        unseen: u, what of x̂ − x̄ is the prior's (see `Problem.unseen`). values, energy: its share of the values, and of
            ‖x̂ − x̄‖². residual: the root mean square of A x̂ − y in σ.
        sigma, prior, why: as the report says. report: what was done, line by line.
        path, sheet: the files, None where none were written.
    """

    x: torch.Tensor
    y: torch.Tensor
    task: str
    unseen: torch.Tensor
    values: float
    energy: float
    residual: float
    sigma: float
    prior: str
    why: str
    report: list
    path: Path | None = None
    sheet: Path | None = None


def restore(
    picture,
    task,
    out=None,
    *,
    prior="auto",
    sigma=None,
    mask=None,
    kernel=None,
    factor=2,
    limits=None,
    steps=None,
    device="cpu",
    disable=True,
):
    """Restore a picture of one's own, y = A x + n: x̂, and what of it was measured and what the prior invented.

    Args:
        picture: y, the path of a file that Pillow reads, or a Pillow image. task: one of `TASKS`.
        out: where the result goes, with a comparison beside it (`…_sheet.png`); None: nowhere. A run that is stopped
            leaves what it has in `out`.part, and the same call goes on from there.
        prior: pnp, patches, tv or face; auto takes the one that suits the picture, and says why.
        sigma: σ of the noise, where the range from black to white is 1; by default estimated. mask, kernel, factor: of
            inpainting, deblurring and sr; see `problems.make_problem`. limits: black and white; see `read_picture`.
        steps: of the prior: turns of plug and play (8; 16 for a face), grids of patches (4), iterations of total
            variation (1000).

    Raises ValueError and FileNotFoundError for what can't be read or does not fit, naming the argument.
    """
    began = time.perf_counter()
    if sigma is not None:
        check_number("sigma", sigma)
    if steps is not None:
        check_count("steps", steps, low=1)
    source = pictures.read_picture(picture, limits)
    out = None if out is None else Path(out)
    if out is not None:
        pictures.check_suffix(out, source)
        same = isinstance(picture, str | os.PathLike) and out.exists() and out.samefile(picture)
        check(not same, "out", "another file than the picture", str(out))
        check(out.parent.is_dir(), "out", "a file in a folder that exists", str(out))
    source.x = source.x.to(device)
    check_count("factor", factor, low=2)
    pixels = source.x.shape[2] * source.x.shape[3] * (factor**2 if task == "sr" else 1)
    check(pixels <= LARGEST, "picture", f"at most {LARGEST} pixels of the result; cut it into parts", pixels)
    problem = problems.make_problem(source, task, sigma, mask, kernel, factor)
    prior, why = priors.choose_prior(prior, problem)
    x = run(problem, prior, steps, None if out is None else out.with_name(out.name + ".part"), disable)
    found = measure(problem, x, task, prior, why)
    found.report[1:1] = source.notes
    found.report.append(f"{source.x.shape[3]}×{source.x.shape[2]} pixels, {time.perf_counter() - began:.0f} s")
    if out is not None:
        found.path, found.sheet = out, out.with_name(out.stem + "_sheet.png")
        pictures.write_picture(out, found.x, source)
        sheet.write_sheet(found.sheet, found)
        out.with_name(out.name + ".part").unlink(missing_ok=True)
    return found


def run(problem, prior, steps, part, disable):
    """x̂ by the stages of a prior. What is reached is kept in the file `part`, every `EVERY` seconds and when it is
    interrupted; a rerun of the same problem goes on from there."""
    stages = priors.stages_of(prior, problem, steps)
    key = fingerprint(problem, prior, steps)
    state, done = {"x": problem.x0.clone()}, 0
    if part is not None and part.exists():
        about, tensors = read_checkpoint(part)
        if about["recipe"] == key:
            state, done = {name: tensor.to(problem.y) for name, tensor in tensors.items()}, about["step"]

    def keep():
        if part is not None:
            save_checkpoint(part, state, {"step": json.dumps(done), "recipe": json.dumps(key), "rows": "[]"})

    kept, cost = time.monotonic(), 0.0
    try:
        for stage in progress(stages[done:], initial=done, total=len(stages), desc=prior, disable=disable):
            state = stage(state)
            done += 1
            began = time.monotonic()
            if began - kept >= max(EVERY, TIMES * cost):
                keep()
                kept = time.monotonic()
                cost = kept - began
    except KeyboardInterrupt:
        keep()
        raise
    return state["x"]


def fingerprint(problem, prior, steps):
    """What tells one problem from another."""
    digest = hashlib.sha256(f"{prior} {steps} {problem.sigma!r} {type(problem.A).__name__}".encode())
    for tensor in (problem.y, *problem.A.buffers()):
        digest.update(f"{list(tensor.shape)}".encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def measure(problem, x, task, prior, why):
    """The `Restoration`: how well x̂ fits the data, and what of it they do not say."""
    sigma = max(problem.sigma, HALF_GREY)
    error = problem.A(x) - problem.y
    seen = error if problem.mask is None else error[problem.mask.expand_as(error)]
    residual = seen.square().mean().sqrt().item() / sigma
    unseen, values = problem.unseen(x)
    image = problem.cut(x)
    centred = image - image.mean((2, 3), keepdim=True)
    energy = (unseen.square().sum() / centred.square().sum().clamp_min(1e-12)).item()
    report = [
        f"{task}, σ = {problem.sigma:.4f} of the range from black to white ({problem.given})",
        f"prior: {priors.KINDS[prior]}; {why}",
        f"the data of the result, A x̂, differ from the picture by {residual:.1f} σ",
        f"of its values the picture determines {100 * (1 - values):.0f} %, the prior {100 * values:.0f} %",
        f"of its contrast {100 * energy:.1f} % (energy) are the prior's",
    ]
    if task == "denoising":
        report[-1] = "nothing is hidden from the picture: the prior only told noise from detail"
    return Restoration(image, problem.y, task, unseen, values, energy, residual, problem.sigma, prior, why, report)
