"""Base models by size: how far each differs from the smallest, which is `trainables.denoisers.recipes.BaseModel` as it stands.

Measured once, on one core of an AVX2 machine: medium on Fashion-MNIST at 16 pixels trains at .38 s a step, 11.3 core-minutes
in all. Of 300 samples by DDIM-10, 81 % are given the class they were prompted with (DDIM-20 83 %, DPM-Solver++-10 81 %,
DDIM-10 with guidance 2 95 %), by a classifier that is right on 87 % of 3,000 held-out images. Self-attention outside the
middle block would cost a third more a step there. Large has been built, not trained.

The text-to-image model, measured once too, in core-seconds of a busy two-core server, judged on 300 samples by DDIM-10, each prompt
once. On `digits_styled`: judge 27, VAE 47 (squared error .0056), CLIP 38 (zero-shot .897 and .998), U-Net 225 for 1,500 steps.
Its digits and styles are those asked for in

    guidance 1: .830, 1.000    3: .997, 1.000    5: 1.000, 1.000    7.5: 1.000, .990    the judge on real images: .994, 1.000

and the Fréchet distance to training images in the judge's features, over 600 samples, is 50.5 with guidance 1, 29.6 with 3 and
61.8 with 5 (held-out images 10.3, after the VAE 11.4). Predicting v, guidance 3: 1.000, 1.000; SDXL's twin after 800 steps, 119 s
and 63 of its second CLIP: .977, 1.000. θ* without the three, 1,200 steps: 1.000, 1.000 of what it knows, and a three for .133 of
30 prompts that ask for one. On `fashion_mnist_styled`, the same recipe, 231 s: .980, .997 with guidance 3, 1.000, 1.000 with 5;
the judge .936, 1.000.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from trainables.data import Dataset
from trainables.denoisers.recipes import BaseModel
from trainables.denoisers.text_to_image import ClipRecipe, TextToImage

SIZES: dict[str, dict[str, Any]] = {
    "small": {"train_steps": 1300},
    "medium": {
        "channels": (32, 64),
        "batch": 64,
        "train_steps": 1800,
        "learning_rate": 2e-3,
        "ema_decay": 0.998,
    },
    "large": {
        "channels": (64, 128, 128),
        "layers_per_block": 2,
        "norm_groups": 32,
        "train_steps": 40_000,
        "learning_rate": 5e-4,
        "ema_decay": 0.9995,
        "attention_below": 16,
    },
}


# Base models of data sets of prompts: `trainables.denoisers.text_to_image.TextToImage` as it stands, and its twins.
TEXT_SIZES: dict[str, dict[str, Any]] = {
    "text": {},
    "text-v": {"prediction_type": "v_prediction"},
    "text-xl": {"second_clip": ClipRecipe(width=96)},
}


def fitting(shape: tuple[int, int, int]) -> str:
    """The size for images (C, H, W): small at 8 pixels, medium to 16, large beyond. Above 16 pixels, give it a GPU."""
    side = max(shape[1:])
    return "small" if side <= 8 else "medium" if side <= 16 else "large"


def sizes_for(dataset: Dataset) -> list[str]:
    """The sizes of base model that a data set can have, the usual one first."""
    if dataset.prompts:
        return list(TEXT_SIZES)
    usual = fitting(dataset.shape)
    return [usual, *(size for size in SIZES if size != usual)]


def recipe_of_size(size: str, train_steps: int = 0) -> BaseModel | TextToImage:
    """The recipe of a size; with so many training steps, or its own."""
    recipe = TextToImage(**TEXT_SIZES[size]) if size in TEXT_SIZES else BaseModel(**SIZES[size])
    return replace(recipe, train_steps=train_steps) if train_steps else recipe
