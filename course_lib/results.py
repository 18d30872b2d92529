"""What every reconstruction returns, and the data term that they share."""

from dataclasses import dataclass, field

import torch

from course_lib.common import check


@dataclass
class Reconstruction:
    """What a reconstruction returns.

    Args:
        image: x̂, [B, C, H, W], not clipped.
        latent: ẑ, [B, D]: E(x̂), where there is an encoder.
        history: curves [k + 1, B] over the steps. Generative priors: `objective`; with `truth` also `data`
            (½‖A x − y‖²), `psnr` (of the image clipped to [0, 1]) and `latent` (‖z‖²/D). Plug and play: `data`,
            `change` (the root mean square of the last move) and, with `truth`, `psnr`.
        lam: λ of each image, [B].
        evaluations: gradients, or calls of the denoiser, that each image has cost, [B].
    """

    image: torch.Tensor
    latent: torch.Tensor | None = None
    history: dict = field(default_factory=dict)
    lam: torch.Tensor | None = None
    evaluations: torch.Tensor | None = None


def data_term(x, y, A):
    """½‖A x − y‖² of each image, [B]; ValueError unless A x has the shape of y."""
    Ax = A(x)
    check(Ax.shape == y.shape, "y", f"the shape of A(x), {list(Ax.shape)}", y.shape)
    return 0.5 * (Ax - y).flatten(1).square().sum(1)
