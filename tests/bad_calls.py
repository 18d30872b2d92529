"""The table of `test_bad_input`: what public functions cannot take.

A row is (call, good arguments, {argument: wrong values}): the good arguments with one wrong value in its place must
raise a ValueError that names the argument. A call is the name of something in course_lib, or the thing itself. `meta`
is the device that every machine has beside the CPU.
"""

import torch

from course_lib.models import denoiser, flow2d, flow_in_time, glow, unrolled, vae
from course_lib.operators import (
    DCT,
    Blur,
    Downsample,
    Identity,
    Mask,
    Radon,
    RandomProjections,
    SpectralResponse,
    Stack,
    Subsample,
    SubsampledTransform,
    Wavelet,
    random_mask,
)
from course_lib.regularizers import L1, L12, TV, SquaredL2
from course_lib.studies.phase_transition import RandomRows
from course_lib.training import RECIPES

NAN = float("nan")
X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
FLOW = glow.Glow(size=8, steps=1, widths=(4, 4)).freeze()
VAE = vae.VAE(8, dim=4, widths=[4, 4], blocks=[0, 0]).freeze()
NET = denoiser.DnCNN(width=4, depth=2)
PLANE = flow2d.RealNVP(couplings=1, width=2)
TIME = flow_in_time.FlowInTime(8, widths=[4, 4], depth=1).freeze()
SAME, HIDE, FEW = Identity(), Mask(random_mask(8, 8, 0.5)), RandomRows(4, 8)
HOLE = torch.arange(8).expand(1, 8, 8) < 4
Z, POINTS, W = torch.zeros(2, FLOW.dim), torch.zeros(3, 2), torch.linspace(1, 2.4, 9)
RECIPE = RECIPES["glow"]

# Representative wrong values, by kind.
BYTES = (255 * X).byte()
SHAPE = X[0], X[:0], 3
"""No batch of images."""
IMAGES = *SHAPE, BYTES
"""An operator looks at shape and dtype, and not at values: nobody waits for a GPU."""
BATCH = X[:0], BYTES, 3, NAN * X, X.to("meta")
"""What a solver starts from must have values, finite ones."""
OTHER = X.double(), X.to("meta")
"""The dtype or the device of another tensor."""
NUMBER, POSITIVE, STEP = (-1, NAN, "1"), (0, -1, NAN, "1"), (0, -1, NAN)
COUNT, COUNT_0, COUNT_2 = (0, 1.5, "2"), (-1, 1.5, "2"), (1, 1.5, "2")
PER_IMAGE = -1, NAN, "1", torch.ones(3)
OPERATOR = 3, lambda x: x
THING, CHOICE = (3,), ("nothing",)
"""No function, model or regularizer; none of the words that there are."""
DTYPE = "float16", torch.int64


def total(x):
    """An objective."""
    return x.flatten(1).square().sum(1)


def keep(x, sigma):
    """A denoiser that does nothing."""
    return x


def shrink(y, lam):
    """A solver for the rules that choose λ."""
    return y / (1 + torch.as_tensor(lam).reshape(-1, 1, 1, 1))


def of_operator(A):
    """A x and Aᵀ y."""
    return [(A, {}, {"x": IMAGES}), (A.T, {}, {"y": IMAGES})]


def of_solver(name, good=None, **wrong):
    """A solver: the problem and how it ends."""
    good = {"y": X, "A": SAME, "phi": L1(), "lam": 0.1} if good is None else good
    wrong = {"phi": THING, "lam": PER_IMAGE} | wrong if "lam" in good else wrong
    common = {"y": BATCH, "A": OPERATOR, "x0": (*BATCH, *OTHER), "steps": COUNT_0, "tolerance": (-1, NAN)}
    return f"solvers.{name}", good, common | wrong


def of_estimate(name, model=FLOW, start="x0", /, lam="lam", called="model", **wrong):
    """A reconstruction with a model."""
    u = X if start == "x0" else torch.zeros(2, model.dim)
    good = {"y": X, "A": SAME, called: model, lam: 0.1}
    common = {"y": (*BATCH, X.double(), X[0]), "A": OPERATOR, called: (3, torch.nn.Identity()), lam: PER_IMAGE}
    common |= {start: (u[:1], NAN * u, u.double(), u.to("meta"), 3), "steps": COUNT_0}
    common |= {} if lam == "sigma" and name == "sample_posterior" else {"truth": (X[:1], X.to("meta"), NAN * X)}
    return f"reconstruction.{name}", good, common | wrong


