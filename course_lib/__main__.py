"""The command line, `python -m course_lib COMMAND`: train, export, reproduce, figures, student and more.

A command is a function here: its docstring is the help; it gives a parser its options, and the function of the parsed
arguments that runs it. Only the one that was asked for is called, and imports what it needs.
"""

import argparse
import signal
import sys
from pathlib import Path

from course_lib.studies import FIGURES

NOTEBOOKS = FIGURES.with_name("notebooks")
README = FIGURES.with_name("README.md")


def main(arguments=None):
    """Run one command; returns the exit status: 2, with one line on stderr, for an error of the user."""
    # A console that lacks a letter, as that of Windows lacks λ, shows a question mark for it.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    arguments = sys.argv[1:] if arguments is None else arguments
    args = build_parser(arguments).parse_args(arguments)
    try:
        args.command(args)
    except (ValueError, RuntimeError, OSError) as error:
        if args.traceback:
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: what is done is kept; the same command goes on from it", file=sys.stderr)
        return 130
    return 0


def build_parser(arguments):
    """The parser of all commands, with the options of the one that the arguments name."""
    parser = argparse.ArgumentParser("python -m course_lib", description="Deep generative priors: the command line.")
    parser.add_argument("--traceback", action="store_true", help="show where in the code an error came from")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for name, command in COMMANDS.items():
        own = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        if name == asked:
            command(own)
    return parser


def train(parser):
    """train a model on folders of images, or go on with the run in --out"""
    from course_lib.training.commands import add_train

    add_train(parser)


def export(parser):
    """measure the averaged weights of a run and write them as a weight file of the package"""
    from course_lib.training.commands import add_export

    add_export(parser)


def reproduce(parser):
    """measure the score table (five tasks, all methods, three noise levels); goes on where it was stopped"""
    from course_lib.data import face
    from course_lib.studies import experiments
    from course_lib.studies.methods import METHODS

    add_data(parser, "CelebA's aligned images (img_align_celeba, or at half size)")
    parser.add_argument("--quick", action="store_true", help="the astronaut, two tasks, one noise level, λ not tuned")
    add_tasks_and_methods(parser, METHODS)
    text = "standard deviations of the noise"
    parser.add_argument("--sigmas", nargs="+", type=float, default=experiments.SIGMAS, help=text)
    parser.add_argument("--images", type=int, default=50, help="test images (default: 50, 009751-009800)")
    parser.add_argument("--validation", type=int, default=8, help="validation images that tune λ (default: 8)")
    parser.add_argument("--weights", default="glow", help="name of the model's weight file (default: glow)")
    parser.add_argument("--out", help="the table (default: figures/scores.csv; runs/quick/scores.csv with --quick)")
    parser.add_argument("--cells", help="folder of finished cells (default: figures/cells; runs/quick)")
    add_device(parser)

    def run(args):
        if args.quick:
            experiment = experiments.untuned_experiment(face(), args.weights, device_of(args))
            tasks, sigmas, folder = ["deblurring", "inpainting_random"], [0.01], Path("runs/quick")
        elif args.data is None:
            raise ValueError("data: expected --data FOLDER with CelebA's aligned images (or --quick), got none")
        else:
            numbers = args.images, args.validation
            experiment = experiments.experiment_on_faces(args.data, args.weights, *numbers, device_of(args))
            tasks, sigmas, folder = args.tasks, args.sigmas, FIGURES
        out = Path(args.out or folder / "scores.csv")
        cells = args.cells or (folder if args.quick else folder / "cells")
        experiments.reproduce(experiment, out, cells, tasks, args.methods, sigmas)
        print(out.with_suffix(".md").read_text(encoding="utf-8"))

    parser.set_defaults(command=run)


def trial(parser):
    """compare flows, formulations, starts and optimizers, one at a time; goes on where it was stopped"""
    from course_lib.data import TASKS
    from course_lib.studies import experiments
    from course_lib.studies.trial import FORMULATIONS, STARTS, STEPS, run_trial

    text = "folders of `train glow`, or names of weight files"
    parser.add_argument("flows", nargs="+", metavar="FLOW", help=text)
    add_data(parser, "CelebA's aligned images", required=True)
    factors = {"formulations": FORMULATIONS, "starts": STARTS, "optimizers": STEPS, "tasks": TASKS}
    for name, values in factors.items():
        parser.add_argument(f"--{name}", nargs="+", choices=list(values), default=list(values))
    parser.add_argument("--sigmas", nargs="+", type=float, choices=experiments.SIGMAS, default=[experiments.SIGMA])
    parser.add_argument("--images", type=int, default=8, help="test images (default: 8)")
    parser.add_argument("--validation", type=int, default=4, help="validation images (default: 4)")
    add_out_and_cells(parser, FIGURES / "trial.csv", "runs/trial_cells")

    def measure(args):
        chosen = {name: getattr(args, name) for name in (*factors, "sigmas")}
        return run_trial(args.flows, args.data, args.out, args.cells, args.images, args.validation, **chosen)

    measuring(parser, measure)


