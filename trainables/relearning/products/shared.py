"""Shared artifacts that methods need, such as the saliency of θ₀'s weights, made of θ₀ and the two sets."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, NoReturn

import torch

from trainables.needs import SHARED
from trainables.relearning.experiment import Experiment, stream
from trainables.relearning.products.models import model_key
from trainables.relearning.products.problem import problem_of
from trainables.relearning.workbench import Workbench
from trainables.store import Artifact, artifact_key, code_version


def shared_key(experiment: Experiment, name: str) -> str:
    """Key of a shared artifact. It knows neither a feature network nor how samples are drawn."""
    config = {"name": name, "forget": experiment.forget, "seed": experiment.base_seed, "device": experiment.device_kind}
    config |= {"data": experiment.data_identity}
    code = code_version(__name__, SHARED[name].module, experiment.dataset.module)
    return artifact_key("shared", config, {"model": model_key(experiment, "base")}, code)


def make_shared(experiment: Experiment, name: str) -> Artifact:
    """A shared artifact, from θ₀ and the two sets and nothing else."""
    bench, key = Workbench(experiment), shared_key(experiment, name)
    if artifact := bench.store.whole(key):
        return artifact
    start = time.process_time()
    unknown = _not_in_the_key
    problem = replace(problem_of(bench), features=unknown, generated=unknown, by_distance=unknown)
    made = SHARED[name].make(problem, stream(experiment.base_seed, "shared", name))
    tensors = {k: v.detach().float().cpu().numpy() for k, v in made.items()}
    return bench.store.put(key, "shared", {"name": name, "core_s": time.process_time() - start}, tensors)


def shared_of(bench: Workbench, name: str) -> dict[str, torch.Tensor]:
    """A shared artifact's tensors on the experiment's device."""
    tensors = bench.store.get(shared_key(bench.experiment, name)).tensors()
    return {k: torch.from_numpy(v.copy()).to(bench.experiment.device.name) for k, v in tensors.items()}


def _not_in_the_key(*_: Any) -> NoReturn:
    raise ValueError(
        "a shared artifact is made of θ₀ and the two sets: its key knows neither the feature network nor the sampler"
    )
