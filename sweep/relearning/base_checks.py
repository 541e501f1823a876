"""Whether a base model and its retrain control can be had as they are asked for. Imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweep.errors import UsageError, need
from trainables.data import Dataset
from trainables.denoisers.pipelines import at_hand, fitted, read_pipeline
from trainables.denoisers.sizes import sizes_for
from trainables.denoisers.text_to_image import MOST_PIXELS, PIXELS_OF

if TYPE_CHECKING:
    from sweep.relearning.setup import Setup
    from trainables.sampling.noise_schedule import NoiseSchedule


def check_base(setup: Setup, data: Dataset) -> None:
    """UsageError where the base model and its control cannot be, or are asked for by half."""
    if data.prompts:
        need("transformers", extra="text2image")
    if data.prompts and not setup.base:
        _check_small(data)
    fitting = sizes_for(data)
    if not setup.base and setup.base_size not in fitting:
        kind = "is of prompts" if data.prompts else "has no prompts"
        raise UsageError(f"--base-size {setup.base_size}: {setup.data} {kind}; take {', '.join(fitting)}")
    for flag_of, given in (
        ("--retrain-control", setup.retrain_control),
        ("--base-revision", setup.base_revision),
        ("--base-classes", setup.base_classes),
    ):
        if given and not setup.base:
            raise UsageError(f"{flag_of}: is for a base model that was trained elsewhere; give it with --base")
    if setup.base and setup.shadow_models:
        raise UsageError("--shadow-models: they are trained like the base model, and --base was trained elsewhere")
    for flag_of, source, folder in (
        ("--base", setup.base, setup.base_folder),
        ("--retrain-control", setup.retrain_control, at_hand(setup.retrain_control, setup.control_revision)),
    ):
        if folder:  # a hub's is looked at once it is fetched
            try:
                pretrained = fitted(read_pipeline(folder, source, rows=setup.base_classes), data)
            except ValueError as error:
                raise UsageError(f"{flag_of} {error}") from None
            check_steps(setup, pretrained.schedule)
    if not setup.base:
        check_steps(setup, setup.base_recipe().schedule)


def check_steps(setup: Setup, schedule: NoiseSchedule) -> None:
    """UsageError where images cannot be drawn on a model's schedule in so many steps."""
    try:
        setup.drawn_by().check(schedule)
    except ValueError as error:
        raise UsageError(f"--sampling-steps: {error}") from None


def _check_small(data: Dataset) -> None:
    """UsageError where the images are not such as a text-to-image model is trained on here."""
    side, mend = max(data.shape[1:]), "no base model is trained here on these; give one with --base"
    if not all(data.imaged):
        raise UsageError(f"--data {data.name}: it has prompts without images: {mend}")
    if side > MOST_PIXELS or side % PIXELS_OF:
        sizes = f"up to {MOST_PIXELS} pixels, a multiple of {PIXELS_OF}"
        raise UsageError(f"--data {data.name}: it has images of {side} pixels a side, not {sizes}: {mend}")
