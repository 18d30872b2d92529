"""The checks of notebook 16: right, blank, and typical wrong answers."""


def gains(home, home_tv, abroad, abroad_tv):
    return (home - home_tv).mean(), (abroad - abroad_tv).mean()


def lost(combine):
    return lambda *psnrs: combine(*gains(*psnrs))


def alarm(values, faces, factor=3):
    return (values - faces.mean()).abs() > factor * faces.std()


CASES = {
    "check_prior_abroad": (
        "most",
        [("none", "neighbouring"), ("few", "smooth"), ("half", "coin"), ("all", "choose one of")],
    ),
    "check_start_abroad": (
        "image",
        [("face", "projection"), ("mean", "not 0"), ("nothing", "everywhere"), ("noise", "choose one of")],
    ),
    "check_gain_lost": (
        lost(lambda home, abroad: home - abroad),
        [
            (lost(lambda home, abroad: abroad - home), "the sign"),
            (lambda home, home_tv, abroad, abroad_tv: home.mean() - abroad.mean(), "different images"),
            (lost(lambda home, abroad: home), "at home. Subtract"),
            (lost(lambda home, abroad: abroad), "abroad. Subtract"),
            (lost(lambda home, abroad: home + abroad), "difference of two"),
            (lost(lambda home, abroad: home / abroad), "ratio"),
            (lambda home, home_tv, abroad, abroad_tv: home_tv.mean() - abroad_tv.mean(), "two TVs"),
            (lost(lambda home, abroad: 7.0), "dB at home become"),
            (lost(lambda home, abroad: "much"), "one number"),
        ],
    ),
    "check_alarm": (
        alarm,
        [
            (lambda values, faces: ~alarm(values, faces), "other way round"),
            (lambda values, faces: values - faces.mean() > 3 * faces.std(), "too small is"),
            (lambda values, faces: values - faces.mean() < -3 * faces.std(), "too large is"),
            (lambda values, faces: (values - faces.mean()).abs() > 3 * faces.var(), "variance"),
            (lambda values, faces: alarm(values, faces, 1), "not one"),
            (lambda values, faces: alarm(values, faces, 2), "not two"),
            (lambda values, faces: values > 3 * faces.std(), "not from 0"),
            (lambda values, faces: alarm(values, values), "to be judged"),
            (lambda values, faces: (values - faces.mean()).abs() / faces.std(), "rings"),
            (lambda values, faces: alarm(values, faces).any(), "shape [9]"),
            (lambda values, faces: values < 1.2, "3 × their"),
        ],
    ),
}
