"""An attacker's synthetic auxiliary sets: what θ₀ makes of every retained condition, or of every forgotten one."""

from __future__ import annotations

import torch

from trainables.data import Images
from trainables.relearning.experiment import Experiment, stream
from trainables.relearning.products.generated import generate
from trainables.relearning.products.models import model_key, teacher_of
from trainables.relearning.workbench import Workbench, kept
from trainables.store import Artifact, artifact_key, code_version


def synthetic_key(experiment: Experiment) -> str:
    config = {
        "forget": experiment.forget,
        "conditions": experiment.retained,
        "sampler": experiment.sampler,
        "per_condition": experiment.synthetic_per_condition,
        "device": experiment.device_kind,
    }
    inputs = {"model": model_key(experiment, "base")}
    return artifact_key("synthetic", config, inputs, code_version(__name__, experiment.dataset.module))


def make_synthetic(experiment: Experiment) -> Artifact:
    """What θ₀ makes of every retained condition, in equal numbers. Latents stay such."""
    bench, key = Workbench(experiment), synthetic_key(experiment)
    if artifact := bench.store.whole(key):
        return artifact
    conditions = torch.tensor(experiment.retained).repeat_interleave(experiment.synthetic_per_condition)
    images = generate(experiment, teacher_of(bench), conditions, stream(experiment.base_seed, "synthetic"))
    tensors = {"images": images.numpy(), "conditions": conditions.numpy()}
    return bench.store.put(key, "synthetic", {"images": len(images), "sampler": experiment.sampler}, tensors)


@kept
def synthetic_of(bench: Workbench) -> Images:
    return _images(bench.store.get(synthetic_key(bench.experiment)))


def synthetic_forgotten_key(experiment: Experiment) -> str:
    """Key of what θ₀ makes of every forgotten condition."""
    config = {
        "forget": experiment.forget,
        "conditions": experiment.forgetting.prompts,
        "sampler": experiment.sampler,
        "device": experiment.device_kind,
    }
    inputs = {"model": model_key(experiment, "base")}
    return artifact_key("synthetic", config, inputs, code_version(__name__, experiment.dataset.module))


@kept
def synthetic_forgotten_of(bench: Workbench) -> Images:
    """One image of θ₀ for each forgotten condition, found or made: few, so that no sweep prepares them."""
    experiment, key = bench.experiment, synthetic_forgotten_key(bench.experiment)
    artifact = bench.store.whole(key)
    if artifact is None:
        conditions = torch.tensor(experiment.forgetting.prompts)
        images = generate(
            experiment, teacher_of(bench), conditions, stream(experiment.base_seed, "synthetic", "forgotten")
        )
        tensors = {"images": images.numpy(), "conditions": conditions.numpy()}
        facts = {"images": len(images), "sampler": experiment.sampler}
        artifact = bench.store.put(key, "synthetic", facts, tensors)
    return _images(artifact)


def _images(artifact: Artifact) -> Images:
    tensors = artifact.tensors()
    return Images(torch.from_numpy(tensors["images"].copy()), torch.from_numpy(tensors["conditions"].copy()))
