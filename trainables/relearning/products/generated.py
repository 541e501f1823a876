"""What a model makes when asked: samples under given conditions, drawn as the experiment draws them.

What θ₀ makes of a condition for a method to train on is an artifact, found or made when it is asked for: of which conditions,
and how many images, a method's settings say. It is drawn batch by batch, and what was drawn before a process was killed, or
before the time of a step was up, is in the checkpoint under the same key.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from diffusers import UNet2DModel

from trainables.diffusion import clamped, sample, starting_noise
from trainables.relearning.experiment import Experiment, stream
from trainables.relearning.products.models import model_key, teacher_of
from trainables.relearning.workbench import Workbench
from trainables.running.pace import Pace
from trainables.store import artifact_key, code_version


class Unfinished(Exception):
    """The time was up before all images were drawn; whoever asks again goes on from those that were."""


def generate(experiment: Experiment, model: UNet2DModel, conditions: torch.Tensor, seed: int) -> torch.Tensor:
    """Samples (N, C, H, W) of `model` under `conditions` (N,), from this seed's noise: images in [-1, 1], or latents."""
    return torch.cat(list(_batches(experiment, model, conditions, seed, 0)))


def generated_key(experiment: Experiment, condition: int, n: int) -> str:
    """Key of the n images that θ₀ makes of one condition."""
    config = {
        "condition": condition,
        "images": n,
        "seed": experiment.base_seed,
        "sampler": experiment.sampler,
        "device": experiment.device_kind,
    }
    inputs = {"model": model_key(experiment, "base")}
    return artifact_key("generated", config, inputs, code_version(__name__, experiment.dataset.module))


def generated_by_base(bench: Workbench, condition: int, n: int, deadline: float = math.inf) -> torch.Tensor:
    """n images (n, C, H, W) of θ₀ for one condition, always the same.

    Raises Unfinished where the monotonic clock passes `deadline` before they are drawn; every call draws a batch at least.
    """
    store, key = bench.store, generated_key(bench.experiment, condition, n)
    artifact = store.whole(key)
    if artifact is None:
        images = _drawn(bench, key, condition, n, deadline)
        facts = {"condition": condition, "images": n, "sampler": bench.experiment.sampler}
        artifact = store.put(key, "generated", facts, {"images": images.numpy()})
        store.drop_partial(key)
    return torch.from_numpy(artifact.tensors()["images"].copy())


def _drawn(bench: Workbench, key: str, condition: int, n: int, deadline: float) -> torch.Tensor:
    experiment, store, pace = bench.experiment, bench.store, Pace()
    partial = store.load_partial(key)
    done = [] if partial is None else [torch.from_numpy(partial["images"].copy())]

    def save() -> None:
        store.save_partial(key, {"images": torch.cat(done)})

    seed = stream(experiment.base_seed, "generated", str(condition))
    conditions, drawn = torch.full((n,), condition), sum(map(len, done))
    for batch in _batches(experiment, teacher_of(bench), conditions, seed, drawn):
        done.append(batch)
        drawn += len(batch)
        if drawn < n and time.monotonic() > deadline:
            save()
            raise Unfinished(f"{drawn} of {n} images of condition {condition} are drawn")
        if drawn < n:
            pace.take(save)
    return torch.cat(done)


def _batches(
    experiment: Experiment, model: UNet2DModel, conditions: torch.Tensor, seed: int, start: int
) -> Iterator[torch.Tensor]:
    """The samples from number `start` on, where a batch began."""
    noise, schedule = starting_noise((len(conditions), *experiment.model_shape), seed), experiment.noise_schedule()
    how, null = experiment.sampling, experiment.null_condition
    finish = torch.clone if experiment.in_latents else clamped
    rest = noise[start:], conditions[start:]
    return sample(model, schedule, *rest, how, experiment.device, null_condition=null, finish=finish)
