"""Memorization: what a copy and a new image are, on images whose distances are known, and as a table."""

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import __main__
from course_lib.models.glow import Glow
from course_lib.models.vae import VAE
from course_lib.studies import memorization
from course_lib.studies.store import read_table


class Identity:
    """Features that are the image's pixels, doubled."""

    def encode(self, x):
        return 2 * x.flatten(1)


def images(count, seed=0):
    return torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_nearest_distance_is_that_of_a_loop():
    points, others = images(5).flatten(1), images(7, seed=1).flatten(1)
    found = memorization.nearest(points, others)
    by_hand = [min((p - q).square().mean().sqrt() for q in others) for p in points]
    torch.testing.assert_close(found, torch.stack(by_hand))
    closest = torch.cdist(points, others).argmin(1, keepdim=True)
    assert (memorization.nearest(points, others, closest) > found).all()


def test_a_copy_is_found_also_in_the_mirror_and_a_training_image_is_not_its_own_copy():
    x = images(6)
    x[5] = (x[5] + x[5].flip(2)) / 2  # its own mirror image
    training = memorization.spaces(torch.cat([x, x.flip(3)]), Identity())
    copies = memorization.distances_to(training, x[:3].flip(3) + 0.01, Identity())
    assert copies["pixels"] == pytest.approx([0.01] * 3) and copies["features"] == pytest.approx([0.02] * 3)
    others = memorization.distances_to(training, x, Identity(), same=True)
    assert min(others["pixels"]) > 0.1, "neither itself nor its mirror image"
    v = torch.cat([x[:5], x[:1]])  # the first image is there twice
    twice = memorization.spaces(torch.cat([v, v.flip(3)]), Identity())
    assert memorization.distances_to(twice, v[:1], Identity(), same=True)["pixels"] == pytest.approx([0.0])


def test_the_table_says_which_share_is_closer_than_the_held_out_faces():
    records = [
        {"images_of": "test", "training": 9, "pixels": [0.2, 0.3], "features": [1.0, 2.0]},
        {"images_of": "glow", "training": 9, "pixels": [0.1, 0.25], "features": [1.5, 1.0]},
    ]
    rows = {(row["images_of"], row["space"]): row for row in memorization.table_of(records)}
    assert rows["glow", "pixels"]["closer"] == 0.5 and rows["glow", "features"]["closer"] == 0
    assert rows["test", "features"]["mean"] == 1.5 and rows["glow", "pixels"]["least"] == pytest.approx(0.1)
    assert next(memorization.table_of(records[1:]))["closer"] is None


def test_wrong_points_are_refused():
    points = images(2).flatten(1)
    with pytest.raises(ValueError, match="points"):
        memorization.nearest(images(2), points)
    with pytest.raises(ValueError, match="others"):
        memorization.nearest(points, points[:, 1:])


def test_faces_become_a_table(tmp_path, capsys, monkeypatch):
    torch.manual_seed(0)
    models = {
        "vae": VAE(dim=4, widths=(4, 8, 8), blocks=(0, 0, 0)).eval(),
        "glow": Glow(size=64, steps=1, widths=(4, 4, 4)).eval(),
    }
    monkeypatch.setattr(memorization, "SOURCES", ("test", "train", "glow"))
    monkeypatch.setattr(memorization, "load_model", models.get)
    monkeypatch.setattr(memorization, "describe", lambda name: {"sha256": name})
    shades = np.random.default_rng(0)
    for number in (*range(1, 7), *range(9751, 9754)):
        picture = shades.integers(0, 255, (109, 89, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{number:06d}.png")
    path = tmp_path / "out" / "memorization.csv"
    line = ["memorization", "--data", str(tmp_path), "--out", str(path), "--cells", str(tmp_path / "cells")]
    assert __main__.main([*line, "--images", "3", "--training", "5"]) == 0
    table = read_table("memorization", path.parent)
    assert tuple(table.columns) == memorization.MEMORIZATION_COLUMNS and len(table) == 6
    assert set(table["training"]) == {5} and set(table["images"]) == {3} and (table["least"] <= table["mean"]).all()
    assert "6 rows" in capsys.readouterr().out
    kept = path.read_bytes()
    monkeypatch.setattr(memorization, "distances_to", None)  # A second time, nothing is measured.
    assert __main__.main([*line, "--images", "3", "--training", "5"]) == 0 and path.read_bytes() == kept
    assert __main__.main([*line, "--images", "1"]) == 2
    assert "count" in capsys.readouterr().err
