"""The command line of training: `train` and `export`."""

import argparse
import copy
import inspect
from datetime import UTC, datetime
from pathlib import Path

import torch

from course_lib.common import check, choose_device, processes
from course_lib.data import PHOTOGRAPH_SPLITS, image_files, to_float
from course_lib.models.glow import SCALES
from course_lib.models.weights import FOLDER, MODELS, read_checkpoint, save_model
from course_lib.training.batches import DRAWN, draw_validation, load_sets, load_validation
from course_lib.training.loop import CHECKPOINT, load_average, mean_loss, train
from course_lib.training.losses import SCORES
from course_lib.training.recipes import RECIPES, Recipe

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
    "widths": {"nargs": "+", "type": int, "help": "glow, flow_in_time, vae: channels, one a level; srcnn: filters"},
    "width": {"type": int, "help": "dncnn, vdsr: channels of the convolutions"},
    "depth": {
        "type": int,
        "help": "glow: steps of flow in a level; flow_in_time: blocks in a level; dncnn, vdsr: convolutions",
    },
    "size": {"type": int, "help": "glow, flow_in_time, vae: side of the images"},
    "layers": {"type": int, "help": "lista, admm_net: number of layers"},
    "factors": {"nargs": "+", "type": int, "help": "srcnn, vdsr: factors of the super-resolution"},
    "sigmas": {"nargs": 2, "type": float, "metavar": ("LOW", "HIGH"), "help": "dncnn: range of the noise level"},
    "blocks": {"nargs": "+", "type": int, "help": "vae: residual blocks, one number a level"},
    "dim": {"type": int, "help": "vae: number of latents"},
    "eta": {"type": float, "help": "vae: variance of p(x|z), if it is not to be learned"},
    "beta": {"type": float, "help": "vae: weight of the KL in the loss"},
}


def add_train(parser):
    """The options of `train`: those that are not given keep the checkpoint's values, or a new recipe's."""
    parser.argument_default = argparse.SUPPRESS
    parser.add_argument("name", choices=RECIPES, metavar="NAME", help=f"the recipe: {', '.join(RECIPES)}")
    text = "the first one also validates; may be left out where the recipe has photographs; none for lista"
    parser.add_argument("--data", nargs="+", default=[], metavar="FOLDER", help=text)
    parser.add_argument("--out", help="folder of the checkpoint, the log and the samples (default: runs/NAME)")
    for name, (kind, text) in RECIPE_OPTIONS.items():
        parser.add_argument(f"--{name}", type=kind, help=f"{text} (default: the recipe's)")
    for name, options in CONFIG_OPTIONS.items():
        parser.add_argument(f"--{name}", **options)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    text = "auto: where the model knows bf16, that on CUDA, and on a CPU what a short measurement finds to be faster"
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help=text)
    parser.add_argument("--compile", action="store_true", default=False, help="compile the model (torch.compile)")
    text = "glow: memory that does not grow with --depth, at a quarter more time"
    parser.add_argument("--reversible", action="store_true", default=False, help=text)
    parser.add_argument("--minutes", type=float, default=None, help="stop, with a checkpoint, after so many minutes")
    parser.add_argument("--every", type=int, default=500, help="steps between checkpoints (default: 500)")
    parser.set_defaults(command=run_train)


def add_export(parser):
    """The options of `export`: from a run's checkpoint to a weight file of the package."""
    parser.add_argument("run", metavar="RUN_FOLDER")
    parser.add_argument("name", metavar="NAME", help="writes NAME.json, and the weights that it speaks of")
    parser.add_argument("--note", help="a sentence that the recipe keeps")
    parser.add_argument("--data", nargs="+", metavar="FOLDER", help="the run's images, where they have moved")
    parser.add_argument("--folder", default=FOLDER, help="where to write (default: course_lib/models/trained)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.set_defaults(command=run_export)


def recipe_of(args, out):
    """The recipe of the run in `out`, or that of the name, with the options that are given."""
    recipe, given = RECIPES[args.name], vars(args)
    known = inspect.signature(MODELS[recipe.model]).parameters
    changed = {}
    for name in CONFIG_OPTIONS.keys() & given.keys():
        key = "steps" if name == "depth" and recipe.model == "glow" else name
        check(key in known, name, f"an option of {recipe.model}", "one of another model")
        changed[key] = given[name]
    before, checkpoint = vars(recipe), Path(out) / CHECKPOINT
    if checkpoint.exists():
        before = read_checkpoint(checkpoint)[0]["recipe"]
        name = before.get("name") or args.name  # a run of a recipe of one's own has none
        same = name == args.name and before["model"] == recipe.model
        check(same, "name", f"the recipe of {checkpoint}, {name} ({before['model']})", args.name)
    options = {name: given[name] for name in RECIPE_OPTIONS if name in given}
    if changed.keys() - {"scale"} and not checkpoint.exists():
        options["start"] = ""  # the weights that the recipe starts from are of another size
    return Recipe(**(before | options | {"config": before["config"] | changed}))


def run_train(args):
    """Create or resume a run."""
    out = getattr(args, "out", f"runs/{args.name}")
    run = train(
        recipe_of(args, out),
        args.data,
        out,
        choose_device(args.device),
        {"fp32": None, "bf16": torch.bfloat16, "auto": "auto"}[args.precision],
        every=args.every,
        compile_model=args.compile,
        minutes=args.minutes,
        reversible=args.reversible,
    )
    if processes()[0] == 0:
        print(f"{run.path}: step {run.step} of {run.recipe.steps}, validation loss {run.rows[-1]['validation']}")


def run_export(args):
    """Measure the averaged model of a run, in float32 and rounded to float16, and save it."""
    model, about = load_average(args.run)
    recipe, data = about["recipe"], data_of(args, about)
    folders = [entry["folder"] for entry in data]
    validation, posteriors = load_validation(folders, recipe), {}
    if hasattr(model, "align"):
        posteriors["before_alignment"] = posterior_statistics(model, validation, recipe)
        model.align(to_float(part) for images in load_sets(folders, recipe) for part in images.split(100))
        posteriors["after_alignment"] = posterior_statistics(model, validation, recipe)
    rounded = copy.deepcopy(model)
    for value in rounded.state_dict().values():
        value.copy_(value.half() if value.is_floating_point() else value)
    device, kind = choose_device(args.device), SCORES.get(recipe.model, "loss")
    score, score_half = (round(mean_loss(m.to(device), validation, recipe), 4) for m in (model, rounded))
    measured = {kind: score, f"{kind}_float16": score_half, "noise": recipe.noise}
    parameters = sum(p.numel() for p in model.parameters())
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
    if args.note:
        info["note"] = args.note
    path = save_model(model, args.name, info, args.folder)
    print(f"{path}: {parameters} parameters, step {about['step']}, validation {score} ({score_half} in float16)")


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
    needless = recipe.photographs or recipe.model in DRAWN
    check(about["data"] or needless, "data", "--data FOLDER, as the run does not record its folders", "none")
    return about["data"]
