"""The score table's machinery on a small flow: tuning, cells that survive a stop, files."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from test_reconstruction import small_flow

from course_lib.data import TASKS, face, make_task, observe
from course_lib.models.flow_in_time import FlowInTime
from course_lib.models.vae import VAE
from course_lib.operators import Blur, Downsample, Mask
from course_lib.studies import experiments, methods, scores
from course_lib.studies.experiments import Experiment, reproduce, untuned_experiment
from course_lib.studies.methods import GRID, METHODS
from course_lib.studies.scores import FACE_COLUMNS, PUBLISHED, beside_published, tuned_lams
from course_lib.studies.store import read_table

UNCOUNTED = ("bicubic", "biharmonic", "srcnn", "vdsr", "pnp", "posterior_mean", "flow_denoiser_pnp")
UNCOUNTED += ("time_hqs", "pigdm", "diffpir", "pnp_flow", "dps")
"""The methods that minimize no objective."""


@pytest.fixture
def experiment():
    images = torch.nn.functional.avg_pool2d(face(), 8)
    images = torch.cat([images, images.flip(3), 1 - images])
    return Experiment(small_flow().float(), images[:2], images[2:], batch=2)


def test_tasks_are_those_of_the_source():
    assert set(TASKS) == {"deblurring", "sr2", "sr4", "inpainting_random", "inpainting_square"}
    x = torch.rand(1, 3, 64, 64)
    blur, sr2, sr4, random, square = (make_task(name) for name in TASKS)
    assert isinstance(blur, Blur) and blur.kernel.shape == (7, 7) and blur.kernel.unique().numel() == 1
    assert isinstance(sr2, Downsample) and sr2(x).shape[-1] == 32 and sr4(x).shape[-1] == 16
    assert isinstance(random, Mask) and (~random.mask).sum() == round(0.6 * 64 * 64)
    assert isinstance(square, Mask) and (~square.mask).sum() == 100


def test_noise_belongs_to_the_image_not_to_the_batch():
    x, A = torch.rand(3, 3, 64, 64), make_task("inpainting_random")
    y = observe(x, A, 0.1, [5, 6, 7])
    assert torch.equal(y[1:2], observe(x[1:2], A, 0.1, [6]))
    noise = (y - A(x))[:, :, A.mask[0]]
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert torch.equal(y * A.mask, y)
    assert torch.equal(observe(x, A, 0.0, [5, 6, 7]), A(x))


def test_tuning_climbs_to_the_best_of_the_grid(experiment, monkeypatch):
    peak, calls = 11, []

    def estimate(self, task, method, sigma, lam, images, first_seed):
        calls.append(lam)
        off = abs(GRID.index(lam) - peak)
        return images + 0.01 * (1 + off), None, 0.0

    monkeypatch.setattr(Experiment, "estimate", estimate)
    lam, scores = experiment.tune("deblurring", "tv", 0.05)
    assert lam == GRID[peak] and len(calls) == len(set(calls)) == len(scores) < len(GRID)


def test_where_lambda_plays_no_role_it_stays_inside_the_grid(experiment, monkeypatch):
    def estimate(self, task, method, sigma, lam, images, first_seed):
        return images + 0.01 + 1e-8 * GRID.index(lam), None, 0.0  # better by less than 0.001 dB, the smaller λ is

    monkeypatch.setattr(Experiment, "estimate", estimate)
    lam, scores = experiment.tune("deblurring", "tv", 0.05)
    assert 0.1 < lam / METHODS["tv"].start(0.05) < 10 and len(scores) <= 5


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_cell(experiment, method, monkeypatch):
    monkeypatch.setattr(experiments, "make_task", small_task)
    if METHODS[method].network.startswith("vae"):
        small = VAE(8, dim=4, widths=[6, 6], blocks=[0, 0]).freeze()
        monkeypatch.setattr(Experiment, "network", lambda self, method: small)
    if METHODS[method].network == "flow_in_time":
        small = FlowInTime(8, widths=[4], depth=1).freeze()
        monkeypatch.setattr(Experiment, "network", lambda self, method: small)
    if METHODS[method].network.startswith("glow"):
        monkeypatch.setattr(Experiment, "network", lambda self, method: self.model)
    if method == "flow_denoiser_pnp":
        monkeypatch.setattr(methods, "load_model", lambda name, device: small_flow().float())
    task = METHODS[method].tasks[0]
    images, objective, seconds = experiment.estimate(task, method, 0.01, 1e-4, experiment.test, 0)
    assert images.shape == experiment.test.shape and images.isfinite().all() and seconds > 0
    assert images.min() >= 0 and images.max() <= 1
    assert (objective is None) == (method in UNCOUNTED)


def small_task(name, size=8):
    """`make_task` for 8×8 images."""
    tasks = {"sr2": Downsample(2), "sr4": Downsample(4), "deblurring": Blur(torch.full((3, 3), 1 / 9))}
    mask = torch.ones(1, 8, 8, dtype=torch.bool)
    mask[:, 3:5, 2:6] = False
    return tasks.get(name, Mask(mask))


def test_a_table_resumes_and_prints_its_columns(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "make_task", small_task)
    path = tmp_path / "scores.csv"

    def measure():
        cells = tmp_path / "cells"
        return reproduce(experiment, path, cells, ("sr2", "deblurring"), ("tv", "bicubic"), sigmas=(0.05,))

    rows, table = measure(), read_table("scores", tmp_path)
    keys = [("deblurring", "tv"), ("sr2", "tv"), ("sr2", "bicubic")]
    assert tuple(table) == FACE_COLUMNS and [(row.task, row.method) for row in table.itertuples()] == keys
    rows = rows.set_index(["task", "method"])["psnr_mean"]
    assert list(table["psnr_mean"]) == pytest.approx([rows[key] for key in keys], rel=1e-3)
    kept = path.read_bytes()
    monkeypatch.setattr(Experiment, "estimate", None)
    measure()
    assert path.read_bytes() == kept
    cell = json.loads((tmp_path / "cells" / "sr2-tv-0.05.json").read_text())
    tuning = read_table("tuning", tmp_path).query("task == 'sr2' and method == 'tv'")
    assert tuning["lam"].is_monotonic_increasing
    assert tuning["lam"][tuning["psnr"].idxmax()] == pytest.approx(cell["lam"], rel=1e-3)
    assert len(cell["psnr"]) == 2 and cell["psnr_mean"] == pytest.approx(sum(cell["psnr"]) / 2)
    assert not list(tmp_path.rglob("*.tmp"))
    (tmp_path / "cells" / "sr2-other-0.05.json").write_text(json.dumps(cell | {"method": "of another version"}))
    assert len(measure()) == 3


@pytest.mark.parametrize("method", METHODS)
def test_tuning_starts_within_the_grid(method):
    start = METHODS[method].start
    assert start is None or all(GRID[0] <= start(sigma) <= GRID[-1] for sigma in experiments.SIGMAS)


def test_published_numbers_are_those_of_slide_25():
    assert PUBLISHED["deblurring"]["analysis"] == (32.16, 1.56, 0.94, 0.01)
    assert PUBLISHED["inpainting_square"]["synthesis"] == (30.40, 2.53, 0.94, 0.02)
    assert sum(p["analysis"][0] > p["synthesis"][0] for p in PUBLISHED.values()) == 4


def test_the_table_has_a_line_a_task_and_names_what_is_missing():
    row = {"task": "sr2", "method": "tv", "sigma": 0.05, "images": 20, "psnr_mean": 25.926, "psnr_std": 1.191}
    row |= {"ssim_mean": 0.824, "ssim_std": 0.02}
    lines = beside_published(pd.DataFrame([row, row | {"sigma": 0.0}]), 0.05).splitlines()
    assert lines[0] == "| task | tv | published synthesis | published analysis |" and len(lines) == 2 + len(TASKS)
    assert lines[3] == "| sr2 | 25.93 ± 1.19, 0.82 (20) | 22.26 ± 4.21, 0.76 | 31.19 ± 1.33, 0.93 |"
    assert lines[2].startswith("| deblurring | – |")
    assert "recommended" in beside_published(pd.DataFrame([row]), 0.05, ["recommended"])


def test_a_method_without_lam_has_none():
    lams = tuned_lams(0.01)
    assert lams["sr2", "bicubic"] is None and 0 < lams["sr2", "tv"] < 0.1


def test_lam_is_that_of_the_table_to_the_last_bit(monkeypatch):
    """It belongs to the setup of a cell: a parser that is off by a bit would have all cells measured again."""
    table, exact = read_table("scores"), tuned_lams(0.01)
    monkeypatch.setattr(scores, "read_table", lambda name: table.assign(lam=np.nextafter(table["lam"], 1)))
    assert tuned_lams(0.01) == exact
    assert exact["deblurring", "tv"] == 0.001


def test_without_validation_images_lam_is_the_start(experiment):
    alone = untuned_experiment(experiment.test)
    assert alone.tune("deblurring", "recommended", 0.02) == (0.02**2 / 2, {})
    assert alone.tune("sr2", "bicubic", 0.02) == (None, {})


def test_no_stored_lam_is_at_the_edge_of_the_lam_that_were_tried():
    """But where the score has become flat, so that there is none: the limit λ → 0 is as good; and for the blur without
    noise, where the least λ is the best."""
    keys, tuning = ["task", "method", "sigma"], read_table("tuning")
    chosen = read_table("scores").dropna(subset="lam").set_index(keys)["lam"]
    for key, tried in tuning.groupby(keys):
        if key in chosen.index and key[::2] != ("deblurring", 0.0):
            inside = 1.001 * tried["lam"].min() < chosen[key] < 0.999 * tried["lam"].max()
            decade = tried[(tried["lam"] / chosen[key]).between(0.09, 11)]["psnr"]
            assert inside or decade.max() - decade.min() < 0.01, key
