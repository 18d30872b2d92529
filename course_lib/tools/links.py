"""Where the course lives on the web, from one place: `Repository` and `version` in pyproject.toml. Badges, and lines
that install the course where a notebook is opened without it (Colab), are stamped from them into every notebook: both
lead to the version that was tested, so that a notebook and its library never differ.
"""

import re
import tomllib
from copy import deepcopy
from pathlib import Path

from course_lib.common import check
from course_lib.tools.tidy import notebooks, read_notebook, write_notebook

ROOT = Path(__file__).parents[2]

BADGES = re.compile(r"\[!\[Binder\]\([^\n]*\n\[!\[Colab\]\([^\n]*")
BOOTSTRAP = re.compile(r"\Aimport importlib\.util\n\nif [^\n]*find_spec\(\"course_lib\"\)[^\n]*\n    [^\n]*\n\n")


def project(root=ROOT):
    """The table [project] of pyproject.toml; ValueError where there is no such file."""
    path = Path(root) / "pyproject.toml"
    check(path.is_file(), "root", "a checkout of the course, with pyproject.toml", root)
    with path.open("rb") as file:
        return tomllib.load(file)["project"]


def repository(root=ROOT):
    """The repository as GitHub names it, owner/name. ValueError where pyproject.toml does not name one on GitHub."""
    url = project(root).get("urls", {}).get("Repository", "")
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)/?", url)
    check(found is not None, "Repository", "https://github.com/OWNER/NAME in [project.urls] of pyproject.toml", url)
    return found[1]


def tag(root=ROOT):
    """The tag of the version that pyproject.toml states: v1.2.0. HEAD for one in the making, 1.3.0.dev0."""
    version = project(root).get("version", "")
    check(bool(version), "version", "a version in [project] of pyproject.toml", repr(version))
    return "HEAD" if ".dev" in version else f"v{version}"


def badges(name, repo, tag="HEAD"):
    """The badges of a notebook `NN_topic`, as Markdown: it opens in Binder (JupyterLab), and in Colab."""
    binder = f"https://mybinder.org/v2/gh/{repo}/{tag}?labpath=notebooks%2F{name}.ipynb"
    colab = f"https://colab.research.google.com/github/{repo}/blob/{tag}/notebooks/{name}.ipynb"
    return (
        f"[![Binder](https://mybinder.org/badge_logo.svg)]({binder})\n"
        f"[![Colab](https://colab.research.google.com/assets/colab-badge.svg)]({colab})"
    )


def bootstrap(repo, tag="HEAD"):
    """The first lines of a set-up cell: they install the course where it is missing, and do nothing elsewhere."""
    at = "" if tag == "HEAD" else f"@{tag}"
    return (
        "import importlib.util\n\n"
        'if importlib.util.find_spec("course_lib") is None:  # on Colab: install the course\n'
        f'    get_ipython().run_line_magic("pip", "install -q git+https://github.com/{repo}{at}")\n\n'
    )


def stamp(notebook, name, repo, tag="HEAD"):
    """Write badges and bootstrap into a notebook `NN_topic`, in place of older ones.

    Raises ValueError where its first cell has no badges to replace, or no code cell follows.
    """
    title = notebook.cells[0]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    check(BADGES.search(title.source) is not None, "notebook", "badges of Binder and Colab in the first cell", name)
    check(bool(code), "notebook", "a set-up cell", name)
    title.source = BADGES.sub(lambda _: badges(name, repo, tag), title.source)
    code[0].source = bootstrap(repo, tag) + BOOTSTRAP.sub("", code[0].source)


def stamp_all(folder, root=ROOT):
    """Stamp every notebook of a folder; returns the paths of those that changed."""
    changed, where = [], (repository(root), tag(root))
    for path in notebooks(folder):
        notebook = read_notebook(path)
        before = deepcopy(notebook)
        stamp(notebook, path.stem, *where)
        if notebook != before:
            changed.append(path)
            write_notebook(notebook, path)
    return changed
