"""A mask of your own: hide parts of a face, block by block or by a picture of your own, and see them filled again.

`fill` is the function behind it: total variation, the flow's MAP from there, and the way through z that the course
recommends, as images that arrive while L-BFGS goes on. `MaskEditor` connects it to a board of buttons.
"""

import ipywidgets
import numpy as np
import torch
from PIL import Image

from course_lib.common import check, check_count, check_images
from course_lib.data import observe, open_picture
from course_lib.lab.widgets import Message, closing_figures, display_with_picture, png
from course_lib.operators import Mask, random_mask
from course_lib.plots import show
from course_lib.reconstruction import bayesian, map_objective, synthesis_objective, warm_start
from course_lib.solvers.base import states
from course_lib.solvers.smooth import LBFGS

BLOCKS = 8
"""Blocks in a row and in a column of the board."""

PRESETS = {
    "clear": (),
    "one eye": [(row, column) for row in (3, 4) for column in (4, 5)],
    "eyes": [(row, column) for row in (3, 4) for column in (2, 3, 4, 5)],
    "half": [(row, column) for row in range(BLOCKS) for column in (4, 5, 6, 7)],
    "checkerboard": [(row, column) for row in range(BLOCKS) for column in range(BLOCKS) if (row + column) % 2],
    "random 60 %": None,
}
"""The blocks (row, column) that each preset hides; None: the random pixels of the task `inpainting_random`."""

LOOKS = {0: ("", "visible"), 1: ("adjust", "partly hidden"), 2: ("eye-slash", "hidden")}
"""Icon and word for a block, by what is hidden of it: nothing, a part, all."""


