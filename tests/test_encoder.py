"""The study of the encoder of a flow in time, on a small one."""

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import __main__
from course_lib.models.flow_in_time import FlowInTime
from course_lib.studies import encoder
from course_lib.studies.store import read_table


@pytest.fixture(scope="module")
def flow():
    """A flow whose network is no longer zero."""
    torch.manual_seed(0)
    model = FlowInTime(64, widths=[8], depth=1)
    torch.nn.init.normal_(model.net.head[2].weight, std=0.02)
    return model.freeze()


def test_a_round_trip_counts_its_velocities_and_says_where_there_is_none(flow):
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for scheme, velocities in (("euler", 6), ("midpoint", 12), ("heun", 12)):
        errors, count = encoder.round_trip(flow.discretize(3, scheme), x)
        assert len(errors) == 2 and min(errors) > 0 and count == velocities
    errors, count = encoder.round_trip(flow.discretize(3, "invertible"), x)
    assert max(errors) < 1e-4 and count > 6
    steep = FlowInTime(64, widths=[8], depth=1)
    torch.nn.init.normal_(steep.net.head[2].weight, std=30.0)
    assert encoder.round_trip(steep.discretize(1, "invertible"), x)[0] is None
    assert encoder.ends_of(None) == {"mean": None, "largest": None}
    assert encoder.ends_of([1.0, 3.0]) == {"mean": 2.0, "largest": 3.0}


def test_faces_become_two_tables(flow, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(encoder, "load_model", lambda name: flow)
    monkeypatch.setattr(encoder, "describe", lambda name: {"sha256": name})
    smaller = {"STEPS": (2,), "PHOTOGRAPHS": ("cat",), "JACOBIAN_TASKS": ("sr4",), "FEW": 2, "MANY": 3}
    for name, value in smaller.items():
        monkeypatch.setattr(encoder, name, value)
    shades = np.random.default_rng(0)
    for number in range(9751, 9753):
        picture = shades.integers(0, 255, (109, 89, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{number:06d}.png")
    path = tmp_path / "out" / "time_jacobian.csv"
    line = ["encoder", "--data", str(tmp_path), "--out", str(path), "--cells", str(tmp_path / "cells"), "--images", "1"]
    assert __main__.main(line) == 0 and "7 rows" in capsys.readouterr().out
    rows = read_table("time_jacobian", path.parent)
    assert list(rows["image"]) == ["truth", "tv", "hqs", "analysis", "map", "analysis", "map"]
    assert list(rows["evaluations"]) == [0, 0, 0, 2, 2, 3, 3] and rows["psnr"][0] == np.inf
    assert rows["latent"][3] < rows["latent"][2], "the shorter code is what (4) asks for"
    trips = read_table("time_round_trip", path.parent)
    assert len(trips) == 8 and set(trips["images_of"]) == {"faces", "photographs"}
