"""The reading version: every notebook as a page, with the outputs that are stored in it. Nothing is executed.

    python -m pip install -r docs/requirements.txt
    npm install --prefix docs --no-package-lock     # MathJax; without it, the pages fetch theirs from the web
    sphinx-build -b html -c docs . build/site
    python docs/check.py build/site                 # every page in a headless Chromium

What a reader need not see is folded or left out (`on_a_page`); what needs a kernel is a link to Binder and Colab.

Why not Jupyter Book 2, which reads the same Markdown: the theme that makes pages of it is in no package registry. Each
build downloads it, and asks doi.org about each reference; without the web there is no page. It also calls a page `/vae`
where the file is `notebooks/10_vae`.
"""

import base64
import html
import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
MATHJAX = ROOT / "docs" / "node_modules" / "mathjax" / "es5" / "tex-svg.js"
with (ROOT / "pyproject.toml").open("rb") as file:
    STATED = tomllib.load(file)["project"]
REPOSITORY = STATED["urls"]["Repository"]
TAG = "HEAD" if ".dev" in STATED["version"] else f"v{STATED['version']}"  # as the badges (course_lib/tools/links.py)

project = "Deep generative priors for imaging inverse problems"
author = "the authors of the course"
extensions = ["myst_nb"]
root_doc = "docs/index"
include_patterns = ["docs/*.md", "notebooks/*.ipynb", "notebooks/TEACHING.md"]
include_patterns += ["figures/scores.md", "course_lib/models/trained/README.md"]
nb_execution_mode = "off"
# A picture that a widget shows without a kernel is its plain PNG, and needs no script.
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_ipywidgets_js = {}
nb_render_image_options = {"alt": "What the code above draws"}  # schematics have an alternative text of their own
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]

html_theme = "sphinx_book_theme"
html_title = project
html_show_copyright = False
html_use_index = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_theme_options = {
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search stands in the sidebar
    "repository_url": REPOSITORY,
    "repository_branch": TAG,
    "use_repository_button": True,
    "launch_buttons": {
        "notebook_interface": "jupyterlab",
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
    },
}
html_static_path = ["static"]
html_css_files = ["course.css"]
html_extra_path = ["redirect"]  # the first page is docs/index.html
if MATHJAX.is_file():
    html_static_path.append("node_modules/mathjax/es5/tex-svg.js")
    mathjax_path = MATHJAX.name

BADGE = re.compile(r"\[!\[(Binder|Colab)\]\([^)]*\)\](\([^)]*\))")


def fold(cell, tag, shown):
    """Fold what a tag of MyST-NB says (`hide-input`, `hide-cell`), below a line that says what is there."""
    cell["metadata"].setdefault("tags", []).append(tag)
    cell["metadata"]["mystnb"] = {"code_prompt_show": shown, "code_prompt_hide": f"{shown} (hide)"}


def on_a_page(notebook):
    """Change a notebook (a dict) to what its page shows. Claims are left out; set-up, code that only draws, cells to
    fill in, and solutions with what they print are folded; of a schematic, the drawing stays; the badges become links,
    so that no picture comes from elsewhere. The tags are those of course_lib/tools/tidy.py."""
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    for cell in notebook["cells"]:
        source, tags = "".join(cell["source"]), cell["metadata"].setdefault("tags", [])
        if cell["cell_type"] != "code":
            cell["source"] = BADGE.sub(r"[**Run it in \1**]\2&emsp;", source)
        elif cell is first:
            fold(cell, "hide-input", "Set-up")
        elif "claim" in tags:
            tags.append("remove-cell")
        elif "schematic" in tags:
            tags.append("remove-input")
        elif "drawing" in tags:
            fold(cell, "hide-input", "The code that draws this")
        elif "solution" in tags:
            fold(cell, "hide-cell", "Solution")
        elif "exercises.check_" in source:  # its output says only that the answer is missing
            fold(cell, "hide-input", "The cell to fill in")
            tags.append("remove-output")


def cover(path):
    """The PNG [bytes] of the first schematic of a notebook; where it has none, of its first picture."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    found = [output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", [])]
    drawn = [re.search(r'"data:image/png;base64,([^"]+)"', "".join(data.get("text/html", ""))) for data in found]
    pictures = [match[1] for match in drawn if match] + ["".join(d["image/png"]) for d in found if "image/png" in d]
    if not pictures:
        raise ValueError(f"{path}: no picture is stored in it; run it first")
    return base64.b64decode(pictures[0])


def card(path, folder):
    """A link to a notebook's page with its cover, its title and its promise, as HTML. The cover goes to a folder."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{path.stem}.png").write_bytes(cover(path))
    title, promise, *_ = "".join(notebook["cells"][0]["source"]).split("\n\n")
    promise = re.sub(r"\*([^*]+)\*", r"<em>\1</em>", html.escape(promise.replace("\n", " ")))
    promise = re.sub(r"\$([^$]+)\$", r'<span class="math">\\(\1\\)</span>', promise)
    return (
        f'<a class="course-card" href="../notebooks/{path.stem}.html">'
        f'<img src="../_static/covers/{path.stem}.png" alt="">'
        f"<strong>{html.escape(title.lstrip('# '))}</strong><span>{promise}</span></a>\n"
    )


def change_source(app, docname, source):
    """Notebooks as `on_a_page` says; on the first page, cards of the notebooks in place of <!-- cards 07-09 -->. README
    is no page: links to it go to the repository."""
    source[0] = re.sub(r"\]\((\.\./)+README\.md", f"]({REPOSITORY}/blob/HEAD/README.md", source[0])
    if docname.startswith("notebooks/") and source[0].lstrip().startswith("{"):
        notebook = json.loads(source[0])
        on_a_page(notebook)
        source[0] = json.dumps(notebook)
    elif docname == root_doc:
        paths = {int(path.stem[:2]): path for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")}
        covers = Path(app.outdir) / "_static" / "covers"

        def cards(match):
            numbers = range(int(match[1]), int(match[2]) + 1)
            return f'<div class="course-cards">\n{"".join(card(paths[i], covers) for i in numbers)}</div>'

        source[0] = re.sub(r"<!-- cards (\d+)-(\d+) -->", cards, source[0])


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", change_source)
