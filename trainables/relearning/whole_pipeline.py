"""A text-to-image pipeline that is trained here, whole: how long its steps take, how well it does what prompts ask, its folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from trainables.data import NOTHING, Images
from trainables.denoisers.clip import load_clip, load_tokenizer
from trainables.denoisers.prompts import load_prompts
from trainables.denoisers.text_to_image import TextToImage
from trainables.judges._classifier import verdicts
from trainables.relearning.experiment import Experiment, stream
from trainables.relearning.export import save_pipeline
from trainables.relearning.origins import PROMPTS, parts_of
from trainables.relearning.origins.text_to_image import CLIPS, text_run
from trainables.relearning.products.classifier import classifier_key, classifier_of
from trainables.relearning.products.generated import generate
from trainables.relearning.products.latents import decoded
from trainables.relearning.products.models import model_key, model_of
from trainables.relearning.workbench import Workbench
from trainables.store import Store, artifact_key, code_version, machine

_TIMED_STEPS = 10  # after two that warm up


@dataclass(frozen=True)
class Obeyed:
    """Of prompts that ask for a label of a facet, the share whose image the judge gives it, and how right it is on real images."""

    facet: str
    share: float
    prompts: int  # images
    judge: float  # on held-out images
    forgotten: float | None = None  # the share of those that ask for what the model was trained without, where there are any


def steps_in(experiment: Experiment, minutes: float) -> int:
    """How many steps of the U-Net this machine trains in so many minutes of one core, at least one.

    Measured once, and kept in the store: a run that was stopped goes on with the same.
    """
    recipe, store = _recipe(experiment), Store(experiment.store)
    config = {"recipe": recipe.identity, "data": experiment.data_identity, "machine": machine()}
    key = artifact_key("pace", config, {}, code_version(__name__))
    pace = store.whole(key)
    if pace is None:
        pace = store.put(key, "pace", {"step_s": _step_s(experiment, recipe)})
    return max(1, int(60 * minutes / pace.facts["step_s"]))


def _step_s(experiment: Experiment, recipe: TextToImage) -> float:
    """Seconds a training step, on noise and in no prompt's words: how long it takes depends on neither."""
    data, generator = experiment.dataset, torch.Generator().manual_seed(0)
    latents = Images(torch.randn(2 * recipe.batch, *recipe.shape(data), generator=generator), torch.zeros(2 * recipe.batch).long())
    run = text_run(recipe, data, _no_prompts(recipe, data.conditions), latents, 0, experiment.device)
    run.advance(2)
    began = time.monotonic()
    run.advance(2 + _TIMED_STEPS)
    return (time.monotonic() - began) / _TIMED_STEPS
