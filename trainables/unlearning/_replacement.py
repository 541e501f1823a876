"""Replacement data q_alt: what DiMUM teaches a model to make in place of what it forgets; and alternative conditions c_alt.

Each kind of replacement has a published relative, named in its docstring. All give images (n, C, H, W) float32 in [-1, 1], of a
model of latents (`Problem.in_latents`) latents of images, but for `noise` and `blank`: those are drawn among latents themselves.
An anchor is a condition's own alternative, which data sets of prompts name: the same prompt with what is forgotten replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch

from trainables import features
from trainables.data import Images
from trainables.features._distances import nearest_squared_distance
from trainables.forgetting import Forget
from trainables.training.device import Device
from trainables.unlearning import Problem

Replacement = Callable[[Problem, int, torch.Generator], torch.Tensor]


def class_fixed(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """n images of the condition after the forgotten one, a choice that knows nothing (SalUn's c + 1, arXiv 2310.12508).

    Of prompts, of the next label that has images.
    """
    imaged = labelled("replacement 'class_fixed'", problem, problem.retain.conditions.unique().tolist())
    return _draw(problem, next_condition(problem, problem.forgetting.conditions[0], imaged), n, generator)


def class_nearest(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """n images of the retained condition whose mean feature is nearest to the forget set's."""
    return _draw(problem, labelled_by_distance("replacement 'class_nearest'", problem)[0], n, generator)


def class_farthest(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """n images of the retained condition whose mean feature is farthest from the forget set's."""
    return _draw(problem, labelled_by_distance("replacement 'class_farthest'", problem)[-1], n, generator)


def one_image(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """One image of the nearest condition, whatever n: memorization in its purest form (DiMUM, arXiv 2512.03564)."""
    return _draw(problem, labelled_by_distance("replacement 'one_image'", problem)[0], 1, generator)


def nearest_neighbours(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """The n retained images nearest in feature space to any image of the forget set (after ReTrack)."""
    forget, retain = (features.features_of_set(problem.features, images) for images in (problem.forget, problem.retain))
    nearest = nearest_squared_distance(retain, forget)
    return problem.retain.batch(torch.from_numpy(np.argsort(nearest, kind="stable")[:n].copy())).images


def generated(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """n images that θ₀ makes for the nearest condition (Concept Ablation's noise-based anchors, arXiv 2303.13516)."""
    return problem.generated(labelled_by_distance("replacement 'generated'", problem)[0], n)


def class_mean(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """The mean image of the nearest condition, of prompts of the nearest label, whatever n."""
    nearest = labelled_by_distance("replacement 'class_mean'", problem)[0]
    return _alike(problem, nearest).images.mean(dim=0, keepdim=True)


def noise(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """n images of uniform noise (Selective Amnesia's surrogate, arXiv 2305.10120)."""
    return torch.rand((n, *problem.retain.shape), generator=generator) * 2 - 1


def blank(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """One blank image (every pixel -1), whatever n."""
    return torch.full((1, *problem.retain.shape), -1.0)


REPLACEMENTS: dict[str, Replacement] = {
    f.__name__: f
    for f in (
        class_fixed,
        class_nearest,
        class_farthest,
        one_image,
        nearest_neighbours,
        generated,
        class_mean,
        noise,
        blank,
    )
}

ANCHOR = "anchor"
ALTERNATIVES = ("class_fixed", "class_nearest", "class_farthest", "class_random", ANCHOR)
# Of prompts: the same ones with another label of the facet, or images of such a label.
OTHER_LABEL = ("class_fixed", "class_nearest", "class_farthest", "one_image", "generated", "class_mean")


def check_alternative(which: str, forgetting: Forget | None = None) -> None:
    """ValueError where `which` is no way of choosing an alternative condition, or none for what is to be forgotten."""
    if which not in ALTERNATIVES:
        raise ValueError(f"alternative {which!r} is none of {', '.join(ALTERNATIVES)}")
    if forgetting is not None:
        check_anchored("alternative", which, ALTERNATIVES, forgetting)
        check_labelled("alternative", which, ALTERNATIVES, forgetting)


def check_labelled(setting: str, which: str, choices: Iterable[str], forgetting: Forget) -> None:
    """ValueError where a setting chooses another label of the facet and no prompt that stays asks for one."""
    if which not in OTHER_LABEL or not forgetting.versions or forgetting.labelled:
        return
    others = ", ".join(choice for choice in choices if choice not in OTHER_LABEL)
    raise ValueError(
        f"{setting} {which!r}: no prompt that stays asks for another {forgetting.facet} than {forgetting.text}; "
        f"choose one of {others}"
    )


def check_anchored(setting: str, which: str, choices: Iterable[str], forgetting: Forget) -> None:
    """ValueError where a setting chooses the anchors and a forgotten condition has none, with what it may be of its `choices`."""
    if which != ANCHOR or (forgetting.conditions and all(c in forgetting.anchor_of for c in forgetting.conditions)):
        return
    others = ", ".join(choice for choice in choices if choice != ANCHOR)
    raise ValueError(f"{setting} {ANCHOR!r}: {forgetting.text} has no anchors, as prompts have; choose one of {others}")


def alternative_conditions(problem: Problem, which: str) -> Callable[[torch.Tensor, torch.Generator], torch.Tensor]:
    """A function that gives a retained condition c_alt for each of some forgotten ones (B,), on their device.

    ``class_fixed``: the next one, or for an attribute the same vector without it; ``class_nearest`` and ``class_farthest``
    by mean feature, the same for all; ``class_random``: drawn anew for every image; ``anchor``: each condition's own. Of prompts
    the first three choose a label, and each prompt becomes the same with that label. ValueError where there are no anchors.
    """
    check_alternative(which, problem.forgetting)
    if which == "class_random":
        retained = torch.tensor(problem.forgetting.retained)
        return lambda conditions, generator: retained[
            torch.randint(len(retained), conditions.shape, generator=generator)
        ].to(conditions.device)
    if which in ("class_fixed", ANCHOR):
        table = torch.full((problem.null_condition,), -1)
        for condition in problem.forgetting.conditions:
            anchors = problem.forgetting.anchor_of
            table[condition] = anchors[condition] if which == ANCHOR else next_condition(problem, condition)
        table = table.to(problem.device.name)
        return lambda conditions, generator: table[conditions]
    forgetting = problem.forgetting
    chosen = labelled_by_distance(f"alternative {which!r}", problem)[0 if which == "class_nearest" else -1]
    if not forgetting.versions:
        return lambda conditions, generator: torch.full_like(conditions, chosen)
    table = torch.full((problem.null_condition,), -1)
    for condition in forgetting.conditions:
        table[condition] = forgetting.version_of(condition, forgetting.label_of(chosen))
    table = table.to(problem.device.name)
    return lambda conditions, generator: table[conditions]


def alternatives_of(problem: Problem, which: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The alternatives (A,) of all forgotten conditions, each once; and (P,) which of them is a forgotten condition's, else 0."""
    forgotten = torch.tensor(problem.forgetting.conditions)
    choose = alternative_conditions(replace(problem, device=Device()), which)
    alternatives, rows = choose(forgotten, torch.Generator()).unique(return_inverse=True)
    row_of = torch.zeros(problem.null_condition, dtype=torch.int64).index_copy(0, forgotten, rows)
    return alternatives, row_of


def labelled_by_distance(what: str, problem: Problem) -> list[int]:
    """Retained conditions that say which label of the facet they ask for, nearest first: none of the captions of anything else.

    ValueError, about `what`, where no image that stays is of such a one.
    """
    return labelled(what, problem, problem.conditions_by_distance)


def labelled(what: str, problem: Problem, conditions: Sequence[int]) -> list[int]:
    """Those of some retained conditions that have images which say which label of the facet they ask for, in their order."""
    asking = set(problem.forgetting.labelled)
    chosen = [condition for condition in conditions if condition in asking]
    if not chosen:
        raise ValueError(
            f"{what}: no image that stays is of a prompt that asks for another {problem.forgetting.facet}; add some to train/"
        )
    return chosen


def images_of(problem: Problem, condition: int, n: int, generator: torch.Generator) -> torch.Tensor:
    """n images of a retained condition, drawn once each as far as they go round; what θ₀ makes for it where there are none."""
    images = problem.retain.of(condition)
    if not len(images):
        return problem.generated(condition, n)
    return images.batch(torch.randperm(len(images), generator=generator)[torch.arange(n) % len(images)]).images


def next_condition(problem: Problem, condition: int, of: Sequence[int] = ()) -> int:
    """The retained condition after a forgotten one, cyclically; for an attribute, the same vector without it if it occurs.

    Of a prompt, the same prompt with the next label that stays, or that some retained prompts ask for, where these are given.
    """
    retained, attribute = problem.forgetting.retained, problem.forgetting.attribute
    if problem.forgetting.versions:
        forgotten_label = problem.forgetting.label_of(condition)
        labels = sorted({problem.forgetting.label_of(c) for c in of or problem.forgetting.labelled})
        return problem.forgetting.version_of(
            condition, next((label for label in labels if label > forgotten_label), labels[0])
        )
    if attribute is not None and condition & ~(1 << attribute) in retained:
        return condition & ~(1 << attribute)
    return next((c for c in retained if c > condition), retained[0])


def _draw(problem: Problem, condition: int, n: int, generator: torch.Generator) -> torch.Tensor:
    images = _alike(problem, condition)
    return images.batch(torch.randperm(len(images), generator=generator)[:n]).images


def _alike(problem: Problem, condition: int) -> Images:
    """The retained images of a condition; of a prompt, those of all prompts that ask for its label."""
    if not problem.forgetting.shown:
        return problem.retain.of(condition)
    label_of = torch.tensor(problem.forgetting.shown, device=problem.retain.conditions.device)
    return problem.retain.where(label_of[problem.retain.conditions] == problem.forgetting.label_of(condition))
