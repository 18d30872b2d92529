"""Links: stamped from one place, to files that exist; and the lines that install the course where it is missing."""

import json
import os
import re
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

from course_lib.__main__ import main
from course_lib.studies.cards import CARDS
from course_lib.tools.links import BOOTSTRAP, ROOT, badges, bootstrap, repository, stamp, stamp_all, tag

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
ROOMS = (".", "notebooks", "docs")
PAGES = sorted([*NOTEBOOKS, *(page for room in ROOMS for page in ROOT.glob(f"{room}/*.md")), CARDS])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_carries_the_stamp_of_its_repository_and_version(path):
    notebook = nbformat.read(path, 4)
    assert badges(path.stem, repository(), tag()) in notebook.cells[0].source
    (first, *_) = (cell for cell in notebook.cells if cell.cell_type == "code")
    assert first.source.startswith(bootstrap(repository(), tag()))


def prose(path):
    """The text of a page; of a notebook, its Markdown cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_each_link_within_the_course_finds_its_file(path):
    base = f"https://github.com/{repository()}/"
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if target.startswith(base) and "/blob/" in target:
            file = ROOT / target.split("/blob/")[1].partition("/")[2]
        elif f"gh/{repository()}/{tag()}?labpath=" in target:
            file = ROOT / unquote(target.split("labpath=")[1])
        elif f"github/{repository()}/blob/{tag()}/" in target:
            file = ROOT / target.split(f"/blob/{tag()}/")[1]
        elif re.match(r"[a-z]+:|#", target):
            continue
        else:
            file = path.parent / unquote(target.partition("#")[0])
        assert file.exists(), f"{path.name} points to {target}"


def small_notebook(folder, name="07_small"):
    first = f"# 7. Small\n\n{badges('old', 'an/other')}\n\ntext"
    cells = [nbformat.v4.new_markdown_cell(first), nbformat.v4.new_code_cell("import math\n\nmath.pi")]
    path = folder / f"{name}.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def project(folder, url, version="0.2.0"):
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "x"\nversion = "{version}"\n[project.urls]\nRepository = "{url}"\n', encoding="utf-8"
    )
    return folder


def test_stamps_follow_the_repository(tmp_path):
    path, root = small_notebook(tmp_path), project(tmp_path, "https://github.com/one/two.three")
    assert stamp_all(tmp_path, root) == [path] and stamp_all(tmp_path, root) == []
    title, setup = nbformat.read(path, 4).cells
    assert title.source.startswith("# 7. Small\n\n[![Binder]") and title.source.endswith("\n\ntext")
    assert title.source.count("one/two.three") == 2 and title.source.count("07_small") == 2
    assert "an/other" not in title.source and setup.source.endswith("\n\nimport math\n\nmath.pi")
    assert stamp_all(tmp_path, project(tmp_path, "https://github.com/you/fork/")) == [path]
    title, setup = nbformat.read(path, 4).cells
    assert "one/two" not in title.source + setup.source and len(BOOTSTRAP.findall(setup.source)) == 1


def test_a_released_notebook_opens_and_installs_its_own_version(tmp_path):
    path = small_notebook(tmp_path)
    for version, at, wanted in (("0.2.0", "v0.2.0", "@v0.2.0"), ("0.3.0.dev0", "HEAD", "")):
        assert stamp_all(tmp_path, project(tmp_path, "https://github.com/one/two", version)) == [path]
        title, setup = nbformat.read(path, 4).cells
        assert f"/gh/one/two/{at}?" in title.source and f"/one/two/blob/{at}/" in title.source
        assert f'"install -q git+https://github.com/one/two{wanted}")' in setup.source
    with pytest.raises(ValueError, match="version: expected a version"):
        stamp_all(tmp_path, project(tmp_path, "https://github.com/one/two", ""))


@pytest.mark.parametrize("url", ["", "https://example.org/a/b", "https://github.com/only-an-owner"])
def test_a_repository_that_is_none_is_refused(tmp_path, url):
    with pytest.raises(ValueError, match=r"Repository: expected https://github\.com/OWNER/NAME"):
        repository(project(tmp_path, url))


def test_what_cannot_be_stamped_is_refused(tmp_path):
    with pytest.raises(ValueError, match="root: expected a checkout"):
        repository(tmp_path)
    text, code = nbformat.v4.new_markdown_cell("# Bare"), nbformat.v4.new_code_cell("1")
    with pytest.raises(ValueError, match="notebook: expected badges"):
        stamp(nbformat.v4.new_notebook(cells=[text, code]), "07_small", "a/b")
    bare = nbformat.read(small_notebook(tmp_path), 4)
    bare.cells = bare.cells[:1]
    with pytest.raises(ValueError, match="notebook: expected a set-up cell"):
        stamp(bare, "07_small", "a/b")


def test_the_command_says_what_it_changed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("course_lib.__main__.NOTEBOOKS", small_notebook(tmp_path).parent)
    assert main(["links"]) == 0 and main(["links"]) == 0
    said = [f"{repository()} at {tag()}: {names} changed" for names in ("07_small", "no notebook")]
    assert capsys.readouterr().out.splitlines() == said


PROBE = """
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell
result = InteractiveShell.instance().run_cell({source!r})
result.raise_error()
import course_lib, sys
from course_lib import data, models, studies
root = Path(course_lib.__file__).parent
assert str(root).startswith(sys.prefix), root
assert studies.FIGURES == root / "figures"
print("face", tuple(models.load_model("glow").encode(data.face()).shape))
for path in root.rglob("*"):
    if path.is_file() and path.suffix != ".pyc":
        print("file", path.relative_to(root).as_posix())
"""


def parts(folder, *patterns):
    """The files of a folder of the checkout that the patterns name, as they are called below it."""
    return {
        path.relative_to(ROOT / folder).as_posix() for pattern in patterns for path in (ROOT / folder).rglob(pattern)
    }


def test_the_bootstrap_installs_the_course_in_a_bare_environment(tmp_path):
    """As on Colab: an environment that has what the course needs, but not the course. pip builds a wheel of a copy of
    this checkout, in place of the repository on the web; it holds all modules, weights and tables."""
    for name in ("course_lib", "figures"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "copy")
    venv.create(tmp_path / "bare", with_pip=False, symlinks=os.name != "nt")
    paths = sysconfig.get_paths(vars={"base": str(tmp_path / "bare"), "platbase": str(tmp_path / "bare")})
    # A path file adds this environment's packages, but not what their own path files add: the editable course.
    (Path(paths["purelib"]) / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    python = Path(paths["scripts"]) / ("python.exe" if os.name == "nt" else "python")
    clean = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")} | {"PYTHONUTF8": "1"}
    options = {"cwd": tmp_path, "env": clean, "capture_output": True, "text": True, "encoding": "utf-8"}
    missing = subprocess.run([python, "-c", "import course_lib"], **options)
    assert "ModuleNotFoundError" in missing.stderr
    copy = f"--no-deps --no-build-isolation {tmp_path / 'copy'}"
    source = re.sub(r'git\+https:[^"]+', lambda _: copy, bootstrap(repository(), tag()))  # with a tag, or without one
    assert copy in source
    run = subprocess.run([python, "-c", PROBE.format(source=source)], **options)
    assert "face (1, 12288)" in run.stdout, run.stdout + run.stderr
    installed = {line.removeprefix("file ") for line in run.stdout.splitlines() if line.startswith("file ")}
    tables = {f"figures/{name}" for name in parts("figures", "*.csv", "*.json", "*.jpg")}
    assert len(tables) > 300
    assert installed == parts("course_lib", "*.py", "*.json", "*.safetensors", "*.md") | tables
