"""The checks of notebook 15: right, blank, and typical wrong answers."""


def psnr(mse):
    return -10 * mse.log10()


CASES = {
    "check_noiseless_deblurring": (
        "invertible",
        [("prior", "other tasks"), ("memory", "weights"), ("smooth", "15 dB"), ("luck", "choose one of")],
    ),
    "check_paired_gain": (
        lambda a, b: ((a - b).mean(), (a - b).std() / len(a) ** 0.5),
        [
            (lambda a, b: ((b - a).mean(), (a - b).std() / len(a) ** 0.5), "sign"),
            (lambda a, b: ((a - b).mean(), (a - b).std()), "single images"),
            (lambda a, b: ((a - b).mean(), (a - b).var() / len(a)), "square root"),
            (lambda a, b: ((a - b).mean(), ((a.var() + b.var()) / len(a)) ** 0.5), "same images"),
            (lambda a, b: ((a - b).mean(), (a - b).std(correction=0) / len(a) ** 0.5), "n − 1"),
            (lambda a, b: (a - b).mean(), "two numbers"),
            (lambda a, b: (a.mean(), b.mean()), "differences have the mean"),
        ],
    ),
    "check_two_means": (
        lambda mse: (psnr(mse).mean(), psnr(mse.mean())),
        [
            (lambda mse: (psnr(mse.mean()), psnr(mse).mean()), "order"),
            (lambda mse: (-psnr(mse).mean(), -psnr(mse.mean())), "sign"),
            (lambda mse: (-10 * mse.log().mean(), -10 * mse.mean().log()), "base 10"),
            (lambda mse: (psnr(mse).mean(), psnr(mse).mean()), "the same"),
            (lambda mse: (psnr(mse).median(), psnr(mse.mean())), "mean of the three"),
            (lambda mse: 3.0, "two numbers"),
        ],
    ),
}
