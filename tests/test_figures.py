"""What README shows: each picture of the right things, from the table that is there."""

import json
import re
from functools import partial

import pandas as pd
import pytest
import torch
from matplotlib.patches import FancyArrowPatch
from test_experiments import small_task
from test_reconstruction import small_flow

from course_lib import __main__ as command_line
from course_lib.__main__ import NOTEBOOKS
from course_lib.data import TASKS, face
from course_lib.metrics import psnr
from course_lib.operators import Downsample
from course_lib.studies import FIGURES, experiments, figures
from course_lib.studies.experiments import Experiment
from course_lib.studies.scores import PUBLISHED
from course_lib.studies.store import Store, read_table

SCORES = pd.DataFrame(
    [
        {"task": task, "method": method, "sigma": 0.01, "lam": 1e-3, "psnr_mean": 30.0 + i, "psnr_std": 1.0}
        for i, method in enumerate(figures.GALLERY)
        for task in TASKS
    ]
)


@pytest.fixture
def found(monkeypatch):
    for module in (figures, experiments):
        monkeypatch.setattr(module, "make_task", small_task)
    monkeypatch.setattr(experiments, "load_model", lambda name, device: small_flow().float())
    x = torch.nn.functional.avg_pool2d(face(), 8)
    return x, figures.reconstruct(Experiment(small_flow().float(), x, x[:0]), ["sr2", "inpainting_square"])


def test_the_gallery_holds_truth_observation_and_methods(found):
    x, found = found
    assert list(found) == ["sr2", "inpainting_square"]
    for images in found.values():
        assert list(images) == ["true", "observed", *figures.GALLERY]
        assert torch.equal(images["true"][0], x) and images["observed"][0].shape == x.shape
        for name in figures.GALLERY:
            image, score = images[name]
            assert score == pytest.approx(psnr(image.clamp(0, 1), x).item())
    missing = ~small_task("inpainting_square").mask
    assert (found["inpainting_square"]["observed"][0][..., missing[0]] == 0.5).all()
    blocks = found["sr2"]["observed"][0]
    assert torch.equal(blocks[..., ::2, ::2], blocks[..., 1::2, 1::2])


def test_the_best_of_a_row_is_printed_bold(found):
    figure = figures.draw_gallery(found[1])
    assert [axis.get_title() for axis in figure.axes[:6]] == ["true", "observed", *figures.GALLERY.values()]
    assert [figure.axes[i].get_ylabel() for i in (0, 6)] == [figures.LABELS[task] for task in found[1]]
    for row, images in zip([figure.axes[:6], figure.axes[6:]], found[1].values(), strict=True):
        scores = [score for _, score in images.values()]
        bold = [axis.xaxis.label.get_fontweight() == "bold" for axis in row]
        best = max(score for score in scores if score is not None)
        assert bold == [score == best for score in scores]
        assert [axis.get_xlabel() for axis in row[2:]] == [f"{score:.1f} dB" for score in scores[2:]]


def test_the_chart_compares_on_the_faces_that_all_methods_have_and_with_slide_25(tmp_path):
    store = Store(tmp_path, "reproduce")
    for task in TASKS:
        for method, scores in (("tv", [29.0, 31.0, 99.0]), ("time_hqs", [31.0, 31.0])):
            store.path((task, method, 0.01)).write_text(json.dumps({"psnr": scores}), encoding="utf-8")
    (axis,) = figures.draw_scores(store, methods=("tv", "time_hqs")).axes
    labels = [container.get_label() for container in axis.containers]
    assert labels == ["tv", figures.SHOWN["time_hqs"], "published synthesis", "published analysis"]
    heights = [list(container.lines[0].get_ydata()) for container in axis.containers]
    assert heights[:2] == [[30.0] * 5, [31.0] * 5] and axis.get_title().startswith("2 faces")
    assert heights[3] == [PUBLISHED[task]["analysis"][0] for task in TASKS]


