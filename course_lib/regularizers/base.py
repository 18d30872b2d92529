"""The class `Regularizer`."""

from course_lib.common import check_batch, one_per_image


class Regularizer:
    """φ: `phi(x)` is its value, [B], and `phi.prox(v, tau)` is argmin_x τ φ(x) + ½‖x − v‖², of the shape of v."""

    def __call__(self, x):
        check_batch("x", x, 4)
        return self.value(x)

    def prox(self, v, tau):
        """argmin_x τ φ(x) + ½‖x − v‖² for images v [B, C, H, W] and τ >= 0, a number or a tensor [B]."""
        check_batch("v", v, 4)
        return self.prox_step(v, one_per_image("tau", tau, v))

    def value(self, x):
        """φ(x), [B], of checked images; a subclass gives the formula."""
        raise NotImplementedError

    def prox_step(self, v, tau):
        """The prox of checked images v and τ of shape [B]; a subclass gives the formula."""
        raise NotImplementedError
