"""The table of `test_bad_input`: calls of every public function and class that must fail, and what the error names.

A row is (argument, call) or (argument, call, exception), by default a ValueError. A plain word stands for a message
that starts with it and a colon; anything else is a pattern to be found in the message. `meta` is the device that every
machine has beside the CPU. A call gets the folder `world` of `test_bad_input`, with files good and bad.
"""

import inspect

import nbformat
import torch

from course_lib import common, data, metrics, operators, plots, reconstruction, regularizers, results, solvers, training
from course_lib.data import patches, phantom, spectra
from course_lib.lab import mask_editor, widgets
from course_lib.models import denoiser, flow2d, glow, regression, unrolled, vae, weights
from course_lib.operators import DCT, Blur, Downsample, Identity, Mask, Radon, Wavelet, uniform_kernel
from course_lib.reconstruction import plug_and_play
from course_lib.regularizers import L1, TV
from course_lib.solvers import selection
from course_lib.studies import couplings, coverage, domains, experiments, methods, scores, sweeps
from course_lib.studies import figures as gallery
from course_lib.studies import phase_transition as compressed_sensing
from course_lib.tools import links, student, tidy

NAN = float("nan")
X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
FLOW = glow.Glow(size=8, steps=1, widths=(4, 4)).freeze()
VAE = vae.VAE(8, dim=4, widths=[4, 4], blocks=[0, 0]).freeze()
NET = denoiser.DnCNN(width=4, depth=2)
PLANE = flow2d.RealNVP(couplings=1, width=2)
LISTA, ADMM_NET = unrolled.LISTA([4, 6], layers=1), unrolled.ADMMNet(layers=1)
HOLE = mask_editor.preset("half", 8)
SAME, HIDE = Identity(), Mask(operators.random_mask(8, 8, 0.5))
Z, RECIPE = torch.zeros(2, FLOW.dim), training.RECIPES["glow"]
A_MATRIX = compressed_sensing.RandomRows(4, 8)


def images(name, call):
    """Rows for an argument that takes images: too few dimensions, no image, integers, no tensor."""
    wrong = X[0], X[:0], (255 * X).byte(), X.tolist()
    return [(name, lambda _, x=x: call(x)) for x in wrong]


def values(name, call, *wrong):
    """Rows for an argument that takes none of the values given."""
    return [(name, lambda _, value=value: call(value)) for value in wrong]


def numbers(name, call):
    """Rows for a number that may be 0."""
    return values(name, call, -1, NAN, float("inf"), "1")


def positive(name, call):
    """Rows for a number above 0."""
    return [*numbers(name, call), *values(name, call, 0)]


def counts(name, call, low=1):
    """Rows for an integer of at least `low`."""
    return values(name, call, low - 1, 1.5, "2", None if low else NAN)


def like(name, call, x=X):
    """Rows for a tensor that must have the dtype of another one, and be where that is."""
    return values(name, call, x.double(), x.to("meta"))


def of_operator(A, x=X):
    """Rows for A x and Aᵀ y."""
    buffers = [*A.buffers()]
    rows = [*images("x", A), *images("y", A.T)]
    if buffers:
        rows += [("x", lambda _: A(x.to("meta"))), ("y", lambda _: A.T(A(x).to("meta")))]
    return rows


def of_solver(call, phi=None, **options):
    """Rows that solvers have in common; `call(A, y, phi, lam, **options)`."""
    given = {"A": SAME, "y": X, "phi": phi or L1(), "lam": 0.1} | options

    def run(**change):
        return lambda _: call(**given | change)

    bad = {"A": [3, lambda x: x], "y": [X[:0], NAN * X, (255 * X).byte(), X.to("meta"), 3, X[0, 0, 0]]}
    bad |= {"x0": [X[:1], NAN * X, X.double(), X.to("meta"), X[:0]], "steps": [-1, 1.5, "3"], "tolerance": [-1, NAN]}
    bad |= {"phi": [3, None]} | ({"lam": [-1, NAN, "1", torch.ones(3)]} if "lam" in given else {})
    bad = {name: wrong for name, wrong in bad.items() if name in inspect.signature(call).parameters}
    shape = {"x0": "x0|y"}
    return [(rf"^({shape.get(name, name)}): ", run(**{name: value})) for name, wrong in bad.items() for value in wrong]


def of_estimate(call, model, lam="lam", start="x0", **options):
    """Rows that the functions of `reconstruction` have in common."""
    given = {"y": X, "A": SAME, "model": model, lam: 0.1} | options
    name_of_model = "flow" if "flow" in inspect.signature(call).parameters else "model"
    given[name_of_model] = given.pop("model")
    u = X if start == "x0" else torch.zeros(2, model.dim)

    def run(**change):
        return lambda _: call(**given | change)

    bad = {"y": [X[:0], NAN * X, (255 * X).byte(), X.to("meta"), X.double(), X[0], 3], "A": [3, lambda x: x]}
    bad |= {name_of_model: [3, torch.nn.Identity()], lam: [-1, NAN, "1", torch.ones(3)]}
    bad |= {start: [u[:1], NAN * u, u.double(), u.to("meta"), 3]} if start else {}
    parameters = inspect.signature(call).parameters
    bad |= {"truth": [X[:1], X[:, :, :4], X.to("meta"), NAN * X]} if "truth" in parameters else {}
    bad |= {"optimizer": ["newton"], "lr": [0, NAN]} if "lr" in parameters else {}
    if "lr" in bad:
        given["optimizer"] = "adam"
    bad |= {"steps": [-1, 1.5]}
    rows = [(name, run(**{name: value})) for name, wrong in bad.items() for value in wrong]
    return [*rows, ("y", run(y=X[:, :1], **({start: u} if start == "x0" else {})))]


def of_plugged(call, **options):
    """Rows that plug-and-play methods have in common."""
    given = {"y": X, "A": SAME, "denoiser": lambda x, s: x} | options

    def run(**change):
        return lambda _: call(**given | change)

    bad = {"y": [X[:0], NAN * X, (255 * X).byte(), X[0], X.to("meta")], "A": [3]}
    bad |= {"denoiser": [3, lambda x, s: x[:1], lambda x, s: 3], "x0": [NAN * X, X[0], X.double(), X.to("meta")]}
    bad |= {"steps": [-1, 0.5], "truth": [X[:1]]}
    bad |= {"strength": [-1, NAN, "1", torch.ones(3)]} if "strength" in given else {}
    return [(name, run(**{name: value})) for name, wrong in bad.items() for value in wrong]


def of_model(model, x, z):
    """Rows that models with encode and decode have in common."""
    few = x[:, :1] if x.dim() == 4 else x[:, :-1]
    return [
        *values("x", model.encode, x[0], few, x.tolist(), x.double(), x.to("meta")),
        *values("z", model.decode, z[0], z[:, :-1], z.tolist(), z.double(), z.to("meta")),
        *values("count", model.sample, -1, 1.5, "2"),
        *values("temperature", lambda t: model.sample(2, t), -1, NAN),
    ]


def total(x):
    """An objective."""
    return x.flatten(1).square().sum(1)


def keep(x, sigma):
    """A denoiser that does nothing."""
    return x


def shrink(y, lam):
    """A solver for `selection`."""
    return y / (1 + torch.as_tensor(lam).reshape(-1, 1, 1, 1))


def broken_flow():
    """A flow whose weights are not finite."""
    model = glow.Glow(size=8, steps=1, widths=(4, 4))
    model.levels[0][0].actnorm.bias.data.fill_(NAN)
    return model


def replace_in(path):
    """Write a file by `replacing`."""
    with weights.replacing(path) as temporary:
        temporary.write_text("")


def notebook(*cells):
    """A notebook of these cells."""
    return nbformat.v4.new_notebook(cells=list(cells))


CODE, TITLE = nbformat.v4.new_code_cell("1"), nbformat.v4.new_markdown_cell("# Title")
SOLUTION = nbformat.v4.new_code_cell("exercises.check_rates(1)", metadata={"tags": ["solution"]})