def test_the_map_names_every_notebook():
    names = figures.titles(NOTEBOOKS)
    assert len(names) == len(list(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")))
    numbers = [n for first, last in figures.PARTS.values() for n in range(first, last + 1)]
    assert numbers == list(range(1, numbers[-1] + 1)) and set(names) <= {0, *numbers}
    texts = " ".join(text.get_text().replace("\n", " ") for text in figures.draw_map(names).axes[0].texts)
    for number, title in names.items():
        for part in title.split(":", 1) if number else []:
            assert part.strip() in texts


def test_the_map_grows_with_the_course():
    """A notebook that joins a part gets a box of its own, as large as the others."""

    def boxes(names):
        axis = figures.draw_map(names).axes[0]
        return [box.get_window_extent().height for box in axis.patches]

    names = {number: f"title {number}: words" for number in range(1, 19)}
    before, after = boxes(names), boxes(names | {19: "one more: words", 20: "the last: words"})
    assert (len(before), len(after)) == (18, 20)
    assert min(after) == pytest.approx(max(before), rel=0.05)


def test_the_rooms_are_drawn_above_those_that_they_import():
    graph = figures.imports()
    assert graph["data"] == {"common", "operators"} and [room for room in graph if not graph[room]] == ["common"]
    drawn = figures.draw_rooms(graph).axes[0]
    assert [text.get_text().split("\n")[0] for text in drawn.texts] == list(graph)
    arrows = [patch for patch in drawn.patches if isinstance(patch, FancyArrowPatch)]
    assert all(arrow._path_original.vertices[0, 1] > arrow._path_original.vertices[-1, 1] for arrow in arrows)
    height = {room: at[1] for room, (_, at, _) in figures.ROOMS.items()}
    assert all(height[other] < height[room] for room, others in graph.items() for other in others)


def test_an_arrow_is_left_out_where_others_lead_there():
    graph = {"common": set(), "operators": {"common"}, "data": {"operators"}, "lab": {"data", "operators", "common"}}
    arrows = [patch for patch in figures.draw_rooms(graph).axes[0].patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 2, "lab → data → operators"


def test_pictures_are_written_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "load_model", lambda name, device: small_flow().float())
    monkeypatch.setattr(figures, "face", lambda: torch.nn.functional.avg_pool2d(face(), 8))
    for module in (figures, experiments):
        monkeypatch.setattr(module, "make_task", lambda name, size: Downsample(2))
    monkeypatch.setattr(figures, "reconstruct", partial(figures.reconstruct, tasks=("sr2",)))
    paths = figures.write_figures(tmp_path / "out", NOTEBOOKS)
    assert [path.name for path in paths] == ["gallery.png", "scores.png", "map.png", "rooms.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    assert not list(tmp_path.rglob("*.tmp"))


def test_some_pictures_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(figures, "draw_gallery", None)
    monkeypatch.setattr(command_line, "README", tmp_path / "README.md")
    assert command_line.main(["figures", "--out", str(tmp_path), "--only", "map", "rooms"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.png", "rooms.png"]
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "map.png"), str(tmp_path / "rooms.png")]


def test_the_pictures_of_readme_are_of_this_table():
    """README's pictures exist, and the table has what they show."""
    here = {(row.task, row.method) for row in read_table("scores").itertuples() if row.sigma == 0.01}
    assert here >= {(task, method) for task in TASKS for method in figures.GALLERY}
    assert all((FIGURES / f"{name}.png").exists() for name in ("gallery", "scores", "map", "rooms"))


def test_a_run_is_stamped_into_the_map():
    rows = ["| [01_one](notebooks/01_one.ipynb) | a | 5 min | 1 | |", "| [02_two](n) | b | 6 min | 2 | 9 s, 8 MB |"]
    text = "\n".join(["# Title", "", *rows, ""])
    stamped = figures.stamp_runs(text, {"01_one": (12.4, 433.2), "02_two": (3.0, 500.0)})
    assert stamped.splitlines()[2:] == [
        "| [01_one](notebooks/01_one.ipynb) | a | 5 min | 1 | 12 s, 433 MB |",
        "| [02_two](n) | b | 6 min | 2 | 3 s, 500 MB |",
    ]
    with pytest.raises(ValueError, match=r"notebooks.csv: expected .*notebooks.py 02` writes, got none of 02_two"):
        figures.stamp_runs(text, {"01_one": (12.4, 433.2)})


def test_the_map_of_readme_quotes_the_measured_runs():
    text = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    runs = figures.read_runs()
    assert figures.stamp_runs(text, runs) == text
    assert sorted(runs) == sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    assert max(memory for _, memory in runs.values()) < 1500


def test_the_example_of_readme_prints_its_numbers(capsys):
    text = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    example, after = re.search(r"```python\n(.*?)```(.*?)\n\n## ", text, re.DOTALL).groups()
    exec(example, {})
    numbers = re.findall(r"[\d.]+ dB", capsys.readouterr().out)
    assert len(numbers) == 3 and re.findall(r"[\d.]+ dB", after) == numbers
