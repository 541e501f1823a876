"""A text-to-image pipeline that is trained here, whole: how long its steps take, how well it does what prompts ask, its folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainables.data import NOTHING, Images
from trainables.denoisers.clip import load_clip, load_tokenizer
from trainables.denoisers.prompts import Prompts
from trainables.judges._classifier import verdicts
from trainables.relearning.experiment import Experiment, stream
from trainables.relearning.export import save_pipeline
from trainables.relearning.origins import parts_of
from trainables.relearning.origins._recipe import text_to_image_recipe
from trainables.relearning.origins._trained_clip import CLIPS
from trainables.relearning.origins.text_to_image import text_run
from trainables.relearning.products.classifier import classifier_key, classifier_of
from trainables.relearning.products.generated import generate
from trainables.relearning.products.latents import decoded
from trainables.relearning.products.models import model_key, model_of
from trainables.relearning.workbench import Workbench
from trainables.store import Store, artifact_key, code_version, machine

CLIP_FOLDER = "clip"  # beside the pipeline's own: the whole CLIP, whose text half the pipeline has
_TIMED_STEPS = 10  # after two that warm up


@dataclass(frozen=True)
class Obeyed:
    """How often a model shows the label of one facet that its prompts ask for, by the judge; all shares.

    `shown` is of prompts that ask for what the model was trained on, `n` of them, `without` of those that ask for what it was
    trained without, None where there are none, and `judge` how often the judge is right about held-out real images.
    """

    facet: str
    shown: float
    n: int
    judge: float
    without: float | None = None

    @property
    def text(self) -> str:
        """``concept: 94.7% of 300 samples show what their prompt asks for (the judge is right on 96.1% of real images)``."""
        other = "" if self.without is None else f"; of prompts for what it was trained without {self.without:.1%}"
        return (
            f"{self.facet}: {self.shown:.1%} of {self.n} samples show what their prompt asks for (the judge is right on "
            f"{self.judge:.1%} of real images){other}"
        )


def steps_in(experiment: Experiment, minutes: float) -> int:
    """How many steps of the U-Net this machine trains in so many minutes of one core, at least one.

    Measured once, and kept in the store: a run that was stopped goes on with the same.
    """
    recipe, store = text_to_image_recipe(experiment), Store(experiment.store)
    config = {"recipe": recipe.identity, "shape": list(experiment.dataset.shape), "machine": machine()}
    key = artifact_key("pace", config, {}, code_version(__name__))
    pace = store.whole(key) or store.put(key, "pace", {"step_s": _step_s(experiment)})
    return max(1, int(60 * minutes / pace.facts["step_s"]))


def obeyed(experiment: Experiment, which: str, n: int, seed: int) -> list[Obeyed]:
    """What the judge says of n samples of the model ``base`` or ``retrain``, all prompts in turn, drawn as the experiment says."""
    bench, data = Workbench(experiment), experiment.dataset
    rows = torch.arange(n) % data.conditions
    model = model_of(bench, model_key(experiment, which))
    images = decoded(bench, generate(experiment, model, rows, stream(seed, "obeyed")))
    said = verdicts(classifier_of(bench), images).labels
    judge = bench.store.get(classifier_key(experiment)).facts["facet_accuracy"]
    unknown = experiment.forgetting.asked_by(rows) & (which == "retrain")
    of_facets = []
    for number, facet in enumerate(data.facets):
        asked = torch.tensor(facet.shown)[rows]
        right = (said[:, number] == asked).float()
        known = (asked != NOTHING) & ~unknown
        left = (asked != NOTHING) & unknown
        without = float(right[left].mean()) if bool(left.any()) else None
        of_facets.append(Obeyed(facet.name, float(right[known].mean()), int(known.sum()), judge[facet.name], without))
    return of_facets


def sampler_of(experiment: Experiment, which: str) -> Callable[[torch.Tensor, int], torch.Tensor]:
    """What makes images (N, C, H, W) in [-1, 1] of prompts (N,) and a seed, by the model ``base`` or ``retrain``, loaded once."""
    bench = Workbench(experiment)
    model = model_of(bench, model_key(experiment, which))
    return lambda rows, seed: decoded(bench, generate(experiment, model, rows, seed))


def save_whole(experiment: Experiment, which: str, folder: str | Path, measured: str) -> Path:
    """Save the model ``base`` or ``retrain`` as a pipeline, with the whole CLIP beside its text half, and what was measured.

    ValueError where the folder is taken.
    """
    artifact = Store(experiment.store).get(model_key(experiment, which))

    def with_clip(whole: Path) -> None:
        _save_clip(experiment, whole / CLIP_FOLDER)

    return save_pipeline(artifact, experiment, folder, lambda kind: (_front_matter(kind), measured), with_clip)


def _save_clip(experiment: Experiment, folder: Path) -> None:
    """The first CLIP with its tokenizer, and how it is shown images: [-1, 1], of their own size."""
    from transformers import CLIPImageProcessor

    artifact = Store(experiment.store).get(parts_of(experiment)[CLIPS[0]].key())
    side, half = experiment.dataset.shape[1], [0.5] * experiment.dataset.shape[0]
    load_clip(artifact).save_pretrained(folder)
    load_tokenizer(artifact).save_pretrained(folder)
    size = {"height": side, "width": side}
    CLIPImageProcessor(size=size, crop_size=size, image_mean=half, image_std=half).save_pretrained(folder)


def _front_matter(pipeline: str) -> str:
    """The card's, as the Hugging Face Hub reads it."""
    from huggingface_hub import ModelCardData

    tags = ["diffusion", pipeline]
    card = ModelCardData(library_name="diffusers", license="unknown", pipeline_tag="text-to-image", tags=tags)
    return f"---\n{card.to_yaml()}\n---\n"


def _step_s(experiment: Experiment) -> float:
    """Seconds a training step, on noise and prompts of zeros: how long it takes depends on neither."""
    recipe, data = text_to_image_recipe(experiment), experiment.dataset
    n, rows, positions = 2 * recipe.batch, data.conditions + 1, recipe.clip.positions
    latents = torch.randn((n, *recipe.shape(data)), generator=torch.Generator().manual_seed(0))
    table = torch.zeros(rows, positions, sum(clip.width for clip in recipe.clips))
    tokens, real = torch.zeros(rows, positions, dtype=torch.int64), torch.ones(rows, dtype=torch.int64)
    pooled: dict[str, Any] = {}
    if recipe.second_clip:
        pooled = {"pooled": torch.zeros(rows, recipe.second_clip.projection), "time_ids": torch.zeros(6)}
    images = Images(latents, torch.zeros(n, dtype=torch.int64))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as it is trained
    try:
        run = text_run(recipe, data, Prompts(table, tokens, real, **pooled), images, 0, experiment.device)
        run.advance(2)
        began = time.monotonic()
        run.advance(2 + _TIMED_STEPS)
        return (time.monotonic() - began) / _TIMED_STEPS
    finally:
        torch.set_num_threads(threads)
