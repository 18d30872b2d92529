"""What public functions and commands cannot take: the error names the argument, what was expected and what came, and no
file is left behind."""

import hashlib
import importlib
import inspect
import json
import pickle
import re

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from bad_calls import FLOW, NAN, REASONS, RECIPE, SAME, TABLE, X
from PIL import Image
from safetensors.torch import save

from course_lib import data, operators, reconstruction, regularizers, solvers, training
from course_lib.__main__ import main
from course_lib.lab import mask_editor
from course_lib.models import weights
from course_lib.models.glow import Glow
from course_lib.tools import links, student, tidy

ROOMS = ("operators", "regularizers", "solvers", "reconstruction", "training", "data")
"""What these packages show in their `__init__` is public; of the modules below, all that they define."""

MODULES = ("metrics", "solvers.selection", "reconstruction.plug_and_play")
MODULES += ("data.patches", "data.phantom", "data.spectra")


def found(call):
    """(name with its module, function or class) of a row: see `bad_calls`."""
    if isinstance(call, str):
        module, _, name = call.rpartition(".")
        return call, getattr(importlib.import_module(f"course_lib.{module}"), name)
    named = call if hasattr(call, "__qualname__") else type(call)
    return f"{named.__module__.removeprefix('course_lib.')}.{named.__qualname__}", call


def rows():
    """One test for each call, argument and wrong value."""
    for call, good, table in TABLE:
        name, function = found(call)
        for argument, wrong in table.items():
            for i, value in enumerate(wrong):
                yield pytest.param(function, good, argument, value, id=f"{name}-{argument}-{i}")


TOGETHER = {
    "sizes of a sum": (r"A \+ B", lambda: (SAME + operators.Downsample(2))(X)),
    "no operator": ("operators", lambda: operators.Stack()),
    "one that is none": ("operators", lambda: operators.Stack(3)),
    "other measurements": ("operators", lambda: operators.Stack(SAME, operators.Downsample(2))(X)),
    "no basis": ("bases", lambda: operators.tight_frame()),
    "not a basis": ("bases", lambda: operators.tight_frame(operators.DCT(), operators.Downsample(2))),
    "a box": ("low, high", lambda: regularizers.Box(1, 0)),
    "a start for fewer images": ("y", lambda: solvers.ista(X, SAME, regularizers.L1(), 0.1, X[:1])),
    "no Lipschitz constant": ("lipschitz", lambda: solvers.gradient_descent(X, SAME, regularizers.L1(), 0.1)),
    "an indefinite matrix": (r"apply\S*", lambda: solvers.conjugate_gradient(lambda x: -x, X)),
    "no step": ("step", lambda: reconstruction.sample_posterior(X, SAME, FLOW, 0.1, method="ula")),
    "step of zero": ("step", lambda: reconstruction.sample_posterior(X, SAME, FLOW, 0.1, method="ula", step=0.0)),
    "thinned samples": ("thin", lambda: reconstruction.sample_posterior(X, SAME, FLOW, 0.1, steps=8, thin=3)),
}
"""The argument that is named, and the call."""


