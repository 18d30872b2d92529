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

The rooms, from the ground up; each imports only from those before it:

| room | what is there |
|---|---|
| `common`, `metrics` | checks of arguments, the progress bar, files written whole; PSNR and SSIM |
| `operators` | A and its exact adjoint; the prox of the data term |
| `regularizers` | φ: value and prox |
| `solvers` | algorithms for (y, A, …), and the choice of λ: `selection` |
| `models` | networks, one a file; their trained weights: `load_model(name)` |
| `data` | photographs, the face, folders; spectra, phantoms, sparse signals, patches; the tasks of the source |
| `reconstruction` | priors at work: synthesis, analysis, MAP, posterior, patches, plug and play |
| `training` | one resumable loop, one recipe a model |
| `plots` | figures and schematics |
| `bridge` | the same things as those of deepinv, and back |
| `restore` | pictures of your own: files in and out, tiles, what the prior invented |
| `lab` | what a notebook teaches with: exercises, widgets, the mask editor |
| `studies` | what the tables are made with: methods, one store of what was measured, one study a file, figures |
| `tools` | what authors and teachers run: student versions, links, tidy |

`python -m course_lib` is the command line. Nothing here is loaded before it is imported.
"""

__version__ = "0.1.0"
