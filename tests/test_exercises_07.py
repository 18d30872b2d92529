"""The checks of notebook 07 tell right from blank from typical wrong answers, and name the mistake."""


def mean(weigh, normalize=True):
    """An answer with the weights (w_a, w_b) = weigh(r_a, r_b, sigma, p) of the squared residuals."""

    def answer(y, a, b, A, sigma, p):
        wa, wb = weigh((y - A(a)).square().sum(), (y - A(b)).square().sum(), sigma, p)
        return (wa * a + wb * b) / (wa + wb if normalize else 1)

    return answer


def likelihood(r, sigma, scale=2):
    return (-r / (scale * sigma**2)).exp()


def weights(ra, rb, sigma, p):
    return p * likelihood(ra, sigma), (1 - p) * likelihood(rb, sigma)


CASES = {
    "check_two_point_mean": (
        mean(weights),
        [
            (lambda y, a, b, A, sigma, p: a, "decides"),
            (lambda y, a, b, A, sigma, p: b, "decides"),
            (mean(lambda ra, rb, sigma, p: (p, 1 - p)), "before y was seen"),
            (mean(lambda ra, rb, sigma, p: weights(ra, rb, sigma, 0.5)), "prior probabilities"),
            (
                mean(lambda ra, rb, sigma, p: (p * likelihood(ra, sigma, 1), (1 - p) * likelihood(rb, sigma, 1))),
                "mind the 2",
            ),
            (mean(lambda ra, rb, sigma, p: weights(ra, rb, sigma, 1 - p)), "belongs to a"),
            (mean(weights, normalize=False), "add to 1"),
            (lambda y, a, b, A, sigma, p: y, "shape"),
        ],
    ),
    "check_receptive_field": (
        lambda kernels: 1 + sum(k - 1 for k in kernels),
        [
            (sum, "two 3×3"),
            (lambda kernels: sum(k - 1 for k in kernels), "its own"),
            (max, "add up"),
            (lambda kernels: 1 + sum(k // 2 for k in kernels), "both sides"),
            (lambda kernels: 100, "the width is 13"),
            (lambda kernels: "wide", "one number"),
            (13, "a function"),
        ],
    ),
    "check_projection": (
        lambda x, y, A: x + A.factor**2 * A.T(y - A(x)),
        [
            (lambda x, y, A: x + A.T(y - A(x)), "divided by k²"),
            (lambda x, y, A: x - A.factor**2 * A.T(y - A(x)), "this sign"),
            (lambda x, y, A: x + A.factor * A.T(y - A(x)), "not k"),
            (lambda x, y, A: A.factor**2 * A.T(y), "start from x"),
            (lambda x, y, A: x + 4 * A.T(y - A(x)), "not 2"),
            (lambda x, y, A: y - A(x), "shape of y"),
            (lambda x, y, A: x, "plus A.factor"),
        ],
    ),
    "check_worst_degradation": (
        "decimation",
        [("blur", "too soft"), ("noise", "grain"), ("factor", "in its training"), ("colour", "choose one")],
    ),
}
