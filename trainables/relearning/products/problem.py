"""What an unlearning method is given, laid out from a workbench."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch

from trainables.relearning.products.features import conditions_by_distance_of, features_of
from trainables.relearning.products.generated import generated_by_base
from trainables.relearning.products.latents import decoded, encoded_sets_of
from trainables.relearning.products.models import base_of, teacher_of
from trainables.relearning.products.text import encoders_of
from trainables.relearning.workbench import Workbench
from trainables.unlearning import Problem, Tensors


def problem_of(
    bench: Workbench, shared: Mapping[str, Tensors] | None = None, deadline: Callable[[], float] = lambda: math.inf
) -> Problem:
    """The problem with the shared artifacts that the method needs; of a model of latents, both sets are those.

    `deadline` tells until when what θ₀ generates may be drawn: `generated` raises Unfinished where that is not enough.
    """

    def generated(condition: int, n: int) -> torch.Tensor:
        return generated_by_base(bench, condition, n, deadline())

    experiment = bench.experiment
    forget, retain = encoded_sets_of(bench)
    return Problem(
        base_model=partial(base_of, bench),
        schedule=experiment.noise_schedule(),
        forget=forget,
        retain=retain,
        forgetting=experiment.forgetting,
        null_condition=experiment.null_condition,
        features=lambda samples: features_of(bench).extract(decoded(bench, samples)),
        generated=generated,
        device=experiment.device,
        shared=shared or {},
        in_latents=experiment.in_latents,
        texts=experiment.dataset.prompts,
        encoders=partial(encoders_of, experiment) if experiment.dataset.prompts else None,
        by_distance=partial(conditions_by_distance_of, bench),
        teaching_model=partial(teacher_of, bench) if experiment.device.in_half else None,
    )
