"""CLIP as a classifier among the labels alone, as MACE (arXiv 2403.06135) judges objects: each image is given one of them.

`zero_shot_clip` without the caption that names none. An image of nothing in particular counts as some label here, so that of N
labels noise shows what was forgotten in about one of N.
"""

from __future__ import annotations

from pathlib import Path

from trainables.data import Facet
from trainables.judges import register_reader
from trainables.judges.zero_shot_clip import ZeroShotCLIP


@register_reader("zero_shot_clip_labels", "FOLDER")
class ZeroShotCLIPLabels(ZeroShotCLIP):
    """A `CLIPModel` that must name a label."""

    may_reject = False

    def __init__(self, place: Path, facets: tuple[Facet, ...], forgotten: int) -> None:
        super().__init__(place, facets, forgotten)
        if len(facets[forgotten].labels) < 2:
            only = ", ".join(facets[forgotten].labels)
            raise ValueError(f"a judge among the labels alone needs two, and {facets[forgotten].name} has {only}")
