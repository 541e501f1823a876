"""No mechanism: the plain gradient of the batch's mean loss. ε is infinite."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trainables.federated.critics import Critics
from trainables.federated.mechanisms import Batch, Gradients, Plan, Privacy, mean_gradients, register


@dataclass(frozen=True)
class NoneSettings:
    """There are none."""


def _privacy(settings: NoneSettings, plan: Plan) -> Privacy:
    return Privacy(math.inf, None, plan.delta, 0.0, plan.sampling_rate, plan.steps, plan.groups, "no noise")


def _calibrated(wanted: float, plan: Plan) -> float:
    raise ValueError(f"mechanism 'none' adds no noise, so its epsilon is never {wanted:g}; choose another mechanism")


@register("none", NoneSettings, privacy=_privacy, calibrated=_calibrated, released=lambda critics: [])
def none(critics: Critics, batch: Batch, settings: NoneSettings, generator: np.random.Generator) -> Gradients:
    return mean_gradients(critics, batch)
