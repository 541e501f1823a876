"""A metric from outside the packages: ``--members tests/questions/brightness.py``."""

from trainables.metrics import Evaluation, Figure, Figures, register

FIGURES = (Figure("brightness", description="mean of all pixels, in [-1, 1]"),)


@register("brightness", FIGURES)
def brightness(samples: Evaluation) -> Figures:
    return {"brightness": float(samples.images.mean())}
