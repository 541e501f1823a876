"""The text-to-image model as sweeps train it, in two steps of everything: what is tested is what is around it."""

from __future__ import annotations

from trainables.denoisers.recipes import ClassifierRecipe
from trainables.denoisers.text_to_image import ClipRecipe, VaeRecipe

TINY = {
    "vae": VaeRecipe(channels=(8, 8), train_steps=2, batch=8),
    "clip": ClipRecipe(width=16, layers=2, heads=2, projection=8, train_steps=2, batch=16),
    "channels": (8, 16),
    "heads": 2,
    "norm_groups": 4,
    "train_steps": 2,
    "batch": 8,
}
JUDGE = ClassifierRecipe(width=4, features=8, train_steps=3, batch=16, halvings=2)