def of_plugged(name, good, **wrong):
    """A reconstruction with a denoiser."""
    common = {"y": (*BATCH, X[0]), "A": THING, "denoiser": (3, lambda x, s: x[:1], lambda x, s: 3)}
    common |= {"x0": (NAN * X, X[0], *OTHER), "steps": COUNT_0, "truth": (X[:1],)}
    return f"reconstruction.plug_and_play.{name}", {"y": X, "A": SAME, "denoiser": keep} | good, common | wrong


def of_guided(name, **wrong):
    """A reconstruction with a flow in time."""
    common = {"y": (*BATCH, X[0], X.double()), "A": THING, "model": (3, FLOW), "sigma": NUMBER, "t0": (0, 1, -1, NAN)}
    common |= {"x0": (NAN * X, X[0], *OTHER), "steps": COUNT_0, "seed": (None, "1", 1.5), "truth": (X[:1],)}
    return f"reconstruction.{name}", {"y": X, "A": SAME, "model": TIME, "sigma": 0.1}, common | wrong


def of_model(model, x, z):
    """A model with encode and decode."""
    few = x[:, :1] if x.dim() == 4 else x[:, :-1]
    return [
        (model.encode, {}, {"x": (x[0], few, x.double(), x.to("meta"), 3)}),
        (model.decode, {}, {"z": (z[0], z[:, :-1], z.double(), z.to("meta"), 3)}),
        (model.sample, {"count": 2}, {"count": COUNT_0, "temperature": (-1, NAN)}),
    ]


