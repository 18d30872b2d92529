"""The reading version: every notebook as a page, with the outputs that are stored in it. Nothing is executed.

python -m pip install -r docs/requirements.txt && sphinx-build -b html -c docs . site
"""

import json

project = "Deep generative priors for imaging inverse problems"
author = "the authors of the course"
extensions = ["myst_nb", "sphinx.ext.mathjax"]
root_doc = "docs/index"
include_patterns = ["docs/index.md", "notebooks/*.ipynb", "notebooks/TEACHING.md", "figures/scores.md"]
include_patterns += ["course_lib/models/trained/README.md"]
nb_execution_mode = "off"
# A picture that a widget shows without a kernel is its plain PNG.
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["dollarmath", "amsmath"]
# The course's own pages link to files of the repository too; those are checked by the tests.
suppress_warnings = ["myst.xref_missing", "myst.header", "mystnb.unknown_mime_type"]
html_theme = "sphinx_book_theme"
html_title = project
html_theme_options = {"show_toc_level": 2}

# The course's tags (course_lib/tools/tidy.py), and what they are on a page.
ON_A_PAGE = {"claim": "remove-cell", "schematic": "remove-input", "solution": "hide-input"}


def translate_tags(app, docname, source):
    """Give the cells of a notebook the tags that MyST-NB knows."""
    if docname.startswith("notebooks/") and source[0].lstrip().startswith("{"):
        notebook = json.loads(source[0])
        for cell in notebook["cells"]:
            tags = cell["metadata"].get("tags", [])
            tags += [ON_A_PAGE[tag] for tag in tags if tag in ON_A_PAGE]
        source[0] = json.dumps(notebook)


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", translate_tags)
