"""The data of a run: what it loads or draws, and the batch of each step as a function of (seed, step)."""

import torch

from course_lib.common import check
from course_lib.data import bernoulli_gaussian, load_folder, photograph_crops, to_float
from course_lib.models.glow import dequantize
from course_lib.training.recipes import step_seed


def sparse_codes(config, count, generator):
    """The codes [count, 1, 1, n] of a LISTA's training."""
    return bernoulli_gaussian(count, config["A"][1], config["density"], generator)


DRAWN = {"lista": sparse_codes}
"""For each model that needs no images: what it trains on, of (config, count, generator), [count, C, H, W]."""


def check_data(folders, recipe):
    """Raise ValueError unless there is something to train on: folders, photographs, or what the recipe draws itself."""
    check(isinstance(folders, list | tuple), "data", "a list of folders", repr(folders))
    if recipe.model in DRAWN:
        given = [*map(str, folders), *["photographs"] * (recipe.photographs > 0)]
        check(not given, "data", f"no images, {recipe.model} trains on what it draws", given)
    else:
        check(folders or recipe.photographs, "data", "at least one folder of images", "none")


def as_the_model(images, recipe):
    """8-bit images [N, 3, H, W] as the model takes them: for one of a single channel, the mean of the three."""
    return images if recipe.config.get("channels", 3) == 3 else images.float().mean(1, keepdim=True).round().byte()


def load_sets(folders, recipe):
    """The training images, uint8 [N, C, size, size] each: one set a folder, then the crops of photographs if any; none
    for a model in `DRAWN`."""
    size = recipe.config.get("size", 64)
    sets = [load_folder(folder, "train", size) for folder in folders]
    if recipe.photographs:
        sets.append(photograph_crops("train", recipe.photographs, size, recipe.seed))
    return [as_the_model(images, recipe) for images in sets]


def load_validation(folders, recipe):
    """The validation images of the first folder, and as many crops of the validation photographs where the recipe
    trains on photographs (without a folder, 250 or as many as it trains on): uint8 [N, C, size, size]. For a model in
    `DRAWN`: 2000 examples with a seed of their own."""
    if recipe.model in DRAWN:
        return DRAWN[recipe.model](recipe.config, 2000, torch.Generator().manual_seed(1))
    size = recipe.config.get("size", 64)
    sets = [load_folder(folder, "validation", size) for folder in folders[:1]]
    if recipe.photographs:
        count = len(sets[0]) if sets else min(250, recipe.photographs)
        sets.append(photograph_crops("validation", count, size))
    return as_the_model(torch.cat(sets), recipe)


def share_of_sets(sizes, step, recipe):
    """The probabilities that an image of a step's batch comes from each set: `share` for the first, and 1 in the last
    `finish` of the run; the other sets have the rest in proportion to their sizes."""
    if len(sizes) == 1 or step >= (1 - recipe.finish) * recipe.steps:
        return torch.eye(len(sizes))[0]
    others = torch.tensor([0.0, *map(float, sizes[1:])])
    shares = others / others.sum() * (1 - recipe.share)
    shares[0] = recipe.share
    return shares


def draw_batch(sets, step, recipe, rank=0, world=1):
    """The batch of a step, a function of (seed, step): images [batch / world, C, H, W] in [0, 1] with flips and noise,
    the slice of process `rank` of `world`.

    Args:
        sets: uint8 images [N, C, H, W] each, mixed as `share_of_sets` says; unused for a model in `DRAWN`.
    """
    generator, count = torch.Generator().manual_seed(step_seed(step, recipe)), recipe.batch
    if recipe.model in DRAWN:
        return DRAWN[recipe.model](recipe.config, count, generator).chunk(world)[rank]
    sizes = [len(images) for images in sets]
    which = torch.multinomial(share_of_sets(sizes, step, recipe), count, replacement=True, generator=generator)
    place = torch.rand(count, generator=generator)
    images = torch.stack([sets[i][int(u * sizes[i])] for i, u in zip(which.tolist(), place.tolist(), strict=True)])
    flip = torch.rand(count, generator=generator) < 0.5
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    return dequantize(to_float(images), recipe.noise, generator).chunk(world)[rank]


def draw_validation(images, recipe, seed=1):
    """The validation images with the noise of the recipe, always the same; what was drawn, as it is."""
    if recipe.model in DRAWN:
        return images
    return dequantize(to_float(images), recipe.noise, torch.Generator().manual_seed(seed))