def domains(parser):
    """measure the five tasks on photographs without faces, with the faces' λ; goes on where it was stopped"""
    from course_lib.studies.domains import DOMAIN_METHODS, measure_domains, measure_likelihood

    add_tasks_and_methods(parser, DOMAIN_METHODS)
    parser.add_argument("--crops", type=int, default=1, help="squares of each photograph, where they fit (default: 1)")
    add_out_and_cells(parser, FIGURES / "ood_scores.csv", FIGURES / "ood_cells")
    add_data(parser, "CelebA's aligned images: also write ood_likelihood.csv beside --out, for faces and photographs")
    add_device(parser)

    def measure(args):
        if args.data:
            measure_likelihood(Path(args.out).with_name("ood_likelihood.csv"), args.data)
        return measure_domains(args.out, args.cells, args.tasks, args.methods, args.crops, device_of(args))

    measuring(parser, measure)


def coverage(parser):
    """measure how often the intervals of the VAE's posterior cover, on its own faces and on real ones"""
    from course_lib.studies.coverage import measure_coverage

    add_data(parser, "CelebA's aligned images", required=True)
    parser.add_argument("--images", type=int, default=20, help="faces of each kind (default: 20)")
    add_out_and_cells(parser, FIGURES / "coverage.csv", "runs/coverage")
    measuring(parser, lambda args: measure_coverage(args.out, args.data, args.cells, args.images))


def conformal(parser):
    """stretch the intervals of the VAE's posterior by what validation faces ask for, and report on test faces"""
    from course_lib.studies.coverage import measure_conformal

    add_data(parser, "CelebA's aligned images", required=True)
    parser.add_argument("--calibration", type=int, default=50, help="validation faces that decide (default: 50)")
    parser.add_argument("--images", type=int, default=50, help="test faces that report (default: 50)")
    add_out_and_cells(parser, FIGURES / "conformal.csv", "runs/conformal")
    measuring(parser, lambda args: measure_conformal(args.out, args.data, args.cells, args.calibration, args.images))


def memorization(parser):
    """measure how near the samples of the networks are to training images, beside faces that were held out"""
    from course_lib.studies.memorization import measure_memorization

    add_data(parser, "CelebA's aligned images", required=True)
    parser.add_argument("--images", type=int, default=64, help="images of each kind (default: 64)")
    parser.add_argument("--training", type=int, default=4000, help="training images (default: 4000)")
    add_out_and_cells(parser, FIGURES / "memorization.csv", "runs/memorization")
    measuring(parser, lambda args: measure_memorization(args.out, args.data, args.cells, args.images, args.training))


def starts(parser):
    """measure what ten starts make of synthesis, analysis and the MAP, on real faces; goes on where it was stopped"""
    from course_lib.studies.starts import measure_starts

    add_data(parser, "CelebA's aligned images: also measure its first test faces")
    parser.add_argument("--images", type=int, default=2, help="of these, how many (default: 2)")
    add_out_and_cells(parser, FIGURES / "starts.csv", "runs/starts")
    measuring(parser, lambda args: measure_starts(args.out, args.data, args.cells, args.images))


def encoder(parser):
    """measure the encoder of the flow in time, and what analysis makes of its Jacobian; goes on where it was stopped"""
    from course_lib.studies.encoder import measure_encoder

    add_data(parser, "CelebA's aligned images", required=True)
    parser.add_argument("--images", type=int, default=20, help="faces that are restored (default: 20)")
    add_out_and_cells(parser, FIGURES / "time_jacobian.csv", "runs/encoder")
    measuring(parser, lambda args: measure_encoder(args.out, args.data, args.cells, args.images))


def sweeps(parser):
    """restore the astronaut with λ below and above the tuned one, by every method; goes on where it was stopped"""
    from course_lib.studies.sweeps import SWEEP_METHODS, measure_sweeps

    add_tasks_and_methods(parser, SWEEP_METHODS)
    add_out_and_cells(parser, FIGURES / "lambda_sweep.csv", FIGURES / "lambda_cells")
    add_device(parser)
    measuring(parser, lambda args: measure_sweeps(args.out, args.cells, args.tasks, args.methods, device_of(args)))


def figures(parser):
    """draw what README shows: the gallery, the scores beside the published ones, the map of the course, the rooms"""
    from course_lib.common import write_text
    from course_lib.studies.figures import NAMES, read_runs, stamp_runs, write_figures

    parser.add_argument("--out", default=FIGURES, help="folder of the pictures (default: figures)")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="these pictures (default: all)")
    add_device(parser)

    def run(args):
        paths = write_figures(args.out, NOTEBOOKS, device_of(args), args.only)
        if README.exists():
            write_text(README, stamp_runs(README.read_text(encoding="utf-8"), read_runs()))
        print(*paths, sep="\n")

    parser.set_defaults(command=run)


def cards(parser):
    """stamp what recipes, notebooks and methods say of each trained network into its card, beside the weights"""
    from course_lib.common import write_text
    from course_lib.studies.cards import CARDS, stamp

    def run(args):
        write_text(CARDS, stamp(CARDS.read_text(encoding="utf-8"), NOTEBOOKS))
        print(CARDS)

    parser.set_defaults(command=run)


