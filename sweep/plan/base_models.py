"""Which base model a plan asks for, and how its images are drawn: sizes, pipelines, samplers. Checked without torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.errors import UsageError, near
from sweep.plan.datasets import dataset_of
from trainables.pretrained import fitted, is_hub_id, read_pipeline
from trainables.sampler import Sampler
from trainables.sizes import SIZES, fitting

if TYPE_CHECKING:
    from sweep.plan.plan import Plan


def sized(plan: Plan, size: str | None, steps: int | None) -> Plan:
    """The plan with the size of base model asked for, or the one that fits its images, and that size's own steps."""
    name = size or fitting(dataset_of(plan).shape)
    _check_size(name)
    return dataclasses.replace(plan, base_size=name, base_steps=SIZES[name]["train_steps"] if steps is None else steps)


def check(plan: Plan) -> None:
    """UsageError where the base model, its control or how samples are drawn cannot be; costs no torch."""
    dataset = dataset_of(plan)
    _check_size(plan.base_size)
    try:
        Sampler(plan.image_sampler, plan.sampling_steps, plan.guidance)
    except ValueError as error:
        raise UsageError(f"--image-sampler, --sampling-steps, --guidance: {error}") from None
    if plan.guidance != 1 and dataset.unconditional:
        raise UsageError(f"--guidance {plan.guidance:g}: {plan.data} has no conditions to guide by; leave it out")
    for flag, given in (
        ("--retrain-control", plan.retrain_control),
        ("--base-revision", plan.base_revision),
        ("--base-classes", plan.base_classes),
    ):
        if given and not plan.base:
            raise UsageError(f"{flag}: is for a base model that was trained elsewhere; give it with --base")
    if plan.base and plan.shadow_models:
        raise UsageError("--shadow-models: they are trained like the base model, and --base was trained elsewhere")
    for flag, source in (("--base", plan.base), ("--retrain-control", plan.retrain_control)):
        if source and (Path(source).is_dir() or not is_hub_id(source)):  # a hub's is looked at once it is fetched
            try:
                fitted(read_pipeline(source, rows=plan.base_classes), dataset)
            except ValueError as error:
                raise UsageError(f"{flag} {error}") from None


def describe(plan: Plan) -> list[str]:
    """Which base model, which control, and how their images are drawn."""
    drawn = f"images by {Sampler(plan.image_sampler, plan.sampling_steps, plan.guidance).name}"
    if not plan.base:
        return [f"base model  {plan.base_size}, {plan.base_steps} steps; {drawn}"]
    control = plan.retrain_control or "none: without --retrain-control nothing can be said in excess of it"
    revision = f" at {plan.base_revision}" * bool(plan.base_revision)
    return [f"base model  {plan.base}{revision}; {drawn}", f"control     {control}"]


def _check_size(name: str) -> None:
    if name not in SIZES:
        raise UsageError(f"--base-size {name}: unknown; {near(name, SIZES)}")
