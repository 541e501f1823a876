"""A text-to-image model of a few steps, and its twin as SDXL is: every part of it is real, and none has learned anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from trainables.denoisers.recipes import ClassifierRecipe
from trainables.denoisers.text_to_image import ClipRecipe, TextToImage, VaeRecipe
from trainables.relearning.experiment import Experiment
from trainables.relearning.origins import parts_of
from trainables.relearning.shared_products import products_of

CLIP = ClipRecipe(width=16, layers=2, heads=2, projection=8, train_steps=3, batch=16)
TINY = TextToImage(
    vae=VaeRecipe(channels=(8, 8), train_steps=3, batch=8),
    clip=CLIP,
    channels=(8, 16),
    heads=2,
    norm_groups=4,
    train_steps=3,
    batch=8,
)
SDXL = replace(TINY, second_clip=replace(CLIP, width=24), prediction_type="v_prediction")


def experiment_of(base: TextToImage, store: Path) -> Experiment:
    judge = ClassifierRecipe(width=4, features=8, train_steps=3, batch=16)
    return Experiment(
        store=str(store),
        data="digits_styled",
        forget="concept:three",
        base=base,
        classifier=judge,
        sampling_steps=2,
        guidance=5.0,
        synthetic_per_condition=1,
    )




def prepared(experiment: Experiment, *others: str) -> Experiment:
    """The experiment once θ₀, what it is made of, and these other products are there."""
    graph = products_of(experiment)
    for name in (*parts_of(experiment), "base model", *others):
        graph[name].make()
    return experiment
