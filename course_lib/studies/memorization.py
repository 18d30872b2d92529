"""Does a network draw faces, or recall them? Distances of its samples to the nearest training image.

A network that has learned images by heart draws copies of them, closer to a training image than any new face is
(Carlini et al. 2023, arXiv 2301.13188, find such samples of diffusion models by their distance). What "close" means is
said by faces that were held out: they are no copies, and as near as real faces come to one another.

A distance is measured between pixels, and between features, since a copy that is shifted by a pixel, or a little
brighter, is far away in pixels. The features are the latents of the VAE. A training image counts mirrored, too: so it
was shown in training.
"""

import torch

from course_lib.common import check, check_count, check_images, check_like, progress
from course_lib.data import load_folder, to_float
from course_lib.models.weights import describe, load_model
from course_lib.studies.store import Store, write_table

SOURCES = ("test", "train", "flow_in_time", "glow")
"""Whose images are measured: faces held out, training images (each against the others), samples of the networks."""

MEMORIZATION_COLUMNS = ("images_of", "images", "training", "space", "mean", "std", "least", "closer")
"""`space` is `pixels`, with the root mean square of the difference, or `features`, with the length of the difference
over √(number of features). `closer` is the share of the images that are nearer to a training image than any of the held
out ones is."""


def nearest(points, others, exclude=None):
    """The distance ‖p − q‖/√d of each point [N, d] to the nearest of the others [M, d], [N].

    exclude: for each point the places in `others` that do not count, [N, K].
    """
    fits = torch.is_tensor(points) and points.dim() == 2 and points.is_floating_point()
    check(fits, "points", "a float tensor [N, d]", getattr(points, "shape", type(points).__name__))
    check_like("others", others, points, "the points")
    check(others.shape[1:] == points.shape[1:], "others", f"points [M, {points.shape[1]}]", list(others.shape))
    distances = torch.cdist(points, others) / points.shape[1] ** 0.5
    if exclude is not None:
        distances.scatter_(1, exclude, torch.inf)
    return distances.amin(1)


@torch.no_grad()
def features(x, model, batch=100):
    """The latents E(x) of a model for images x [N, C, H, W], [N, D], in parts."""
    check_images("x", x)
    return torch.cat([model.encode(part) for part in progress(x.split(batch), desc="features", leave=False)])


def spaces(x, model):
    """{space: points [N, d]} of images x [N, C, H, W]."""
    return {"pixels": x.flatten(1), "features": features(x, model)}


def distances_to(training, x, model, same=False):
    """{space: [N]}, the distance of each image x to the nearest training image or its mirror image, as lists.

    Args:
        training: {space: points}, of the training images and then of their mirror images, in one order.
        x: images [N, C, H, W]. model: with `encode`. same: whether x are the first training images: then the image
            itself and its mirror image do not count.
    """
    count, exclude = len(training["pixels"]) // 2, None
    if same:
        exclude = torch.arange(len(x))[:, None] + torch.tensor([0, count])
    return {name: nearest(points, training[name], exclude).tolist() for name, points in spaces(x, model).items()}


@torch.no_grad()
def drawn(name, count, batch=8):
    """`count` samples of a network, [count, 3, 64, 64], in [0, 1], with the seed 0."""
    model, generator = load_model(name), torch.Generator().manual_seed(0)
    sizes = [min(batch, count - k) for k in range(0, count, batch)]
    return torch.cat([model.sample(n, generator=generator) for n in progress(sizes, desc=name, leave=False)]).clamp(
        0, 1
    )


def table_of(records):
    """The rows of the table: one a source and a space."""
    least = {space: min(r[space]) for r in records if r["images_of"] == "test" for space in ("pixels", "features")}
    for record in records:
        for space in ("pixels", "features"):
            found = torch.tensor(record[space])
            row = {"images_of": record["images_of"], "images": len(found), "training": record["training"]}
            row |= {"space": space, "mean": found.mean().item(), "std": found.std().item(), "least": found.min().item()}
            closer = (found < least[space]).double().mean().item() if space in least else None
            yield row | {"closer": closer}


def measure_memorization(path, folder, cells="runs/memorization", count=64, training=4000):
    """Measure held-out faces, training images and samples, `count` of each, against the first `training` training
    images of CelebA in a folder: a cell each. After each one `memorization.csv` is written to `path`, a DataFrame.
    """
    check_count("count", count, low=2)
    check_count("training", training, low=count + 1)
    vae, known = load_model("vae"), {}

    def setup(name):
        weights = {other: describe(other)["sha256"] for other in ("vae", name) if other not in ("test", "train")}
        return {"weights": weights, "images": count, "training": training}

    def measure(name):
        if not known:
            x = to_float(load_folder(folder, "train", limit=training))
            known["images"], known["points"] = x[:count], spaces(torch.cat([x, x.flip(3)]), vae)
        if name == "test":
            x = to_float(load_folder(folder, "test", limit=count))
        else:
            x = known["images"] if name == "train" else drawn(name, count)
        found = distances_to(known["points"], x, vae, same=name == "train")
        return {"images_of": name, "training": len(known["points"]["pixels"]) // 2} | found, None

    def write(records):
        return write_table(path, list(table_of(records)), MEMORIZATION_COLUMNS)

    return Store(cells, "memorization").fill([(name,) for name in SOURCES], setup, measure, write)
