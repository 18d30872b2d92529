"""What the project says of itself: README's first screen, citation, changelog, the recipes for contributors."""

import json
import re
from pathlib import Path

import pytest

import course_lib
from course_lib.__main__ import COMMANDS
from course_lib.tools.links import project, repository

ROOT = Path(__file__).parents[1]
VERSION = project()["version"]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_readme_is_short_and_its_first_screen_has_picture_and_commands():
    lines = text("README.md").splitlines()
    assert len(lines) <= 150
    first = "\n".join(lines[:20])
    assert (
        "pip install -r requirements.txt && jupyter lab notebooks/00_start_here.ipynb" in first
        and "\npytest\n" in first
    )
    (picture,) = re.findall(r'<img src="(\S+)" width="\d+" alt="[^"]{50,}">', first)
    assert (ROOT / picture).is_file()
    for name in ("CITATION.cff", "CONTRIBUTING.md", "CHANGELOG.md"):
        assert f"]({name})" in "\n".join(lines)


def test_one_version_and_one_repository_everywhere():
    citation = dict(re.findall(r"^([\w-]+): (\S+)$", text("CITATION.cff"), re.MULTILINE))
    assert citation["version"] == course_lib.__version__ == VERSION
    assert citation["repository-code"] == f"https://github.com/{repository()}" and citation["license"] == "MIT"
    assert "https://arxiv.org/abs/2101.08661" in text("CITATION.cff")


def test_the_changelog_has_this_version_first():
    versions = re.findall(r"^## \[(.+?)\](.*)$", text("CHANGELOG.md"), re.MULTILINE)
    first, date = next(entry for entry in versions if entry[0] != "Unreleased")
    assert first == VERSION or ".dev" in VERSION
    assert re.fullmatch(r" - \d{4}-\d\d-\d\d", date)
    kinds = set(re.findall(r"^### (.+)$", text("CHANGELOG.md"), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


RECIPES = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text("CONTRIBUTING.md"), re.MULTILINE | re.DOTALL))


def test_there_is_a_recipe_for_each_addition():
    assert [name for name in RECIPES if name.startswith(("An ", "A "))] == [
        *("An operator", "A prior: a regularizer", "A prior: a generative model", "An exercise", "A notebook"),
        "A release",
    ]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_short_and_names_what_there_is(name):
    recipe = RECIPES[name]
    assert len(recipe.splitlines()) <= 22
    words = set(re.findall(r"(?<![\w/])[\w./]+\.(?:py|md|toml|cff|csv)\b|course_lib/\w+/", recipe))
    words = {word for word in words if not re.search(r"NAME|TOPIC|NN", word)}
    missing = [w for w in words if not any((ROOT / room / w).exists() for room in (".", "course_lib"))]
    assert not missing
    sources = "\n".join(
        path.read_text(encoding="utf-8") for path in [*ROOT.glob("tests/*.py"), *ROOT.glob("course_lib/**/*.py")]
    )
    for constant in re.findall(r"`([A-Z][A-Z_]{3,})`", recipe):
        assert re.search(rf"^{constant} \|?= ?", sources, re.MULTILINE), constant


def test_every_command_is_on_its_page():
    page = text("docs/commands.md")
    assert [name for name in COMMANDS if not re.search(rf"\| `python -m course_lib {name}[ `]", page)] == []


def test_the_container_installs_what_was_tested():
    container = json.loads(text(".devcontainer/devcontainer.json"))
    assert "python -m pip install --no-cache-dir -r requirements.txt" in container["onCreateCommand"]
    minor = re.search(r"python:3\.(\d+)-", container["image"])[1]
    assert int(minor) >= int(re.search(r"3\.(\d+)", project()["requires-python"])[1])
    assert text(".binder/runtime.txt").strip() == f"python-3.{minor}"
    for name in container["customizations"]["codespaces"]["openFiles"]:
        assert (ROOT / name).is_file()
