"""Images that a base model draws for every prompt of a folder, as files: what features, audits and attacks are made of."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from sweep.plan.place import Place
from sweep.reading.durations import duration
from sweep.records.whole import replacing
from sweep.relearning.experiments import experiment_of
from sweep.relearning.fitting import RATES
from sweep.relearning.setup import Setup
from sweep.relearning.text_memory import text_model
from trainables.relearning.experiment import Experiment, stream
from trainables.relearning.origins import LATENTS, parts_of
from trainables.relearning.products import model_key
from trainables.relearning.shared_products import MODELS, products_of
from trainables.relearning.whole_pipeline import sampler_of
from trainables.store import Store

CAPTIONS = "metadata.csv"  # of the layout that `trainables.data.prompts` reads
_UNFINISHED = ".drawing-"  # begins the name of the folder beside it, whose images are not all there yet


def time_text(setup: Setup, images: int) -> str:
    """How long it takes to draw so many images of each prompt, and where, by the forward passes of the U-Net."""
    data, on_gpu = setup.dataset(), torch.cuda.is_available()
    model = text_model(setup.base_folder, data, setup.base_classes, images, setup.guidance != 1)
    if model is None:
        return ""
    passes = setup.sampling_steps * (1 if setup.guidance == 1 else 2) * images * len(data.prompts)
    seconds = passes * model.costs(on_gpu).flops / RATES[on_gpu]
    where = "this machine's GPU" if on_gpu else "one core, for this machine has no GPU"
    return f"some {duration(seconds)} on {where}"


def draw(setup: Setup, artifacts: str, folder: Path, images: int, drawn: Callable[[int], None] = lambda n: None) -> int:
    """Draw so many images of each prompt into a new folder, captioned; returns how many. `drawn` is told of every prompt's.

    On this machine's GPU where it has one.
    The folder is there once all of it is. What was drawn before the last time was stopped is taken, prompt by prompt, where the
    model and the sampler are the same.
    """
    experiment = experiment_of(setup, artifacts, Place(gpus_per_trial=float(torch.cuda.is_available())))
    _make_base(experiment)
    prompts, sampled = experiment.dataset.prompts, sampler_of(experiment, "base")
    unfinished = folder.with_name(_UNFINISHED + _identity(experiment, images))
    unfinished.mkdir(exist_ok=True)
    rows = []
    for number, prompt in enumerate(prompts):
        files = [unfinished / f"{number:05d}-{i:03d}.png" for i in range(images)]
        if not all(file.is_file() for file in files):
            seed = stream(0, "drawn", prompt)  # its own: whatever was drawn before, the noise is the same
            made = (sampled(torch.full((images,), number), seed) + 1) * 127.5
            for file, pixels in zip(files, made.round().clamp(0, 255).to(torch.uint8), strict=True):
                with replacing(file) as temporary:
                    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(temporary, format="PNG")
        rows += [(file.name, prompt) for file in files]
        drawn(len(rows))
    with (unfinished / CAPTIONS).open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(("file_name", "text"))
        table.writerows(rows)
    os.replace(unfinished, folder)
    for other in folder.parent.glob(f"{_UNFINISHED}*"):  # begun with another model or other numbers
        shutil.rmtree(other)
    return len(rows)


def _make_base(experiment: Experiment) -> None:
    everything, store = products_of(experiment), Store(experiment.store)
    base = next(name for name, which in MODELS.items() if which == "base")
    parts = (name for name in parts_of(experiment) if name != LATENTS)  # there are no images that they could be of yet
    for product in (everything[name] for name in (*parts, base)):
        if store.whole(product.key()) is None:
            product.make()


def _identity(experiment: Experiment, images: int) -> str:
    """A hash of what the images depend on."""
    inputs = [model_key(experiment, "base"), experiment.sampler, images, experiment.device_kind]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:12]
