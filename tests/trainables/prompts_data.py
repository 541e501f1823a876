"""A data set of the prompts of `text_folders`, whose images nobody needs."""

from __future__ import annotations

import text_folders

from trainables.data import Dataset, Facet, Splits


def no_images() -> Splits:
    raise AssertionError("nobody needs an image here")


def prompts_data(texts: tuple[str, ...] = text_folders.PROMPTS, side: int = 16) -> Dataset:
    """Prompts of which the first shows a cat and the others say nothing."""
    shown = (0,) + (-1,) * (len(texts) - 1)
    facet = Facet("concept", ("cat", "dog"), shown, (1, 0))
    return Dataset("prompts", len(texts), (3, side, side), no_images, prompts=texts, facets=(facet,))