def restore(parser):
    """restore a picture of your own, and show what was measured in it and what the prior invented"""
    from course_lib.restore import PRIORS, TASKS, restore, suggested_path

    parser.add_argument("picture", metavar="PICTURE", help="any file that Pillow reads")
    parser.add_argument("--task", choices=TASKS, required=True)
    text = "the result; its comparison sheet goes beside it (default: PICTURE_TASK, beside PICTURE)"
    parser.add_argument("--out", metavar="FILE", help=text)
    parser.add_argument("--prior", choices=("auto", *PRIORS), default="auto")
    text = "standard deviation of the noise, the range from black to white being 1 (default: estimated)"
    parser.add_argument("--sigma", type=float, help=text)
    text = "inpainting: a picture of the same size, black where pixels are missing (default: transparent pixels, NaN)"
    parser.add_argument("--mask", metavar="FILE", help=text)
    parser.add_argument("--kernel", metavar="FILE", help="deblurring: a picture of the blur kernel, .txt, .csv or .npy")
    parser.add_argument("--factor", type=int, default=2, help="sr: how many times wider and higher (default: 2)")
    text = "the values that are black and white in the file (default: by its kind; printed if not obvious)"
    parser.add_argument("--limits", nargs=2, type=float, metavar=("BLACK", "WHITE"), help=text)
    parser.add_argument("--steps", type=int, help="of the prior (default: as many as suit it)")
    add_device(parser)

    def run(args):
        options = {
            name: getattr(args, name) for name in ("prior", "sigma", "mask", "kernel", "factor", "limits", "steps")
        }
        out = args.out or suggested_path(args.picture, args.task)
        found = restore(args.picture, args.task, out, device=device_of(args), disable=False, **options)
        print(*found.report, found.path, found.sheet, sep="\n")

    parser.set_defaults(command=run)


def student(parser):
    """write every notebook without solutions, claims and outputs; the schematics keep their pictures"""
    from course_lib.tools.student import nbgrader_version, student_version, write_versions

    parser.add_argument("out", metavar="FOLDER", help="where to; made if need be")
    text = "with nbgrader's metadata: a source for `nbgrader generate_assignment`, solutions marked to be cut out"
    parser.add_argument("--nbgrader", action="store_true", help=text)
    parser.add_argument("--notebooks", metavar="FOLDER", default=NOTEBOOKS, help="default: notebooks/ of the course")

    def run(args):
        paths = write_versions(args.notebooks, args.out, nbgrader_version if args.nbgrader else student_version)
        print(f"{args.out}: {len(paths)} notebooks, {paths[0].stem} to {paths[-1].stem}")

    parser.set_defaults(command=run)


def links(parser):
    """stamp badges, and lines that install the course on Colab, into every notebook, as pyproject.toml has them"""
    from course_lib.tools.links import repository, stamp_all, tag

    def run(args):
        changed = stamp_all(NOTEBOOKS)
        print(f"{repository()} at {tag()}: {', '.join(path.stem for path in changed) or 'no notebook'} changed")

    parser.set_defaults(command=run)


def tidy(parser):
    """take the time stamps out of executed notebooks, and store large pictures in 256 colours"""
    from course_lib.tools.tidy import tidy_files

    parser.add_argument("paths", nargs="+", metavar="NOTEBOOK")

    def run(args):
        for path, size in zip(args.paths, tidy_files(args.paths), strict=True):
            print(f"{Path(path).stem}: {size / 1e6:.2f} MB")

    parser.set_defaults(command=run)


COMMANDS = {
    command.__name__: command
    for command in (
        train,
        export,
        reproduce,
        trial,
        domains,
        coverage,
        conformal,
        memorization,
        starts,
        encoder,
        sweeps,
        figures,
        cards,
        restore,
        student,
        links,
        tidy,
    )
}


def measuring(parser, measure):
    """The command runs a study: `measure(args)` writes its table to --out and returns it."""
    parser.set_defaults(command=lambda args: print(f"{args.out}: {len(measure(args))} rows"))


def add_data(parser, text, **options):
    """--data."""
    parser.add_argument("--data", metavar="FOLDER", help=text, **options)


def add_tasks_and_methods(parser, methods):
    """--tasks and --methods: by default all."""
    from course_lib.data import TASKS

    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", choices=list(methods), default=list(methods))


def add_out_and_cells(parser, out, cells):
    """--out and --cells, with their defaults."""
    parser.add_argument("--out", default=out, help=f"the table (default: figures/{out.name})")
    shown = f"figures/{cells.name}" if isinstance(cells, Path) else cells
    parser.add_argument("--cells", default=cells, help=f"folder of finished cells (default: {shown})")


def add_device(parser):
    """--device."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def device_of(args):
    """The device that --device asks for."""
    from course_lib.common import choose_device

    return choose_device(args.device)


def take_as_interrupt(*names):
    """Let signals end the program as Ctrl-C does, so that nothing half-written stays behind; Windows lacks some."""
    for name in names:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)


if __name__ == "__main__":
    take_as_interrupt("SIGTERM", "SIGBREAK")  # What ends the jobs of a cluster; Ctrl-Break on Windows.
    sys.exit(main())
