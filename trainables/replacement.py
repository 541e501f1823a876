"""Replacement data q_alt: what DiMUM teaches a model to make in place of what it forgets.

Each kind has a published relative, named in its docstring. All give images (n, C, H, W) float32 in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from trainables.unlearning import Problem

Replacement = Callable[[Problem, int, torch.Generator], torch.Tensor]


def class_fixed(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """n images of the condition after the forgotten one, a choice that knows nothing (SalUn's c + 1, arXiv 2310.12508)."""
    return _draw(problem, next_condition(problem), n, generator)


def class_nearest(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """n images of the retained condition whose mean feature is nearest to the forget set's."""
    return _draw(problem, conditions_by_distance(problem)[0], n, generator)


def class_farthest(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """n images of the retained condition whose mean feature is farthest from the forget set's."""
    return _draw(problem, conditions_by_distance(problem)[-1], n, generator)


def one_image(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """One image of the nearest condition, whatever n: memorization in its purest form (DiMUM, arXiv 2512.03564)."""
    return _draw(problem, conditions_by_distance(problem)[0], 1, generator)


def nearest_neighbours(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """The n retained images nearest in feature space to any image of the forget set (after ReTrack)."""
    forget, retain = problem.features(problem.forget.images), problem.features(problem.retain.images)
    nearest = nearest_squared_distance(retain, forget)
    return problem.retain.images[torch.from_numpy(np.argsort(nearest, kind="stable")[:n].copy())]


def generated(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """n images that θ₀ makes for the nearest condition (Concept Ablation's noise-based anchors, arXiv 2303.13516)."""
    return problem.generated(conditions_by_distance(problem)[0], n)


def class_mean(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """The mean image of the nearest condition, whatever n."""
    return problem.retain.of(conditions_by_distance(problem)[0]).images.mean(dim=0, keepdim=True)


def noise(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """n images of uniform noise (Selective Amnesia's surrogate, arXiv 2305.10120)."""
    return torch.rand((n, *problem.retain.images.shape[1:]), generator=generator) * 2 - 1


def blank(problem: Problem, n: int, generator: torch.Generator) -> torch.Tensor:
    """One blank image (every pixel -1), whatever n."""
    return torch.full((1, *problem.retain.images.shape[1:]), -1.0)


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


def next_condition(problem: Problem) -> int:
    """The retained condition after the forgotten one, cyclically."""
    return (problem.condition + 1) % problem.null_condition


def conditions_by_distance(problem: Problem) -> list[int]:
    """Retained conditions, nearest first, by the distance of their mean feature to the forget set's."""
    centre = problem.features(problem.forget.images).mean(axis=0)
    features = problem.features(problem.retain.images)
    labels = problem.retain.conditions.numpy()
    distance = {int(c): float(np.linalg.norm(features[labels == c].mean(axis=0) - centre)) for c in np.unique(labels)}
    return sorted(distance, key=distance.__getitem__)


def _draw(problem: Problem, condition: int, n: int, generator: torch.Generator) -> torch.Tensor:
    images = problem.retain.of(condition).images
    return images[torch.randperm(len(images), generator=generator)[:n]]


def nearest_squared_distance(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(N,) squared distance of each point to its nearest target, without the (N, M, d) array."""
    lengths = (targets**2).sum(axis=1)
    parts = [
        ((p**2).sum(1)[:, None] - 2 * p @ targets.T + lengths).min(1)
        for p in np.array_split(points, len(points) // 1024 + 1)
    ]
    return np.concatenate(parts)
