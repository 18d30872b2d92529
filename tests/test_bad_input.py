"""Every public function and class with arguments that it cannot take: the error names the argument, no file is left."""

import hashlib
import importlib
import inspect
import json
import pickle
import pkgutil
import re
import signal

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch
from bad_calls import BAD, CODE, FLOW, SOLUTION, TITLE, notebook
from PIL import Image
from safetensors.torch import save

import course_lib
from course_lib.__main__ import main
from course_lib.models.weights import save_model

ROWS = [
    pytest.param(*row, *[ValueError][len(row) - 2 :], id=f"{module}.{name}-{row[0]}-{i}")
    for module, table in BAD.items()
    for name, rows in table.items()
    for i, row in enumerate(rows)
]

PACKAGES = ("operators", "regularizers", "solvers", "reconstruction", "training")
"""Packages that name what is public in their `__init__`; of other modules it is all without an underscore."""

EXEMPT_MODULES = {
    "exercises": "their checks never raise: tests/test_exercises.py holds that",
    "figures": "holds no code",
    "__main__": "the command line: see LINES",
    "training.commands": "the command line: see LINES",
    "models.conv_layers": "layers of networks that check their input",
    "models.flow_layers": "layers of a flow that checks its input",
    "models.packed": "layers of a flow that checks its input",
    "models.reversible": "layers of a flow that checks its input",
}

EXEMPT = {
    "records of results, or of options, that check nothing": [
        "results.Reconstruction",
        "reconstruction.Posterior",
        "solvers.Result",
        "selection.Selection",
        "spectra.Scene",
        "methods.Method",
    ],
    "no argument, or none that can be wrong": [
        *("common.column", "common.dot", "common.in_precision", "common.progress", "data.to_rgb", "data.face"),
        *("data.grey_faces", "data.is_image", "data.split_of", "metrics.result_dtype", "phantom.ellipses"),
        *("phantom.offsets", "plots.use_style", "spectra.as_generator", "weights.is_running", "weights.part_of"),
        *("links.badges", "links.bootstrap", "widgets.png", "models.kl_divergence", "models.reparametrize"),
        *("models.soft_threshold", "methods.minimizing", "training.learning_rate"),
    ],
    "halves of a function that checks their arguments": [
        *("models.extend", "models.PointCoupling", "models.permutations", "models.wrap", "models.LatentModel"),
        *("models.ResidualBlock", "models.Upsample", "plug_and_play.iterate", "selection.choose", "selection.bend"),
        *("selection.slope", "mask_editor.descend", "sweeps.draw_curve"),
    ],
    "steps of a measurement, whose arguments the command has checked": [
        *("couplings.best_by_psnr", "couplings.measure", "couplings.reconstruct", "coverage.sample_hidden"),
        *("coverage.measure_faces", "coverage.rows_of", "domains.measure_cell", "domains.cell"),
        *("domains.save_strip", "domains.by_domain", "sweeps.measure_cell", "sweeps.cell"),
    ],
    "tables and pictures of rows that the library has measured itself": [
        *("scores.rounded", "scores.ordered", "scores.lines", "scores.write_scores", "scores.write_tuning"),
        *("scores.write_table", "scores.table", "scores.entry", "scores.parsed", "gallery.displayed"),
        *("gallery.draw_gallery", "gallery.draw_scores", "gallery.draw_map"),
    ],
    "parts of a notebook that nbformat has read": [
        *("student.is_solution", "student.checks_of", "student.statements", "student.names_of", "student.drift"),
        *("student.student_version", "student.clean", "student.answer_source", "student.graded"),
        *("tidy.smaller", "tidy.joined", "tidy.tidy"),
    ],
}


def short(module):
    """The name of a module without `course_lib.`; of a network's file, `models`."""
    name = module.removeprefix("course_lib").lstrip(".")
    return "models" if name.startswith("models.") else name


