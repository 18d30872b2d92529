"""What the tables of the course are made with: methods, one store of what was measured, one study a file, figures."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
FIGURES = PACKAGE / "figures" if (PACKAGE / "figures").is_dir() else PACKAGE.with_name("figures")
"""The tables: of the package where it was installed without the rest of the course, else of the checkout."""
