"""Images that a base model draws for every prompt of a folder, as files: what features, audits and attacks are made of."""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from PIL import Image

from sweep.plan.place import Place
from sweep.relearning.prepare import experiment_of
from sweep.relearning.setup import Setup
from trainables.relearning.origins import LATENTS, parts_of
from trainables.relearning.shared_products import MODELS, products_of
from trainables.relearning.whole_pipeline import samples_of
from trainables.store import Store

CAPTIONS = "metadata.csv"  # of the layout that `trainables.data.prompts` reads


def draw(setup: Setup, artifacts: str, folder: Path, images: int) -> int:
    """Draw so many images of each prompt into a new folder, captioned; returns how many. The captions come last."""
    experiment = experiment_of(setup, artifacts, Place())
    everything, store = products_of(experiment), Store(experiment.store)
    base = next(name for name, which in MODELS.items() if which == "base")
    parts = (name for name in parts_of(experiment) if name != LATENTS)  # there are no images that they could be of yet
    for product in (everything[name] for name in (*parts, base)):
        if store.whole(product.key()) is None:
            product.make()
    prompts = experiment.dataset.prompts
    rows = torch.arange(len(prompts)).repeat_interleave(images)
    pixels = ((samples_of(experiment, "base", rows, 0) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    folder.mkdir()
    names = [f"{row:05d}-{i % images:03d}.png" for i, row in enumerate(rows.tolist())]
    for name, image in zip(names, pixels, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / name)
    with (folder / CAPTIONS).open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(("file_name", "text"))
        table.writerows((name, prompts[row]) for name, row in zip(names, rows.tolist(), strict=True))
    return len(names)
