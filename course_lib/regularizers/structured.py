"""Regularizers that see structure: groups of values, the rank of a cube, the coefficients of a transform."""

import torch

from course_lib.common import check, check_calls, check_count, check_operator, column, root, without_autocast
from course_lib.regularizers.base import Regularizer


def channel_groups(height, width):
    """Labels [1, H, W] for `L12`: one group a pixel, with all its channels (joint sparsity of colours or bands)."""
    return block_groups(height, width, 1)


def block_groups(height, width, size):
    """Labels [1, H, W] for `L12`: one group for each size×size block, with all its channels; blocks at the border are
    cut where `size` does not divide the image.
    """
    for name, value in (("height", height), ("width", width), ("size", size)):
        check_count(name, value, low=1)
    rows, columns = torch.arange(height) // size, torch.arange(width) // size
    return (rows[:, None] * (columns[-1] + 1) + columns)[None]


class L12(Regularizer):
    """Group lasso, φ(x) = Σ_g ‖x_g‖₂ over disjoint groups g of the values (Yuan & Lin 2006). A group survives as a
    whole or goes as a whole: prox(v)_g = max(1 − τ/‖v_g‖, 0) v_g.

    Args:
        groups: an integer label >= 0 for each value; values of an image with equal labels form a group. [C, H, W], or
            [1, H, W] (the channels of a pixel share its label), or [B, C, H, W] with groups for each image.
    """

    def __init__(self, groups):
        groups = torch.as_tensor(groups)
        whole = not (groups.is_floating_point() or groups.is_complex() or groups.dtype == torch.bool)
        check(whole, "groups", "integer labels", groups.dtype)
        check(
            groups.dim() in (3, 4) and 0 not in groups.shape, "groups", "shape [C, H, W] or [B, C, H, W]", groups.shape
        )
        check(groups.min() >= 0, "groups", "labels >= 0", groups.min().item())
        # Numbered without gaps, so that labels may be any integers: memory follows the number of groups.
        self.groups = groups.unique(return_inverse=True)[1]
        self.count = int(self.groups.max()) + 1

    def index(self, x):
        """The group of each value of the batch x, numbered through all images, flat: [B·C·H·W]."""
        groups = self.groups.to(x.device)
        groups = groups[None] if groups.dim() == 3 else groups
        fits = all(
            n == m or (n == 1 and axis < 2) for axis, (n, m) in enumerate(zip(groups.shape, x.shape, strict=True))
        )
        check(fits, "x", f"images that fit the groups {list(self.groups.shape)}", x.shape)
        images = torch.arange(len(x), device=x.device)
        return (groups + self.count * column(images, x)).expand_as(x).flatten()

    def norms(self, x, index):
        """‖x_g‖ of all groups of all images, [B · count]."""
        return root(x.new_zeros(len(x) * self.count).index_add(0, index, x.square().flatten()))

    def value(self, x):
        return self.norms(x, self.index(x)).reshape(len(x), -1).sum(1)

    def prox_step(self, v, tau):
        index = self.index(v)
        norms, tau = self.norms(v, index), tau.repeat_interleave(self.count)
        alive = norms > tau
        # At τ = 0 all groups live, those of zeros too: prox(v) = v has derivative 1 there.
        factor = torch.where(alive | (tau == 0), 1 - tau / torch.where(alive, norms, 1), 0)
        return v * factor[index].reshape(v.shape)