OPERATORS = [
    *of_operator(SAME),
    *of_operator(HIDE),
    *of_operator(Blur(torch.ones(3, 3))),
    *of_operator(Downsample(2)),
    *of_operator(Radon(8, [0, 45])),
    *of_operator(DCT()),
    *of_operator(Wavelet("haar", 1)),
    *of_operator(Stack(SAME, SAME))[:1],
    (SAME.norm, {"shape": (3, 8, 8)}, {"shape": ((8, 8),), "iterations": COUNT}),
    (
        SAME.prox,
        {"v": X, "y": X, "rho": 1.0},
        {"v": IMAGES, "y": (X[0], X[:1], 3), "rho": (0, -1.0, NAN, torch.ones(3), torch.tensor([1.0, -1.0]))},
    ),
    (HIDE, {}, {"x": (X[..., :4], X.to("meta"))}),
    (Mask(torch.ones(2, 8, 8)).T, {}, {"y": (X, X[:, :1])}),
    (Downsample(3), {}, {"x": (X, X[..., :6])}),
    (Subsample(3), {}, {"x": (X,)}),
    (Radon(8, [0]), {}, {"x": (X[..., :4],)}),
    (Radon(8, [0]).T, {}, {"y": (X,)}),
    (Wavelet("haar", 4), {}, {"x": (X,)}),
    (Wavelet("haar", 1).T, {}, {"y": (X[..., :7],)}),
    (Stack(SAME, SAME).T, {}, {"y": (X,)}),
    (Stack(SAME, shape=(3, 8, 8)), {}, {"x": (X[..., :4],)}),
    (Stack(SAME, shape=(3, 8, 8)).T, {}, {"y": (X,)}),
    (RandomProjections((3, 8, 8), 4), {}, {"x": (X[..., :4],)}),
    (RandomProjections((3, 8, 8), 4).T, {}, {"y": (X,)}),
    (SubsampledTransform(8, 0.5), {}, {"x": (X[..., :4],)}),
    (SubsampledTransform(8, 0.5).T, {}, {"y": (X,)}),
    (SpectralResponse(torch.ones(2, 4)), {}, {"x": (X,)}),
    (SpectralResponse(torch.ones(2, 4)).T, {}, {"y": (X,)}),
    ("operators.Compose", {"A": SAME, "B": SAME}, {"A": OPERATOR, "B": OPERATOR}),
    ("operators.Sum", {"A": SAME, "B": SAME}, {"A": OPERATOR, "B": OPERATOR}),
    ("operators.Scaled", {"c": 2.0, "A": SAME}, {"c": (NAN, float("inf"), "2"), "A": OPERATOR}),
    ("operators.Counted", {}, {"A": OPERATOR}),
    ("operators.Adjoint", {}, {"A": OPERATOR}),
    (
        "operators.Mask",
        {},
        {
            "mask": (
                torch.ones(8, 8),
                torch.ones(2, 1, 8, 8),
                torch.ones(1, 8, 8).long(),
                torch.full((1, 8, 8), NAN),
            )
        },
    ),
    (
        "operators.Blur",
        {"kernel": torch.ones(3, 3)},
        {
            "kernel": (torch.ones(3), torch.ones(2, 3), torch.ones(3, 3).int(), torch.full((3, 3), NAN)),
            "boundary": ("reflect", None),
        },
    ),
    ("operators.Downsample", {}, {"factor": COUNT}),
    ("operators.Subsample", {}, {"factor": COUNT}),
    ("operators.uniform_kernel", {}, {"size": (0, 2, 1.5)}),
    ("operators.gaussian_kernel", {"sigma": 1.0}, {"sigma": STEP, "radius": (-1, 0.5)}),
    ("operators.random_mask", {"height": 8, "width": 8}, {"height": COUNT, "missing": (-0.1, 1.1, NAN)}),
    ("operators.square_mask", {"height": 8, "width": 8, "side": 3}, {"side": (0, 9, 1.5), "corner": ((6, 0), (-1, 0))}),
    (
        "operators.Radon",
        {"size": 8, "angles": [0]},
        {"size": (0, (8,), 2.5), "angles": ([], [NAN], [[0]]), "detectors": (0, 1.5)},
    ),
    ("operators.filtered_back_projection", {"y": X, "A": Radon(8, [0])}, {"y": (X, X[0]), "A": (SAME, 3)}),
    ("operators.RandomProjections", {"shape": (3, 8, 8), "m": 4}, {"shape": ((8, 8), (0, 8, 8)), "m": COUNT}),
    (
        "operators.SubsampledTransform",
        {"size": 8, "fraction": 0.5},
        {"size": (0, (8,)), "fraction": (0, 1e-3, 1.1, NAN, "1"), "transform": (3, Downsample(2))},
    ),
    ("operators.SpectralResponse", {}, {"R": (torch.ones(3), torch.ones(2, 3).long(), torch.full((2, 3), NAN))}),
    ("operators.undecimated", {"W": DCT()}, {"shifts": COUNT}),
    ("operators.Wavelet", {}, {"wavelet": CHOICE, "levels": COUNT_0}),
    ("operators.Shift", {"rows": 1, "columns": 1}, {"rows": (0.5, "1"), "columns": (0.5,)}),
]

REGULARIZERS = [
    (L1(), {}, {"x": (*IMAGES, NAN * X)}),
    (L1().prox, {"v": X, "tau": 0.1}, {"v": (*IMAGES, NAN * X), "tau": PER_IMAGE}),
    (SquaredL2().prox, {"v": X}, {"tau": PER_IMAGE}),
    (TV().prox, {"v": X}, {"tau": PER_IMAGE}),
    *[(L12(torch.zeros(shape).long()), {}, {"x": (X,)}) for shape in ((2, 8, 8), (1, 8, 1), (3, 3, 8, 8))],
    ("regularizers.TV", {}, {"iterations": COUNT, "tolerance": (-1, NAN)}),
    ("regularizers.L12", {}, {"groups": (torch.ones(1, 8, 8), torch.ones(8, 8).long(), -torch.ones(1, 8, 8).long())}),
    ("regularizers.channel_groups", {"height": 8, "width": 8}, {"height": COUNT, "width": COUNT}),
    ("regularizers.block_groups", {"height": 8, "width": 8, "size": 2}, {"height": COUNT, "size": COUNT}),
    ("regularizers.Transformed", {"phi": L1(), "W": DCT()}, {"phi": OPERATOR, "W": OPERATOR}),
    ("regularizers.gradient", {}, {"x": IMAGES}),
    ("regularizers.gradient_adjoint", {}, {"p": (X, 3, X[:, None])}),
]