F, R, V = FileNotFoundError, RuntimeError, ValueError
FILES = {
    "data.read_image": [
        (F, "missing.png", lambda w: data.read_image(w / "missing.png")),
        (V, r"damaged\Wb\.png: expected a readable image", lambda w: data.read_image(w / "damaged" / "b.png")),
        (V, r"texts\Wa\.png: expected a readable image", lambda w: data.read_image(w / "texts" / "a.png")),
    ],
    "data.image_files": [
        (F, "^folder: missing", lambda w: data.image_files("missing")),
        (F, "^folder: plain.txt", lambda w: data.image_files("plain.txt")),
        (F, "^folder: empty", lambda w: data.image_files("empty")),
        (V, "^split: expected", lambda w: data.image_files("images", "holdout")),
    ],
    "data.load_folder": [
        (V, r"damaged\Wb\.png: expected a readable image", lambda w: data.load_folder("damaged")),
        (V, "^limit: expected", lambda w: data.load_folder("images", limit=0)),
        (V, "^size: expected", lambda w: data.load_folder("images", size=0)),
    ],
    "data.save_grid": [
        (V, "^images: expected", lambda w: data.save_grid(X[0], "grid.png")),
        (V, "^columns: expected", lambda w: data.save_grid(X, "grid.png", 0)),
        (F, r"no\Wgrid\.png", lambda w: data.save_grid(X, w / "no" / "grid.png")),
    ],
    "weights.read_checkpoint": [
        (F, "^out: .*missing", lambda w: weights.read_checkpoint(w / "missing.safetensors")),
        (R, "truncated.safetensors: expected a check", lambda w: weights.read_checkpoint(file(w, "truncated"))),
        (R, "tiny.safetensors: expected a checkpoint with", lambda w: weights.read_checkpoint(file(w, "tiny"))),
        (R, "pickled.safetensors: expected a checkpoint", lambda w: weights.read_checkpoint(file(w, "pickled"))),
        (R, "plain.txt: expected a checkpoint", lambda w: weights.read_checkpoint(w / "plain.txt")),
    ],
    "weights.describe": [
        (F, "^name: ", lambda w: weights.describe("nothing", w / "weights")),
        (R, "broken.json: expected a recipe", lambda w: weights.describe("broken", w / "weights")),
        (R, "list.json: expected", lambda w: weights.describe("list", w / "weights")),
        (R, "foreign.json: expected", lambda w: weights.describe("foreign", w / "weights")),
    ],
    "weights.load_model": [
        (F, "^name: ", lambda w: weights.load_model("orphan", folder=w / "weights")),
        (R, "altered.safetensors: expected SHA-256", lambda w: weights.load_model("altered", folder=w / "weights")),
        (R, "truncated.safetensors: expected SHA-256", lambda w: weights.load_model("truncated", folder=w / "weights")),
        (R, "pickled.safetensors: expected a safe", lambda w: weights.load_model("pickled", folder=w / "weights")),
        (R, "wrong.safetensors: expected the weights of", lambda w: weights.load_model("wrong", folder=w / "weights")),
        (R, "tiny.*: expected .*colour", lambda w: weights.load_model("unknown", folder=w / "weights")),
    ],
    "weights.save_model": [
        (V, "^name: expected", lambda w: weights.save_model(FLOW, "../up", {}, w / "weights")),
        (V, "^model: expected", lambda w: weights.save_model(SAME, "x", {}, w / "weights")),
        (V, "^model: expected", lambda w: weights.save_model(broken_flow(), "x", {}, w / "weights")),
    ],
    "training": [
        (V, "^data: expected", lambda w: training.train(RECIPE, [], "new")),
        (V, "^data: expected", lambda w: training.train(training.RECIPES["lista"], ["images"], "new")),
        (F, "^folder: empty", lambda w: training.train(RECIPE, ["empty"], "new")),
        (V, r"texts\Wa\.png: expected a readable image", lambda w: training.train(RECIPE, ["texts"], "new")),
        (V, "^every: expected", lambda w: training.train(RECIPE, ["images"], "new", every=0)),
        (V, "^minutes: expected", lambda w: training.train(RECIPE, ["images"], "new", minutes=NAN)),
        (V, "^out: expected", lambda w: training.train(RECIPE, ["faces"], "plain.txt")),
        (R, "checkpoint.safetensors: expected", lambda w: training.train(RECIPE, ["images"], "run")),
        (R, "checkpoint.safetensors: expected", lambda w: training.load_average("run")),
        (F, "^out: missing", lambda w: training.load_average("missing")),
        (F, "^folder: empty", lambda w: training.load_sets(["empty"], RECIPE)),
        (F, "^folder: ", lambda w: training.load_validation(["empty"], RECIPE)),
        (V, "^depth: expected", lambda w: training.Run(training.Recipe("dncnn", {"depth": 0}), "new")),
    ],
    "lab.mask_editor": [
        (V, "^picture: expected", lambda w: mask_editor.mask_of_picture((w / "damaged" / "b.png").read_bytes())),
        (V, "^picture: expected", lambda w: mask_editor.mask_of_picture(b"no image")),
        (V, "^picture: expected", lambda w: data.open_picture(3)),
    ],
    "tools": [
        (V, "^root: expected", lambda w: links.repository(w / "missing")),
        (V, "Repository", lambda w: links.repository(w / "unnamed")),
        (F, "^folder: ", lambda w: links.stamp_all(w / "empty")),
        (V, "01_broken.ipynb: expected a notebook", lambda w: links.stamp_all(w / "broken")),
        (F, "^folder: ", lambda w: student.write_versions(w / "empty", w / "new")),
        (V, "^out: expected", lambda w: student.write_versions(w / "course", w / "course")),
        (V, "^notebook: ", lambda w: student.write_versions(w / "lonely", w / "new", student.nbgrader_version)),
        (V, "02_list.ipynb: expected a notebook", lambda w: tidy.read_notebook(w / "broken" / "02_list.ipynb")),
        (V, "^paths: expected", lambda w: tidy.tidy_files([w / "plain.txt"])),
    ],
}
"""(exception, pattern of its message, call with the folder `world`)."""


def file(world, name):
    """A file of weights in the world."""
    return world / "weights" / f"{name}.safetensors"


def broken_flow():
    """A flow whose weights are not finite."""
    model = Glow(size=8, steps=1, widths=(4, 4))
    next(model.parameters()).data.fill_(NAN)
    return model


def notebook(*cells):
    """The text of a notebook of these cells."""
    return nbformat.writes(nbformat.v4.new_notebook(cells=list(cells)))


