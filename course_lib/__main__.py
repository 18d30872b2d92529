"""The command line, `python -m course_lib COMMAND`: train, export, reproduce, couplings, domains, student."""

import argparse
import copy
import inspect
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch

from course_lib.couplings import compare
from course_lib.data import PHOTOGRAPH_SPLITS, image_files, to_float
from course_lib.domains import METHODS as DOMAIN_METHODS
from course_lib.domains import measure as measure_domains
from course_lib.domains import measure_likelihood
from course_lib.experiments import SIGMAS, experiment_on_faces, experiment_on_the_astronaut, reproduce
from course_lib.methods import METHODS
from course_lib.models.glow import SCALES
from course_lib.scores import FIGURES, TASKS
from course_lib.student import nbgrader_version, student_version, write_versions
from course_lib.training import DRAWN, RECIPES, SCORES, Recipe, load_average, mean_loss, train
from course_lib.training.batches import draw_validation, load_sets, load_validation
from course_lib.weights import FOLDER, MODELS, read_checkpoint, save_model

NOTEBOOKS = FIGURES.with_name("notebooks")

RECIPE_OPTIONS = {
    "steps": (int, "training steps in all; a larger number than before trains longer"),
    "batch": (int, "images a step, all processes together"),
    "lr": (float, "largest learning rate"),
    "noise": (float, "sigma of the Gaussian noise added to training images"),
    "seed": (int, "seed of the model and of the batches"),
    "photographs": (int, "crops of scikit-image's photographs that join the folders"),
}

CONFIG_OPTIONS = {
    "scale": {"choices": SCALES, "help": "glow: scale of the couplings"},
    "widths": {"nargs": "+", "type": int, "help": "glow, vae: channels, one a level; srcnn: filters of its layers"},
    "width": {"type": int, "help": "dncnn, vdsr: channels of the convolutions"},
    "depth": {"type": int, "help": "glow: steps of flow in each level; dncnn, vdsr: number of convolutions"},
    "size": {"type": int, "help": "glow, vae: side of the images"},
    "layers": {"type": int, "help": "lista, admm_net: number of layers"},
    "factors": {"nargs": "+", "type": int, "help": "srcnn, vdsr: factors of the super-resolution"},
    "sigmas": {"nargs": 2, "type": float, "metavar": ("LOW", "HIGH"), "help": "dncnn: range of the noise level"},
    "blocks": {"nargs": "+", "type": int, "help": "vae: residual blocks, one number a level"},
    "dim": {"type": int, "help": "vae: number of latents"},
    "eta": {"type": float, "help": "vae: variance of p(x|z), if it is not to be learned"},
    "beta": {"type": float, "help": "vae: weight of the KL in the loss"},
}


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
    for add in (add_train, add_export, add_reproduce, add_couplings, add_domains, add_student):
        add(commands)
    return parser


def add_train(commands):
    """`train`: options that are not given keep the checkpoint's values, or a new recipe's."""
    about = "train a model on folders of images, or go on with the run in --out"
    parser = commands.add_parser("train", help=about, description=about, argument_default=argparse.SUPPRESS)
    parser.add_argument("name", choices=RECIPES, metavar="NAME", help=f"the recipe: {', '.join(RECIPES)}")
    text = "the first one also validates; may be left out where the recipe has photographs; none for lista"
    parser.add_argument("--data", nargs="+", default=[], metavar="FOLDER", help=text)
    parser.add_argument("--out", help="folder of the checkpoint, the log and the samples (default: runs/NAME)")
    for name, (kind, text) in RECIPE_OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind, help=f"{text} (default: the recipe's)")
    for name, options in CONFIG_OPTIONS.items():
        parser.add_argument(f"--{name}", **options)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16"),
        default="auto",
        help="auto: bf16 on CUDA, where the model knows it",
    )
    parser.add_argument("--compile", action="store_true", default=False, help="compile the model (torch.compile)")
    parser.add_argument("--minutes", type=float, default=None, help="stop, with a checkpoint, after so many minutes")
    parser.add_argument("--every", type=int, default=500, help="steps between checkpoints (default: 500)")
    parser.set_defaults(command=run_train)