SOLVERS = [
    of_solver("gradient_descent", {"y": X, "A": SAME, "phi": SquaredL2(), "lam": 0.1, "lipschitz": 1.0}, step=STEP),
    of_solver("ista", step=(*STEP, 2.0)),
    of_solver("fista", step=(*STEP, 1.1)),
    of_solver("admm", rho=(0, *PER_IMAGE), balance=COUNT_0),
    of_solver("primal_dual", {"y": X, "A": SAME, "phi": TV(), "lam": 0.1}, phi=(L1(), 3), box=((1, 0), (0,))),
    of_solver("condat_vu", {"y": X, "A": SAME, "phi": TV(), "lam": 0.1}, phi=(L1(), 3), step=STEP, box=((1, 0),)),
    of_solver("iht", {"y": X, "A": SAME, "k": 3}, k=(*COUNT, 193), step=(*STEP, 1.1)),
    ("solvers.omp", {"y": X, "A": SAME, "k": 3}, {"y": BATCH, "A": OPERATOR, "k": (*COUNT, 193), "tolerance": (-1,)}),
    ("solvers.omp", {"y": torch.ones(2, 4), "A": torch.ones(4, 6), "k": 2}, {"y": (torch.ones(2, 5), Z), "A": (Z[0],)}),
    ("solvers.keep_largest", {"v": X, "k": 1}, {"v": (X[0, 0, 0], 3), "k": (*COUNT, 193)}),
    (
        "solvers.adam",
        {"objective": total, "x0": X},
        {
            "objective": (3, lambda x: x.sum(), lambda x: 3.0, lambda x: x.detach().sum((1, 2, 3))),
            "x0": BATCH,
            "steps": COUNT_0,
            "lr": STEP,
        },
    ),
    (
        "solvers.lbfgs",
        {"objective": total, "x0": X},
        {
            "objective": (3, lambda x: x.sum(), lambda x: x.detach().sum((1, 2, 3))),
            "x0": BATCH,
            "steps": COUNT_0,
            "memory": COUNT,
            "tolerance": (-1, NAN),
            "initial_step": (0, -1),
        },
    ),
    (
        "solvers.conjugate_gradient",
        {"apply": lambda x: x, "b": X},
        {"apply": THING, "b": BATCH, "x0": (X[:1], NAN * X, *OTHER), "steps": COUNT_0},
    ),
    (
        "solvers.selection.discrepancy",
        {"y": X, "A": SAME, "solve": shrink, "sigma": 0.1},
        {
            "y": BATCH,
            "A": THING,
            "solve": THING,
            "sigma": POSITIVE,
            "bounds": ((1,), (2, 1), (0, 1), (10, 20)),
            "measurements": (0, 1.5),
            "steps": COUNT,
            "tolerance": STEP,
        },
    ),
    (
        "solvers.selection.l_curve",
        {"y": X, "A": SAME, "solve": shrink, "phi": L1(), "lams": range(1, 9)},
        {"y": BATCH, "phi": THING, "lams": ([0.1], [0.1] * 7, [-1, *range(6)], [NAN] * 7)},
    ),
    (
        "solvers.selection.sure",
        {"y": X, "A": SAME, "solve": shrink, "sigma": 0.1, "lams": [0.1]},
        {"sigma": POSITIVE, "lams": ([], [-1.0], [NAN]), "epsilon": STEP},
    ),
]

