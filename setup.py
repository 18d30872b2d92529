"""What pyproject.toml cannot say: the packages are found, and the tables in figures/ go along as one of them, so that
the notebooks also run where the course is installed without its folder."""

from setuptools import find_packages, setup

packages = [*find_packages(include=["course_lib", "course_lib.*"]), "course_lib.figures"]
setup(packages=packages, package_dir={"course_lib.figures": "figures"})