def add_export(commands):
    """`export`: from a run's checkpoint to a weight file of the package."""
    about = "measure the averaged weights of a run and write them as a weight file of the package"
    parser = commands.add_parser("export", help=about, description=about)
    parser.add_argument("run", metavar="RUN_FOLDER")
    parser.add_argument("name", metavar="NAME", help="writes NAME.safetensors and NAME.json")
    parser.add_argument("--note", help="a sentence that the recipe keeps")
    parser.add_argument("--data", nargs="+", metavar="FOLDER", help="the run's images, where they have moved")
    parser.add_argument("--folder", default=FOLDER, help="where to write (default: course_lib/weights)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.set_defaults(command=run_export)


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


def add_student(commands):
    """`student`: the notebooks of a class."""
    about = "write every notebook without solutions and outputs"
    parser = commands.add_parser("student", help=about, description=about)
    parser.add_argument("out", metavar="FOLDER", help="where to; made if need be")
    text = "with nbgrader's metadata: a source for `nbgrader generate_assignment`, solutions marked to be cut out"
    parser.add_argument("--nbgrader", action="store_true", help=text)
    parser.add_argument("--notebooks", metavar="FOLDER", default=NOTEBOOKS, help="default: notebooks/ of the course")
    parser.set_defaults(command=run_student)


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


def choose_device(name):
    """The torch.device for `auto`, `cpu` or `cuda`."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: expected auto or cpu, got cuda; this torch finds no CUDA GPU")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def recipe_of(args, out):
    """The recipe of the run in `out`, or that of the name, with the options that are given."""
    checkpoint, recipe = Path(out) / "checkpoint.safetensors", RECIPES[args.name]
    before = read_checkpoint(checkpoint)[0]["recipe"] if checkpoint.exists() else vars(recipe)
    keys = {"depth": "steps"} if recipe.model == "glow" else {}
    keys, given = {name: keys.get(name, name) for name in CONFIG_OPTIONS}, vars(args)
    # What no option can change tells recipes of one model apart: a checkpoint of another one is to be refused.
    fixed = {key: value for key, value in recipe.config.items() if key not in keys.values()}
    config = before["config"] | fixed | {key: given[name] for name, key in keys.items() if name in given}
    known = inspect.signature(MODELS[recipe.model]).parameters
    for name, key in keys.items():
        if name in given and key not in known:
            raise ValueError(f"{name}: expected an option of {recipe.model}, got one of another model")
    options = {name: given[name] for name in RECIPE_OPTIONS if name in given}
    return Recipe(**(before | options | {"model": recipe.model, "config": config}))


def run_train(args):
    """Create or resume a run."""
    out, device = getattr(args, "out", f"runs/{args.name}"), choose_device(args.device)
    recipe = recipe_of(args, out)
    mixed = device.type == "cuda" and hasattr(MODELS[recipe.model], "mixed_precision")
    precision = torch.bfloat16 if args.precision == "bf16" or (args.precision == "auto" and mixed) else None
    run = train(recipe, args.data, out, device, precision, args.every, args.compile, args.minutes)
    if os.environ.get("RANK", "0") == "0":
        print(f"{run.path}: step {run.step} of {run.recipe.steps}, validation loss {run.rows[-1]['validation']}")


def run_export(args):
    """Measure the averaged model of a run, in float32 and rounded to float16, and save it."""
    model, about = load_average(args.run)
    data, recipe, device = data_of(args, about), about["recipe"], choose_device(args.device)
    folders = [entry["folder"] for entry in data]
    validation, posteriors = load_validation(folders, recipe), {}
    if hasattr(model, "align"):
        posteriors["before_alignment"] = posterior_statistics(model, validation, recipe)
        model.align(to_float(part) for images in load_sets(folders, recipe) for part in images.split(100))
        posteriors["after_alignment"] = posterior_statistics(model, validation, recipe)
    rounded = copy.deepcopy(model)
    for value in rounded.state_dict().values():
        value.copy_(value.half() if value.is_floating_point() else value)
    scores = [round(mean_loss(m.to(device), validation, recipe), 4) for m in (model, rounded)]
    parameters, kind = sum(p.numel() for p in model.parameters()), SCORES.get(recipe.model, "loss")
    measured = {kind: scores[0], f"{kind}_float16": scores[1], "noise": recipe.noise}
    info = {
        "parameters": parameters,
        "training": {k: v for k, v in vars(recipe).items() if k not in ("model", "config")},
        "steps": about["step"],
        "minutes": about["rows"][-1]["minutes"] if about["rows"] else 0.0,
        "data": [entry | {"folder": Path(entry["folder"]).name} for entry in data],
        "validation": measured | {"examples" if recipe.model in DRAWN else "images": len(validation)} | posteriors,
        "date": datetime.now(UTC).date().isoformat(),
    }
    if recipe.photographs:
        info["photographs"] = {split: list(names) for split, names in PHOTOGRAPH_SPLITS.items()}
    path = save_model(model, args.name, info | ({"note": args.note} if args.note else {}), args.folder)
    print(f"{path}: {parameters} parameters, step {about['step']}, validation {scores[0]} ({scores[1]} in float16)")


def posterior_statistics(model, validation, recipe):
    """`LatentModel.statistics` of the validation images, and the mean bound on them."""
    images, generator = draw_validation(validation, recipe), torch.Generator().manual_seed(0)
    bound = torch.cat([model.bits_per_dim(part, generator) for part in images.split(50)]).mean()
    return {"bits_per_dim_bound": round(bound.item(), 4)} | model.statistics(images, generator)


def data_of(args, about):
    """Folders and numbers of the training images, as the run recorded them or as --data names them."""
    if args.data:
        return [{"folder": f"{Path(f).resolve()}", "images": len(image_files(f, "train"))} for f in args.data]
    recipe = about["recipe"]
    if not about["data"] and not recipe.photographs and recipe.model not in DRAWN:
        raise ValueError(f"data: {args.run} does not record its folders; expected --data FOLDER, got none")
    return about["data"]


if __name__ == "__main__":
    sys.exit(main())