RECONSTRUCTION = [
    of_estimate("synthesis", FLOW, "z0", optimizer=CHOICE, lr=(0, NAN)),
    of_estimate("analysis", optimizer=CHOICE, lr=(0, NAN)),
    of_estimate("map_estimate", optimizer=CHOICE),
    of_estimate("splitting", sigma=POSITIVE, start=STEP, inner=COUNT),
    of_estimate("recommended", FLOW, "z0", lam="sigma", travel=COUNT_0),
    of_estimate("joint_map", VAE, "z0", model=(3, FLOW), start=STEP, inner=COUNT, method=CHOICE),
    of_estimate("vae_analysis", VAE, model=(3, FLOW), penalty=CHOICE),
    of_estimate("patch_map", called="flow", rounds=COUNT, stride=(0, 1.5), sigma=NUMBER),
    of_estimate(
        "sample_posterior",
        FLOW,
        "z0",
        lam="sigma",
        sigma=(0, *PER_IMAGE),
        chains=COUNT_2,
        burn=COUNT_0,
        thin=COUNT,
        leaps=COUNT,
        method=CHOICE,
        step=(0.1,),  # of MALA, which finds its own
        seeds=([1],),
        eta=(0, -1),
        reference=((Z[:1], None),),
    ),
    ("reconstruction.InPixels", {"model": FLOW, "shape": (3, 8, 8)}, {"model": (3,), "shape": (3, (8, 8), (3, 0, 8))}),
    ("reconstruction.patch_penalty", {"x": X, "flow": FLOW}, {"x": IMAGES, "flow": THING, "shift": ((8, 0), (0,))}),
    (
        "reconstruction.laplace",
        {"z": torch.zeros(2, 4), "y": X, "A": SAME, "model": VAE, "sigma": 0.1},
        {"z": (torch.zeros(2, 5), torch.zeros(1, 4)), "sigma": STEP, "eta": (0, -1)},
    ),
    ("reconstruction.split_rhat", {}, {"samples": (torch.ones(3, 2, 1), NAN * torch.ones(8, 2), 3)}),
    ("reconstruction.effective_size", {}, {"samples": (torch.ones(1, 2, 1), NAN * torch.ones(8, 2))}),
    ("reconstruction.bayesian", {}, {"sigma": NUMBER}),
    ("reconstruction.warm_start", {"y": X, "A": SAME}, {"y": (NAN * X,), "A": THING, "sigma": NUMBER}),
    ("reconstruction.data_term", {"x": X, "y": X, "A": SAME}, {"y": (X[:, :1], X[:1])}),
    *[
        (f"reconstruction.{name}_objective", {u: v, "y": X, "A": SAME, "model": FLOW, "lam": 0.1}, {"y": (X[:1],)})
        for name, u, v in (("synthesis", "z", Z), ("analysis", "x", X), ("map", "x", X))
    ],
    (
        "reconstruction.joint_objective",
        {"x": X, "z": torch.zeros(2, 4), "y": X, "A": SAME, "model": VAE, "lam": 0.1},
        {"y": (X[:1],), "z": (torch.zeros(2, 5),)},
    ),
    of_plugged("admm", {"strength": 0.1}, strength=PER_IMAGE, rho=STEP),
    of_plugged("hqs", {"sigma": 0.1}, sigma=NUMBER, start=STEP, end=STEP, lam=STEP),
    of_plugged("proximal_gradient", {"strength": 0.1}, strength=PER_IMAGE, step=(*STEP, 2.0)),
    of_plugged("red", {"strength": 0.1, "lam": 0.1}, strength=PER_IMAGE, lam=STEP, method=CHOICE),
    of_guided("dps", zeta=NUMBER),
    of_guided("pigdm", spread=STEP),
    of_guided("diffpir", lam=STEP, zeta=(*NUMBER, 2)),
    of_guided("pnp_flow", decay=NUMBER, draws=COUNT),
    ("reconstruction.plug_and_play.proximal", {}, {"phi": THING}),
    ("reconstruction.plug_and_play.tweedie", {}, {"flow": (3, VAE)}),
    ("reconstruction.plug_and_play.tweedie_of", {}, {"flows": ({}, {0: FLOW}, {-1: FLOW})}),
    ("reconstruction.plug_and_play.averaged", {"denoiser": keep, "weight": 0.5}, {"denoiser": THING, "weight": (0, 2)}),
    ("reconstruction.plug_and_play.from_numpy", {}, {"function": THING}),
    *[
        (f"reconstruction.plug_and_play.{name}", {"x": X, "sigma": 0.1}, {"x": SHAPE, "sigma": (-1, NAN)})
        for name in ("nlm", "tv", "wavelet")
    ],
]

