"""Deep generative priors for imaging inverse problems: the library behind the course.

One equation is the map: x̂ = argmin_x ½‖A x − y‖² + λ φ(x). The notation, used by library and notebooks alike:

| symbol | meaning | Python |
|---|---|---|
| x, x̂ | image, its estimate: [B, C, H, W] in [0, 1] | `x`, `result.x` |
| y | observation, y = A x + n | `y` |
| A, Aᵀ | forward operator and its adjoint | `A(x)`, `A.T(y)` |
| n, σ | noise, its standard deviation in units of the image | `n`, `sigma` |
| λ | weight of the regularization | `lam` |
| φ | regularizer, with its proximal operator | `phi(x)`, `phi.prox(v, tau)` |
| z | latent, [B, D], z ~ N(0, I) | `z` |
| D, E | generator (decoder) z ↦ x, encoder x ↦ z; for a flow E = D⁻¹ | `model.decode(z)`, `model.encode(x)` |
| J_E | Jacobian of E; log|det J_E(x)| | `logdet` |

Modules, from the ground up: `operators`, `patches`, `regularizers`, `metrics`, `data`, `spectra`, `phantom`,
`models`, `weights`, `solvers`, `selection`, `compressed_sensing`, `plug_and_play`, `reconstruction`, `training`,
`plots`, `widgets`, `exercises`, `scores`, `methods`, `experiments`, `couplings`, `domains`, `gallery`, `student`,
`links`, `tidy`.
"""

__version__ = "0.1.0"
