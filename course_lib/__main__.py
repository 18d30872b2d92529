"""The command line, `python -m course_lib COMMAND`: train, export, reproduce, figures, student and more."""

import argparse
import signal
import sys
from pathlib import Path

from course_lib.common import choose_device, write_text
from course_lib.data import TASKS
from course_lib.studies.couplings import compare
from course_lib.studies.coverage import measure as measure_coverage
from course_lib.studies.domains import METHODS as DOMAIN_METHODS
from course_lib.studies.domains import measure as measure_domains
from course_lib.studies.domains import measure_likelihood
from course_lib.studies.experiments import SIGMAS, experiment_on_faces, experiment_on_the_astronaut, reproduce
from course_lib.studies.figures import read_runs, stamp_runs, write_figures
from course_lib.studies.methods import METHODS
from course_lib.studies.scores import FIGURES, read_scores
from course_lib.studies.sweeps import METHODS as SWEEP_METHODS
from course_lib.studies.sweeps import measure as measure_sweeps
from course_lib.tools.links import repository, stamp_all
from course_lib.tools.student import nbgrader_version, student_version, write_versions
from course_lib.tools.tidy import tidy_files
from course_lib.training.commands import add_export, add_train

NOTEBOOKS = FIGURES.with_name("notebooks")
README = FIGURES.with_name("README.md")


def main(arguments=None):
    """Run one command; returns the exit status: 2, with one line on stderr, for an error of the user."""
    args = build_parser().parse_args(arguments)
    try:
        args.command(args)
    except (ValueError, RuntimeError, OSError) as error:
        if args.traceback:
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: the last checkpoint is kept; the same command goes on from it", file=sys.stderr)
        return 130
    return 0


def build_parser():
    """The parser of all commands; each command sets `command`, the function that takes the parsed arguments."""
    parser = argparse.ArgumentParser("python -m course_lib", description="Deep generative priors: the command line.")
    parser.add_argument("--traceback", action="store_true", help="show where in the code an error came from")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        add_train,
        add_export,
        add_reproduce,
        add_couplings,
        add_domains,
        add_coverage,
        add_sweeps,
        add_figures,
        add_student,
        add_links,
        add_tidy,
    ):
        add(commands)
    return parser


def add_reproduce(commands):
    """`reproduce`: the score table."""
    about = "measure the score table (five tasks, all methods, three noise levels); goes on where it was stopped"
    parser = commands.add_parser("reproduce", help=about, description=about)
    parser.add_argument("--data", metavar="FOLDER", help="CelebA's aligned images (img_align_celeba, or at half size)")
    parser.add_argument("--quick", action="store_true", help="the astronaut, two tasks, one noise level, λ not tuned")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument(
        "--sigmas", nargs="+", type=float, default=list(SIGMAS), help="standard deviations of the noise"
    )
    parser.add_argument("--images", type=int, default=50, help="test images (default: 50, 009751-009800)")
    parser.add_argument("--validation", type=int, default=8, help="validation images that tune λ (default: 8)")
    parser.add_argument("--weights", default="glow", help="name of the model's weight file (default: glow)")
    parser.add_argument("--out", help="the table (default: figures/scores.csv; runs/quick/scores.csv with --quick)")
    parser.add_argument("--cells", help="folder of finished cells (default: figures/cells; runs/quick)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.set_defaults(command=run_reproduce)


def add_couplings(commands):
    """`couplings`: the comparison of flows that differ in their scale alone."""
    about = "compare runs of `train glow --scale …` on validation images: bits/dim, and reconstructions"
    parser = commands.add_parser("couplings", help=about, description=about)
    parser.add_argument("runs", nargs="+", metavar="RUN_FOLDER")
    parser.add_argument("--data", required=True, metavar="FOLDER", help="CelebA's aligned images")
    parser.add_argument("--images", type=int, default=8, help="validation images (default: 8)")
    parser.add_argument("--out", default=FIGURES / "couplings.csv", help="the table (default: figures/couplings.csv)")
    parser.set_defaults(command=lambda args: compare(args.runs, args.data, args.out, args.images))


def add_domains(commands):
    """`domains`: the score table away from home."""
    about = "measure the five tasks on photographs without faces, with the faces' λ; goes on where it was stopped"
    parser = commands.add_parser("domains", help=about, description=about)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=DOMAIN_METHODS, default=list(DOMAIN_METHODS))
    parser.add_argument("--crops", type=int, default=1, help="squares of each photograph, where they fit (default: 1)")
    parser.add_argument("--out", default=FIGURES / "ood_scores.csv", help="default: figures/ood_scores.csv")
    parser.add_argument("--cells", default=FIGURES / "ood_cells", help="finished cells (default: figures/ood_cells)")
    text = (
        "CelebA's aligned images: also write ood_likelihood.csv beside --out, the likelihoods of faces and photographs"
    )
    parser.add_argument("--data", metavar="FOLDER", help=text)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.set_defaults(command=run_domains)


def run_domains(args):
    """Measure the table of photographs, or go on with it; first the likelihoods, where there are faces."""
    if args.data:
        measure_likelihood(Path(args.out).with_name("ood_likelihood.csv"), args.data)
    device = choose_device(args.device)
    rows = measure_domains(args.out, args.cells, args.tasks, args.methods, args.crops, device=device)
    print(f"{args.out}: {len(rows)} rows")