def public_names():
    """`module.name` of every public function and class, once: where a package shows it, or else where it is defined."""
    found = {}
    modules = [m.name for m in pkgutil.walk_packages(course_lib.__path__, "course_lib.")]
    for module in modules:
        package = module.split(".")[1]
        if {package, module.removeprefix("course_lib.")} & EXEMPT_MODULES.keys():
            continue
        if package in PACKAGES and module.count(".") > 1:
            continue
        for name, value in vars(importlib.import_module(module)).items():
            own = getattr(value, "__module__", "") or ""
            home = own.startswith(module) if package in PACKAGES else own == module
            if home and not name.startswith("_") and (inspect.isfunction(value) or inspect.isclass(value)):
                found[f"{short(module)}.{name}"] = value
    return found


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
    "couplings: no run": ("out: missing", "couplings", "missing", "--data", "faces", "--out", "new.csv"),
    "coverage: empty": ("folder: empty", "coverage", "--data", "empty", "--out", "new.csv"),
    "coverage: images": ("count: expected", "coverage", "--data", "faces", "--images", "0", "--out", "new.csv"),
    "domains: crops": ("most: expected", "domains", "--crops", "0", "--out", "new.csv", "--cells", "new"),
    "student: empty": ("folder: empty", "student", "new", "--notebooks", "empty"),
    "student: broken": ("expected a notebook", "student", "new", "--notebooks", "broken"),
    "student: same folder": ("out: expected", "student", "course", "--notebooks", "course"),
    "tidy: missing": ("paths: expected", "tidy", "missing.ipynb"),
    "tidy: broken": ("expected a notebook", "tidy", "broken/01_broken.ipynb"),
    "no command": ("COMMAND", "--traceback"),
}
"""Command lines: what stderr says, and the words."""


def test_the_table_has_every_public_name():
    public = set(public_names())
    exempt = {name for names in EXEMPT.values() for name in names}
    tested = {f"{module}.{name}" for module, table in BAD.items() for name, rows in table.items() if rows}
    assert public - tested - exempt - {"common.choose_device"} == set(), "rows, or a reason in EXEMPT"
    assert exempt - public == set() and exempt & tested == set(), "EXEMPT is out of date"
    assert tested - public == set(), "the table is out of date"


def png(path, content=None):
    """An image file, or a file with that content which is called so."""
    path.parent.mkdir(exist_ok=True)
    if content is None:
        Image.fromarray(np.full((9, 9, 3), 7, np.uint8)).save(path)
    else:
        path.write_bytes(content)


def weight_files(folder):
    """A model's files, and what may become of them."""
    good = save_model(FLOW, "tiny", {}, folder)
    about, content = json.loads(good.with_suffix(".json").read_text()), good.read_bytes()
    wrong = save({"a": torch.zeros(1)})
    contents = {
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
    (root / "short.csv").write_text("delta,rho,l1,omp,omp_signs\n0.1,0.1,1,1,1\n")
    content = weight_files(root / "weights")
    (root / "run").mkdir()
    (root / "run" / "checkpoint.safetensors").write_bytes(content[: len(content) // 2])
    notebooks = {
        "course/01_a": nbformat.writes(notebook(TITLE, CODE)),
        "untitled/01_a": nbformat.writes(notebook(CODE)),
        "lonely/01_a": nbformat.writes(notebook(TITLE, SOLUTION)),
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
    """The world as the working folder: at the end nothing in it has changed, no figure is open. No call may hang."""
    monkeypatch.chdir(world)
    monkeypatch.setenv("TQDM_DISABLE", "1")

    def listing():
        return {str(p.relative_to(world)): (p.stat().st_size, p.stat().st_mtime_ns) for p in world.rglob("*")}

    def too_late(*_):
        raise TimeoutError("a bad argument was taken, and the call went on for 10 s")

    before, figures = listing(), plt.get_fignums()
    previous = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(10)
    yield world
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
    after = listing()
    assert after.keys() == before.keys()
    assert {k: v for k, v in after.items() if (world / k).is_file()} == {
        k: v for k, v in before.items() if (world / k).is_file()
    }
    assert plt.get_fignums() == figures


@pytest.mark.parametrize(("argument", "call", "exception"), ROWS)
def test_the_error_names_the_argument(argument, call, exception, untouched):
    pattern = rf"^{argument}: " if re.fullmatch(r"\w+(, \w+)*", argument) else argument
    with pytest.raises(exception) as caught:
        call(untouched)
    assert not isinstance(caught.value, NotImplementedError), caught.value
    assert re.search(pattern, str(caught.value)), str(caught.value)


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_command_says_what_is_wrong_in_one_line(line, untouched, capsys):
    try:
        status = main(line[1:])
    except SystemExit as stop:
        status = stop.code
    errors = capsys.readouterr().err
    assert status == 2 and line[0] in errors, errors
    assert "Traceback" not in errors and (errors.startswith("usage") or errors.count("\n") == 1)


def test_the_table_is_large():
    assert len(ROWS) > 1000
