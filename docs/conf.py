"""The reading version: every notebook as a page, with the outputs that are stored in it. Nothing is executed.

python -m pip install -r docs/requirements.txt && sphinx-build -b html -c docs . site
"""

project = "Deep generative priors for imaging inverse problems"
author = "the authors of the course"
extensions = ["myst_nb", "sphinx.ext.mathjax"]
root_doc = "docs/index"
include_patterns = ["docs/index.md", "notebooks/*.ipynb", "notebooks/TEACHING.md", "figures/scores.md"]
nb_execution_mode = "off"
# A picture that a widget shows without a kernel is its plain PNG.
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_enable_extensions = ["dollarmath", "amsmath"]
# The course's own pages link to files of the repository too; those are checked by the tests.
suppress_warnings = ["myst.xref_missing", "myst.header", "mystnb.unknown_mime_type"]
html_theme = "sphinx_book_theme"
html_title = project
html_theme_options = {"show_toc_level": 2}
