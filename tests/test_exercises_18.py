"""The checks of notebook 18: right, blank, and typical wrong answers."""


def penalty(values=lambda z, logdet: z.square().sum(1) - 2 * logdet, combine=lambda v, z, d: v.mean() * d / z.shape[1]):
    return lambda z, logdet, d: combine(values(z, logdet), z, d)


CASES = {
    "check_fewest_bits": (
        "flat",
        [("photographs", "guessed"), ("noise", "harder to predict"), ("same", "integrates"), ("all", "choose one of")],
    ),
    "check_pixels_once": (
        penalty(),
        [
            (penalty(combine=lambda v, z, d: v.sum()), "several times"),
            (penalty(combine=lambda v, z, d: v.mean()), "mean patch"),
            (penalty(combine=lambda v, z, d: v.mean() / z.shape[1]), "d alone is missing"),
            (penalty(combine=lambda v, z, d: v.mean() * d), "divide by"),
            (penalty(lambda z, logdet: z.square().sum(1) + 2 * logdet), "sign"),
            (penalty(lambda z, logdet: z.square().sum(1) - logdet), "twice"),
            (penalty(lambda z, logdet: z.square().sum(1)), "log-determinant is missing"),
            (penalty(lambda z, logdet: z.square().sum(1) / 2 - 2 * logdet), "without ½"),
            (penalty(combine=lambda v, z, d: v), "average over the patches"),
            (penalty(combine=lambda v, z, d: 0.0), "mean of ‖z‖²"),
        ],
    ),
    "check_map_weight": (
        lambda sigma, span: (sigma / span) ** 2 / 2,
        [
            (lambda sigma, span: sigma**2 / 2, "noise of c"),
            (lambda sigma, span: (sigma * span) ** 2 / 2, "multiplied"),
            (lambda sigma, span: (sigma / span) ** 2, "½ is missing"),
            (lambda sigma, span: sigma / span / 2, "square it"),
            (lambda sigma, span: sigma**2 / span / 2, "span², not span"),
            (lambda sigma, span: span, "half its square"),
            (lambda sigma, span: 0.5, "tensor"),
            (lambda sigma, span: ((sigma / span) ** 2 / 2).mean(), "shape [4]"),
        ],
    ),
    "check_wrong_kernel": (
        "wide",
        [("narrow", "leaves some blur"), ("same", "amplify"), ("none", "choose one of")],
    ),
}