LINES = {
    "train: no data": ("data: expected", "train", "glow", "--out", "new"),
    "train: missing folder": ("folder: missing", "train", "glow", "--data", "missing", "--out", "new"),
    "train: empty folder": ("folder: empty", "train", "glow", "--data", "empty", "--out", "new"),
    "train: no image": ("texts/a.png: expected", "train", "glow", "--data", "texts", "--out", "new"),
    "train: damaged checkpoint": (
        "checkpoint.safetensors: expected",
        "train",
        "glow",
        "--data",
        "faces",
        "--out",
        "run",
    ),
    "train: out is a file": ("out: expected a folder", "train", "glow", "--data", "faces", "--out", "plain.txt"),
    "train: steps": ("steps: expected", "train", "glow", "--data", "faces", "--out", "new", "--steps", "0"),
    "train: every": ("every: expected", "train", "glow", "--data", "faces", "--out", "new", "--every", "0"),
    "train: minutes": ("minutes: expected", "train", "glow", "--data", "faces", "--out", "new", "--minutes", "-1"),
    "train: lr": ("lr: expected", "train", "glow", "--data", "faces", "--out", "new", "--lr", "nan"),
    "train: size": ("size: expected", "train", "glow", "--data", "faces", "--out", "new", "--size", "6"),
    "train: widths": ("widths: expected", "train", "glow", "--data", "faces", "--out", "new", "--widths", "0"),
    "train: another's option": ("dim: expected", "train", "glow", "--data", "faces", "--out", "new", "--dim", "4"),
    "train: name": ("NAME", "train", "gan", "--data", "faces"),
    "train: device": ("--device", "train", "glow", "--device", "tpu"),
    "export: no run": ("out: missing", "export", "missing", "tiny", "--folder", "new"),
    "export: damaged": ("checkpoint.safetensors: expected", "export", "run", "tiny", "--folder", "new"),
    "reproduce: no data": ("data: expected", "reproduce", "--out", "new/s.csv", "--cells", "new"),
    "reproduce: empty": ("folder: empty", "reproduce", "--data", "empty", "--out", "new/s.csv", "--cells", "new"),
    "reproduce: tasks": ("--tasks", "reproduce", "--tasks", "denoising"),
    "reproduce: weights": ("name: no weights", "reproduce", "--quick", "--weights", "none", "--cells", "new"),
    "reproduce: no cell": ("methods: expected", "reproduce", "--quick", "--methods", "bicubic", "--cells", "new"),
    "reproduce: sigmas": ("--sigmas", "reproduce", "--sigmas", "much"),
    "trial: no flow": ("name: ", "trial", "missing", "--data", "faces", "--out", "new.csv"),
    "coverage: empty": ("folder: empty", "coverage", "--data", "empty", "--out", "new.csv"),
    "coverage: images": ("count: expected", "coverage", "--data", "faces", "--images", "0", "--out", "new.csv"),
    "conformal: empty": ("folder: empty", "conformal", "--data", "empty", "--out", "new.csv"),
    "conformal: calibration": ("calibration: expected", "conformal", "--data", "faces", "--calibration", "0"),
    "starts: empty": ("folder: empty", "starts", "--data", "empty", "--out", "new.csv", "--cells", "new"),
    "starts: images": ("count: expected", "starts", "--images", "0", "--out", "new.csv", "--cells", "new"),
    "domains: crops": ("most: expected", "domains", "--crops", "0", "--out", "new.csv", "--cells", "new"),
    "student: empty": ("folder: empty", "student", "new", "--notebooks", "empty"),
    "student: broken": ("expected a notebook", "student", "new", "--notebooks", "broken"),
    "student: same folder": ("out: expected", "student", "course", "--notebooks", "course"),
    "tidy: missing": ("paths: expected", "tidy", "missing.ipynb"),
    "tidy: broken": ("expected a notebook", "tidy", "broken/01_broken.ipynb"),
    "no command": ("COMMAND", "--traceback"),
}
"""Command lines: what stderr says, and the words."""


def png(path, content=None):
    """An image file, or a file with that content which is called so."""
    path.parent.mkdir(exist_ok=True)
    if content is None:
        Image.fromarray(np.full((9, 9, 3), 7, np.uint8)).save(path)
    else:
        path.write_bytes(content)