METRICS = [
    (f"metrics.{name}", {"x": X, "reference": X}, {"x": IMAGES, "reference": (X[:1], X.to("meta"))} | more)
    for name, more in {
        "psnr": {"data_range": (*STEP, float("inf"))},
        "ssim": {"data_range": (*STEP, float("inf")), "window": CHOICE},
        "gmsd": {"data_range": (*STEP, float("inf"))},
        "sam": {},
    }.items()
]
METRICS += [
    ("metrics.ssim", {"reference": X[..., :6]}, {"x": (X[..., :6],)}),
    ("metrics.ssim", {"reference": X, "window": "gaussian"}, {"x": (X,)}),
    ("metrics.gmsd", {"reference": X[:, :2]}, {"x": (X[:, :2],)}),
    ("metrics.sam", {"reference": X[:, :1]}, {"x": (X[:, :1],)}),
]

DATA = [
    ("data.to_float", {}, {"images": (X, BYTES.long(), 3)}),
    ("data.whole_photograph", {}, {"source": ("lena", 3)}),
    ("data.photograph", {"name": "moon"}, {"name": CHOICE, "size": (0, 1.5)}),
    (
        "data.photograph_crops",
        {"split": "validation", "count": 1},
        {"split": CHOICE, "count": COUNT, "size": (*COUNT, 4000)},
    ),
    ("data.make_task", {"name": "sr2"}, {"name": CHOICE, "size": COUNT}),
    (
        "data.observe",
        {"x": X, "A": SAME, "sigma": 0.1, "seeds": [0, 1]},
        {"x": IMAGES, "sigma": NUMBER, "seeds": ([0],)},
    ),
    ("data.sparse_signals", {"n": 8, "sparsity": [1]}, {"n": COUNT, "sparsity": ([9], [-1], 3), "amplitudes": CHOICE}),
    ("data.bernoulli_gaussian", {"count": 8, "n": 8, "generator": None}, {"density": (-0.1, 1.1, NAN)}),
    ("data.patches.extract", {"x": X, "size": 3}, {"x": IMAGES, "size": (*COUNT, 9), "stride": COUNT}),
    (
        "data.patches.extract_adjoint",
        {"patches": torch.zeros(36, 27), "shape": (1, 3, 8, 8)},
        {"patches": (X, torch.zeros(5, 27), torch.zeros(36, 26))},
    ),
    ("data.patches.counts", {"shape": X.shape, "size": 3}, {"size": COUNT, "stride": COUNT}),
    ("data.patches.average", {"patches": torch.zeros(36, 27), "shape": (1, 3, 8, 8)}, {"patches": (X,)}),
    ("data.phantom.image", {}, {"size": COUNT}),
    (
        "data.phantom.sinogram",
        {"size": 8, "angles": [0]},
        {"size": COUNT, "angles": ([], [[0]]), "detectors": (0, 1.5)},
    ),
    ("data.spectra.spectrum_image", {"size": 8, "bands": 8}, {"size": (*COUNT, 7), "bands": COUNT_2}),
    ("data.spectra.poisson_counts", {"x": X, "dose": 10}, {"x": (*IMAGES, -X, NAN * X), "dose": POSITIVE}),
    ("data.spectra.broad_bands", {"wavelength": W}, {"filters": ({"X": (9.0, 0.1)},)}),
    ("data.spectra.nebula", {"size": 16, "bands": 8}, {"size": COUNT_2, "iron": NUMBER, "bands": COUNT_2}),
]

RECIPES_ = [
    ("training.Recipe", {}, {"model": ("gan",), "steps": COUNT, "batch": COUNT, "warmup": COUNT_0, "seed": COUNT_0}),
    ("training.Recipe", {}, dict.fromkeys(("lr", "clip", "noise", "ema", "share", "finish"), (-1, NAN))),
    ("training.draw_validation", {"recipe": RECIPE}, {"images": (X,)}),
    ("training.mean_loss", {"model": FLOW, "recipe": RECIPE}, {"images": (X,)}),
]

