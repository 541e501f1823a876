"""Captions of pictures by templates: every concept in every style in each template's words is one prompt, in this order.

No template has a word that is a digit's name ("one sneaker"), nor an article that would have to follow a label ("an eight").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trainables.data._facets import Facet
from trainables.data._styles import STYLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEMPLATES = (
    "a {style} of the {concept}",
    "the {concept} as a {style}",
    "a picture of the {concept} in {style} style",
    "{concept}, {style}",
    "{style} style, the {concept}",
)

# The style that stands for each when it is forgotten: that in which pictures of the same things are farthest, by the mean square
# of pixels; of digits and of clothing the same.
STYLE_ANCHORS = {
    "photo": "negative",
    "negative": "photo",
    "sketch": "neon",
    "poster": "negative",
    "neon": "sketch",
    "watercolor": "photo",
}
TEMPLATE_SEED = 0  # of the draw of each picture's template


def prompts_of(concepts: Sequence[str]) -> tuple[str, ...]:
    """Every prompt: of a concept all styles in turn, of a style all templates."""
    return tuple(
        template.format(concept=concept, style=style)
        for concept in concepts
        for style in STYLES
        for template in TEMPLATES
    )


def facets_of(concepts: Sequence[str], anchors: dict[str, str]) -> tuple[Facet, Facet]:
    """(concept, style) of these prompts; `anchors` names of each concept the one that stands for it."""
    shown = [(c, s) for c in range(len(concepts)) for s in range(len(STYLES)) for _ in TEMPLATES]
    return (
        Facet(
            name="concept",
            labels=tuple(concepts),
            shown=tuple(concept for concept, _ in shown),
            anchors=tuple(concepts.index(anchors[concept]) for concept in concepts),
        ),
        Facet(
            name="style",
            labels=STYLES,
            shown=tuple(style for _, style in shown),
            anchors=tuple(STYLES.index(STYLE_ANCHORS[style]) for style in STYLES),
        ),
    )


def captioned(concepts: NDArray[np.int64], styles: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) the numbers of the prompts of pictures of these concepts and styles (N,), each in a template's words drawn once."""
    templates = np.random.RandomState(TEMPLATE_SEED).randint(len(TEMPLATES), size=len(concepts))
    return (concepts * len(STYLES) + styles) * len(TEMPLATES) + templates
