"""The sweeps of λ on a small flow: cells that survive a stop, pictures and table, and the figure of notebook 15."""

import json
import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from test_experiments import small_task
from test_reconstruction import small_flow

from course_lib import __main__, data
from course_lib.data import observe
from course_lib.lab.widgets import png
from course_lib.studies import experiments, scores, sweeps
from course_lib.studies.experiments import Experiment
from course_lib.studies.methods import METHODS


@pytest.fixture
def face(monkeypatch):
    """A small face, a small flow, and its tasks."""
    x = torch.nn.functional.avg_pool2d(data.face(), 8)
    monkeypatch.setattr(experiments, "make_task", small_task)
    monkeypatch.setattr(sweeps, "experiment_on_the_astronaut", lambda out, weights, device: small(x, out))
    return x


def small(x, out):
    return Experiment(small_flow().float(), x, x[:0], out, 1)


def measure(folder, methods=("bicubic", "tv"), tasks=("deblurring", "sr2")):
    return sweeps.measure(folder / "lambda_sweep.csv", folder / "cells", tasks, methods)


def test_a_sweep_has_a_row_for_each_factor_and_goes_on(face, tmp_path, monkeypatch):
    measure(tmp_path, ("tv",))
    path = tmp_path / "cells" / "sr2-tv.json"
    before, measured, original = path.read_bytes(), [], sweeps.measure_cell
    monkeypatch.setattr(sweeps, "measure_cell", lambda *args: measured.append(args[1:3]) or original(*args))
    rows = measure(tmp_path)
    assert measured == [("sr2", "bicubic")] and path.read_bytes() == before and len(rows) == 5 + 5 + 1
    stored, lams = sweeps.read_sweeps(tmp_path / "lambda_sweep.csv"), sweeps.face_lams()
    assert list(stored) == [("deblurring", "tv"), ("sr2", "bicubic"), ("sr2", "tv")]
    assert [row["factor"] for row in stored["sr2", "tv"]] == list(sweeps.FACTORS)
    for row in stored["sr2", "tv"]:
        assert row["lam"] == pytest.approx(row["factor"] * lams["sr2", "tv"], rel=1e-3)
    (row,) = stored["sr2", "bicubic"]
    assert row["lam"] is None and row["factor"] == 1 and row["psnr"] > 15
    monkeypatch.setattr(sweeps, "face_lams", lambda: dict.fromkeys([("sr2", "tv")], 0.5))
    measure(tmp_path, ("tv",), ("sr2",))
    assert measured[1:] == [("sr2", "tv")] and json.loads(path.read_text())["setup"]["lam"] == 0.5


def test_a_row_is_the_method_with_its_lam(face, tmp_path):
    measure(tmp_path, ("tv",), ("sr2",))
    A, kept = small_task("sr2"), sweeps.read_sweeps(tmp_path / "lambda_sweep.csv")["sr2", "tv"]
    images = sweeps.pictures("sr2", "tv", tmp_path / "cells")
    y = observe(face, A, sweeps.SIGMA, [0])
    for row, picture in zip(kept, images, strict=True):
        found = METHODS["tv"].run(y, A, None, row["lam"], sweeps.SIGMA)[0].clamp(0, 1)
        assert sweeps.psnr(found, face).item() == pytest.approx(row["psnr"], abs=0.02)
        assert sweeps.ssim(found, face).item() == pytest.approx(row["ssim"], abs=1e-3)
        assert sweeps.psnr(picture[None], found).item() > 30
    assert len({round(row["psnr"], 2) for row in kept}) == 5


def test_what_was_not_measured_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"sr4-tv.jpg was not measured; `python -m course_lib sweeps`"):
        sweeps.pictures("sr4", "tv", tmp_path)
    with pytest.raises(FileNotFoundError, match="course_lib sweeps"):
        sweeps.read_sweeps(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="methods: expected some of"):
        measure(tmp_path, ("posterior_mean",))


def test_the_table_of_the_course_is_complete_and_has_its_pictures():
    stored = sweeps.read_sweeps()
    wanted = {(task, method) for method in sweeps.METHODS for task in METHODS[method].tasks}
    assert set(stored) == wanted and {task for task, _ in stored} == set(scores.TASKS)
    for (task, method), rows in stored.items():
        assert [row["factor"] for row in rows] == list(sweeps.factors(method))
        assert sweeps.pictures(task, method).shape == (len(rows), 3, 64, 64)
    x, rows = data.face(), stored["sr2", "map"]
    found = sweeps.psnr(sweeps.pictures("sr2", "map"), x.expand(5, -1, -1, -1))
    np.testing.assert_allclose(found, [row["psnr"] for row in rows], atol=0.5)
    assert sum(path.stat().st_size for path in sweeps.CELLS.glob("*.jpg")) < 700_000


@pytest.fixture(scope="module")
def stored():
    return sweeps.read_sweeps()


def draw(stored, task="sr2", method="tv", factor=1.0):
    x = data.face()
    return sweeps.draw_sweep(x, x, task, method, factor, stored)


def test_the_figure_marks_the_chosen_point(stored):
    figure, row = draw(stored, factor=10.0), stored["sr2", "tv"][3]
    curve, chosen, tuned = figure.axes[4].lines
    assert list(curve.get_ydata()) == [r["psnr"] for r in stored["sr2", "tv"]]
    assert chosen.get_xdata()[0] == row["lam"] and chosen.get_ydata()[0] == row["psnr"]
    assert tuned.get_xdata()[0] == stored["sr2", "tv"][2]["lam"]
    assert figure.axes[2].get_title() == f"tv: {row['psnr']:.1f} dB"
    shown = figure.axes[2].images[0].get_array()
    assert torch.equal(torch.as_tensor(shown).permute(2, 0, 1), sweeps.pictures("sr2", "tv")[3])
    assert not plt.get_fignums()


def test_the_figure_without_lam_and_of_a_method_that_does_not_apply(stored):
    assert draw(stored, method="bicubic", factor=100.0).axes[4].get_title() == "no λ"
    (words,) = draw(stored, "deblurring", "bicubic").axes[2].texts
    assert "does not" in words.get_text()
    with pytest.raises(ValueError, match="factor: expected one of"):
        draw(stored, factor=3.0)


def test_the_figure_redraws_fast(stored):
    png(draw(stored))
    started = time.perf_counter()
    png(draw(stored, method="map", factor=0.1))
    assert time.perf_counter() - started < 3, "0.3 s on an idle machine"


def test_the_command_hands_its_options_on(tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(__main__, "measure_sweeps", lambda *args, **options: calls.append((args, options)) or [0, 1])
    options = ["--tasks", "sr2", "--methods", "tv", "--cells", "c", "--device", "cpu"]
    assert __main__.main(["sweeps", "--out", str(tmp_path / "a.csv"), *options]) == 0
    assert calls == [((str(tmp_path / "a.csv"), "c", ["sr2"], ["tv"]), {"device": torch.device("cpu")})]
    assert "a.csv: 2 rows" in capsys.readouterr().out