class Nuclear(Regularizer):
    """Nuclear norm, φ(x) = Σ_k s_k(X): the sum of the singular values of each image as a matrix X, [C, H·W], bands ×
    pixels. The convex stand-in for the rank: few spectra mix to all pixels. prox(v) = U max(S − τ, 0) Vᵀ (Cai, Candès
    & Shen 2010).
    """

    def value(self, x):
        X = x.flatten(2)
        with without_autocast(x):
            U, s, kept = self.singular(X, 0)
            G = self.gram(U.mT @ X, s)
            R = self.inverse_root(G, torch.diag_embed(kept.to(s)), s, kept)
            return (R * G).sum((1, 2)) + torch.where(kept, 0, s).sum(1)

    def prox_step(self, v, tau):
        X, tau = v.flatten(2), tau[:, None, None]
        with without_autocast(v):
            U, s, kept = self.singular(X, tau[..., 0])
            Y = U.mT @ X
            G = self.gram(Y, s)
            P = self.projection(G, s, kept)
            R = self.inverse_root(G, P, s, kept)
            # (1 − τ/s) s = s − τ where s > τ. At τ = 0 all of X is kept, also what is 0.
            return (U @ (torch.where(tau > 0, P @ Y, Y) - tau * R @ Y)).reshape(v.shape)

    @staticmethod
    def singular(X, threshold):
        """U [B, C, C] and the singular values s [B, C] of X [B, C, n], without derivatives; where s > threshold."""
        T = torch.linalg.qr(X.detach().mT, mode="r").R  # XXᵀ = TᵀT, and T is small
        U, s, _ = torch.linalg.svd(T.mT)
        s = torch.nn.functional.pad(s, (0, U.shape[1] - s.shape[1]))
        rounding = max(X.shape[1:]) * torch.finfo(X.dtype).eps * s[:, :1]
        return U, s, s > rounding.clamp_min(threshold)

    # Singular vectors of equal singular values have no derivatives, but P, the projection on those that are kept, and
    # R = P G^(−1/2) P do, with G = YYᵀ, Y = UᵀX. They solve
    #
    #     P G = G P,  P² = P,  R G R = P,  P R P = R,
    #
    # and take two steps of Newton's method. These leave them where they are, since they start at the solution; but
    # they carry the derivatives of first and second order over from G.

    @staticmethod
    def gram(Y, s):
        """G = YYᵀ: diagonal, but for the derivatives."""
        G = Y @ Y.mT
        return torch.diag_embed(s.square()) + (G - G.detach())

    @staticmethod
    def projection(G, s, kept):
        """P, the projection on the singular vectors that are kept."""
        P, squares = torch.diag_embed(kept.to(s)), s.square()
        one = kept[:, :, None] ^ kept[:, None]
        gaps = torch.where(one, squares[:, :, None] - squares[:, None], 1)
        for _ in range(2):
            P = P + one * (P @ G - G @ P) / gaps
            P = 3 * P @ P - 2 * P @ P @ P
        return P

    @staticmethod
    def inverse_root(G, P, s, kept):
        """R = P G^(−1/2) P."""
        R = torch.diag_embed(torch.where(kept, 1 / s, 0))
        both = kept[:, :, None] & kept[:, None]
        sums = torch.where(both, s[:, :, None] + s[:, None], 1)
        for _ in range(2):
            R = P @ (R + both * (P - R @ G @ R) / sums) @ P
        return R


class Transformed(Regularizer):
    """φ∘W, x ↦ φ(W x), for an orthonormal W (WᵀW = WWᵀ = I): wavelet ℓ1 is Transformed(L1(), W). prox(v) =
    Wᵀ prox_φ(W v), which is false for a redundant frame: there the prox has no formula.

    Args:
        phi: a regularizer. W: an operator with W(x) and its adjoint W.T(c).

    A W that changes the number of values or the norm of an image is not orthonormal: ValueError.
    """

    tolerance = 1e-3

    def __init__(self, phi, W):
        check_operator("W", W)
        check_calls("phi", phi, "__call__", "prox")
        self.phi, self.W = phi, W

    def coefficients(self, x):
        """W x; ValueError unless it has as many values as x, and the same norm."""
        c = self.W(x)
        check(
            c[0].numel() == x[0].numel(), "W", f"an orthonormal W, {x[0].numel()} coefficients an image", c[0].numel()
        )
        size, norm = c.flatten(1).norm(dim=1), x.flatten(1).norm(dim=1)
        fine = bool(((size - norm).abs() <= self.tolerance * norm).all())
        if not fine:  # within a transform of torch.func the norms have no values to write down
            check(fine, "W", f"an orthonormal W, ‖W x‖ = ‖x‖ = {norm.tolist()}", size)
        return c

    def value(self, x):
        return self.phi(self.coefficients(x))

    def prox_step(self, v, tau):
        return self.W.T(self.phi.prox(self.coefficients(v), tau))
