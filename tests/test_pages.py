"""The reading version: what of a notebook its page shows, and that no page is left out. How the pages look in a browser
is checked where they are built: docs/check.py."""

import importlib.util
import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from course_lib.data import TASKS
from course_lib.studies.store import read_table
from course_lib.tools.links import repository, tag

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
FIRST = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
spec = importlib.util.spec_from_file_location("conf", ROOT / "docs" / "conf.py")
conf = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conf)


def cell(source, *tags, outputs=()):
    """A cell of code as a notebook's JSON has it."""
    return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": [source], "outputs": list(outputs)}


def test_what_a_page_shows_of_each_kind_of_cell():
    binder, colab = "https://mybinder.org/v2/gh/a/b", "https://colab.research.google.com/github/a/b"
    badges = f"# T\n\n[![Binder](https://x/b.svg)]({binder})\n[![Colab](https://x/c.svg)]({colab})"
    cells = {
        "title": {"cell_type": "markdown", "metadata": {}, "source": [badges]},
        "set-up": cell("import torch"),
        "shown": cell("x = 1"),
        "stub": cell("mine = ...\nexercises.check_x(mine)"),
        "solution": cell("mine = 1\nassert exercises.check_x(mine)", "solution"),
        "claim": cell("assert x == 1", "claim"),
        "schematic": cell("draw()", "schematic"),
        "drawing": cell("show()", "drawing"),
    }
    conf.on_a_page({"cells": list(cells.values())})
    tags = {name: cell["metadata"]["tags"] for name, cell in cells.items()}
    assert tags["shown"] == [] and tags["set-up"] == ["hide-input"]
    assert tags["stub"] == ["hide-input", "remove-output"]
    assert tags["solution"] == ["solution", "hide-cell"], "what the check answers tells the solution"
    assert tags["claim"] == ["claim", "remove-cell"] and tags["schematic"] == ["schematic", "remove-input"]
    assert tags["drawing"] == ["drawing", "hide-input"]
    assert cells["solution"]["metadata"]["mystnb"]["code_prompt_show"] == "Solution"
    assert re.findall(r"\]\((\S+)\)", cells["title"]["source"]) == [binder, colab]
    assert "![" not in cells["title"]["source"], "a picture from elsewhere"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_a_page_and_a_card_with_its_picture(path, tmp_path):
    shown = conf.card(path, tmp_path)
    assert (tmp_path / f"{path.stem}.png").read_bytes().startswith(b"\x89PNG")
    assert f'href="../notebooks/{path.stem}.html"' in shown
    title, promise, *_ = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]).split("\n\n")
    assert title.startswith("# ") and len(promise.split()) > 10, "a title and a sentence of promise"
    assert not re.search(r"[*$`]", re.sub("<[^>]*>", "", shown)), "Markdown is left in the card"
    assert f"../notebooks/{path.stem}\n" in FIRST
    spans = re.findall(r"<!-- cards (\d+)-(\d+) -->", FIRST)
    assert sum(int(a) <= int(path.stem[:2]) <= int(b) for a, b in spans) == 1


def test_the_rocket_leads_to_the_version_of_the_badges():
    assert repository() in conf.html_theme_options["repository_url"]
    assert conf.html_theme_options["repository_branch"] == tag()


def test_every_page_in_the_contents_exists_and_is_built():
    lists = re.findall(r"```\{toctree\}\n(.*?)```", FIRST, flags=re.S)
    entries = [re.sub(r".*<(.*)>", r"\1", line) for text in lists for line in text.splitlines() if line[:1] not in ":"]
    for entry in filter(None, entries):
        page = (ROOT / "docs" / entry).resolve()
        (found,) = [path for path in page.parent.glob(f"{page.name}.*") if path.suffix in (".md", ".ipynb")]
        name = found.relative_to(ROOT).as_posix()
        assert any(fnmatch(name, pattern) for pattern in conf.include_patterns), name


def test_the_table_beside_deepinv_is_that_of_its_file():
    page = (ROOT / "docs" / "deepinv.md").read_text(encoding="utf-8")
    found = {}
    for row in read_table("deepinv").itertuples():
        found.setdefault((row.algorithm, row.of), {})[row.task] = f"{row.psnr:.2f}"
    for (algorithm, of), psnrs in found.items():
        cells = " | ".join(psnrs.get(task, "") for task in TASKS)
        assert f"| {algorithm} | {of} | {cells} |" in page


def test_the_table_of_ratios_is_that_of_its_file():
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    table = read_table("benchmarks").query("part == 'flow' and threads == 1").dropna(subset="ratio")
    for (batch, measure, against), rows in table.groupby(["setting", "measure", "against"]):
        ratios = rows.set_index("instructions").ratio
        cells = " | ".join(f"{ratios[name]:.2f}" for name in ("AVX2", "AVX512"))
        start = {"E": "E(x)", "D": "D(z)", "t": "training"}[measure[0]]
        line = next(line for line in page.splitlines() if re.match(rf"\| {re.escape(start)}.* \| {batch[6:]} \|", line))
        assert line.endswith(f"| {cells} |") if "normflows" in against else f"| {batch[6:]} | {cells} |" in line


def test_the_tools_of_the_pages_are_declared_and_pinned():
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]["optional-dependencies"]["pages"]
    pinned = (ROOT / "docs" / "requirements.txt").read_text(encoding="utf-8")
    assert [name.split(">=")[0] for name in declared] == re.findall(r"^([\w-]+)==[\d.]+$", pinned, flags=re.M)
    package = json.loads((ROOT / "docs" / "package.json").read_text(encoding="utf-8"))
    assert re.fullmatch(r"[\d.]+", package["dependencies"]["mathjax"])