BAD = {
    "common": {
        "check": [("n", lambda _: common.check(False, "n", "1", 2))],
        "check_images": [
            *images("x", lambda x: common.check_images("x", x)),
            ("x", lambda _: common.check_images("x", X, torch.device("meta"))),
        ],
        "check_like": like("x", lambda x: common.check_like("x", x, X)),
        "check_input": values("x", lambda x: common.check_input("x", x, (3, 8, 8), X), X[:0], X[0], 3, X.double()),
        "check_operator": values("A", lambda A: common.check_operator("A", A), 3, lambda x: x),
        "check_calls": values("f", lambda f: common.check_calls("f", f, "encode"), 3),
        "check_precision": values("dtype", common.check_precision, "float16", torch.int64, 16),
        "check_batch": [
            *images("x", lambda x: common.check_batch("x", x, 4)),
            *values("x", lambda x: common.check_batch("x", x), NAN * X, X.to("meta")),
        ],
        "check_count": counts("n", lambda n: common.check_count("n", n, 1)),
        "check_number": positive("n", lambda n: common.check_number("n", n, positive=True)),
        "check_run": [("steps", lambda _: common.check_run(-1, 0)), ("A", lambda _: common.check_run(1, 0, 3))],
        "one_per_image": values(
            "lam", lambda v: common.one_per_image("lam", v, X), -1, NAN, "1", torch.ones(3), torch.ones(2, 1)
        ),
        "choose_device": [] if torch.cuda.is_available() else values("device", common.choose_device, "cuda"),
    },
    "operators": {
        "Operator": [
            ("shape", lambda _: SAME.norm((8, 8))),
            *counts("iterations", lambda n: (SAME + SAME).norm((3, 8, 8), n)),
            *images("v", lambda v: SAME.prox(v, X, 1.0)),
            *values("y", lambda y: SAME.prox(X, y, 1.0), X[0], X[:1], X.to("meta")),
            *values("rho", lambda rho: SAME.prox(X, X, rho), 0, -1.0, NAN, torch.ones(3)),
        ],
        "Compose": [
            *values("A", lambda A: operators.Compose(A, SAME), 3, None),
            *values("B", lambda B: operators.Compose(SAME, B), 3),
        ],
        "Sum": [
            *values("A", lambda A: operators.Sum(A, SAME), 3),
            *values("B", lambda B: operators.Sum(SAME, B), 3),
            (r"^A \+ B: ", lambda _: (SAME + Downsample(2))(X)),
        ],
        "Scaled": [
            *values("c", lambda c: operators.Scaled(c, SAME), NAN, float("inf"), "2"),
            *values("A", lambda A: operators.Scaled(2, A), 3),
        ],
        "Counted": values("A", operators.Counted, 3, None),
        "Identity": of_operator(SAME),
        "Mask": [
            *of_operator(HIDE),
            *values(
                "mask",
                Mask,
                torch.ones(8, 8),
                torch.ones(1, 8, 8).long(),
                torch.full((1, 8, 8), NAN),
                torch.ones(1, 0, 8),
            ),
            *values("x", HIDE, X[..., :4], torch.cat([X, X], 3)),
        ],
        "Blur": [
            *of_operator(Blur(uniform_kernel(3))),
            *of_operator(Blur(uniform_kernel(3), "zero")),
            *values("kernel", Blur, torch.ones(3), torch.ones(2, 3), torch.ones(3, 3).long(), torch.full((3, 3), NAN)),
            *values("boundary", lambda b: Blur(uniform_kernel(3), b), "reflect", None),
        ],
        "Downsample": [*of_operator(Downsample(2)), *counts("factor", Downsample), ("x", lambda _: Downsample(3)(X))],
        "Subsample": [
            *of_operator(operators.Subsample(2)),
            *counts("factor", operators.Subsample),
            ("x", lambda _: operators.Subsample(3)(X)),
        ],
        "uniform_kernel": values("size", uniform_kernel, 0, -1, 2, 1.5, "3"),
        "gaussian_kernel": [
            *values("sigma", operators.gaussian_kernel, 0, -1, NAN, float("inf")),
            *values("radius", lambda r: operators.gaussian_kernel(1, r), -1, 0.5),
        ],
        "random_mask": [
            *values("height, width", lambda n: operators.random_mask(n, 8), 0, 2.5),
            *values("missing", lambda p: operators.random_mask(8, 8, p), -0.1, 1.1, NAN),
        ],
        "square_mask": [
            *values("side", lambda s: operators.square_mask(8, 8, s), 0, 9, 1.5),
            *values("corner", lambda c: operators.square_mask(8, 8, 3, c), (6, 0), (-1, 0), (0.5, 0)),
        ],
        "Radon": [
            *of_operator(Radon(8, [0, 45])),
            *values("size", lambda s: Radon(s, [0]), 0, (8,), 2.5, "8"),
            *values("angles", lambda a: Radon(8, a), [], [NAN], [[0]], 3.0),
            *counts("detectors", lambda n: Radon(8, [0], n))[:2],
            ("x", lambda _: Radon(8, [0])(X[..., :4])),
        ],
        "filtered_back_projection": [
            *values("A", lambda A: operators.filtered_back_projection(X, A), SAME, 3),
            *values("y", lambda y: operators.filtered_back_projection(y, Radon(8, [0])), X, X[0]),
        ],
        "RandomProjections": [
            *of_operator(operators.RandomProjections((3, 8, 8), 4)),
            *values("shape", lambda s: operators.RandomProjections(s, 4), (8, 8), (0, 8, 8), (3, 8.5, 8)),
            *counts("m", lambda m: operators.RandomProjections((3, 8, 8), m)),
            ("x", lambda _: operators.RandomProjections((3, 8, 8), 4)(X[:, :1])),
        ],
        "SubsampledTransform": [
            *of_operator(operators.SubsampledTransform(8, 0.5)),
            *values("size", lambda s: operators.SubsampledTransform(s, 0.5), 0, (8,), 2.5),
            *values("fraction", lambda f: operators.SubsampledTransform(8, f), 0, 1.1, NAN, "1", 1e-6),
            *values(
                "transform",
                lambda W: operators.SubsampledTransform(8, 0.5, W),
                3,
                Downsample(2),
                Blur(uniform_kernel(3)),
            ),
        ],
        "SpectralResponse": [
            *of_operator(operators.SpectralResponse(torch.ones(2, 3))),
            *values(
                "R",
                operators.SpectralResponse,
                torch.ones(3),
                torch.ones(2, 3).long(),
                torch.full((2, 3), NAN),
                torch.ones(0, 3),
            ),
            ("x", lambda _: operators.SpectralResponse(torch.ones(2, 3))(X[:, :1])),
        ],
        "Stack": [
            *of_operator(operators.Stack(SAME, SAME))[:4],
            ("operators", lambda _: operators.Stack()),
            ("operators", lambda _: operators.Stack(3)),
            ("operators", lambda _: operators.Stack(SAME, Downsample(2))(X)),
            ("shape", lambda _: operators.Stack(SAME, shape=(8, 8))),
            ("y", lambda _: operators.Stack(SAME, SAME).T(X)),
        ],
        "tight_frame": [
            ("bases", lambda _: operators.tight_frame()),
            ("bases", lambda _: operators.tight_frame(DCT(), Downsample(2))),
            ("bases", lambda _: operators.tight_frame(3)),
        ],
        "undecimated": [*counts("shifts", lambda n: operators.undecimated(DCT(), n))],
        "Adjoint": values("A", operators.Adjoint, 3, None),
        "DCT": of_operator(DCT()),
        "Wavelet": [
            *of_operator(Wavelet("haar", 1)),
            ("wavelet", lambda _: Wavelet("sym4")),
            *counts("levels", lambda n: Wavelet("haar", n), 0),
            ("x", lambda _: Wavelet("haar", 4)(X)),
        ],
        "Shift": [
            *of_operator(operators.Shift(1, 1)),
            *values("rows", lambda n: operators.Shift(n, 0), 0.5, "1"),
            *values("columns", lambda n: operators.Shift(0, n), 0.5),
        ],
    },
    "patches": {
        "positions": [
            *counts("size", lambda p: patches.positions(8, p, 1)),
            *counts("stride", lambda s: patches.positions(8, 3, s)),
            ("size", lambda _: patches.positions(8, 9, 1)),
        ],
        "pixels": [("size", lambda _: patches.pixels(8, 9, 1))],
        "check_size": [("size", lambda _: patches.check_size(9, 1, X.shape))],
        "extract": [
            *images("x", lambda x: patches.extract(x, 3)),
            *counts("size", lambda p: patches.extract(X, p)),
            *counts("stride", lambda s: patches.extract(X, 3, s)),
            ("size", lambda _: patches.extract(X, 9)),
        ],
        "extract_adjoint": [
            *values(
                "patches",
                lambda p: patches.extract_adjoint(p, (1, 3, 8, 8)),
                X,
                3,
                torch.zeros(5, 27),
                torch.zeros(36, 28),
            ),
            *values("shape", lambda s: patches.extract_adjoint(torch.zeros(36, 27), s), (3, 8, 8), (1, 0, 8, 8)),
        ],
        "counts": [
            *values("shape", lambda s: patches.counts(s, 3), (8, 8)),
            *counts("size", lambda p: patches.counts(X.shape, p)),
            *counts("stride", lambda s: patches.counts(X.shape, 3, s)),
        ],
        "average": [
            ("stride", lambda _: patches.average(patches.extract(X, 2, 3), X.shape, 3)),
            ("patches", lambda _: patches.average(X, X.shape)),
        ],
    },
    "regularizers": {
        "Regularizer": [
            *images("x", L1()),
            *images("v", lambda v: L1().prox(v, 0.1)),
            ("x", lambda _: L1()(NAN * X)),
            ("v", lambda _: L1().prox(NAN * X, 0.1)),
        ],
        "L1": values("tau", lambda t: L1().prox(X, t), -1, NAN, "1", torch.ones(3)),
        "L0": values("tau", lambda t: regularizers.L0().prox(X, t), -1, NAN),
        "SquaredL2": values("tau", lambda t: regularizers.SquaredL2().prox(X, t), -1, torch.ones(3)),
        "Box": [("low, high", lambda _: regularizers.Box(1, 0)), ("low, high", lambda _: regularizers.Box(NAN, 1))],
        "Nuclear": [
            *values("tau", lambda t: regularizers.Nuclear().prox(X, t), -1),
            ("x", lambda _: regularizers.Nuclear()(NAN * X)),
        ],
        "L12": [
            *values(
                "groups",
                regularizers.L12,
                torch.ones(1, 8, 8),
                torch.ones(8, 8).long(),
                -torch.ones(1, 8, 8).long(),
                torch.ones(1, 0, 8).long(),
            ),
            ("x", lambda _: regularizers.L12(regularizers.channel_groups(4, 4))(X)),
        ],
        "channel_groups": [
            *counts("height", lambda n: regularizers.channel_groups(n, 8)),
            *counts("width", lambda n: regularizers.channel_groups(8, n)),
        ],
        "block_groups": [
            *counts("size", lambda n: regularizers.block_groups(8, 8, n)),
            *counts("height", lambda n: regularizers.block_groups(n, 8, 2)),
        ],
        "Transformed": [
            *values("phi", lambda phi: regularizers.Transformed(phi, DCT()), 3, lambda x: x),
            *values("W", lambda W: regularizers.Transformed(L1(), W), 3, lambda x: x),
            ("W", lambda _: regularizers.Transformed(L1(), Downsample(2))(X)),
        ],
        "TV": [
            *counts("iterations", lambda n: TV(iterations=n)),
            *values("tolerance", lambda t: TV(tolerance=t), -1, NAN),
            *values("tau", lambda t: TV().prox(X, t), -1, NAN),
        ],
        "gradient": images("x", regularizers.gradient),
        "gradient_adjoint": values("p", regularizers.gradient_adjoint, X, 3, X[:, None]),
    },
    "metrics": {
        "check_pair": images("x", lambda x: metrics.check_pair(x, X)),
        "psnr": [
            *images("x", lambda x: metrics.psnr(x, X)),
            *images("reference", lambda x: metrics.psnr(X, x)),
            *values("reference", lambda r: metrics.psnr(X, r), X[:1], X[:, :1], X.to("meta")),
            *values("data_range", lambda r: metrics.psnr(X, X, r), 0, -1, NAN),
        ],
        "ssim": [
            *images("x", lambda x: metrics.ssim(x, X)),
            *values("reference", lambda r: metrics.ssim(X, r), X[:1], X.to("meta")),
            *values("window", lambda w: metrics.ssim(X, X, window=w), "box", None),
            *values("data_range", lambda r: metrics.ssim(X, X, r), 0, NAN),
            ("x", lambda _: metrics.ssim(X[..., :6], X[..., :6])),
        ],
        "sam": [
            *images("x", lambda x: metrics.sam(x, X)),
            *values("reference", lambda r: metrics.sam(X, r), X[:1], X.to("meta")),
            ("x", lambda _: metrics.sam(X[:, :1], X[:, :1])),
        ],
    },
    "results": {"data_term": values("y", lambda y: results.data_term(X, y, SAME), X[:, :1], X[:1], X[..., :4])},
    "data": {
        "face_box": [
            *values("width", lambda n: data.face_box(n, 8), 0, -1),
            *values("height", lambda n: data.face_box(8, n), 0, -1),
        ],
        "read_image": [
            ("missing.png", lambda w: data.read_image(w / "missing.png"), FileNotFoundError),
            (r"damaged/b\.png: expected a readable image", lambda w: data.read_image(w / "damaged" / "b.png")),
            (r"texts/a\.png: expected a readable image", lambda w: data.read_image(w / "texts" / "a.png")),
            (r"images: expected a readable image", lambda w: data.read_image(w / "images")),
            *counts("size", lambda n: data.read_image("a.png", n)),
        ],
        "image_files": [
            ("folder", lambda w: data.image_files(w / "missing"), FileNotFoundError),
            ("folder", lambda w: data.image_files(w / "plain.txt"), FileNotFoundError),
            ("folder", lambda w: data.image_files(w / "empty"), FileNotFoundError),
            ("folder", lambda w: data.image_files(w / "images", "test"), FileNotFoundError),
            ("split", lambda w: data.image_files(w / "images", "holdout")),
        ],
        "load_folder": [
            ("folder", lambda w: data.load_folder(w / "empty"), FileNotFoundError),
            (r"damaged/b\.png: expected a readable image", lambda w: data.load_folder(w / "damaged")),
            (r"texts/a\.png: expected a readable image", lambda w: data.load_folder(w / "texts")),
            ("limit", lambda w: data.load_folder(w / "images", limit=0)),
            ("limit", lambda w: data.load_folder(w / "images", limit=1.5)),
            ("size", lambda w: data.load_folder(w / "images", size=0)),
            ("split", lambda w: data.load_folder(w / "images", "all")),
        ],
        "to_float": values("images", data.to_float, X, (255 * X).long(), X.tolist()),
        "save_grid": [
            *[("images", lambda w, x=x: data.save_grid(x, w / "grid.png")) for x in (X[0], X[:0], X[:, :2], 3)],
            ("columns", lambda w: data.save_grid(X, w / "grid.png", 0)),
            ("no/grid.png", lambda w: data.save_grid(X, w / "no" / "grid.png"), FileNotFoundError),
        ],
        "whole_photograph": values("source", data.whole_photograph, "lena", "data_dir", 3),
        "photograph": [
            *values("name", data.photograph, "lena", None),
            *counts("size", lambda n: data.photograph("moon", n))[:3],
        ],
        "photograph_crops": [
            ("split", lambda _: data.photograph_crops("all", 3)),
            *counts("count", lambda n: data.photograph_crops("validation", n)),
            *counts("size", lambda n: data.photograph_crops("validation", 1, n)),
            ("size", lambda _: data.photograph_crops("validation", 1, 4000)),
        ],
    },
    "phantom": {
        "image": [*counts("size", phantom.image), *counts("samples", lambda n: phantom.image(8, n))],
        "sinogram": [
            *counts("size", lambda n: phantom.sinogram(n, [0])),
            *values("angles", lambda a: phantom.sinogram(8, a), [], [[0]], [NAN]),
            *counts("detectors", lambda n: phantom.sinogram(8, [0], n))[:2],
            *counts("samples", lambda n: phantom.sinogram(8, [0], samples=n)),
        ],
    },
    "spectra": {
        "mix": [
            *images("maps", lambda m: spectra.mix(torch.ones(4, 3), m, torch.arange(4.0), "abc")),
            ("spectra", lambda _: spectra.mix(torch.ones(4, 2), X[:1], torch.arange(4.0), "ab")),
            ("maps", lambda _: spectra.mix(torch.ones(4, 3), 0 * X[:1], torch.arange(4.0), "abc")),
        ],
        "edge": [
            *positive("onset", lambda v: spectra.edge(torch.ones(3), v)),
            *positive("width", lambda v: spectra.edge(torch.ones(3), 1.0, v)),
            *numbers("decay", lambda v: spectra.edge(torch.ones(3), 1.0, 1.0, v)),
        ],
        "core_loss": [
            *positive("amplitude", lambda v: spectra.core_loss(torch.ones(3), v, 1, {})),
            *numbers("exponent", lambda v: spectra.core_loss(torch.ones(3), 1, v, {})),
            ("heights", lambda _: spectra.core_loss(torch.ones(3), 1, 1, {"Xx": 1})),
        ],
        "smooth_fields": [
            *counts("count", lambda n: spectra.smooth_fields(n, 8, 2)),
            *counts("size", lambda n: spectra.smooth_fields(1, n, 0.5), 2),
            *positive("scale", lambda s: spectra.smooth_fields(1, 8, s)),
            ("scale", lambda _: spectra.smooth_fields(1, 8, 1000)),
        ],
        "abundance_maps": [
            *positive("sharpness", lambda v: spectra.abundance_maps(2, 8, 2, v)),
            *counts("count", lambda n: spectra.abundance_maps(n, 8)),
        ],
        "spectrum_image": [
            *counts("bands", lambda n: spectra.spectrum_image(8, n), 2),
            *counts("size", lambda n: spectra.spectrum_image(n, 8)),
        ],
        "poisson_counts": [
            *images("x", lambda x: spectra.poisson_counts(x, 10)),
            ("x", lambda _: spectra.poisson_counts(-X, 10)),
            ("x", lambda _: spectra.poisson_counts(NAN * X, 10)),
            *positive("dose", lambda d: spectra.poisson_counts(X, d)),
        ],
        "line": positive("width", lambda v: spectra.line(torch.ones(3), 1.0, v)),
        "broad_bands": [
            *positive("softness", lambda v: spectra.broad_bands(torch.linspace(1, 2.4, 9), softness=v)),
            ("filters", lambda _: spectra.broad_bands(torch.linspace(1, 2.4, 9), {})),
            ("filters", lambda _: spectra.broad_bands(torch.linspace(1, 2.4, 9), {"X": (9.0, 0.1)})),
        ],
        "nebula": [
            *numbers("iron", lambda v: spectra.nebula(16, 8, v)),
            *counts("bands", lambda n: spectra.nebula(16, n), 2),
        ],
        "nebula_maps": counts("size", spectra.nebula_maps),
    },
    "models": {
        "Glow": [
            *of_model(FLOW, X, Z),
            *values("x", FLOW.encode, X[..., :4], X[:0], (255 * X).byte()),
            *values("x", FLOW.log_prob, X[0]),
            *values("x", FLOW.bits_per_dim, X[0]),
            *counts("size", lambda n: glow.Glow(n, widths=[4])),
            ("size", lambda _: glow.Glow(6, widths=[4, 4])),
            *counts("channels", lambda n: glow.Glow(8, n, widths=[4])),
            *values("steps", lambda n: glow.Glow(8, steps=n, widths=[4]), 0, 1.5),
            *values("widths", lambda w: glow.Glow(8, widths=w), [], [0], [1.5], ["4"]),
            *values("scale", lambda s: glow.Glow(8, widths=[4], scale=s), "tanh", None),
            *values("x", glow.Glow(8, steps=1, widths=[4]).initialize, X[:1], X[0], NAN * X),
            *values("dtype", glow.Glow(8, steps=1, widths=[4]).mixed_precision, "bfloat16", torch.int8),
        ],
        "dequantize": [
            *values("images", glow.dequantize, (255 * X).byte(), X.tolist()),
            *numbers("sigma", lambda s: glow.dequantize(X, s)),
        ],
        "VAE": [
            *of_model(VAE, X, torch.zeros(2, 4)),
            *counts("size", lambda n: vae.VAE(n, widths=[4, 4], blocks=[0, 0]), 4),
            *counts("channels", lambda n: vae.VAE(8, n)),
            *counts("dim", lambda n: vae.VAE(8, dim=n)),
            *values("widths", lambda w: vae.VAE(8, widths=w, blocks=[0]), [], [0], [1.5]),
            *values("blocks", lambda b: vae.VAE(8, widths=[4], blocks=b), [], [-1], [0, 0]),
            *values("eta", lambda v: vae.VAE(8, widths=[4], blocks=[0], eta=v), 0, -1, NAN),
            *positive("beta", lambda v: vae.VAE(8, widths=[4], blocks=[0], beta=v)),
            *numbers("input_noise", lambda v: vae.VAE(8, widths=[4], blocks=[0], input_noise=v)),
            *counts("samples", lambda n: VAE.elbo(X, samples=n)),
            *values("dtype", VAE.mixed_precision, "bfloat16"),
            ("batches", lambda _: VAE.align([X])),
            ("x", lambda _: VAE.statistics(X[:, :1])),
        ],
        "DnCNN": [
            *images("x", lambda x: NET(x, 0.1)),
            *values("x", lambda x: NET(x, 0.1), X[:, :2], X.double(), X.to("meta")),
            *values(
                "sigma",
                lambda s: NET(X, s),
                None,
                -1,
                NAN,
                "1",
                torch.ones(3),
                torch.ones(2, 3, 8, 8),
                -torch.ones(1, 1, 8, 8),
            ),
            *counts("channels", lambda n: denoiser.DnCNN(n)),
            *counts("width", lambda n: denoiser.DnCNN(width=n)),
            *counts("depth", lambda n: denoiser.DnCNN(width=4, depth=n), 2),
            *counts("shuffle", lambda n: denoiser.DnCNN(shuffle=n)),
            *values("sigmas", lambda s: denoiser.DnCNN(sigmas=s), (0.2, 0.1), (-1, 0), (0.1,), (0, NAN)),
            *values("dtype", NET.mixed_precision, "bfloat16"),
        ],
        "noise_map": [("sigma", lambda _: denoiser.noise_map(None, X))],
        "upscale": [
            *images("y", lambda y: regression.upscale(y, 2)),
            *counts("factor", lambda k: regression.upscale(X, k)),
        ],
        "check_factors": values("factors", regression.check_factors, [], [0], [1.5]),
        "SRCNN": [
            *counts("channels", regression.SRCNN),
            *values("widths", lambda w: regression.SRCNN(widths=w), (64,), (2, 2)),
            *values("factors", lambda f: regression.SRCNN(factors=f), (), (0,)),
            *values("x", regression.SRCNN(widths=(4, 4)), X[:, :2], X[0], X.double()),
        ],
        "VDSR": [
            *counts("channels", regression.VDSR),
            *counts("width", lambda n: regression.VDSR(width=n)),
            *counts("depth", lambda n: regression.VDSR(depth=n), 2),
            *values("factors", lambda f: regression.VDSR(factors=f), ()),
            *values("x", regression.VDSR(width=4, depth=2), X[:, :2], X.to("meta")),
        ],
        "check_points": [("x", lambda _: flow2d.check_points("x", X, 2))],
        "RealNVP": [
            *of_model(PLANE, torch.zeros(3, 2), torch.zeros(3, 2)),
            *counts("dim", flow2d.RealNVP, 2),
            *counts("couplings", lambda n: flow2d.RealNVP(couplings=n)),
            *counts("width", lambda n: flow2d.RealNVP(width=n)),
            *values("scale", lambda s: flow2d.RealNVP(scale=s), "sigmoid", None),
        ],
        "Mixture": [
            *values(
                "means", lambda m: flow2d.Mixture(m, 1.0), 3, torch.ones(2), torch.ones(0, 2), torch.full((3, 2), NAN)
            ),
            *positive("sigma", lambda s: flow2d.Mixture(torch.ones(3, 2), s)),
            *values("x", flow2d.blobs().log_prob, torch.ones(3, 3), torch.ones(3, 2).to("meta"), 3),
            *values("count", flow2d.blobs().sample, -1, 1.5),
        ],
        "two_moons": [*counts("points", lambda n: flow2d.two_moons(points=n)), *positive("sigma", flow2d.two_moons)],
        "ring": [
            *counts("points", lambda n: flow2d.ring(points=n)),
            *positive("sigma", lambda s: flow2d.ring(sigma=s)),
        ],
        "spiral": [
            *counts("points", lambda n: flow2d.spiral(points=n)),
            *positive("turns", lambda t: flow2d.spiral(turns=t)),
        ],
        "blobs": [*positive("sigma", lambda s: flow2d.blobs(sigma=s)), ("means", lambda _: flow2d.blobs(NAN))],
        "gaussian_matrix": [
            *counts("m", lambda n: unrolled.gaussian_matrix(n, 4)),
            *counts("n", lambda n: unrolled.gaussian_matrix(4, n)),
        ],
        "cosine_filters": counts("size", unrolled.cosine_filters),
        "LISTA": [
            *values(
                "A",
                unrolled.LISTA,
                3,
                (4,),
                (0, 4),
                torch.ones(4),
                torch.ones(4, 6).long(),
                torch.full((4, 6), NAN),
                torch.zeros(4, 6),
            ),
            *counts("layers", lambda n: unrolled.LISTA((4, 6), n)),
            *positive("lam", lambda v: unrolled.LISTA((4, 6), lam=v)),
            *values("select", lambda v: unrolled.LISTA((4, 6), select=v), -1, 1, NAN),
            *values(
                "y", LISTA, torch.ones(2, 5), torch.ones(4), 3, torch.ones(2, 4).double(), torch.ones(2, 4).to("meta")
            ),
        ],
        "ADMMNet": [
            *counts("layers", unrolled.ADMMNet),
            *values("side", lambda n: unrolled.ADMMNet(side=n), 0, 1, 2, 1.5),
            *counts("knots", lambda n: unrolled.ADMMNet(knots=n)),
            *positive("rho", lambda v: unrolled.ADMMNet(rho=v)),
            *positive("lam", lambda v: unrolled.ADMMNet(lam=v)),
            *values("fraction", lambda v: unrolled.ADMMNet(fraction=v), 0, 1.1, NAN),
            *numbers("sigma", lambda v: unrolled.ADMMNet(sigma=v)),
            *values("y", lambda y: ADMM_NET(y, SAME), X[0], NAN * X, X[:0], X.double(), X.to("meta"), 3),
            *values("A", lambda A: ADMM_NET(X, A), 3, lambda x: x),
            ("v", lambda _: ADMM_NET(X[..., :4], SAME)),
        ],
    },
    "weights": {
        "replacing": [("no/a.txt", lambda w: replace_in(w / "no" / "a.txt"), FileNotFoundError)],
        "save_checkpoint": [
            (
                "no/a.safetensors",
                lambda w: weights.save_checkpoint(w / "no" / "a.safetensors", {"a": X}, {}),
                FileNotFoundError,
            )
        ],
        "read_checkpoint": [
            (r"^out: .*missing", lambda w: weights.read_checkpoint(w / "missing.safetensors"), FileNotFoundError),
            (
                r"truncated\.safetensors: expected a checkpoint",
                lambda w: weights.read_checkpoint(w / "weights" / "truncated.safetensors"),
                RuntimeError,
            ),
            (
                r"tiny\.safetensors: expected a checkpoint with step",
                lambda w: weights.read_checkpoint(w / "weights" / "tiny.safetensors"),
                RuntimeError,
            ),
            (
                r"pickled\.safetensors: expected a checkpoint",
                lambda w: weights.read_checkpoint(w / "weights" / "pickled.safetensors"),
                RuntimeError,
            ),
            (r"plain\.txt: expected a checkpoint", lambda w: weights.read_checkpoint(w / "plain.txt"), RuntimeError),
        ],
        "describe": [
            ("name", lambda w: weights.describe("nothing", w / "weights"), FileNotFoundError),
            ("name", lambda w: weights.describe("tiny", w / "missing"), FileNotFoundError),
            (r"broken\.json: expected a recipe", lambda w: weights.describe("broken", w / "weights"), RuntimeError),
            (r"list\.json: expected", lambda w: weights.describe("list", w / "weights"), RuntimeError),
            (r"foreign\.json: expected", lambda w: weights.describe("foreign", w / "weights"), RuntimeError),
        ],
        "content_of": [
            (
                r"tiny\.safetensors: expected SHA-256",
                lambda w: weights.content_of(w / "weights" / "tiny.safetensors", 64 * "0"),
                RuntimeError,
            )
        ],
        "load_state": [
            ("name", lambda w: weights.load_state("orphan", w / "weights"), FileNotFoundError),
            *[
                (
                    rf"{n}\.safetensors: expected SHA-256",
                    lambda w, n=n: weights.load_state(n, w / "weights"),
                    RuntimeError,
                )
                for n in ("altered", "truncated", "void")
            ],
        ],
        "load_model": [
            ("name", lambda w: weights.load_model("nothing"), FileNotFoundError),
            (
                r"pickled\.safetensors: expected a safetensors file",
                lambda w: weights.load_model("pickled", folder=w / "weights"),
                RuntimeError,
            ),
            (
                r"wrong\.safetensors: expected the weights of",
                lambda w: weights.load_model("wrong", folder=w / "weights"),
                RuntimeError,
            ),
            (
                r"tiny.*: expected the weights of .*colour",
                lambda w: weights.load_model("unknown", folder=w / "weights"),
                RuntimeError,
            ),
            ("device string: gpu", lambda w: weights.load_model("tiny", "gpu", folder=w / "weights"), RuntimeError),
        ],
        "save_model": [
            *[
                ("name", lambda w, n=n: weights.save_model(FLOW, n, {}, w / "weights"))
                for n in ("", "../up", "a b", "a/b")
            ],
            ("model", lambda w: weights.save_model(SAME, "x", {}, w / "weights")),
            ("model", lambda w: weights.save_model(broken_flow(), "x", {}, w / "weights")),
        ],
    },
    "solvers": {
        "gradient_descent": [
            *of_solver(solvers.gradient_descent, regularizers.SquaredL2(), lipschitz=1.0),
            ("lipschitz", lambda _: solvers.gradient_descent(X, SAME, L1(), 0.1)),
            *values("lipschitz", lambda v: solvers.gradient_descent(X, SAME, L1(), 0.1, v), -1, NAN),
            *values("step", lambda s: solvers.gradient_descent(X, SAME, L1(), 0.1, 1.0, step=s), 0, -1, 9.0),
            ("objective", lambda _: solvers.gradient_descent(X, SAME, lambda x: x.detach().sum((1, 2, 3)), 0.1, 1.0)),
        ],
        "ista": [
            *of_solver(solvers.ista),
            *values("step", lambda s: solvers.ista(X, SAME, L1(), 0.1, step=s), 0, -1, NAN, 2.0),
        ],
        "fista": [
            *of_solver(solvers.fista),
            *values("step", lambda s: solvers.fista(X, SAME, L1(), 0.1, step=s), 0, -1, NAN, 1.1),
        ],
        "admm": [
            *of_solver(solvers.admm),
            *values("rho", lambda v: solvers.admm(X, SAME, L1(), 0.1, v), 0, -1, NAN, torch.ones(3), "1"),
            *counts("balance", lambda n: solvers.admm(X, SAME, L1(), 0.1, balance=n), 0),
            ("phi", lambda _: solvers.admm(X, SAME, L1(), 0.1, split=True)),
        ],
        "primal_dual": [
            *of_solver(solvers.primal_dual, TV()),
            ("phi", lambda _: solvers.primal_dual(X, SAME, L1(), 0.1)),
            *values("box", lambda b: solvers.primal_dual(X, SAME, TV(), 0.1, box=b), (1, 0), (0,), (NAN, 1)),
        ],
        "condat_vu": [
            *of_solver(solvers.condat_vu, TV()),
            ("phi", lambda _: solvers.condat_vu(X, SAME, L1(), 0.1)),
            *values("box", lambda b: solvers.condat_vu(X, SAME, TV(), 0.1, box=b), (1, 0)),
            *values("step", lambda s: solvers.condat_vu(X, SAME, TV(), 0.1, step=s), 0, 2.0, NAN),
        ],
        "keep_largest": [
            *counts("k", lambda k: solvers.keep_largest(X, k)),
            ("k", lambda _: solvers.keep_largest(X, 193)),
            *values("v", lambda v: solvers.keep_largest(v, 1), X[0, 0, 0], 3),
        ],
        "iht": [
            *of_solver(
                lambda A, y, x0=None, steps=9, tolerance=0, **_: solvers.iht(y, A, 3, x0, None, steps, tolerance)
            ),
            *counts("k", lambda k: solvers.iht(X, SAME, k)),
            ("k", lambda _: solvers.iht(X, SAME, 193)),
            *values("step", lambda s: solvers.iht(X, SAME, 3, step=s), 0, -1, 1.1),
        ],
        "omp": [
            *of_solver(lambda A, y, tolerance=0, **_: solvers.omp(y, A, 3, tolerance)),
            *counts("k", lambda k: solvers.omp(X, SAME, k)),
            ("k", lambda _: solvers.omp(X, SAME, 193)),
            *values("A", lambda A: solvers.omp(torch.ones(2, 4), A, 2), torch.ones(4), torch.ones(4, 6).long()),
            *values(
                "y",
                lambda y: solvers.omp(y, torch.ones(4, 6), 2),
                torch.ones(2, 5),
                torch.ones(2, 4).double(),
                torch.ones(2, 4).to("meta"),
            ),
        ],
        "adam": [
            *values("x0", lambda x: solvers.adam(total, x), X[:0], NAN * X, (255 * X).byte(), 3, X.to("meta")),
            *values(
                "objective",
                lambda f: solvers.adam(f, X),
                3,
                lambda x: x.sum(),
                lambda x: 3.0,
                lambda x: x.detach().sum((1, 2, 3)),
            ),
            *counts("steps", lambda n: solvers.adam(total, X, n), 0),
            *positive("lr", lambda lr: solvers.adam(total, X, 3, lr)),
        ],
        "lbfgs": [
            *values("x0", lambda x: solvers.lbfgs(total, x), X[:0], NAN * X, 3, X.to("meta")),
            ("x0", lambda _: solvers.lbfgs(lambda x: NAN * total(x), X)),
            *values(
                "objective", lambda f: solvers.lbfgs(f, X), 3, lambda x: x.sum(), lambda x: x.detach().sum((1, 2, 3))
            ),
            *counts("steps", lambda n: solvers.lbfgs(total, X, n), 0),
            *counts("history", lambda n: solvers.lbfgs(total, X, 3, n)),
            *values("tolerance", lambda t: solvers.lbfgs(total, X, tolerance=t), -1, NAN),
            *values("initial_step", lambda t: solvers.lbfgs(total, X, initial_step=t), 0, -1),
        ],
        "conjugate_gradient": [
            *values("^apply", lambda f: solvers.conjugate_gradient(f, X), 3, lambda x: -x, lambda x: NAN * x),
            (r"^apply\(x0\): ", lambda _: solvers.conjugate_gradient(lambda x: x[:, :1], X)),
            *values("b", lambda b: solvers.conjugate_gradient(lambda x: x, b), X[:0], NAN * X, 3, X.to("meta")),
            *values(
                "x0", lambda x: solvers.conjugate_gradient(lambda x: x, X, x), X[:1], NAN * X, X.double(), X.to("meta")
            ),
            *counts("steps", lambda n: solvers.conjugate_gradient(lambda x: x, X, steps=n), 0),
        ],
    },
    "selection": {
        "discrepancy": [
            *positive("sigma", lambda s: selection.discrepancy(X, SAME, shrink, s)),
            *values("y", lambda y: selection.discrepancy(y, SAME, shrink, 0.1), NAN * X, X[:0], X.to("meta")),
            *values("bounds", lambda b: selection.discrepancy(X, SAME, shrink, 0.1, b), (1,), (2, 1), (0, 1), (10, 20)),
            *values("solve", lambda f: selection.discrepancy(X, SAME, f, 0.1), 3),
            (r"^solve\(y, lam\): ", lambda _: selection.discrepancy(X, SAME, lambda y, lam: NAN * y, 0.1)),
            *values("A", lambda A: selection.discrepancy(X, A, shrink, 0.1), 3),
            *counts("measurements", lambda n: selection.discrepancy(X, SAME, shrink, 0.1, measurements=n))[:3],
            *counts("steps", lambda n: selection.discrepancy(X, SAME, shrink, 0.1, steps=n)),
            *positive("tolerance", lambda t: selection.discrepancy(X, SAME, shrink, 0.1, tolerance=t)),
        ],
        "l_curve": [
            *values(
                "lams",
                lambda v: selection.l_curve(X, SAME, shrink, L1(), v),
                [0.1],
                [0.1] * 7,
                [-1, *range(6)],
                [NAN] * 7,
            ),
            *values("y", lambda y: selection.l_curve(y, SAME, shrink, L1(), range(1, 9)), NAN * X, 3),
            *values("phi", lambda phi: selection.l_curve(X, SAME, shrink, phi, range(1, 9)), 3),
        ],
        "sure": [
            *positive("sigma", lambda s: selection.sure(X, SAME, shrink, s, [0.1])),
            *values("lams", lambda v: selection.sure(X, SAME, shrink, 0.1, v), [], [-1.0], [NAN]),
            *positive("epsilon", lambda e: selection.sure(X, SAME, shrink, 0.1, [0.1], epsilon=e)),
        ],
        "estimate": [(r"^solve\(y, lam\): ", lambda _: selection.estimate(lambda y, lam: y[:1], X, 0.1))],
        "squared_residual": [("y", lambda _: selection.squared_residual(SAME, X, X[:1]))],
        "grid": [("lams", lambda _: selection.grid([1.0], X, 2))],
        "noise_energy": [("sigma", lambda _: selection.noise_energy(X, 0, None))],
    },
    "compressed_sensing": {
        "RandomRows": [
            *counts("m", lambda m: compressed_sensing.RandomRows(m, 8)),
            ("m", lambda _: compressed_sensing.RandomRows(9, 8)),
            *values("n", lambda n: compressed_sensing.RandomRows(4, n), 0, 8.5),
            *images("x", A_MATRIX),
            ("x", lambda _: A_MATRIX(X)),
            *values("y", A_MATRIX.T, X, X[0]),
        ],
        "sparse_signals": [
            *counts("n", lambda n: compressed_sensing.sparse_signals(n, [0])),
            *values("sparsity", lambda s: compressed_sensing.sparse_signals(8, s), [9], [-1], 3, []),
            ("amplitudes", lambda _: compressed_sensing.sparse_signals(8, [1], "uniform")),
        ],
        "bernoulli_gaussian": [
            *counts("count", lambda n: compressed_sensing.bernoulli_gaussian(n, 8, 0.1, None)),
            *counts("n", lambda n: compressed_sensing.bernoulli_gaussian(8, n, 0.1, None)),
            *values("density", lambda d: compressed_sensing.bernoulli_gaussian(8, 8, d, None), -0.1, 1.1, NAN),
        ],
        "basis_pursuit": [
            *positive("threshold", lambda t: compressed_sensing.basis_pursuit(SAME, X, threshold=t)),
            ("y", lambda _: compressed_sensing.basis_pursuit(SAME, NAN * X)),
            ("A", lambda _: compressed_sensing.basis_pursuit(3, X)),
        ],
        "pursuit": [
            ("A", lambda _: compressed_sensing.pursuit(SAME, X, torch.ones(2))),
            ("k", lambda _: compressed_sensing.pursuit(A_MATRIX, torch.ones(2, 1, 1, 4), torch.ones(3))),
        ],
        "recovered": [
            ("x", lambda _: compressed_sensing.recovered(X, X[:1])),
            *numbers("error", lambda e: compressed_sensing.recovered(X, X, e)),
        ],
        "phase_transition": [
            *counts("n", compressed_sensing.phase_transition),
            *counts("matrices", lambda n: compressed_sensing.phase_transition(8, matrices=n)),
            *counts("signals", lambda n: compressed_sensing.phase_transition(8, signals=n)),
            *values("deltas", lambda d: compressed_sensing.phase_transition(8, [d]), 0, 1.1, NAN),
            *values("rhos", lambda r: compressed_sensing.phase_transition(8, rhos=[r]), 0, 1.1),
            ("amplitudes", lambda _: compressed_sensing.phase_transition(8, [0.5], [0.5], amplitudes="x")),
        ],
        "weak_threshold": values("delta", compressed_sensing.weak_threshold, 0, 1, [0.5, NAN]),
        "save_phase_transition": [
            ("n", lambda w: compressed_sensing.save_phase_transition(w / "p.csv", n=0)),
            ("matrices", lambda w: compressed_sensing.save_phase_transition(w / "p.csv", matrices=0)),
            ("path", lambda w: compressed_sensing.save_phase_transition(w / "no" / "p.csv"), FileNotFoundError),
        ],
        "stored_phase_transition": [
            ("missing.csv", lambda w: compressed_sensing.stored_phase_transition(w / "missing.csv"), FileNotFoundError),
            (r"^path: ", lambda w: compressed_sensing.stored_phase_transition(w / "short.csv")),
        ],
    },
    "plug_and_play": {
        "admm": [
            *of_plugged(plug_and_play.admm, strength=0.1),
            *positive("rho", lambda v: plug_and_play.admm(X, SAME, keep, 0.1, v)),
        ],
        "hqs": [
            *of_plugged(plug_and_play.hqs, sigma=0.1),
            *numbers("sigma", lambda s: plug_and_play.hqs(X, SAME, keep, s)),
            *positive("start", lambda s: plug_and_play.hqs(X, SAME, keep, 0.1, start=s)),
            *positive("end", lambda s: plug_and_play.hqs(X, SAME, keep, 0.1, end=s)),
            *positive("lam", lambda s: plug_and_play.hqs(X, SAME, keep, 0.1, lam=s)),
        ],
        "proximal_gradient": [
            *of_plugged(plug_and_play.proximal_gradient, strength=0.1),
            *values("step", lambda s: plug_and_play.proximal_gradient(X, SAME, keep, 0.1, step=s), 0, -1, 2.0, NAN),
        ],
        "red": [
            *of_plugged(plug_and_play.red, strength=0.1, lam=0.1),
            *positive("lam", lambda v: plug_and_play.red(X, SAME, keep, 0.1, v)),
            ("method", lambda _: plug_and_play.red(X, SAME, keep, 0.1, 0.1, method="newton")),
        ],
        "proximal": [
            *values("phi", plug_and_play.proximal, 3, None),
            *values("sigma", lambda s: plug_and_play.proximal(L1())(X, s), -1, NAN),
        ],
        "tweedie": [
            *values("flow", plug_and_play.tweedie, 3, VAE),
            *images("x", lambda x: plug_and_play.tweedie(FLOW)(x, 0.1)),
            ("sigma", lambda _: plug_and_play.tweedie(FLOW)(X, -1)),
        ],
        "tweedie_of": [
            *values("flows", plug_and_play.tweedie_of, {}, {0: FLOW}, {-1: FLOW}),
            *positive("sigma", lambda s: plug_and_play.tweedie_of({0.1: FLOW})(X, s)),
        ],
        "averaged": [
            *values("weight", lambda w: plug_and_play.averaged(keep, w), 0, 1.1, -1, NAN),
            ("denoiser", lambda _: plug_and_play.averaged(3, 0.5)),
        ],
        "channelwise": [
            ("denoiser", lambda _: plug_and_play.channelwise(3)),
            *images("x", lambda x: plug_and_play.channelwise(keep)(x, 0.1)),
        ],
        "from_numpy": [("function", lambda _: plug_and_play.from_numpy(3))],
        "nlm": [
            *images("x", lambda x: plug_and_play.nlm(x, 0.1)),
            ("x", lambda _: plug_and_play.nlm(NAN * X, 0.1)),
            *values("sigma", lambda s: plug_and_play.nlm(X, s), -1, NAN, "1", torch.ones(3)),
        ],
        "tv": [
            *images("x", lambda x: plug_and_play.tv(x, 0.1)),
            ("x", lambda _: plug_and_play.tv(NAN * X, 0.1)),
            *values("sigma", lambda s: plug_and_play.tv(X, s), -1, NAN),
        ],
        "wavelet": [
            *images("x", lambda x: plug_and_play.wavelet(x, 0.1)),
            ("x", lambda _: plug_and_play.wavelet(NAN * X, 0.1)),
            *values("sigma", lambda s: plug_and_play.wavelet(X, s), -1, NAN),
            ("wavelet name", lambda _: plug_and_play.wavelet(X, 0.1, name="nothing")),
        ],
        "begin": [("y", lambda _: plug_and_play.begin(X[0], SAME, None, None, 1))],
        "guarded": [("denoiser", lambda _: plug_and_play.guarded(3, 0.1, X))],
    },
    "reconstruction": {
        "synthesis": of_estimate(reconstruction.synthesis, FLOW, start="z0"),
        "analysis": of_estimate(reconstruction.analysis, FLOW),
        "map_estimate": of_estimate(reconstruction.map_estimate, FLOW),
        "splitting": [
            *of_estimate(reconstruction.splitting, FLOW),
            *positive("sigma", lambda s: reconstruction.splitting(X, SAME, FLOW, 0.1, sigma=s)),
            *positive("start", lambda s: reconstruction.splitting(X, SAME, FLOW, 0.1, start=s)),
            *counts("inner", lambda n: reconstruction.splitting(X, SAME, FLOW, 0.1, inner=n)),
        ],
        "recommended": [
            *of_estimate(reconstruction.recommended, FLOW, start="z0", sigma=0.1),
            *numbers("sigma", lambda s: reconstruction.recommended(X, SAME, FLOW, s, lam=0.1)),
            *counts("travel", lambda n: reconstruction.recommended(X, SAME, FLOW, 0.1, travel=n), low=0),
        ],
        "joint_map": [
            *of_estimate(reconstruction.joint_map, VAE, start="z0"),
            ("model", lambda _: reconstruction.joint_map(X, SAME, FLOW, 0.1)),
            *positive("start", lambda s: reconstruction.joint_map(X, SAME, VAE, 0.1, start=s)),
            *counts("inner", lambda n: reconstruction.joint_map(X, SAME, VAE, 0.1, inner=n)),
            ("method", lambda _: reconstruction.joint_map(X, SAME, VAE, 0.1, method="newton")),
        ],
        "vae_analysis": [
            *of_estimate(reconstruction.vae_analysis, VAE),
            ("model", lambda _: reconstruction.vae_analysis(X, SAME, FLOW, 0.1)),
            ("penalty", lambda _: reconstruction.vae_analysis(X, SAME, VAE, 0.1, penalty="l1")),
        ],
        "patch_map": [
            *of_estimate(reconstruction.patch_map, FLOW),
            *counts("rounds", lambda n: reconstruction.patch_map(X, SAME, FLOW, 0.1, rounds=n)),
            *counts("stride", lambda n: reconstruction.patch_map(X, SAME, FLOW, 0.1, stride=n))[:3],
            *numbers("sigma", lambda s: reconstruction.patch_map(X, SAME, FLOW, 0.1, sigma=s)),
        ],
        "patch_penalty": [
            *images("x", lambda x: reconstruction.patch_penalty(x, FLOW)),
            ("x", lambda _: reconstruction.patch_penalty(X[:, :1], FLOW)),
            ("flow", lambda _: reconstruction.patch_penalty(X, 3)),
            *values("shift", lambda s: reconstruction.patch_penalty(X, FLOW, shift=s), (8, 0), (-1, 0), (0,), (0.5, 0)),
            ("size", lambda _: reconstruction.patch_penalty(X[..., :4], FLOW)),
        ],
        "sample_posterior": [
            *of_estimate(reconstruction.sample_posterior, FLOW, lam="sigma", start="z0"),
            ("sigma", lambda _: reconstruction.sample_posterior(X, SAME, FLOW, 0)),
            *[
                row
                for name, low in {"chains": 2, "burn": 0, "thin": 1, "leaps": 1}.items()
                for row in counts(
                    name, lambda n, name=name: reconstruction.sample_posterior(X, SAME, FLOW, 0.1, **{name: n}), low
                )
            ],
            ("method", lambda _: reconstruction.sample_posterior(X, SAME, FLOW, 0.1, method="gibbs")),
            ("seeds", lambda _: reconstruction.sample_posterior(X, SAME, FLOW, 0.1, seeds=[1])),
            *values("eta", lambda v: reconstruction.sample_posterior(X, SAME, FLOW, 0.1, eta=v), 0, -1, NAN),
            ("reference", lambda _: reconstruction.sample_posterior(X, SAME, FLOW, 0.1, reference=(Z[:1], None))),
            ("thin", lambda _: reconstruction.sample_posterior(X, SAME, FLOW, 0.1, steps=8, thin=3)),
        ],
        "laplace": [
            *values("sigma", lambda s: reconstruction.laplace(torch.zeros(2, 4), X, SAME, VAE, s), 0, -1, NAN),
            *values(
                "z",
                lambda z: reconstruction.laplace(z, X, SAME, VAE, 0.1),
                torch.zeros(2, 5),
                torch.zeros(1, 4),
                torch.full((2, 4), NAN),
            ),
            *values("eta", lambda v: reconstruction.laplace(torch.zeros(2, 4), X, SAME, VAE, 0.1, v), 0, -1),
        ],
        "split_rhat": values("samples", reconstruction.split_rhat, torch.ones(3, 2, 1), NAN * torch.ones(8, 2), 3),
        "effective_size": values("samples", reconstruction.effective_size, torch.ones(1, 2, 1), NAN * torch.ones(8, 2)),
        "bayesian": numbers("sigma", reconstruction.bayesian),
        "warm_start": [
            *numbers("sigma", lambda s: reconstruction.warm_start(X, SAME, s)),
            ("y", lambda _: reconstruction.warm_start(NAN * X, SAME)),
            ("A", lambda _: reconstruction.warm_start(X, 3)),
        ],
        "synthesis_objective": [
            ("z", lambda _: reconstruction.synthesis_objective(Z[:, :5], X, SAME, FLOW, 0.1)),
            ("y", lambda _: reconstruction.synthesis_objective(Z, X[:, :1], SAME, FLOW, 0.1)),
        ],
        "analysis_objective": [
            ("x", lambda _: reconstruction.analysis_objective(X[:, :1], X[:, :1], SAME, FLOW, 0.1)),
            ("y", lambda _: reconstruction.analysis_objective(X, X[:, :1], SAME, FLOW, 0.1)),
        ],
        "map_objective": [("y", lambda _: reconstruction.map_objective(X, X[:1], SAME, FLOW, 0.1))],
        "joint_objective": [
            ("y", lambda _: reconstruction.joint_objective(X, torch.zeros(2, 4), X[:1], SAME, VAE, 0.1)),
            ("z", lambda _: reconstruction.joint_objective(X, torch.zeros(2, 5), X, SAME, VAE, 0.1)),
        ],
    },
    "training": {
        "Recipe": [
            ("model", lambda _: training.Recipe("gan")),
            *[
                row
                for name in ("steps", "batch")
                for row in counts(name, lambda n, name=name: training.Recipe(**{name: n}))
            ],
            *[
                row
                for name in ("warmup", "seed", "photographs")
                for row in values(name, lambda n, name=name: training.Recipe(**{name: n}), -1, 1.5)
            ],
            *[
                row
                for name in ("lr", "clip", "noise", "ema", "share", "finish")
                for row in values(name, lambda n, name=name: training.Recipe(**{name: n}), -1, NAN)
            ],
            *values("ema", lambda v: training.Recipe(ema=v), 1.5),
        ],
        "Objective": values("kind", lambda kind: training.Objective(FLOW, kind), "gan", None),
        "Run": [
            ("depth", lambda w: training.Run(training.Recipe("dncnn", {"depth": 0}), w / "new")),
            ("'colour'", lambda w: training.Run(training.Recipe("glow", {"colour": 3}), w / "new"), TypeError),
        ],
        "train": [
            ("data", lambda w: training.train(RECIPE, [], w / "new")),
            ("data", lambda w: training.train(training.RECIPES["lista"], [w / "images"], w / "new")),
            ("folder", lambda w: training.train(RECIPE, [w / "missing"], w / "new"), FileNotFoundError),
            ("folder", lambda w: training.train(RECIPE, [w / "empty"], w / "new"), FileNotFoundError),
            (r"texts/a\.png: expected a readable image", lambda w: training.train(RECIPE, [w / "texts"], w / "new")),
            *[("every", lambda w, n=n: training.train(RECIPE, [w / "images"], w / "new", every=n)) for n in (0, 1.5)],
            *[
                ("minutes", lambda w, n=n: training.train(RECIPE, [w / "images"], w / "new", minutes=n))
                for n in (-1, NAN)
            ],
            (
                r"checkpoint\.safetensors: expected a checkpoint",
                lambda w: training.train(RECIPE, [w / "images"], w / "run"),
                RuntimeError,
            ),
            ("out", lambda w: training.train(RECIPE, [w / "faces"], w / "plain.txt")),
        ],
        "load_average": [
            ("out", lambda w: training.load_average(w / "missing"), FileNotFoundError),
            (
                r"checkpoint\.safetensors: expected a checkpoint",
                lambda w: training.load_average(w / "run"),
                RuntimeError,
            ),
        ],
        "load_sets": [("folder", lambda w: training.load_sets([w / "empty"], RECIPE), FileNotFoundError)],
        "load_validation": [("folder", lambda w: training.load_validation([w / "images"], RECIPE), FileNotFoundError)],
        "draw_batch": [
            ("sets", lambda _: training.draw_batch([], 0, RECIPE)),
            ("sets", lambda _: training.draw_batch([X[:0].byte()], 0, RECIPE)),
            ("images", lambda _: training.draw_batch([X], 0, RECIPE)),
            ("rank", lambda _: training.draw_batch([X.byte()], 0, RECIPE, 2, 2)),
        ],
        "draw_validation": [("images", lambda _: training.draw_validation(X, RECIPE))],
        "mean_loss": [
            ("images", lambda _: training.mean_loss(FLOW, X[:0].byte(), RECIPE)),
            ("images", lambda _: training.mean_loss(FLOW, X, RECIPE)),
            ("x", lambda _: training.mean_loss(FLOW, X[:, :1].byte(), RECIPE)),
        ],
    },
    "plots": {
        "as_array": values("image", plots.as_array, X, X[:1, :2], X[0, 0]),
        "stretch": images("u", plots.stretch),
        "show": [
            *values("images", plots.show, [], X[:0]),
            ("image", lambda _: plots.show([X[0, 0]])),
            *counts("columns", lambda n: plots.show(X, columns=n))[:3],
        ],
        "curves": [("log", lambda _: plots.curves({"a": [1, 2]}, "x", "y", log=("q",)))],
        "plain_ticks": [("name", lambda _: plots.plain_ticks(None, "z"))],
    },
    "widgets": {
        "choice": [("start", lambda _: widgets.choice([1, 2], 3)), ("values", lambda _: widgets.choice([]))],
        "menu": [("start", lambda _: widgets.menu("ab", "c")), ("values", lambda _: widgets.menu([]))],
        "Explorer": values("draw", lambda f: widgets.Explorer(f, "a picture"), 3, None),
        "display_with_picture": values(
            "picture", lambda p: widgets.display_with_picture(None, p, "a picture"), "a.png"
        ),
        "explore": values("draw", lambda f: widgets.explore(f, "a picture"), 3),
        "Banana": [*positive("s1", widgets.Banana), *positive("s2", lambda v: widgets.Banana(1.0, v))],
        "descend": [
            *counts("steps", lambda n: widgets.descend(total, torch.zeros(1, 2), 0.1, n), 0),
            *positive("step", lambda s: widgets.descend(total, torch.zeros(1, 2), s, 1)),
        ],
        "two_geometries": [
            *counts("steps", lambda n: widgets.two_geometries(steps=n), 0),
            *positive("step", lambda s: widgets.two_geometries(step_x=s)),
        ],
        "draw_two_geometries": counts("steps", lambda n: widgets.draw_two_geometries(steps=n), 0),
    },
    "methods": {
        "make_task": [
            ("task", lambda _: methods.make_task("denoising")),
            *counts("size", lambda n: methods.make_task("deblurring", n)),
        ],
        "observe": [
            *numbers("sigma", lambda s: methods.observe(X, SAME, s, [0, 1])),
            ("seeds", lambda _: methods.observe(X, SAME, 0.1, [0])),
            *images("x", lambda x: methods.observe(x, SAME, 0.1, [0, 1])),
        ],
        "descent": numbers("sigma", methods.descent),
        "of_decoder": numbers("sigma", methods.of_decoder),
        "run_tv": [
            ("lam", lambda _: methods.run_tv(X, SAME, None, -1, 0.1)),
            ("y", lambda _: methods.run_tv(NAN * X, SAME, None, 0.1, 0.1)),
        ],
        "run_map": [
            ("y", lambda _: methods.run_map(NAN * X, SAME, FLOW, 0.1, 0.1)),
            ("sigma", lambda _: methods.run_map(X, SAME, FLOW, 0.1, -1)),
        ],
        "run_recommended": [
            ("y", lambda _: methods.run_recommended(NAN * X, SAME, FLOW, 0.1, 0.1)),
            ("sigma", lambda _: methods.run_recommended(X, SAME, FLOW, 0.1, -1)),
        ],
        "run_bicubic": [("A", lambda _: methods.run_bicubic(X, HIDE, None, None, 0.1))],
        "run_biharmonic": [("A", lambda _: methods.run_biharmonic(X, SAME, None, None, 0.1))],
        "run_regression": [("A", lambda _: methods.run_regression(X, HIDE, NET, None, 0.1))],
        "run_plug_and_play": [
            ("y", lambda _: methods.run_plug_and_play(NAN * X, SAME, NET, 0.1, 0.1)),
            ("lam", lambda _: methods.run_plug_and_play(X, SAME, NET, -1, 0.1)),
        ],
        "run_posterior_mean": [
            ("y", lambda _: methods.run_posterior_mean(NAN * X, SAME, VAE, None, 0.1)),
            ("model", lambda _: methods.run_posterior_mean(X, SAME, FLOW, None, 0.1)),
        ],
        "run_flow_denoiser": [
            ("y", lambda _: methods.run_flow_denoiser(NAN * X, SAME, FLOW, 1.0, 0.1)),
            ("sigma", lambda _: methods.run_flow_denoiser(X, SAME, FLOW, 1.0, -1)),
        ],
    },
    "experiments": {
        "Experiment": [
            *images("test", lambda x: experiments.Experiment(FLOW, x, X[:0], "cells")),
            *counts("batch", lambda n: experiments.Experiment(FLOW, X, X[:0], "cells", n)),
            ("method", lambda w: experiments.Experiment(FLOW, X, X[:0], w).estimate("sr4", "srcnn", 0.1, None, X, 0)),
            ("method", lambda w: experiments.Experiment(FLOW, X, X[:0], w).cell("sr2", "magic", 0.1)),
            ("sigma", lambda w: experiments.Experiment(FLOW, X, X[:0], w / "cells").cell("sr2", "tv", -1)),
        ],
        "check_names": [
            ("tasks", lambda _: experiments.check_names(["denoising"], [])),
            ("methods", lambda _: experiments.check_names([], ["magic"])),
        ],
        "reproduce": [
            (
                name,
                lambda w, change=change: experiments.reproduce(
                    experiments.Experiment(FLOW, X, X[:0], w), w / "scores.csv", **change
                ),
            )
            for name, change in (
                ("tasks", {"tasks": ["denoising"]}),
                ("methods", {"methods": ["magic"]}),
                ("methods", {"methods": ["bicubic"], "tasks": ["deblurring"]}),
                ("sigmas", {"sigmas": [-1.0]}),
            )
        ],
        "experiment_on_faces": [
            ("folder", lambda w: experiments.experiment_on_faces(w / "empty", w / "cells"), FileNotFoundError),
            (
                "name",
                lambda w: experiments.experiment_on_faces(w / "images", w / "cells", "nothing"),
                FileNotFoundError,
            ),
        ],
        "experiment_on_the_astronaut": [
            ("name", lambda w: experiments.experiment_on_the_astronaut(w / "cells", "nothing"), FileNotFoundError)
        ],
    },
    "couplings": {
        "compare": [
            ("out", lambda w: couplings.compare([w / "missing"], w / "images", w / "c.csv"), FileNotFoundError),
            *[("images", lambda w, n=n: couplings.compare([], w / "images", w / "c.csv", n)) for n in (0, 1.5)],
        ]
    },
    "coverage": {
        "coverage": [
            *values("level", lambda v: coverage.coverage(torch.ones(9, 2), torch.ones(2), v), 0, 1, -1, NAN),
            ("samples", lambda _: coverage.coverage(torch.ones(9, 2), torch.ones(3), 0.5)),
        ],
        "own_faces": counts("count", lambda n: coverage.own_faces(VAE, n)),
        "measure": [
            *[("count", lambda w, n=n: coverage.measure(w / "c.csv", w / "images", n)) for n in (0, 1.5)],
            ("folder", lambda w: coverage.measure(w / "c.csv", w / "empty"), FileNotFoundError),
        ],
        "read_coverage": [("path", lambda w: coverage.read_coverage(w / "missing.csv"), FileNotFoundError)],
    },
    "mask_editor": {
        "preset": [
            ("name", lambda _: mask_editor.preset("nose")),
            *values("size", lambda n: mask_editor.preset("eyes", n), 0, 12, 8.5),
        ],
        "mask_of_picture": [
            *values("picture", mask_editor.mask_of_picture, b"", b"no image", "a.png", None),
            ("picture", lambda w: mask_editor.mask_of_picture((w / "damaged" / "b.png").read_bytes())),
            *[
                ("size", lambda w, n=n: mask_editor.mask_of_picture((w / "images" / "a.png").read_bytes(), n))
                for n in (0, 1.5)
            ],
        ],
        "check_mask": values(
            "mask", lambda m: mask_editor.check_mask(m, X), 3, HOLE.float(), HOLE[:, :4], ~HOLE | HOLE
        ),
        "hidden_psnr": [
            *images("x", lambda x: mask_editor.hidden_psnr(X, x, HOLE)),
            *images("image", lambda x: mask_editor.hidden_psnr(x, X, HOLE)),
            *values("mask", lambda m: mask_editor.hidden_psnr(X, X, m), 3, HOLE[:, :4], ~HOLE | HOLE),
        ],
        "fill": [
            *images("x", lambda x: next(mask_editor.fill(x, HOLE, FLOW))),
            *values(
                "mask", lambda m: next(mask_editor.fill(X[:1], m, FLOW)), 3, HOLE[:, :4], ~HOLE | HOLE, ~HOLE & HOLE
            ),
            *values("model", lambda m: next(mask_editor.fill(X[:1], HOLE, m)), 3, NET),
            *numbers("sigma", lambda s: next(mask_editor.fill(X[:1], HOLE, FLOW, s))),
            *values("steps", lambda n: next(mask_editor.fill(X[:1], HOLE, FLOW, steps=n)), (3,), (0, 1), (1, 1.5)),
            *counts("every", lambda n: next(mask_editor.fill(X[:1], HOLE, FLOW, every=n))),
        ],
        "MaskEditor": [
            *images("x", lambda x: mask_editor.MaskEditor(x, FLOW)),
            *values("x", lambda x: mask_editor.MaskEditor(x, FLOW), X, X[:1, :, :4], X[:1, :, :4, :4]),
            ("start", lambda _: mask_editor.MaskEditor(X[:1], FLOW, "nose")),
        ],
        "edit_mask": [("start", lambda _: mask_editor.edit_mask(X[:1], FLOW, "nose"))],
    },
    "sweeps": {
        "factors": [("method", lambda _: sweeps.factors("magic"))],
        "measure": [
            ("tasks", lambda w: sweeps.measure(w / "s.csv", w, ["denoising"])),
            ("methods", lambda w: sweeps.measure(w / "s.csv", w, methods=["magic"])),
            ("name", lambda w: sweeps.measure(w / "s.csv", w, weights="nothing"), FileNotFoundError),
        ],
        "read_sweeps": [("path", lambda w: sweeps.read_sweeps(w / "missing.csv"), FileNotFoundError)],
        "pictures": [("task, method", lambda w: sweeps.pictures("sr2", "magic", w), FileNotFoundError)],
        "draw_sweep": [
            *images("x", lambda x: sweeps.draw_sweep(x, X, "sr2", "tv", 1.0, {})),
            *images("y", lambda y: sweeps.draw_sweep(X, y, "sr2", "tv", 1.0, {})),
            ("factor", lambda _: sweeps.draw_sweep(X, X, "sr2", "tv", 3.0, {})),
        ],
    },
    "domains": {
        "boxes": [("name", lambda _: domains.boxes("lena")), *counts("most", lambda n: domains.boxes("moon", n))],
        "photographs": [*counts("most", domains.photographs), *counts("size", lambda n: domains.photographs(1, n))],
        "face_lams": [("path", lambda w: domains.face_lams(w / "missing.csv"), FileNotFoundError)],
        "pictures": [("task, method", lambda w: domains.pictures("sr2", "magic", w), FileNotFoundError)],
        "per_image": [("task, method", lambda w: domains.per_image("sr2", "magic", w), FileNotFoundError)],
        "measure": [
            ("tasks", lambda w: domains.measure(w / "d.csv", w, ["denoising"])),
            ("methods", lambda w: domains.measure(w / "d.csv", w, methods=["magic"])),
            ("most", lambda w: domains.measure(w / "d.csv", w, most=0)),
            ("name", lambda w: domains.measure(w / "d.csv", w, weights="nothing"), FileNotFoundError),
        ],
        "read_domains": [("path", lambda w: domains.read_domains(w / "missing.csv"), FileNotFoundError)],
        "png_bits": [*images("images", domains.png_bits), ("images", lambda _: domains.png_bits(X[:, :1]))],
        "familiarity": [
            ("model", lambda _: domains.familiarity(3, X)),
            ("x", lambda _: domains.familiarity(FLOW, X[:, :1])),
        ],
        "measure_likelihood": [
            ("folder", lambda w: domains.measure_likelihood(w / "l.csv", w / "empty"), FileNotFoundError),
            ("limit", lambda w: domains.measure_likelihood(w / "l.csv", w / "images", 0)),
            (
                "name",
                lambda w: domains.measure_likelihood(w / "l.csv", w / "images", weights="nothing"),
                FileNotFoundError,
            ),
        ],
    },
    "scores": {
        "write_text": [("plain.txt", lambda w: scores.write_text(w / "plain.txt" / "a.txt", ""), OSError)],
        "read_scores": [("path", lambda w: scores.read_scores(w / "missing.csv"), FileNotFoundError)],
        "read_tuning": [("missing.csv", lambda w: scores.read_tuning(w / "missing.csv"), FileNotFoundError)],
        "per_image": [("task, method, sigma", lambda w: scores.per_image("sr2", "magic", 0.1, w), FileNotFoundError)],
    },
    "gallery": {
        "reconstruct": [("rows", lambda _: gallery.reconstruct(X[:1], FLOW, []))],
        "titles": [("notebook", lambda w: gallery.titles(w / "untitled"))],
        "read_runs": [("missing.csv", lambda w: gallery.read_runs(w / "missing.csv"), FileNotFoundError)],
        "stamp_runs": [("runs", lambda _: gallery.stamp_runs("| [01_topic](a) | b |", {}))],
        "write_figures": [("rows", lambda w: gallery.write_figures(w / "new", [], w / "course"))],
    },
    "links": {
        "repository": [
            ("root", lambda w: links.repository(w / "missing")),
            ("Repository", lambda w: links.repository(w / "unnamed")),
        ],
        "stamp": [
            ("notebook", lambda _: links.stamp(notebook(TITLE, CODE), "01_a", "a/b")),
            (
                "notebook",
                lambda _: links.stamp(
                    notebook(nbformat.v4.new_markdown_cell(links.badges("01_a", "a/b"))), "01_a", "a/b"
                ),
            ),
        ],
        "stamp_all": [
            ("folder", lambda w: links.stamp_all(w / "missing"), FileNotFoundError),
            ("folder", lambda w: links.stamp_all(w / "empty"), FileNotFoundError),
            ("notebook", lambda w: links.stamp_all(w / "course")),
            (r"01_broken\.ipynb: expected a notebook", lambda w: links.stamp_all(w / "broken")),
        ],
    },
    "student": {
        "exercise_pairs": [("notebook", lambda _: student.exercise_pairs(notebook(TITLE, SOLUTION)))],
        "nbgrader_version": [("notebook", lambda _: student.nbgrader_version(notebook(TITLE, SOLUTION)))],
        "write_versions": [
            ("folder", lambda w: student.write_versions(w / "missing", w / "new"), FileNotFoundError),
            ("folder", lambda w: student.write_versions(w / "empty", w / "new"), FileNotFoundError),
            ("out", lambda w: student.write_versions(w / "course", w / "course")),
            (r"01_broken\.ipynb: expected a notebook", lambda w: student.write_versions(w / "broken", w / "new")),
            ("notebook", lambda w: student.write_versions(w / "lonely", w / "new", student.nbgrader_version)),
        ],
    },
    "tidy": {
        "read_notebook": [
            *[
                (rf"{name}: expected a notebook", lambda w, name=name: tidy.read_notebook(w / "broken" / name))
                for name in ("01_broken.ipynb", "02_list.ipynb", "03_empty.ipynb")
            ]
        ],
        "tidy_files": [
            ("paths", lambda w: tidy.tidy_files([w / "missing.ipynb"])),
            ("paths", lambda w: tidy.tidy_files([w / "plain.txt"])),
            (r"01_broken\.ipynb: expected a notebook", lambda w: tidy.tidy_files([w / "broken" / "01_broken.ipynb"])),
        ],
    },
}
