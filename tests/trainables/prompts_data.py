"""Data sets of prompts: those of `text_folders`, whose images nobody needs, and a folder of a user's own with a few."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import text_folders
from PIL import Image

from trainables.data import Dataset, Facet, Splits


def no_images() -> Splits:
    raise AssertionError("nobody needs an image here")


def prompts_data(texts: tuple[str, ...] = text_folders.PROMPTS, side: int = 16) -> Dataset:
    """Prompts of which the first shows a cat and the others say nothing."""
    shown = (0,) + (-1,) * (len(texts) - 1)
    facet = Facet("concept", ("cat", "dog"), shown, (1, 0))
    return Dataset("prompts", len(texts), (3, side, side), no_images, prompts=texts, facets=(facet,))


OWN = (  # prompt, role, concept
    ("a photo of a cat", "forget", "cat"),
    ("a drawing of a cat", "forget", "cat"),
    ("a photo of a dog", "related", "dog"),
    ("a drawing of a dog", "retain", "dog"),
    ("a photo of a house", "unrelated", "house"),
)


def save_prompts(folder: Path, images: int = 8, side: int = 16) -> Path:
    """The folder of ``--data prompts``: so many pictures of each prompt, of noise around a colour of the prompt's own."""
    generator = np.random.default_rng(0)
    rows, captions = ["prompt,role,concept"], ["file_name,text"]
    (folder / "train").mkdir(parents=True)
    for number, row in enumerate(OWN):
        rows.append(",".join(row))
        colour = generator.integers(40, 215, 3)
        for copy in range(images):
            pixels = np.clip(colour + generator.normal(0, 20, (side, side, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "train" / f"{number}-{copy}.png")
            captions.append(f"{number}-{copy}.png,{row[0]}")
    (folder / "prompts.csv").write_text("\n".join(rows))
    (folder / "train" / "metadata.csv").write_text("\n".join(captions))
    return folder