def weight_files(folder):
    """A model's files, and what may become of them."""
    good = weights.save_model(FLOW, "tiny", {}, folder)
    about, content = weights.describe("tiny", folder), good.read_bytes()
    wrong = save({"a": torch.zeros(1)})
    contents = {
        "tiny": content,
        "altered": content[:-1] + bytes([content[-1] ^ 1]),
        "truncated": content[:-100],
        "void": b"",
        "pickled": pickle.dumps({"a": 1}),
        "wrong": wrong,
    }
    for name, changed in contents.items():
        (folder / f"{name}.safetensors").write_bytes(changed)
        known = {"pickled": changed, "wrong": changed}.get(name, content)
        recipe = about | {"file": f"{name}.safetensors", "sha256": hashlib.sha256(known).hexdigest()}
        (folder / f"{name}.json").write_text(json.dumps(recipe))
    recipes = {
        "broken": "{",
        "list": "[]",
        "foreign": json.dumps({"model": "glow"}),
        "orphan": json.dumps(about | {"file": "nowhere.safetensors"}),
        "unknown": json.dumps(about | {"config": {"colour": 3}}),
    }
    for name, text in recipes.items():
        (folder / f"{name}.json").write_text(text)
    return content


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with what a user may hand over."""
    root = tmp_path_factory.mktemp("world")
    png(root / "images" / "a.png")
    png(root / "images" / "b.png")
    (root / "images" / "notes.txt").write_text("no image")
    for i in range(20):
        png(root / "faces" / f"{i}.png")
    png(root / "damaged" / "a.png")
    png(root / "damaged" / "b.png", (root / "images" / "a.png").read_bytes()[:40])
    png(root / "texts" / "a.png", b"no image")
    (root / "empty").mkdir()
    (root / "plain.txt").write_text("text")
    content = weight_files(root / "weights")
    (root / "run").mkdir()
    (root / "run" / "checkpoint.safetensors").write_bytes(content[: len(content) // 2])
    code, title = nbformat.v4.new_code_cell("1"), nbformat.v4.new_markdown_cell("# Title")
    solution = nbformat.v4.new_code_cell("exercises.check_rates(1)", metadata={"tags": ["solution"]})
    notebooks = {
        "course/01_a": notebook(title, code),
        "untitled/01_a": notebook(code),
        "lonely/01_a": notebook(title, solution),
        "broken/01_broken": "{",
        "broken/02_list": "[]",
        "broken/03_empty": "{}",
    }
    for name, text in notebooks.items():
        path = root / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (root / "unnamed").mkdir()
    (root / "unnamed" / "pyproject.toml").write_text("[project]\n")
    return root


@pytest.fixture
def untouched(world, monkeypatch):
    """The world as the working folder: at the end nothing in it has changed, and no figure is open."""
    monkeypatch.chdir(world)

    def listing():
        files = {str(p.relative_to(world)): p.stat() for p in world.rglob("*")}
        return {name: (s.st_size, s.st_mtime_ns) if (world / name).is_file() else None for name, s in files.items()}

    before, figures = listing(), plt.get_fignums()
    yield world
    assert listing() == before
    assert plt.get_fignums() == figures


@pytest.mark.parametrize(("function", "good", "argument", "value"), rows())
def test_the_error_names_the_argument(function, good, argument, value):
    with pytest.raises(ValueError) as caught:
        function(**good | {argument: value})
    assert re.search(rf"^{argument}: expected .+, got ", str(caught.value), re.DOTALL), str(caught.value)


@pytest.mark.parametrize(("expected", "call"), TOGETHER.values(), ids=TOGETHER)
def test_arguments_that_are_wrong_together(expected, call):
    with pytest.raises(ValueError) as caught:
        call()
    assert re.search(rf"^{expected}: expected ", str(caught.value)), str(caught.value)


@pytest.mark.parametrize(("exception", "expected", "call"), [r for row in FILES.values() for r in row])
def test_the_error_names_the_file(exception, expected, call, untouched):
    with pytest.raises(exception, match=expected):
        call(untouched)


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_command_says_what_is_wrong_in_one_line(line, untouched, capsys):
    try:
        status = main(line[1:])
    except SystemExit as stop:
        status = stop.code
    errors = capsys.readouterr().err
    assert status == 2 and line[0] in errors, errors
    assert "Traceback" not in errors and (errors.startswith("usage") or errors.count("\n") == 1)


def public():
    """The names of all public functions and classes of the rooms that a reader calls."""
    for module in (*ROOMS, *MODULES):
        for name, value in vars(importlib.import_module(f"course_lib.{module}")).items():
            own = getattr(value, "__module__", "")
            home = own.startswith("course_lib") if module in ROOMS else own == f"course_lib.{module}"
            if home and not name.startswith("_") and (inspect.isfunction(value) or inspect.isclass(value)):
                yield f"{module}.{name}"


def test_every_public_function_has_a_row_or_a_reason():
    names, reasons = set(public()), [name for reason in REASONS.values() for name in reason]
    tested = {call for call, *_ in TABLE if isinstance(call, str)}
    assert names - tested - set(reasons) == set(), "these need a row in TABLE, or a reason"
    assert set(reasons) - names == set() and set(reasons) & tested == set(), "REASONS is out of date"
