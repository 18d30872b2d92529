"""The table of photographs on a small flow: its squares, cells that survive a stop, pictures, likelihoods."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from test_experiments import small_task
from test_reconstruction import small_flow

from course_lib import __main__, data
from course_lib.data import TASKS
from course_lib.models.weights import load_model
from course_lib.studies import domains, experiments
from course_lib.studies.methods import METHODS
from course_lib.studies.scores import tuned_lams
from course_lib.studies.store import PHOTOGRAPH_CELLS, Store, read_table


@pytest.mark.parametrize("name", data.PHOTOGRAPHS)
def test_squares_of_a_photograph_do_not_overlap(name):
    source, box = data.PHOTOGRAPHS[name]
    width, height = data.whole_photograph(source).size
    squares = domains.boxes(name, 9)
    assert squares[0] == box and domains.boxes(name) == [box]
    covered = np.zeros((height, width), int)
    for left, top, right, bottom in squares:
        assert 0 <= left < right <= width and 0 <= top < bottom <= height and right - left == box[2] - box[0]
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1
    assert len(squares) == {"histology": 4, "gravel": 4, "text": 2}.get(name, 1)


def test_the_first_squares_are_the_photographs_of_the_notebooks():
    names, images = domains.photographs()
    assert names == list(data.PHOTOGRAPHS)
    assert torch.equal(images, torch.cat([data.photograph(name) for name in names]))
    names, images = domains.photographs(most=2)
    assert len(names) == 15 and names.count("text") == 2 and images.shape == (15, 3, 64, 64)


@pytest.fixture
def small(monkeypatch):
    """Three small images in two domains, a small flow, and its tasks."""
    images = torch.nn.functional.avg_pool2d(torch.cat([data.photograph(n) for n in ("astronaut", "cat", "moon")]), 8)
    monkeypatch.setattr(experiments, "make_task", small_task)
    monkeypatch.setattr(experiments, "load_model", lambda name, device: small_flow().float())
    monkeypatch.setattr(domains, "photographs", lambda most: (["face", "other", "other"], images))
    return images


def measure(folder, methods=("tv", "recommended"), tasks=("sr2", "deblurring")):
    return domains.measure_domains(folder / "ood_scores.csv", folder / "cells", tasks, methods)


def test_a_table_has_a_row_for_each_domain_and_goes_on(small, tmp_path, monkeypatch):
    measure(tmp_path, ("tv",))
    path = tmp_path / "cells" / "sr2-tv.json"
    before = path.read_bytes()
    measured = []
    original = domains.measure_photographs
    monkeypatch.setattr(domains, "measure_photographs", lambda *args: measured.append(args[2:4]) or original(*args))
    rows = measure(tmp_path)
    assert measured == [("sr2", "recommended"), ("deblurring", "recommended")] and path.read_bytes() == before
    kept = json.loads(before)
    stored = read_table("ood_scores", tmp_path)
    assert tuple(stored) == domains.DOMAIN_COLUMNS and len(stored) == len(rows) == 2 * 2 * 2
    assert list(stored["domain"]) == ["face"] * 4 + ["other"] * 4
    assert [TASKS.index(task) for task in stored["task"][:4]] == [0, 0, 1, 1]
    row = stored.set_index(["domain", "task", "method"]).loc["other", "sr2", "tv"]
    assert row["images"] == 2 and row["psnr_mean"] == pytest.approx(np.mean(kept["psnr"][1:]), rel=1e-3)
    assert row["psnr_std"] == pytest.approx(np.std(kept["psnr"][1:]), rel=1e-3)
    assert row["lam"] == kept["lam"] == tuned_lams(domains.SIGMA)["sr2", "tv"]
    lams = tuned_lams(domains.SIGMA) | {("sr2", "tv"): 0.5}
    monkeypatch.setattr(domains, "tuned_lams", lambda sigma: lams)
    assert len(measure(tmp_path, ("tv",))) == len(rows), "of all that was measured, not of TV alone"
    assert measured[2:] == [("sr2", "tv")] and path.read_bytes() != before


def test_a_control_has_the_lam_of_its_method(small, tmp_path):
    rows = measure(tmp_path, ("map_bounded", "analysis_from_tv_bounded"), ("sr2",))
    lams = {row["method"]: row["lam"] for _, row in rows.iterrows()}
    assert lams == dict.fromkeys(
        ("map_bounded", "analysis_from_tv_bounded"), tuned_lams(domains.SIGMA)["sr2", "map_bounded"]
    )


def test_an_image_alone_scores_as_in_the_table(small, tmp_path):
    measure(tmp_path, ("tv",), ("sr2",))
    kept = Store(tmp_path / "cells", "domains").read("sr2", "tv")
    A, model = small_task("sr2"), small_flow().float()
    y = data.observe(small[1:2], A, domains.SIGMA, [1])
    image, _ = METHODS["tv"].run(y, A, model, kept["lam"], domains.SIGMA)
    assert domains.psnr(image.clamp(0, 1), small[1:2]).item() == pytest.approx(kept["psnr"][1], abs=1e-2)


def test_every_cell_of_the_course_has_its_pictures():
    wanted = {(task, method) for method in domains.DOMAIN_METHODS for task in METHODS[method].tasks}
    table = read_table("ood_scores")
    assert set(zip(table["task"], table["method"], strict=True)) == wanted
    for task, method in wanted:
        record, pictures = PHOTOGRAPH_CELLS.read(task, method), PHOTOGRAPH_CELLS.pictures(task, method)
        assert len(pictures) == len(record["domains"]) == len(record["psnr"])


def test_png_measures_complexity():
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    flat, smooth, rough = domains.png_bits(torch.cat([torch.full_like(ramp, 0.5), ramp, noise])).tolist()
    assert flat < smooth < 1 and 7.9 < rough < 8.3


def test_familiarity_is_the_likelihood_and_the_length_of_the_latent():
    model = small_flow().float()
    x = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    bits, latent = domains.familiarity(model, x)
    torch.testing.assert_close(bits, model.bits_per_dim(x).detach())
    torch.testing.assert_close(latent, model.encode(x).square().sum(1).detach() / model.dim)


def test_likelihoods_of_faces_and_photographs_become_a_table(tmp_path):
    for number in range(9751, 9754):
        shade = np.full((109, 89, 3), 2 * (number - 9700), np.uint8)
        Image.fromarray(shade).save(tmp_path / f"{number:06d}.png")
    path = tmp_path / "out" / "ood_likelihood.csv"
    domains.measure_likelihood(path, tmp_path, count=2)
    rows = [line.split(",") for line in path.read_text().splitlines()]
    assert tuple(rows[0]) == domains.LIKELIHOOD_COLUMNS and len(rows) == 1 + 2 + 19
    assert [row[0] for row in rows[1:4]] == ["faces", "faces", "astronaut"]
    face = dict(zip(rows[0][1:], map(float, rows[3][1:]), strict=True))
    bits, latent = domains.familiarity(load_model("glow"), data.face())
    assert face["bits"] == pytest.approx(bits.item(), rel=1e-3)
    assert face["latent"] == pytest.approx(latent.item(), rel=1e-3) and face["latent_grain"] > face["latent"]


def test_the_command_hands_its_options_on(tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(domains, "measure_domains", lambda *args: calls.append(args) or [0])
    monkeypatch.setattr(domains, "measure_likelihood", lambda *args: calls.append(args))
    options = ["--tasks", "sr2", "--methods", "tv", "--crops", "3", "--device", "cpu"]
    assert __main__.main(["domains", "--out", str(tmp_path / "a.csv"), "--cells", "c", "--data", "d", *options]) == 0
    assert calls[0] == (tmp_path / "ood_likelihood.csv", "d")
    assert calls[1] == (str(tmp_path / "a.csv"), "c", ["sr2"], ["tv"], 3, torch.device("cpu"))
    assert "a.csv: 1 rows" in capsys.readouterr().out


def test_a_method_has_rows_for_its_tasks_alone(small, tmp_path):
    rows = measure(tmp_path, ("bicubic",))
    assert list(zip(rows["domain"], rows["task"], strict=True)) == [("face", "sr2"), ("other", "sr2")]
    stored = read_table("ood_scores", tmp_path)
    assert stored["lam"].isna().all() and stored["objective_mean"].isna().all() and (stored["psnr_mean"] > 15).all()
