"""What prompts say: of each facet of an image (the object, the style) which label a prompt asks for, and the roles of prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

NOTHING = (
    -1
)  # of a prompt: it says nothing of the facet; of an anchor: none is named, so the empty prompt stands for it

UNSEEN = "unseen"  # what the base model never saw: no part of what stays
ROLES = (
    "forget",
    "retain",
    "related",
    "unrelated",
    UNSEEN,
)  # of a prompt, where its author says what it is to the question


@dataclass(frozen=True)
class Facet:
    """One thing that images may be told apart by, ``concept`` or ``style``, with the labels that it has.

    `shown` says of each condition (one a prompt) which label an image made for it should show, `NOTHING` where the prompt says
    nothing of it; `anchors` of each label which one stands for it when it is forgotten, `NOTHING` for the empty prompt.
    """

    name: str
    labels: tuple[str, ...]
    shown: tuple[int, ...]
    anchors: tuple[int, ...]

    def __post_init__(self) -> None:
        where, known = f"facet {self.name!r}", range(NOTHING, len(self.labels))
        if not self.name or ":" in self.name:
            raise ValueError(f"{where}: a name is not empty and has no ':'")
        if not self.labels:
            raise ValueError(f"{where}: it has no labels")
        for text, times in Counter(self.labels).items():
            if times > 1 or not text or "," in text:
                fault = "is there twice" if times > 1 else "is empty or has a ','"
                raise ValueError(f"{where}: label {text!r} {fault}; labels are told apart by their names")
        for condition, label in enumerate(self.shown):
            if label not in known:
                raise ValueError(f"{where}: condition {condition} shows label {label}, of 0 to {len(self.labels) - 1}")
        if len(self.anchors) != len(self.labels):
            raise ValueError(f"{where}: {len(self.anchors)} anchors for {len(self.labels)} labels")
        for label, anchor in enumerate(self.anchors):
            if anchor not in known or anchor == label:
                raise ValueError(
                    f"{where}: label {label} has the anchor {anchor}; it must be another label or {NOTHING}"
                )


def check_prompts(
    conditions: int,
    prompts: Sequence[str],
    facets: Sequence[Facet],
    roles: Sequence[str],
    anchors: Sequence[int],
    imaged: Sequence[bool],
) -> None:
    """ValueError where what is said of a data set's prompts is not said of each of its conditions, or says what cannot be."""
    one_each = {"prompts": prompts, "roles": roles, "anchors": anchors, "entries of imaged": imaged}
    for what, given in one_each.items():
        if given and not prompts:
            raise ValueError(f"{len(given)} {what} and no prompts")
        if given and len(given) != conditions:
            raise ValueError(f"{len(given)} {what} for {conditions} conditions")
    for facet in facets:
        if not prompts or len(facet.shown) != conditions:
            raise ValueError(f"facet {facet.name!r} says what {len(facet.shown)} of {len(prompts)} prompts show")
    if prompts and not facets:
        raise ValueError("prompts without a facet: nothing says what their images should show")
    for name, times in Counter(facet.name for facet in facets).items():
        if times > 1:
            raise ValueError(f"{times} facets are called {name!r}")
    for prompt, times in Counter(prompts).items():
        if times > 1 or not prompt.strip():
            raise ValueError(f"prompt {prompt!r} " + ("is there twice" if times > 1 else "is empty"))
    for role in roles:
        if role not in ROLES:
            raise ValueError(f"role {role!r} is none of {', '.join(ROLES)}")
    for condition, anchor in enumerate(anchors):
        if anchor not in range(NOTHING, conditions) or anchor == condition:
            raise ValueError(f"prompt {condition} has the anchor {anchor}, which is none of 0 to {conditions - 1}")