MODELS = [
    *of_model(FLOW, X, Z),
    *of_model(TIME, X, Z),
    *of_model(VAE, X, torch.zeros(2, 4)),
    *of_model(PLANE, POINTS, POINTS),
    (
        "models.glow.Glow",
        {"size": 8, "widths": [4]},
        {"size": COUNT, "channels": COUNT, "steps": (0, 1.5), "widths": ([], [0], ["4"]), "scale": CHOICE},
    ),
    (glow.Glow(8, steps=1, widths=[4]).initialize, {}, {"x": (X[:1], X[0], NAN * X)}),
    (FLOW.mixed_precision, {}, {"dtype": DTYPE}),
    (
        "models.flow_in_time.FlowInTime",
        {"size": 8, "widths": [4]},
        {"size": (*COUNT, 7), "channels": COUNT, "widths": ([], [1], ["4"]), "depth": COUNT},
    ),
    (flow_in_time.FlowInTime(8, widths=[4], depth=1).initialize, {}, {"x": (X[:1], X[0], NAN * X)}),
    (TIME.discretize, {}, {"steps": COUNT, "scheme": CHOICE}),
    (TIME.velocity, {"x": X, "t": 0.5}, {"x": SHAPE, "t": (*PER_IMAGE, 2)}),
    (TIME.denoise, {"y": X, "sigma": 0.1}, {"y": SHAPE, "sigma": PER_IMAGE}),
    (TIME.score, {"y": X, "sigma": 0.1}, {"y": SHAPE, "sigma": (*PER_IMAGE, 0)}),
    (TIME.encode_with_logdet, {"x": X}, {"by": CHOICE, "probes": COUNT}),
    (TIME.loss, {}, {"x": SHAPE}),
    (TIME.contractions, {}, {"x": SHAPE}),
    ("models.glow.dequantize", {"images": X}, {"images": (BYTES, 3), "sigma": NUMBER}),
    (
        "models.vae.VAE",
        {"size": 8, "widths": [4], "blocks": [0]},
        {
            "size": COUNT,
            "channels": COUNT,
            "dim": COUNT,
            "widths": ([], [0], [1.5]),
            "blocks": ([], [-1], [0, 0]),
            "eta": STEP,
            "beta": POSITIVE,
            "input_noise": NUMBER,
        },
    ),
    (VAE.elbo, {"x": X}, {"samples": COUNT}),
    (NET, {"x": X, "sigma": 0.1}, {"x": (*IMAGES, X[:, :2], *OTHER), "sigma": (*PER_IMAGE, None)}),
    (
        "models.denoiser.DnCNN",
        {"width": 4, "depth": 2},
        {"channels": COUNT, "width": COUNT, "depth": COUNT_2, "shuffle": COUNT, "sigmas": ((0.2, 0.1), (0.1,))},
    ),
    ("models.regression.upscale", {"y": X, "factor": 2}, {"y": IMAGES, "factor": COUNT}),
    ("models.regression.SRCNN", {}, {"channels": COUNT, "widths": ((64,), (2, 2)), "factors": ((), (0,))}),
    ("models.regression.VDSR", {}, {"width": COUNT, "depth": COUNT_2, "factors": ((),)}),
    ("models.flow2d.RealNVP", {}, {"dim": COUNT_2, "couplings": COUNT, "width": COUNT, "scale": CHOICE}),
    ("models.flow2d.Mixture", {"means": POINTS, "sigma": 1.0}, {"means": (3, torch.ones(2)), "sigma": POSITIVE}),
    (flow2d.blobs().log_prob, {}, {"x": (torch.ones(3, 3), 3)}),
    *[(f"models.flow2d.{name}", {}, {"sigma": POSITIVE}) for name in ("two_moons", "ring", "spiral", "blobs")],
    (
        "models.unrolled.LISTA",
        {"A": (4, 6)},
        {"A": (3, (4,), torch.ones(4), torch.zeros(4, 6)), "layers": COUNT, "lam": POSITIVE, "select": (-1, 1, NAN)},
    ),
    (unrolled.LISTA([4, 6], layers=1), {}, {"y": (torch.ones(2, 5), 3, torch.ones(2, 4).double())}),
    (
        "models.unrolled.ADMMNet",
        {},
        {"layers": COUNT, "side": (0, 2, 1.5), "knots": COUNT, "rho": POSITIVE, "lam": POSITIVE, "fraction": (0, 1.1)},
    ),
    (unrolled.ADMMNet(layers=1), {"y": X, "A": SAME}, {"y": (*BATCH, X[0], X.double()), "A": OPERATOR}),
]

