"""The priors that restore a picture, each as a list of stages x ↦ x⁺, after any of which it can be put aside."""

from skimage.data import lbp_frontal_face_cascade_filename
from skimage.feature import Cascade

from course_lib.common import check
from course_lib.models.weights import load_model
from course_lib.operators import Identity
from course_lib.reconstruction import patch_map, warm_start
from course_lib.reconstruction.base import HALF_GREY, geometric
from course_lib.regularizers import TV
from course_lib.restore.problems import BlurInFrame
from course_lib.solvers import primal_dual

PRIORS = ("pnp", "patches", "tv", "face")

MEGAPIXEL = 2**20
"""The most pixels for the priors that are slow."""

START, STEPS, WEIGHT = 0.2, {"pnp": 8, "face": 16}, 0.23
"""Of plug and play: the strength with which it starts, the number of its steps, and λ (Zhang et al. 2021)."""

FACE = (17, 10)
"""Row and column where the detector finds the faces of `data.face`, 42 pixels wide."""

TILE = 512
"""Side of the tiles of the denoiser, in pixels."""

KINDS = {
    "pnp": "plug and play with the denoiser DnCNN (notebook 09)",
    "patches": "the flow of patches (notebook 18)",
    "tv": "total variation (notebook 04)",
    "face": "plug and play with the flow in time of faces (notebook 19)",
}


def choose_prior(prior, problem):
    """(prior, why): the one that was asked for, or for `auto` the one that suits the picture. ValueError where it can't
    restore such a picture."""
    x, shape = problem.x0, list(problem.x0.shape)
    pixels = x.shape[2] * x.shape[3]
    check(prior in ("auto", *PRIORS), "prior", f"auto or one of {PRIORS}", repr(prior))
    fits_face = shape == [1, 3, 64, 64] and not isinstance(problem.A, BlurInFrame)
    if prior == "face":
        check(fits_face, "prior", "for face, a result of 64×64 pixels in colour, and no blur", f"{shape[3]}×{shape[2]}")
    if prior in ("patches", "tv"):
        check(pixels <= MEGAPIXEL, "prior", f"for {prior}, a result of at most {MEGAPIXEL} pixels", pixels)
    if prior == "patches":
        check(min(shape[2:]) >= 16, "prior", "for patches, sides of at least 16 pixels", shape[2:])
    if prior != "auto":
        return prior, "as asked"
    if shape == [1, 3, 64, 64] and fits_face and is_aligned_face(x):
        return "face", "scikit-image finds a face where those of the training are"
    if problem.mask is not None and shape[1] == 1 and pixels <= MEGAPIXEL and min(shape[2:]) >= 16:
        return "patches", "pixels are missing in a grey picture of at most a megapixel"
    return "pnp", "it serves any picture of any size"


def is_aligned_face(x):
    """Whether there is a face in x, [1, 3, 64, 64], at the place of those that the flow of faces was trained on, by
    scikit-image's detector (a cascade of local binary patterns)."""
    detector = Cascade(lbp_frontal_face_cascade_filename())
    picture = (255 * x[0].permute(1, 2, 0).clamp(0, 1)).byte().cpu().numpy()
    found = detector.detect_multi_scale(picture, scale_factor=1.1, step_ratio=1, min_size=(34, 34), max_size=(50, 50))
    return any(abs(face["r"] - FACE[0]) <= 6 and abs(face["c"] - FACE[1]) <= 6 for face in found)


def stages_of(prior, problem, steps):
    """The stages of a prior: functions of a state {"x": x, …}, the first of them of the cheap start x0, to the next."""
    y, A, sigma = problem.y, problem.A, max(problem.sigma, HALF_GREY)
    total_variation = of_state(lambda x: warm_start(y, A, sigma))
    if prior in STEPS:
        steps = 1 if isinstance(A, Identity) else steps or STEPS[prior]
        if prior == "pnp":
            denoiser = load_model("dncnn", y.device)
            margin = denoiser.config["shuffle"] * denoiser.config["depth"]  # as far as a pixel's result depends on
        else:  # a face has one tile
            denoiser, margin = load_model("flow_in_time", y.device).denoise, 0
        stages = splitting_stages(y, A, sigma, denoiser, margin, geometric(START, sigma, steps), x=problem.x0)
        # So few steps fill no wide hole from its border: on the square of 16 pixels a better start is worth 3 dB.
        wanted = problem.mask is not None and problem.x0[0, 0].numel() <= MEGAPIXEL
        return [total_variation, *stages] if wanted else stages
    if prior == "patches":
        flow = load_model("patch_glow", y.device)

        def round_of(k):
            # Divided by σ, the noise has variance 1, and λ = ½: numbers of a size that suits L-BFGS.
            return lambda x: patch_map(y / sigma, (1 / sigma) * A, flow, 0.5, x, rounds=1, steps=12, seed=k).x

        return [total_variation, *(of_state(round_of(k)) for k in range(steps or 4))]
    options = {"steps": steps or 1000, "tolerance": 1e-5}
    return [of_state(lambda x: primal_dual(y, A, TV(), 0.1 * sigma, x, **options).x)]


def of_state(function):
    """A function x ↦ x⁺ as a stage."""
    return lambda state: {"x": function(state["x"])}


def splitting_stages(y, A, sigma, denoiser, margin, strengths, x, side=None):
    """The stages of `plug_and_play.hqs`, x⁺ = f(v, s_k) with v = argmin_v ½‖A v − y‖² + (ρ_k/2)‖v − x‖²: one for v, and
    one for each tile of x⁺.

    A tile takes the memory of a tile, and yet is what it is in the whole image: it sees `margin` pixels beyond its
    borders, as far as a pixel of the denoiser's result depends on.
    """
    side = TILE if side is None else side

    def data(s):
        def stage(state):
            return {"x": state["x"], "v": A.prox(state["x"], y, WEIGHT * sigma**2 / s**2)}

        return stage

    def tile(s, i, j):
        top, left = max(i - margin, 0), max(j - margin, 0)

        def stage(state):
            seen = state["v"][:, :, top : i + side + margin, left : j + side + margin]
            inner = denoiser(seen, s)[:, :, i - top :, j - left :][:, :, :side, :side]
            state["x"][:, :, i : i + side, j : j + side] = inner
            return state

        return stage

    corners = [(i, j) for i in range(0, x.shape[2], side) for j in range(0, x.shape[3], side)]
    return [stage for s in strengths for stage in (data(s), *(tile(s, i, j) for i, j in corners))]