def add_coverage(commands):
    """`coverage`: intervals put to the test."""
    about = "measure how often the intervals of the VAE's posterior cover, on its own faces and on real ones"
    parser = commands.add_parser("coverage", help=about, description=about)
    parser.add_argument("--data", metavar="FOLDER", required=True, help="CelebA's aligned images")
    parser.add_argument("--images", type=int, default=20, help="faces of each kind (default: 20)")
    parser.add_argument("--out", default=FIGURES / "coverage.csv", help="default: figures/coverage.csv")
    parser.set_defaults(command=run_coverage)


def run_coverage(args):
    """Measure the table of coverages."""
    rows = measure_coverage(args.out, args.data, args.images)
    print(f"{args.out}: {len(rows)} rows")


def add_sweeps(commands):
    """`sweeps`: what λ does to one face."""
    about = "restore the astronaut with λ below and above the tuned one, by every method; goes on where it was stopped"
    parser = commands.add_parser("sweeps", help=about, description=about)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=SWEEP_METHODS, default=list(SWEEP_METHODS))
    parser.add_argument("--out", default=FIGURES / "lambda_sweep.csv", help="default: figures/lambda_sweep.csv")
    text = "finished cells (default: figures/lambda_cells)"
    parser.add_argument("--cells", default=FIGURES / "lambda_cells", help=text)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.set_defaults(command=run_sweeps)


def run_sweeps(args):
    """Measure the sweeps, or go on with them."""
    device = choose_device(args.device)
    rows = measure_sweeps(args.out, args.cells, args.tasks, args.methods, device=device)
    print(f"{args.out}: {len(rows)} rows")


def add_student(commands):
    """`student`: the notebooks of a class."""
    about = "write every notebook without solutions and outputs"
    parser = commands.add_parser("student", help=about, description=about)
    parser.add_argument("out", metavar="FOLDER", help="where to; made if need be")
    text = "with nbgrader's metadata: a source for `nbgrader generate_assignment`, solutions marked to be cut out"
    parser.add_argument("--nbgrader", action="store_true", help=text)
    parser.add_argument("--notebooks", metavar="FOLDER", default=NOTEBOOKS, help="default: notebooks/ of the course")
    parser.set_defaults(command=run_student)


def add_figures(commands):
    """`figures`: what README shows."""
    about = "draw what README shows: the gallery, the scores beside the published ones, the map of the course"
    parser = commands.add_parser("figures", help=about, description=about)
    parser.add_argument("--out", default=FIGURES, help="folder of the pictures (default: figures)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.set_defaults(command=run_figures)


def run_figures(args):
    """Draw the pictures of README from the score table that is there, and stamp what a run takes into its map."""
    paths = write_figures(args.out, read_scores(FIGURES / "scores.csv"), NOTEBOOKS, choose_device(args.device))
    if README.exists():
        write_text(README, stamp_runs(README.read_text(encoding="utf-8"), read_runs()))
    print(*paths, sep="\n")


def add_links(commands):
    """`links`: badges and bootstrap of the notebooks."""
    about = "stamp the badges, and the lines that install the course on Colab, into every notebook"
    parser = commands.add_parser("links", help=about, description=f"{about}; pyproject.toml names the repository")
    parser.set_defaults(command=run_links)


def add_tidy(commands):
    """`tidy`: what an executed notebook needs before it is committed."""
    about = "take the time stamps out of executed notebooks, and store large pictures in 256 colours"
    parser = commands.add_parser("tidy", help=about, description=about)
    parser.add_argument("paths", nargs="+", metavar="NOTEBOOK")
    parser.set_defaults(command=run_tidy)


def run_tidy(args):
    """Tidy notebooks in place."""
    for path, size in zip(args.paths, tidy_files(args.paths), strict=True):
        print(f"{Path(path).stem}: {size / 1e6:.2f} MB")


def run_links(args):
    """Stamp the notebooks."""
    changed = stamp_all(NOTEBOOKS)
    print(f"{repository()}: {', '.join(path.stem for path in changed) or 'no notebook'} changed")


def run_student(args):
    """Write the notebooks of a class."""
    version = nbgrader_version if args.nbgrader else student_version
    paths = write_versions(args.notebooks, args.out, version)
    print(f"{args.out}: {len(paths)} notebooks, {paths[0].stem} to {paths[-1].stem}")


def run_reproduce(args):
    """Measure the table, or go on with it."""
    device, cells = choose_device(args.device), args.cells or ("runs/quick" if args.quick else FIGURES / "cells")
    if args.quick:
        experiment = experiment_on_the_astronaut(cells, args.weights, device)
        tasks, sigmas, out = ["deblurring", "inpainting_random"], [0.01], args.out or "runs/quick/scores.csv"
    else:
        if args.data is None:
            raise ValueError("data: expected --data FOLDER with CelebA's aligned images (or --quick), got none")
        tasks, sigmas, out = args.tasks, args.sigmas, args.out or FIGURES / "scores.csv"
        experiment = experiment_on_faces(args.data, cells, args.weights, args.images, args.validation, device)
    reproduce(experiment, out, tasks, args.methods, sigmas)
    print(Path(out).with_suffix(".md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    # What ends the jobs of a cluster is taken as Ctrl-C, so that nothing half-written stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
