"""The checks of notebook 18: right, blank, and typical wrong answers."""

from course_lib.reconstruction import patch_map


def penalty(values=lambda z, logdet: z.square().sum(1) - 2 * logdet, combine=lambda v, z, d: v.mean() * d / z.shape[1]):
    return lambda z, logdet, d: combine(values(z, logdet), z, d)


def weights(variance=lambda H, m, N: (H**2 * m[:, None] / N).sum(0), power=2, half=2):
    return lambda H, mean, dose, span: variance(H, mean, dose) / span**power / half


def holdout(shown=lambda seen, held: seen & ~held, told=None, asked=lambda seen, held: seen & held, mean=None):
    def answer(restore, y, seen, held):
        kept = shown(seen, held)
        missed = (restore(y * kept, kept if told is None else told(seen, held)) - y)[..., asked(seen, held)]
        return mean(missed) if mean else missed.square().mean().sqrt()

    return answer


CASES = {
    "check_favourite_grain": (
        "clean",
        [("trained", "flow draws"), ("same", "away from the centre"), ("all", "choose one of")],
    ),
    "check_pixels_once": (
        penalty(),
        [
            (penalty(combine=lambda v, z, d: v.sum()), "several times"),
            (penalty(combine=lambda v, z, d: v.mean()), "mean patch"),
            (penalty(combine=lambda v, z, d: v.mean() * d / len(z)), "divided by the number of patches"),
            (penalty(combine=lambda v, z, d: v.mean() * d / z.shape[1] / len(z)), "divided by the number of patches"),
            (penalty(combine=lambda v, z, d: v.mean() / z.shape[1]), "d alone is missing"),
            (penalty(combine=lambda v, z, d: v.mean() * d), "divide by"),
            (penalty(lambda z, logdet: z.square().sum(1) + 2 * logdet), "sign"),
            (penalty(lambda z, logdet: z.square().sum(1) - logdet), "twice"),
            (penalty(lambda z, logdet: z.square().sum(1)), "log-determinant is missing"),
            (penalty(lambda z, logdet: z.square().sum(1) / 2 - 2 * logdet), "without ½"),
            (penalty(combine=lambda v, z, d: v), "average over the patches"),
            (penalty(combine=lambda v, z, d: 0.0), "start from the mean"),
        ],
    ),
    "check_map_weight": (
        weights(),
        [
            (weights(variance=lambda H, m, N: (H * m[:, None] / N).sum(0)), "weights squared"),
            (weights(variance=lambda H, m, N: (H * (m / N).sqrt()[:, None]).sum(0) ** 2), "add their variances"),
            (weights(variance=lambda H, m, N: (H**2 * m[:, None]).sum(0)), "with dose N is"),
            (weights(power=0), "noise of c"),
            (weights(power=-2), "multiplied"),
            (weights(power=1), "not by span"),
            (weights(half=1), "½ is missing"),
            (lambda H, m, N, span: ((H**2 * m[:, None] / N).sum(0)).sqrt() / span / 2, "half a standard deviation"),
            (lambda H, m, N, span: span, "by span² and by 2"),
            (lambda H, m, N, span: 0.5, "tensor"),
        ],
    ),
    "check_scan": (
        lambda y, A, sigma, flow, x0: patch_map(y / sigma, (1 / sigma) * A, flow, 0.5, x0, rounds=12, steps=4).x,
        [
            (lambda y, A, sigma, flow, x0: x0, "the first point is at 0.2 dB"),
            (lambda y, A, sigma, flow, x0: x0[:1], "shape [3, 1, 64, 64]"),
            (lambda y, A, sigma, flow, x0: y, "shape [3, 1, 64, 64]"),
            (lambda y, A, sigma, flow, x0: x0 / 0, "NaN"),
        ],
    ),
    "check_wrong_kernel": (
        "wide",
        [("narrow", "leaves some blur"), ("same", "amplify"), ("none", "choose one of")],
    ),
    "check_holdout": (
        holdout(),
        [
            (holdout(shown=lambda seen, held: seen), "has been shown"),
            (holdout(told=lambda seen, held: seen), "takes their zeros"),
            (holdout(asked=lambda seen, held: held), "nothing to compare"),
            (holdout(asked=lambda seen, held: seen), "held back"),
            (holdout(asked=lambda seen, held: seen | ~seen), "held back"),
            (holdout(asked=lambda seen, held: ~(seen & ~held)), "held back"),
            (holdout(lambda seen, held: seen & held, asked=lambda seen, held: seen & ~held), "other way round"),
            (holdout(mean=lambda missed: missed.square().mean()), "root is missing"),
            (holdout(mean=lambda missed: missed.abs().mean()), "mean of the sizes"),
            (holdout(mean=lambda missed: missed.square().sum().sqrt()), "where both are True"),
            (holdout(mean=lambda missed: missed), "one number"),
        ],
    ),
}
