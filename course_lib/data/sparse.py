"""Sparse signals [B, 1, 1, n] for compressed sensing, and the codes that LISTA trains on."""

import torch

from course_lib.common import as_generator, check, check_count


def sparse_signals(n, sparsity, amplitudes="normal", seed=0, dtype=None):
    """Signals [B, 1, 1, n], the b-th with sparsity[b] values other than 0 at random places: N(0, 1), or ±1.

    Args:
        n: length. sparsity: B integers from 0 to n. amplitudes: "normal" or "signs". seed: of all that is drawn.
    """
    check(amplitudes in ("normal", "signs"), "amplitudes", "'normal' or 'signs'", repr(amplitudes))
    check_count("n", n, low=1)
    sparsity = torch.as_tensor(sparsity)
    fits = sparsity.dim() == 1 and bool(((sparsity >= 0) & (sparsity <= n)).all())
    check(fits, "sparsity", f"a sequence of numbers from 0 to {n}", sparsity.tolist())
    generator = as_generator(seed)
    values = torch.randn(len(sparsity), n, generator=generator, dtype=torch.float64)
    order = torch.rand(len(sparsity), n, generator=generator).argsort(1)
    x = (values.sign() if amplitudes == "signs" else values) * (order < sparsity[:, None])
    return x[:, None, None].to(dtype or torch.get_default_dtype())


def bernoulli_gaussian(count, n, density, generator):
    """Codes [count, 1, 1, n] whose values are N(0, 1) with probability `density`, independently, and else 0."""
    check(0 <= density <= 1, "density", "a share in [0, 1]", density)
    values = torch.randn(count, 1, 1, n, generator=generator)
    return values * (torch.rand(values.shape, generator=generator) < density)