def preset(name, size=64):
    """The mask of one of `PRESETS` for images size×size: bool, [1, size, size], True = observed."""
    check(name in PRESETS, "name", f"one of {list(PRESETS)}", repr(name))
    check_count("size", size, low=BLOCKS)
    check(size % BLOCKS == 0, "size", f"a multiple of {BLOCKS}", size)
    if PRESETS[name] is None:
        return random_mask(size, size, missing=0.6, generator=0)
    seen = torch.ones(BLOCKS, BLOCKS, dtype=torch.bool)
    for row, column in PRESETS[name]:
        seen[row, column] = False
    return seen.repeat_interleave(size // BLOCKS, 0).repeat_interleave(size // BLOCKS, 1)[None]


def mask_of_picture(content, size=64):
    """The mask of a picture: dark pixels are hidden, bright and transparent ones observed.

    Args:
        content: the bytes of an image file, or what else `data.open_picture` takes.

    Returns bool, [1, size, size], True = observed; the picture is resized. ValueError if it cannot be read.
    """
    grey = open_picture(content) @ np.array([0.299, 0.587, 0.114], np.float32)
    grey = Image.fromarray(grey).resize((size, size), Image.Resampling.BOX)
    return torch.from_numpy(np.array(grey))[None] >= 0.5


def check_mask(mask, x):
    """Raise ValueError unless a mask is bool, fits the images x, and hides something."""
    fits = torch.is_tensor(mask) and mask.dtype == torch.bool and mask.shape == (1, *x.shape[2:])
    got = f"{mask.dtype} {list(mask.shape)}" if torch.is_tensor(mask) else type(mask).__name__
    check(fits, "mask", f"a bool tensor of shape {[1, *x.shape[2:]]}", got)
    check(not bool(mask.all()), "mask", "some hidden pixels", "none")


def hidden_psnr(image, x, mask):
    """PSNR of the hidden pixels, a number: 10 log₁₀(1 / MSE) with the mean over the pixels where the mask is False."""
    check_images("x", x)
    check_images("image", image)
    check(image.shape == x.shape, "image", f"shape {list(x.shape)}, as x", image.shape)
    check_mask(mask, x)
    return -10 * (image.clamp(0, 1) - x)[..., ~mask[0]].square().mean().log10().item()


def descend(objective, start, steps, every):
    """Yield (steps made, iterate) every few steps of one run of L-BFGS, and after the last one."""
    run = LBFGS(objective, start, memory=10, tolerance=1e-5, initial_step=None)
    for k, state in enumerate(states(run.step, run.start, steps, run.start["converged"])):
        if 0 < k < steps and k % every == 0:
            yield k, state["x"]
    yield steps, state["x"]


def fill(x, mask, model, sigma=0.01, steps=(45, 30), every=10):
    """Hide a part of x, add noise, and yield (method, share of the work done, image) while the hole is filled:

        tv            `warm_start`
        map           `map_objective` from the image of tv, steps[1] evaluations of L-BFGS
        recommended   `synthesis_objective` from z = 0, steps[0] evaluations, then `map_objective`, steps[1]

    Args:
        x: an image [1, C, H, W]. mask: bool, [1, H, W], True = observed. model: a flow. every: evaluations between
            two images. λ is the Bayesian σ²/2.

    Raises ValueError unless something is hidden, and something is observed.
    """
    check_images("x", x)
    check(len(x) == 1, "x", "one image, [1, C, H, W]", x.shape)
    check_mask(mask, x)
    check(bool(mask.any()), "mask", "some observed pixels", "none")
    in_z, in_x = steps
    A, lam, total = Mask(mask).to(x.device), bayesian(sigma), in_z + 2 * in_x
    y = observe(x, A, sigma, [0])
    start = warm_start(y, A, sigma)
    yield "tv", 0.0, start

    def in_the_image(u):
        return map_objective(u, y, A, model, lam)

    def in_the_latent(z):
        return synthesis_objective(z, y, A, model, lam)

    for k, image in descend(in_the_image, start, in_x, every):
        yield "map", k / total, image
    for k, z in descend(in_the_latent, x.new_zeros(1, model.dim), in_z, every):
        with torch.no_grad():
            first = model.decode(z)
        yield "recommended", (in_x + k) / total, first
    for k, image in descend(in_the_image, first, in_x, every):
        yield "recommended", (in_x + in_z + k) / total, image


def button(name, action, **options):
    """A button that calls an action."""
    made = ipywidgets.Button(description=name, layout=ipywidgets.Layout(width="auto"), **options)
    made.on_click(action)
    return made


class MaskEditor(ipywidgets.VBox):
    """A board of 8×8 toggle buttons that hide blocks of an image, presets, an upload, and a button that starts `fill`.
    The picture below shows the observation, what each method made of it, and the truth.

    Args:
        x: the image [1, 3, H, W], H = W a multiple of 8. model: a flow. start: one of `PRESETS`.
        options: of `fill`.
    """

    def __init__(self, x, model, start="one eye", **options):
        check_images("x", x)
        fits = len(x) == 1 and x.shape[2] == x.shape[3] and x.shape[3] % BLOCKS == 0
        check(fits, "x", f"one square image, its side a multiple of {BLOCKS}", x.shape)
        check(start in PRESETS, "start", f"one of {list(PRESETS)}", repr(start))
        self.x, self.model, self.options, self.images = x, model, options, {}
        self.quiet, self.mask = False, preset(start, x.shape[-1])
        self.presets = [button(name, lambda _, name=name: self.set_mask(preset(name, x.shape[-1]))) for name in PRESETS]
        self.run = button("reconstruct", self.reconstruct, button_style="primary")
        self.upload = ipywidgets.FileUpload(accept="image/*", description="your picture", tooltip="dark pixels hide")
        self.upload.observe(self.read_upload, "value")
        self.progress, self.message = ipywidgets.FloatProgress(max=1.0), Message()
        self.picture = ipywidgets.Image(format="png", layout=ipywidgets.Layout(width="fit-content"))
        self.picture.add_class("course-picture")
        controls = [ipywidgets.HBox(self.presets[:3]), ipywidgets.HBox(self.presets[3:])]
        controls += [self.upload, self.run, self.progress, self.message]
        beside = ipywidgets.VBox(controls, layout=ipywidgets.Layout(align_items="flex-start", margin="0 0 0 20px"))
        super().__init__([ipywidgets.HBox([self.make_board(), beside]), self.picture])
        self.set_mask(self.mask)

    def make_board(self):
        """The grid of toggle buttons, which are in `board`, row by row."""
        size = ipywidgets.Layout(width="36px", height="30px", padding="0", margin="0")
        looks = {"layout": size, "style": ipywidgets.ToggleButton().style}  # shared: a stored notebook keeps them once
        self.board = [ipywidgets.ToggleButton(**looks) for _ in range(BLOCKS**2)]
        for k, block in enumerate(self.board):
            block.observe(lambda change, k=k: self.toggle(*divmod(k, BLOCKS), change["new"]), "value")
        grid = {"grid_template_columns": f"repeat({BLOCKS}, 36px)", "grid_gap": "2px", "align_content": "flex-start"}
        return ipywidgets.GridBox(self.board, layout=ipywidgets.Layout(**grid))

    def toggle(self, row, column, hide):
        """Hide a block, or show it."""
        if not self.quiet:
            side = self.x.shape[-1] // BLOCKS
            mask = self.mask.clone()
            mask[:, row * side : (row + 1) * side, column * side : (column + 1) * side] = not hide
            self.set_mask(mask)

    def set_mask(self, mask):
        """Take a mask: the board and the picture follow, what was filled is cleared."""
        self.mask, self.images, self.quiet = mask, {}, True
        side = self.x.shape[-1] // BLOCKS
        shares = 1 - mask.float().unfold(1, side, side).unfold(2, side, side).mean((0, 3, 4)).flatten()
        try:
            for k, (block, share) in enumerate(zip(self.board, shares.tolist(), strict=True)):
                block.icon, word = LOOKS[(share > 0) + (share == 1)]
                block.value = share == 1
                block.tooltip = f"row {k // BLOCKS + 1}, column {k % BLOCKS + 1}: {word}"
        finally:
            self.quiet = False
        self.progress.value = 0.0
        self.message.say(f"{1 - mask.float().mean().item():.0%} of the pixels are hidden.")
        self.redraw()

    def read_upload(self, change):
        """Take the mask of an uploaded picture; a file that is none changes nothing, and the message says so."""
        if change["new"]:
            try:
                self.set_mask(mask_of_picture(bytes(change["new"][0]["content"]), self.x.shape[-1]))
            except ValueError as error:
                self.message.say(str(error), bold=True)
            self.upload.value = ()  # so that the same file can be chosen again

    def reconstruct(self, _=None):
        """Fill the hole; the picture follows stage by stage. Errors are said; but for a ValueError, raised too."""
        self.run.disabled = True
        try:
            for name, done, image in fill(self.x, self.mask, self.model, **self.options):
                self.images[name], self.progress.value = image, done
                self.message.say(f"{name}: {done:.0%} of the work is done.")
                self.redraw()
            self.message.say("The numbers are the PSNR of what was hidden.")
        except Exception as error:
            self.message.say(str(error), bold=True)
            if not isinstance(error, ValueError):
                raise
        finally:
            self.run.disabled = False

    def redraw(self):
        """Draw the observation, what there is of each method, and the truth."""
        observed = observe(self.x, Mask(self.mask), self.options.get("sigma", 0.01), [0])
        images, titles = [observed], ["observed"]
        for name in ("tv", "map", "recommended"):
            found = self.images.get(name)
            images.append(torch.ones_like(self.x) if found is None else found)
            titles.append(name if found is None else f"{name}: {hidden_psnr(found, self.x, self.mask):.1f} dB")
        with closing_figures():
            self.picture.value = png(show([*images, self.x], [*titles, "truth"], size=1.8))


def edit_mask(x, model, start="one eye", **options):
    """Display a `MaskEditor` that has filled its first hole; its picture is also the plain form. Returns the editor."""
    editor = MaskEditor(x, model, start, **options)
    editor.reconstruct()
    names = "observation, total variation, MAP, recommended and truth of a face with a hidden part"
    display_with_picture(editor, editor.picture.value, names)
    return editor