COURSE = [
    ("plots.show", {"images": X}, {"images": ([], X[:0]), "columns": (0, 1.5)}),
    ("plots.as_array", {}, {"image": (X, X[0, 0])}),
    ("lab.widgets.choice", {"values": [1, 2]}, {"values": ([],), "start": (3,)}),
    ("lab.widgets.menu", {"values": "ab"}, {"values": ("",), "start": ("c",)}),
    ("lab.widgets.Explorer", {"alt": "a picture"}, {"draw": (3, None)}),
    ("lab.mask_editor.preset", {"name": "eyes"}, {"name": CHOICE, "size": (0, 12, 8.5)}),
    (
        "lab.mask_editor.hidden_psnr",
        {"image": X, "x": X, "mask": HOLE},
        {"image": IMAGES, "x": IMAGES, "mask": (3, HOLE[:, :4], ~HOLE | HOLE)},
    ),
    (
        "lab.mask_editor.MaskEditor",
        {"x": X[:1], "model": FLOW},
        {"x": (*IMAGES, X, X[:1, :, :4]), "start": CHOICE},
    ),
    ("studies.coverage.coverage", {"samples": torch.ones(9, 2), "truth": torch.ones(2)}, {"level": (0, 1, NAN)}),
    ("studies.coverage.stretch", {"samples": torch.ones(9, 2), "truth": torch.ones(2)}, {"level": (0, 1, NAN)}),
    (
        "studies.coverage.conformal_factor",
        {"stretches": torch.ones(9, 2), "level": 0.5},
        {"stretches": (torch.ones(9), torch.ones(9, 0)), "level": (0, 0.95, 1, NAN)},
    ),
    (
        "studies.phase_transition.phase_transition",
        {"n": 8},
        {"n": COUNT, "matrices": COUNT, "signals": COUNT, "deltas": ([0], [1.1])},
    ),
    ("studies.phase_transition.weak_threshold", {}, {"delta": (0, 1)}),
]

TABLE = [*OPERATORS, *REGULARIZERS, *SOLVERS, *RECONSTRUCTION, *METRICS, *DATA, *RECIPES_, *MODELS, *COURSE]

REASONS = {
    "takes nothing that can be wrong, or what others check": [
        *("operators.Identity", "operators.DCT", "operators.Operator", "regularizers.Regularizer", "regularizers.L0"),
        *("regularizers.L1", "regularizers.SquaredL2", "regularizers.Nuclear", "data.face", "data.grey_faces"),
        *("data.phantom.ellipses", "data.phantom.offsets", "training.learning_rate"),
    ],
    "*arguments without names, or two that are wrong together: below the table, in test_bad_input": [
        *("operators.Stack", "operators.tight_frame", "regularizers.Box"),
    ],
    "files and folders: FILES in test_bad_input": [
        *("data.read_image", "data.open_picture", "data.image_files", "data.load_folder", "data.save_grid"),
        *("training.Run", "training.train", "training.load_average", "training.load_sets", "training.load_validation"),
    ],
    "a record of results": [
        *("solvers.Result", "reconstruction.Result", "reconstruction.Posterior", "solvers.selection.Selection"),
        "data.spectra.Scene",
    ],
    "a part of a function whose arguments are checked": [
        *("metrics.check_pair", "metrics.result_dtype", "metrics.gradient_length", "metrics.norm", "metrics.unit"),
        *("data.patches.positions", "data.patches.pixels", "data.patches.check_size"),
        *(f"data.spectra.{name}" for name in ("mix", "edge", "core_loss", "smooth_fields", "abundance_maps", "line")),
        *("data.spectra.nebula_maps", "training.Objective", "training.draw_batch"),
        *("solvers.selection.estimate", "solvers.selection.squared_residual"),
        *("solvers.selection.grid", "solvers.selection.noise_energy", "solvers.selection.choose"),
        *("solvers.selection.check_rule", "solvers.selection.bend", "solvers.selection.slope"),
        *("reconstruction.plug_and_play.guarded", "reconstruction.plug_and_play.run"),
        "reconstruction.plug_and_play.checked_start",
    ],
}
"""Public names without a row, and why."""
