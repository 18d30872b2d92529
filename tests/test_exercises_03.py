"""The checks of notebook 03 tell right from blank from typical wrong answers, and name the mistake."""

import torch


def rows(v):
    return v.norm(dim=1, keepdim=True)


CASES = {
    "check_soft_threshold": (
        lambda v, tau: v.sign() * (v.abs() - tau).clamp_min(0),
        [
            (lambda v, tau: torch.where(v.abs() > tau, v, 0), "hard threshold"),
            (lambda v, tau: torch.where(v.abs() > (2 * tau) ** 0.5, v, 0), "which counts"),
            (lambda v, tau: v - tau * v.sign(), "cross 0"),
            (lambda v, tau: (v - tau).clamp_min(0), "negative ones"),
            (lambda v, tau: (v.abs() - tau).clamp_min(0), "sign is lost"),
            (lambda v, tau: v / (1 + tau), "removes nothing"),
            (lambda v, tau: v.sign() * (v.abs() - 2 * tau).clamp_min(0), "derivative"),
            (lambda v, tau: v.sum(), "shape"),
            (lambda v: v, "TypeError"),
        ],
    ),
    "check_rates": (
        (100, 10),
        [
            ((10, 100), "other way round"),
            ((100, 10000), "fewer steps"),
            ((10, 10), "C/k'"),
            ((100, 50), "C/k'²"),
            (100, "two numbers"),
            (("a", 10), "one number"),
        ],
    ),
    "check_group_threshold": (
        lambda v, tau: v * (1 - tau / rows(v).clamp_min(1e-12)).clamp_min(0),
        [
            (lambda v, tau: v * (rows(v) - tau).clamp_min(0) / rows(v), "0/0"),
            (lambda v, tau: v.sign() * (v.abs() - tau).clamp_min(0), "each value alone"),
            (lambda v, tau: v * (1 - tau / v.norm(dim=0, keepdim=True)).clamp_min(0), "dim=1"),
            (lambda v, tau: v * (1 - tau / rows(v).clamp_min(1e-9)), "change sign"),
            (lambda v, tau: torch.where(rows(v) > tau, v, 0), "shrink by τ"),
            (lambda v, tau: v / (1 + tau), "max(1"),
            (lambda v, tau: v[0], "shape"),
        ],
    ),
    "check_frame": ("synthesis", [("same", "orthonormal"), ("analysis", "c = W x̂"), ("both", "choose one")]),
}
