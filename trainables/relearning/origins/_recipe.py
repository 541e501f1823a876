"""Of an experiment whose base model is told prompts and trained here, the recipe."""

from __future__ import annotations

from trainables.denoisers.text_to_image import TextToImage
from trainables.relearning.experiment import Experiment


def text_to_image_recipe(experiment: Experiment) -> TextToImage:
    assert isinstance(experiment.base, TextToImage), "a recipe's origin says whose parts these are"
    return experiment.base
