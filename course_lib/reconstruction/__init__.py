"""Generative priors at work: x̂ from y = A x + n and a model with `encode` (E) and `decode` (D).

    synthesis (3)   x̂ = D(argmin_z ½‖A D(z) − y‖² + λ‖z‖²)                         Bora et al. 2017, Asim et al. 2020
    analysis (4)    x̂ = argmin_x ½‖A x − y‖² + λ‖E(x)‖²                            Oberlin & Verm 2021
    MAP             x̂ = argmin_x ½‖A x − y‖² + λ(‖E(x)‖² − 2 log|det J_E(x)|)
    joint MAP       x̂, ẑ = argmin ½‖A x − y‖² + λ(‖x − D(z)‖²/η + ‖z‖²), for a VAE   González, Almansa & Tan 2022

With λ = σ²/2 the MAP is −σ² log p(x | y) up to a constant, for n ~ N(0, σ² I) and a flow's density p(x). Synthesis
and analysis are one function of x = D(z) where D is a bijection; the MAP differs from them by the log-determinant.
`splitting` solves the MAP by turns, data term and prior, while the noise that it assumes is annealed.
`sample_posterior` asks not for one image but for all that are probable. `plug_and_play` is a module of its own: there
the prior is a denoiser. So is `guided`, whose prior is the velocity of a flow in time: `dps`, `pigdm`, `diffpir` and
`pnp_flow`.
"""

from course_lib.reconstruction import guided, plug_and_play
from course_lib.reconstruction.base import (
    analysis_objective,
    bayesian,
    data_term,
    map_objective,
    synthesis_objective,
    warm_start,
)
from course_lib.reconstruction.estimates import analysis, map_estimate, recommended, splitting, synthesis
from course_lib.reconstruction.guided import diffpir, dps, pigdm, pnp_flow
from course_lib.reconstruction.joint import joint_map, joint_objective, vae_analysis
from course_lib.reconstruction.patch_prior import patch_map, patch_penalty
from course_lib.reconstruction.posterior import (
    InPixels,
    Posterior,
    effective_size,
    laplace,
    sample_posterior,
    split_rhat,
)
from course_lib.solvers.base import Result
